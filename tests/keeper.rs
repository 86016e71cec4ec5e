//! Triggers that an update takes away are put back: what is missing and nothing else, not against a person, not for ever,
//! and what was lost is named. On a pool that is as strict as Cognito, by the release program and in process.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use cognito_user_sync::cognito::triggers::{
    Error, Keeper, Kept, Looked, Notes, Parameter, ParameterError, Reason,
};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::parameter_stub::{self, NAME, ParameterStub, Stub};
use crate::support::strict_pool::{ID, StrictPool};
use crate::support::{binaries, eventually, stack};

const OURS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:user-sync-trigger";
const THEIRS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:theirs:live";
const STRANGE: &str = "arn:aws:lambda:eu-west-1:111122223333:function:strange";

/// A pool that calls our function, and the deployment's parameter.
struct Kit {
    strict: StrictPool,
    stub: ParameterStub,
    parameter: Parameter,
}

impl Kit {
    async fn attached() -> Self {
        let (strict, stub) = (StrictPool::start().await, ParameterStub::start().await);
        for name in ["PostConfirmation", "PostAuthentication"] {
            strict.set_trigger(name, Some(OURS));
        }
        let parameter = Parameter::with_client(stub.client.clone(), NAME.to_owned());
        Self { strict, stub, parameter }
    }

    async fn stripped() -> Self {
        let kit = Self::attached().await;
        kit.strict.strip();
        kit
    }

    fn keeper(&self) -> Keeper<'_> {
        Keeper {
            client: &self.strict.client,
            user_pool_id: ID,
            function_arn: OURS,
            parameter: Some(&self.parameter),
            puts_back: true,
        }
    }

    async fn looked(&self, record: Option<Timestamp>) -> Looked {
        let deadline = Instant::now() + Duration::from_secs(120);
        Box::pin(self.keeper().look(record, deadline)).await.unwrap()
    }

    async fn kept(&self) -> Kept {
        self.looked(None).await.kept
    }

    async fn hold(&self, until: Option<Timestamp>) -> Notes {
        self.parameter.update(|notes| notes.hold(Timestamp::now(), until, "a test")).await.unwrap()
    }

    fn stub(&self) -> MutexGuard<'_, Stub> {
        self.stub.stub()
    }

    fn both(&self) -> [Option<String>; 2] {
        ["PostConfirmation", "PostAuthentication"].map(|name| self.strict.trigger(name))
    }

    fn updates(&self) -> usize {
        self.strict.pool().updates.len()
    }
}

fn in_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis().saturating_add_signed(seconds * 1_000))
}

fn arns(arns: [Option<&str>; 2]) -> [Option<String>; 2] {
    arns.map(|arn| arn.map(str::to_owned))
}

const BOTH_OURS: [Option<&str>; 2] = [Some(OURS), Some(OURS)];

/// CloudTrail's record of an update, as EventBridge delivers it.
fn record(user_pool_id: &str, at: Timestamp) -> String {
    json!({
        "version": "0", "source": "aws.cognito-idp", "detail-type": "AWS API Call via CloudTrail",
        "time": at, "region": "eu-west-1",
        "detail": {
            "eventSource": "cognito-idp.amazonaws.com", "eventName": "UpdateUserPool", "eventTime": at,
            "requestParameters": { "userPoolId": user_pool_id, "mfaConfiguration": "OPTIONAL" },
            "responseElements": null, "eventType": "AwsApiCall"
        }
    })
    .to_string()
}

/// The keeper's function, as it is deployed.
struct Operator {
    api: LambdaRuntimeApi,
    function: Function,
}

impl Operator {
    async fn deployed(kit: &Kit, keeps: &str) -> Self {
        let api = LambdaRuntimeApi::start().await;
        let env = [
            ("AWS_ENDPOINT_URL", kit.strict.endpoint.as_str()),
            ("AWS_ENDPOINT_URL_SSM", kit.stub.endpoint.as_str()),
            ("USER_SYNC_OPERATION", "keep-triggers"),
            ("USER_SYNC_USER_POOL_ID", ID),
            ("USER_SYNC_TRIGGER_ARN", OURS),
            ("USER_SYNC_CHAIN_POST_CONFIRMATION", THEIRS),
            ("USER_SYNC_TRIGGERS_PARAMETER", NAME),
            ("USER_SYNC_KEEP_TRIGGERS", keeps),
        ];
        let function = Function::spawn(&binaries::operator(), &api, &env);
        Self { api, function }
    }

    async fn asked(&self, payload: String) -> Value {
        match self.api.invoke(payload, Duration::from_secs(120)).await {
            Invocation::Response { body, .. } => serde_json::from_slice(&body).unwrap(),
            Invocation::Error { body, .. } => panic!("{}", String::from_utf8_lossy(&body)),
            Invocation::TimedOut => panic!("the operator did not answer"),
        }
    }

    /// The value of a metric that was written, with the label `reason` if it has one.
    fn metric(&self, name: &str) -> Vec<(Value, Option<String>)> {
        let lines = self.function.stdout_lines();
        let documents = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = documents.filter(|document| document.get(name).is_some());
        found
            .map(|document| (document[name].clone(), document["reason"].as_str().map(str::to_owned)))
            .collect()
    }

    /// Waits until the metric is written: the answer may be here before the line is read.
    async fn counts(&self, name: &str, expected: &[(Value, Option<String>)]) {
        eventually(name, Duration::from_secs(10), async || self.metric(name) == expected).await;
    }

    /// Waits until this is logged as an error.
    async fn warns(&self, part: &str) {
        let is_said = |line: &String| line.contains("ERROR") && line.contains(part);
        eventually(part, Duration::from_secs(10), async || self.function.stderr_lines().iter().any(is_said))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_that_an_update_takes_away_under_load_are_back_within_a_minute() {
    let kit = Kit::attached().await;
    let operator = Operator::deployed(&kit, "true").await;
    let settings = kit.strict.others();
    kit.strict.pool().faults.busy = Duration::from_millis(80);
    let edited = ["FutureWord", "SmsAuthenticationMessage", "FutureNumber"];
    // Three others change settings of their own all the time, and see that nobody undoes it.
    let load = async {
        for round in 0_u64..=30 {
            for name in edited {
                let former = kit.strict.edit(name, round.to_string().into());
                assert!(round == 0 || former == Some((round - 1).to_string().into()), "{name}: {former:?}");
                tokio::time::sleep(Duration::from_millis(100 + fastrand::u64(..150))).await;
            }
        }
    };
    let event = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        kit.strict.strip();
        let (at, started) = (in_seconds(0), Instant::now());
        let answer = operator.asked(record(ID, at)).await;
        assert_eq!(answer, json!({ "missing": 2, "kept": "put_back" }));
        (at, started.elapsed())
    };
    let ((), (at, took)) = tokio::join!(load, event);
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(kit.both(), arns(BOTH_OURS));

    // What the others wrote is there, and so is everything else.
    let (mut expected, mut others) = (settings, kit.strict.others());
    for name in edited {
        assert_eq!(others[0][name], "30", "the last value of {name}");
        for settings in [&mut expected, &mut others] {
            settings[0].as_object_mut().unwrap().remove(name);
        }
    }
    assert_eq!(others, expected);

    // The gap is named, in the log and in the parameter.
    let notes = kit.parameter.read().await.unwrap();
    let gaps = notes.gaps();
    let [gap] = gaps[..] else { panic!("{gaps:?}") };
    assert_eq!((gap.from, gap.by_record), (at, true));
    let until = gap.until.unwrap();
    assert!(until >= in_seconds(-60) && until > at, "{gap}");
    operator
        .warns(&format!(
            "sign-ins from {at} or earlier to {until} are not counted; run user-sync reconcile --repair"
        ))
        .await;
    operator.counts("triggers_missing", &[(json!([2.0]), None)]).await;
    operator.counts("triggers_put_back", &[(json!(1), None)]).await;
}

/// After the update nobody can tell whose change a difference is: sending the former settings back would lose it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_somebody_elses_right_after_the_update_stays() {
    let kit = Kit::stripped().await;
    kit.strict.pool().faults.followed = Some(("SmsAuthenticationMessage", "theirs {####}".into()));
    assert_eq!((kit.kept().await, kit.updates()), (Kept::PutBack, 1));
    assert_eq!(kit.strict.pool().settings["SmsAuthenticationMessage"], "theirs {####}");
    assert_eq!(kit.both(), arns(BOTH_OURS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_finds_them_too_and_another_pools_event_is_nobodys() {
    let kit = Kit::stripped().await;
    let operator = Operator::deployed(&kit, "true").await;
    let ignored = operator.asked(record("eu-west-1_Other123", in_seconds(0))).await;
    assert_eq!((ignored, kit.updates()), (json!({ "ignored": true }), 0));
    let keep = || operator.asked(json!({ "keep": true }).to_string());
    assert_eq!(keep().await, json!({ "missing": 2, "kept": "put_back" }));
    assert_eq!((kit.both(), kit.updates()), (arns(BOTH_OURS), 1));
    // From when on is known at the latest: the pool was changed then.
    let gaps = kit.parameter.read().await.unwrap().gaps();
    assert!(gaps[0].to_string().starts_with("from 2023-11-14T22:13:22.500Z or earlier"), "{gaps:?}");
    assert_eq!(keep().await, json!({ "missing": 0, "kept": "complete" }));
    kit.hold(None).await;
    kit.strict.strip();
    assert_eq!(keep().await, json!({ "missing": 2, "kept": "held" }));
    operator.counts("triggers_not_put_back", &[(json!(1), Some("held".to_owned()))]).await;
    operator.warns("user-sync triggers release").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_not_told_to_only_looks_and_names_the_gap() {
    let kit = Kit::stripped().await;
    let operator = Operator::deployed(&kit, "false").await;
    let at = in_seconds(-3);
    let answer = operator.asked(record(ID, at)).await;
    assert_eq!((answer, kit.updates()), (json!({ "missing": 2, "kept": "only_looked" }), 0));
    operator.counts("triggers_missing", &[(json!([2.0]), None)]).await;
    assert_eq!(operator.metric("triggers_not_put_back"), []);
    assert_eq!(kit.parameter.read().await.unwrap().open_gap().map(|gap| gap.from), Some(at));
    // Somebody sets them again: a later look closes the gap, at the latest when the pool was last changed.
    for name in ["PostConfirmation", "PostAuthentication"] {
        kit.strict.set_trigger(name, Some(OURS));
    }
    kit.strict.edit("LastModifiedDate", json!(Timestamp::now().unix_millis() as f64 / 1_000.0));
    let answer = operator.asked(json!({ "keep": true }).to_string()).await;
    assert_eq!(answer, json!({ "missing": 0, "kept": "complete" }));
    let notes = kit.parameter.read().await.unwrap();
    let gaps = notes.gaps();
    assert!(notes.open_gap().is_none() && gaps.len() == 1 && gaps[0].until > Some(at), "{gaps:?}");
    operator.warns(&gaps[0].to_string()).await;
}

/// Whatever stands there was set by somebody, also the function that ours calls first.
#[tokio::test(flavor = "multi_thread")]
async fn another_function_is_left_alone_and_only_what_is_missing_is_put_back() {
    let kit = Kit::stripped().await;
    kit.strict.set_trigger("PostConfirmation", Some(STRANGE));
    let looked = kit.looked(None).await;
    assert_eq!(looked, Looked { missing: 2, is_foreign: true, kept: Kept::PutBack });
    assert_eq!(kit.both(), arns([Some(STRANGE), Some(OURS)]));
    assert!(kit.parameter.read().await.unwrap().open_gap().is_some(), "half is missing still");
    kit.strict.set_trigger("PostConfirmation", Some(THEIRS));
    assert_eq!(kit.kept().await, Kept::NotPutBack(Reason::Foreign));
    assert_eq!((kit.both(), kit.updates()), (arns([Some(THEIRS), Some(OURS)]), 1));
    // A version or an alias of ours is ours.
    kit.strict.set_trigger("PostConfirmation", Some(&format!("{OURS}:live")));
    assert_eq!(kit.kept().await, Kept::Complete);
    assert!(kit.parameter.read().await.unwrap().open_gap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_it_until_it_ends_or_is_released() {
    let kit = Kit::stripped().await;
    kit.hold(None).await;
    assert_eq!(kit.kept().await, Kept::NotPutBack(Reason::Held));
    kit.parameter.update(|notes| notes.release(Timestamp::now())).await.unwrap();
    assert_eq!((kit.kept().await, kit.both()), (Kept::PutBack, arns(BOTH_OURS)));
    kit.strict.strip();
    kit.hold(Some(in_seconds(2))).await;
    assert_eq!((kit.kept().await, kit.updates()), (Kept::NotPutBack(Reason::Held), 1));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!((kit.kept().await, kit.both()), (Kept::PutBack, arns(BOTH_OURS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_set_while_a_look_is_under_way_stops_it() {
    let hold = |seen: usize| {
        json!({ "seen": seen, "hold": { "set_at": in_seconds(0), "until": in_seconds(600) } }).to_string()
    };
    // Between the look and the note of the attempt: the note overwrites it, and sees that.
    let kit = Kit::stripped().await;
    kit.stub().before_put.push_back(hold(1));
    assert_eq!((kit.kept().await, kit.updates()), (Kept::NotPutBack(Reason::Held), 0));
    assert!(kit.parameter.read().await.unwrap().held_at(in_seconds(0)).is_some(), "it is not lost");

    // After the note of the attempt (version 2), while the look waits because somebody else changes the pool.
    let kit = Kit::stripped().await;
    kit.strict.pool().faults.edits = 2;
    kit.stub().after_get_of = Some((2, hold(2)));
    assert_eq!((kit.kept().await, kit.updates()), (Kept::NotPutBack(Reason::Held), 0));
    assert_eq!(kit.both(), [None, None]);
    // What changed nothing does not count.
    assert_eq!(kit.parameter.read().await.unwrap().attempts_within_the_hour(in_seconds(0)), 0);
}

/// An update without an answer is sent again only after the hold and the pool are read again.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_not_sent_again_past_a_hold_or_over_what_others_changed() {
    let kit = Kit::stripped().await;
    kit.strict.pool().faults.failing = 1;
    let held = json!({ "seen": 2, "hold": { "set_at": in_seconds(0) } }).to_string();
    kit.stub().after_get_of = Some((2, held));
    assert_eq!((kit.kept().await, kit.updates()), (Kept::NotPutBack(Reason::Held), 0));
    // It may have been done.
    assert_eq!(kit.parameter.read().await.unwrap().attempts_within_the_hour(in_seconds(0)), 1);

    let kit = Kit::stripped().await;
    kit.strict.pool().faults.failing = 1;
    assert_eq!((kit.kept().await, kit.updates()), (Kept::PutBack, 1));
    assert_eq!(kit.strict.pool().settings["SmsAuthenticationMessage"], "meanwhile {####}");

    let kit = Kit::stripped().await;
    kit.strict.pool().faults.lost = 1;
    assert_eq!((kit.kept().await, kit.updates()), (Kept::PutBack, 1));
    assert_eq!(kit.both(), arns(BOTH_OURS));
}

/// Somebody else may have changed it, in an incident.
#[tokio::test(flavor = "multi_thread")]
async fn mfa_is_never_set_by_the_keeper() {
    let kit = Kit::stripped().await;
    kit.strict.pool().faults.loses_factors = true;
    assert_eq!((kit.kept().await, kit.both()), (Kept::PutBack, arns(BOTH_OURS)));
    let pool = kit.strict.pool();
    assert_eq!((pool.mfa_updates, pool.mfa.get("SoftwareTokenMfaConfiguration")), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cognito_refuses_does_not_count() {
    let kit = Kit::stripped().await;
    kit.strict.pool().faults.denied = vec![("UpdateUserPool", "denied")];
    for round in 0..6 {
        assert_eq!(kit.kept().await, Kept::NotPutBack(Reason::Failed), "{round}");
    }
    kit.strict.pool().faults.denied.clear();
    assert_eq!(kit.kept().await, Kept::PutBack);
}

/// Cognito may invoke the alias, and perhaps not the function itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_alias_that_is_the_other_trigger_is_put_back() {
    let (kit, live) = (Kit::stripped().await, format!("{OURS}:live"));
    kit.strict.set_trigger("PostConfirmation", Some(&live));
    assert_eq!((kit.kept().await, kit.both()), (Kept::PutBack, arns([Some(&live), Some(&live)])));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_puts_nothing_back() {
    let parameter = Kept::NotPutBack(Reason::Parameter);
    type Breaks = fn(&mut Stub);
    let breaks: [(&str, Breaks); 4] = [
        ("unreadable", |stub| stub.denied = vec!["GetParameter"]),
        ("unwritable", |stub| stub.denied = vec!["PutParameter"]),
        ("missing", |stub| stub.versions.clear()),
        ("something else", |stub| stub.versions.push("hands off".to_owned())),
    ];
    for (what, breaks) in breaks {
        let kit = Kit::stripped().await;
        breaks(&mut kit.stub());
        assert_eq!((kit.kept().await, kit.updates()), (parameter, 0), "{what}");
    }
    // It says what to do.
    let kit = Kit::stripped().await;
    kit.stub().denied = vec!["GetParameter"];
    let denied = kit.parameter.read().await.unwrap_err().to_string();
    assert!(denied.contains("AccessDenied") && denied.contains("ssm:GetParameter"), "{denied}");
    kit.stub().denied.clear();
    kit.stub().versions = vec!["hands off".to_owned()];
    assert_eq!(kit.parameter.read().await, Err(ParameterError::Unreadable(NAME.to_owned())));
    // A pool that cannot be read is an error of the look.
    kit.strict.pool().faults.denied = vec![("DescribeUserPool", "denied")];
    let deadline = Instant::now() + Duration::from_secs(60);
    let error = Box::pin(kit.keeper().look(None, deadline)).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_owners_who_fight_end_at_the_limit() {
    let kit = Kit::attached().await;
    for round in 0..7 {
        kit.strict.strip();
        let expected = if round < 4 { Kept::PutBack } else { Kept::NotPutBack(Reason::Limit) };
        assert_eq!(kit.kept().await, expected, "{round}");
    }
    assert_eq!((kit.updates(), kit.both()), (4, [None, None]));
    // The gap that remains is noted.
    assert!(kit.parameter.read().await.unwrap().open_gap().is_some());
}

/// The other owner is so quick that the pool never shows ours.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_takes_them_away_at_once_is_fought_no_longer() {
    let kit = Kit::stripped().await;
    kit.strict.pool().faults.strips = true;
    for round in 0..6 {
        let reason = if round < 4 { Reason::Failed } else { Reason::Limit };
        assert_eq!(kit.kept().await, Kept::NotPutBack(reason), "{round}");
    }
    assert_eq!(kit.updates(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_looks_at_once_one_puts_them_back() {
    let kit = Kit::stripped().await;
    kit.stub().latency = Duration::from_millis(20);
    let looks = futures::future::join_all((0..8).map(|_| kit.looked(Some(in_seconds(0))))).await;
    let put_back = looks.iter().filter(|looked| looked.kept == Kept::PutBack).count();
    assert_eq!((put_back, kit.updates(), kit.both()), (1, 1, arns(BOTH_OURS)), "{looks:?}");
    assert!(looks.iter().all(|looked| matches!(looked.kept, Kept::PutBack | Kept::Complete)), "{looks:?}");
    let notes = kit.parameter.read().await.unwrap();
    assert_eq!((notes.attempts_within_the_hour(in_seconds(0)), notes.gaps().len()), (1, 1));
}

/// Every attempt and every gap that anybody wrote, of all versions.
fn everything_written(stub: &ParameterStub) -> BTreeSet<String> {
    let versions: Vec<Value> =
        stub.stub().versions.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let keys = |value: &Value, member: &str| -> Vec<String> {
        value[member].as_object().into_iter().flatten().map(|(key, _)| format!("{member} {key}")).collect()
    };
    versions.iter().flat_map(|value| [keys(value, "attempts"), keys(value, "gaps")].concat()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_the_same_time_lose_nothing() {
    let mut overwritten = 0;
    for _ in 0..10 {
        let kit = Kit::stripped().await;
        kit.stub().latency = Duration::from_millis(30);
        kit.stub().busy = 1;
        let keepers = async {
            let deadline = Instant::now() + Duration::from_secs(46);
            let keepers = [kit.keeper(), kit.keeper()];
            let [one, other] = keepers.each_ref().map(|keeper| Box::pin(keeper.look(None, deadline)));
            drop(tokio::join!(one, other));
        };
        let hold = async {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..80))).await;
            kit.hold(None).await
        };
        let ((), held) = tokio::join!(keepers, hold);
        assert!(held.held_at(in_seconds(0)).is_some());
        kit.stub().latency = Duration::ZERO;
        let notes = kit.parameter.read().await.unwrap();
        assert!(notes.held_at(in_seconds(0)).is_some(), "the hold is lost");
        let noted = serde_json::to_value(&notes).unwrap();
        let stub = ParameterStub::start().await;
        stub.stub().versions.push(noted.to_string());
        assert_eq!(everything_written(&stub), everything_written(&kit.stub), "{noted}");
        assert!(kit.updates() <= 1, "{}", kit.updates());
        let versions = kit.stub().versions.clone();
        let has_overwritten = |(at, text): (usize, &String)| {
            let value: Value = serde_json::from_str(text).unwrap();
            value["seen"].as_u64().is_some_and(|seen| seen < at as u64)
        };
        overwritten += versions.iter().enumerate().filter(|(at, text)| has_overwritten((*at, text))).count();
    }
    assert!(overwritten > 0, "nobody overwrote anybody: this shows nothing");
}

/// A writer that died after its write: what it overwrote is read all the same, by whoever comes next.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_writer_overwrote_is_not_lost() {
    let kit = Kit::stripped().await;
    let held = json!({ "seen": 1, "hold": { "set_at": in_seconds(0) } }).to_string();
    // Version 3 had seen version 1 only.
    kit.stub().versions.extend([held, json!({ "seen": 1 }).to_string()]);
    assert_eq!((kit.kept().await, kit.updates()), (Kept::NotPutBack(Reason::Held), 0));
    // Nor is it lost by the empty value that CloudFormation writes where the stack's tags change, nor by a version that
    // nobody can read.
    let held = kit.stub().versions[1].clone();
    kit.stub().versions =
        vec!["{}".to_owned(), held, "hands off".to_owned(), "{}".to_owned(), "{}".to_owned()];
    assert_eq!((kit.kept().await, kit.updates()), (Kept::NotPutBack(Reason::Held), 0));
    // A version that SSM has forgotten holds up nobody.
    kit.stub().versions = vec![String::new(), String::new(), json!({ "seen": 0 }).to_string()];
    assert_eq!(kit.kept().await, Kept::PutBack);
}

/// `user-sync triggers`, on the strict pool and the emulator's parameters.
struct Person {
    strict: StrictPool,
    parameter: String,
    ssm: String,
}

impl Person {
    async fn new() -> Self {
        let ssm = stack().await.sqs.endpoint().to_owned();
        let parameter = format!("/user-sync/{}/triggers", Uuid::now_v7().simple());
        Self { strict: StrictPool::start().await, parameter, ssm }
    }

    fn run(&self, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(binaries::user_sync());
        command.arg("triggers").args(arguments).env_clear().stdin(Stdio::null());
        command.envs(self.environment()).envs(more.iter().copied()).output().unwrap()
    }

    fn environment(&self) -> [(&'static str, &str); 8] {
        [
            ("AWS_ENDPOINT_URL", self.strict.endpoint.as_str()),
            ("AWS_ENDPOINT_URL_SSM", self.ssm.as_str()),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("USER_SYNC_USER_POOL_ID", ID),
            ("USER_SYNC_TRIGGER_ARN", OURS),
            ("USER_SYNC_TRIGGERS_PARAMETER", self.parameter.as_str()),
        ]
    }

    /// What `doctor` says of the triggers.
    fn examined(&self) -> Value {
        let mut command = Command::new(binaries::user_sync());
        let output =
            command.args(["doctor", "--json"]).env_clear().envs(self.environment()).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = answer["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "triggers").unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, arguments: &[&str], more: &[(&str, &str)]) -> String {
        let output = self.run(arguments, more);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn both(&self) -> [Option<String>; 2] {
        ["PostConfirmation", "PostAuthentication"].map(|name| self.strict.trigger(name))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.says(&["show", "--json"])).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_shows_attaches_holds_detaches_and_releases() {
    let person = Person::new().await;
    let others = person.strict.others();
    // There is no parameter of this name in this Region: none is made by mistake.
    let missing = format!("there is no parameter {} in eu-west-1", person.parameter);
    for arguments in [&["show"][..], &["hold"], &["release"], &["detach"]] {
        let failed = person.fails(arguments, &[]);
        assert!(failed.contains(&missing) && failed.contains("hold --make-parameter"), "{failed}");
    }
    // What the pool calls is shown all the same.
    let output = person.run(&["show"], &[]);
    let shown = String::from_utf8(output.stdout).unwrap();
    for part in [THEIRS, "missing  no function", "not known: there is no parameter"] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let shown: Value = serde_json::from_slice(&person.run(&["show", "--json"], &[]).stdout).unwrap();
    assert_eq!(
        (&shown["triggers"]["PostConfirmation"]["function"], &shown["noted"]),
        (&THEIRS.into(), &Value::Null)
    );
    assert!(shown["error"].as_str().unwrap().contains(&missing), "{shown}");
    let held = person.says(&["hold", "--make-parameter", "--hours", "2", "--reason", "a bad night"]);
    let place = format!("(noted in {} in eu-west-1)\n", person.parameter);
    assert!(held.starts_with("the triggers are held until ") && held.contains("(a bad night)"), "{held}");
    assert!(held.contains(&place), "{held}");
    let shown = person.json();
    assert_eq!(shown["triggers"]["PostConfirmation"], json!({ "function": THEIRS, "owner": "another" }));
    assert_eq!(shown["triggers"]["PostAuthentication"], json!({ "function": null, "owner": "missing" }));
    assert_eq!(shown["noted"]["hold"]["reason"], "a bad night");
    assert_eq!(person.says(&["release"]), format!("nobody holds the triggers {place}"));
    assert_eq!(person.json()["noted"]["hold"], Value::Null);

    // Another function is refused, or chained.
    assert!(person.fails(&["attach"], &[]).contains(THEIRS));
    let attached = person.says(&["attach", "--chain-post-confirmation", THEIRS]);
    let put_back = format!("{THEIRS},");
    assert!(attached.contains(&format!("user-sync triggers detach --put-back '{put_back}'")), "{attached}");
    assert_eq!(person.both(), arns(BOTH_OURS));
    let again = person.says(&["attach", "--chain-post-confirmation", THEIRS]);
    assert!(again.contains("nothing was changed"), "{again}");
    let text = person.says(&["show"]);
    for part in ["PostConfirmation    ours     arn:", "nobody holds them", "0 within the hour, of at most 4"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }

    // The doctor says nothing more where nobody holds them.
    assert_eq!(person.examined()["status"], "ok");
    person.says(&["hold", "--hours", "1", "--reason", "look here"]);
    let examined = person.examined();
    assert_eq!(examined["status"], "warning", "{examined}");
    assert!(
        examined["found"].as_str().unwrap().contains("held until ")
            && examined["fix"].as_str().unwrap().contains("user-sync triggers release"),
        "{examined}"
    );

    // Detaching holds first, or the keeper would put ours back at once.
    let detached = person.says(&["detach", "--put-back", &put_back]);
    assert!(detached.starts_with("the triggers are held until "), "{detached}");
    assert_eq!((person.both(), person.strict.others()), (arns([Some(THEIRS), None]), others));
    // Again, none is ours: that is no success. A hold that lasts longer stays as it is.
    person.says(&["hold", "--until-released"]);
    let output = person.run(&["detach"], &[]);
    let failed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        failed.contains("nothing was taken out") && failed.contains(OURS) && failed.contains(THEIRS),
        "{failed}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("held until somebody releases them"));
    let parameter = Parameter::with_client(parameter_stub::client(&person.ssm), person.parameter.clone());
    assert!(parameter.read().await.unwrap().held_at(in_seconds(1_000_000)).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_cannot_be_set_is_said_before_anything_is_changed() {
    let person = Person::new().await;
    person.says(&["attach", "--chain-post-confirmation", THEIRS]);
    let unset = person.fails(&["hold"], &[("USER_SYNC_TRIGGERS_PARAMETER", "")]);
    assert!(unset.contains("USER_SYNC_TRIGGERS_PARAMETER is not set"), "{unset}");
    let long = person.fails(&["hold", "--reason", &"x".repeat(201)], &[]);
    assert!(long.contains("at most 200"), "{long}");
    // SSM refuses a name that begins so.
    let refused = [("USER_SYNC_TRIGGERS_PARAMETER", "/ssm/x")];
    let failed = person.fails(&["detach"], &refused);
    assert!(failed.contains("nothing was changed") && failed.contains("--no-hold"), "{failed}");
    assert_eq!(person.both(), arns(BOTH_OURS));
    let output = person.run(&["detach", "--no-hold"], &refused);
    assert!(output.status.success() && person.both() == [None, None]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no hold is set"));
    // An alias of ours is taken out too.
    person.strict.set_trigger("PostAuthentication", Some(&format!("{OURS}:live")));
    assert!(person.run(&["detach", "--no-hold"], &refused).status.success() && person.both() == [None, None]);
    // A list of functions by pools matches nothing, and another Region's function cannot be called.
    let list = [("USER_SYNC_TRIGGER_ARN", "eu-west-1_Strict123=arn:aws:lambda:eu-west-1:1:function:x")];
    let output = person.run(&["detach"], &list);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not the ARN of one Lambda function"));
    let elsewhere = OURS.replace("eu-west-1", "us-east-1");
    let failed = person.fails(&["attach", "--overwrite", "--trigger-arn", &elsewhere], &[]);
    assert!(failed.contains("is not a Lambda function of eu-west-1"), "{failed}");
    assert_eq!(person.both(), [None, None]);
}
