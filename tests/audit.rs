//! The audit: what is taken away from either side is named, and nothing else; why; and what the programs say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cognito_user_sync::dev::local;
use cognito_user_sync::postgres::{Database, Role};
use cognito_user_sync::store::maintenance::audit::{Audited, Away, Error, OneSided, Question, Reason, audit};
use cognito_user_sync_triggers::event::{EventId, Kind, Reporter};
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::report::login_url;
use crate::support::events::{at, event, login, sub};
use crate::support::lambda_runtime_api::{Function, Invocation, LambdaRuntimeApi};
use crate::support::parameter_stub::{NAME, ParameterStub};
use crate::support::sign_ins::{self, DAYS, Density};
use crate::support::{TestDatabase, binaries, eventually};

const LIMIT: Duration = Duration::from_secs(120);

/// What is recorded of a sign-in, by default by CloudTrail.
struct Record {
    user: Option<u128>,
    client: Option<&'static str>,
    reporter: Reporter,
    /// In milliseconds of yesterday.
    at: u64,
    flow: Option<&'static str>,
    occasion: &'static str,
}

impl Record {
    fn of(user: u128, at: u64) -> Self {
        let reporter = Reporter::CloudTrail;
        Self { user: Some(user), client: Some("app"), reporter, at, flow: None, occasion: "sign_in" }
    }

    async fn insert(self, owner: &PgPool) -> Uuid {
        let (time, user) = (millis(self.at), self.user.map(sub));
        let id = EventId::new(time).uuid();
        let insert = "insert into user_sync_contexts (id, user_id, user_pool_id, client_id, reported_by, occasion, \
            is_witness, occurred_at, data) values ($1, $2, 'eu-west-1_Test00000', $3, $4, $5, true, $6, $7)";
        let data = self.flow.map_or_else(|| json!({}), |flow| json!({ "flow": flow }));
        let insert = sqlx::query(insert).bind(id).bind(user).bind(self.client).bind(self.reporter.as_str());
        let time = time::OffsetDateTime::from(time);
        insert.bind(self.occasion).bind(time).bind(data).execute(owner).await.unwrap();
        id
    }
}

/// So many milliseconds after yesterday began.
fn millis(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(at(0).unix_millis() + millis)
}

fn yesterday() -> Question {
    range(at(0), at(86_400))
}

fn range(from: Timestamp, to: Timestamp) -> Question {
    Question { from, to, away: Vec::new(), managed_login_clients: BTreeSet::new() }
}

/// A login by the client `app`.
async fn log_in(database: &TestDatabase, user: u128, at: u64) -> Uuid {
    let login = login(user, millis(at)).with(|data| data.client_id = Some("app".into())).build();
    let id = login.id().uuid();
    database.apply(&[login]).await;
    id
}

async fn ask(database: &TestDatabase, question: &Question) -> (Audited, Vec<OneSided>) {
    let mut found = Vec::new();
    let connected = local::connect(&database.deployment.consumer_url, 1).await.unwrap();
    let audited = audit(&Database::from(connected), question, |one| found.push(one), |_| {}).await.unwrap();
    (audited, found)
}

fn ids(found: &[OneSided], is_of_login: bool) -> BTreeSet<Uuid> {
    let found = found.iter().filter(|one| one.reason.is_of_login() == is_of_login);
    found.map(|one| one.id.uuid()).collect()
}

/// All that a history of [`sign_ins`] has.
fn whole() -> Question {
    range(millis(0).back(15), millis(0))
}

trait Back {
    fn back(self, days: u64) -> Self;
}

impl Back for Timestamp {
    fn back(self, days: u64) -> Self {
        Self::from_unix_millis(self.unix_millis() - days * 86_400_000)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_what_was_taken_away_is_named() {
    let database = TestDatabase::create().await;
    let taken = sign_ins::fill(&database.owner, Density::Sparse, 20_000, 200).await;
    let (audited, found) = ask(&database, &whole()).await;
    assert_eq!(ids(&found, false), taken.records);
    assert_eq!(ids(&found, true), taken.logins);
    assert_eq!(found.len(), 400, "each once");
    assert!(found.iter().all(|one| one.instead.is_empty()), "there is no doubt");
    assert_eq!((audited.unaccounted(), audited.total.logins), (200, 19_800));
    let own = &audited.total.reporters[&Reporter::CloudTrail];
    assert_eq!((own.successes, own.paired, own.left_over(Reason::NotRecorded)), (19_800, 19_600, 200));

    // Parts add up to the whole: an edge, wherever it is, makes nobody one-sided and hides nobody.
    let (mut parts, mut logins) = (Vec::new(), 0);
    let step = 7 * 3_600_000 + 1_234;
    let mut from = whole().from.unix_millis();
    while from < whole().to.unix_millis() {
        let to = (from + step).min(whole().to.unix_millis());
        let part = range(Timestamp::from_unix_millis(from), Timestamp::from_unix_millis(to));
        let (audited, found) = ask(&database, &part).await;
        logins += audited.total.logins;
        parts.extend(found);
        from = to;
    }
    let in_order = |found: Vec<OneSided>| {
        let mut found: Vec<Uuid> = found.iter().map(|one| one.id.uuid()).collect();
        found.sort();
        found
    };
    assert_eq!((in_order(parts), logins), (in_order(found), 19_800));
    assert!(audited.days.len() > usize::try_from(DAYS).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_dense_logins_the_number_is_exact_and_whoever_it_may_be_is_named() {
    let database = TestDatabase::create().await;
    let taken = sign_ins::fill(&database.owner, Density::Dense, 20_000, 200).await;
    let (audited, found) = ask(&database, &whole()).await;
    let own = &audited.total.reporters[&Reporter::CloudTrail];
    assert_eq!((audited.unaccounted(), own.left_over(Reason::NotRecorded)), (200, 200));
    assert!(found.iter().any(|one| !one.instead.is_empty()), "the history is dense");
    let mut named = BTreeSet::new();
    for one in &found {
        named.extend(one.instead.iter().chain([&one.id]).map(|id| id.uuid()));
    }
    let not_named: Vec<_> = taken.records.union(&taken.logins).filter(|id| !named.contains(*id)).collect();
    assert!(not_named.is_empty(), "{not_named:?}");
    assert_ne!(ids(&found, true), taken.logins, "nobody can tell which one");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_each_reporters_own() {
    let database = TestDatabase::create().await;
    let windows = [
        (Reporter::CloudTrail, -2_000_i64, 8_000_i64),
        (Reporter::Application, -2_000, 30_000),
        (Reporter::ThreatProtection, -900_000, 8_000),
    ];
    let hour = 3_600_000;
    let mut out = BTreeSet::new();
    let mut user = 0;
    for (reporter, first, last) in windows {
        for (apart, is_in) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
            user += 1;
            let own = log_in(&database, user, hour).await;
            let at = u64::try_from(i64::try_from(hour).unwrap() + apart).unwrap();
            let record = Record { reporter, ..Record::of(user, at) }.insert(&database.owner).await;
            if !is_in {
                out.extend([(reporter, own), (reporter, record)]);
            }
        }
    }
    let (audited, found) = ask(&database, &yesterday()).await;
    // Of the others' users each reporter has no record.
    let own = |one: &&OneSided| {
        let number = (1..=12).find(|number| sub(*number) == one.user).unwrap();
        windows[usize::try_from((number - 1) / 4).unwrap()].0 == one.reporter
    };
    let found: BTreeSet<_> = found.iter().filter(own).map(|one| (one.reporter, one.id.uuid())).collect();
    assert_eq!(found, out);
    for (reporter, ..) in windows {
        let own = &audited.total.reporters[&reporter];
        assert_eq!((own.successes, own.paired, own.left_over(Reason::Lost)), (4, 2, 2), "{reporter:?}");
    }
    assert_eq!(audited.unaccounted(), 6, "each reporter by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_across_an_edge_is_a_pair() {
    let database = TestDatabase::create().await;
    let day = 86_400_000;
    // The records are of the day before and of the day after.
    for (user, logged_in, recorded) in [(1, day - 1_000, day + 1_000), (2, 500, 0), (3, 1_000, day - 5_000)] {
        log_in(&database, user, logged_in).await;
        if user != 3 {
            Record::of(user, recorded).insert(&database.owner).await;
        }
    }
    let before = Timestamp::from_unix_millis(millis(0).unix_millis() - 1_000);
    let insert = "insert into user_sync_contexts (id, user_id, user_pool_id, client_id, reported_by, occasion, \
        is_witness, occurred_at, data) values ($1, $2, 'eu-west-1_Test00000', 'app', 'cloudtrail', 'sign_in', false, \
        now(), '{}')";
    let insert = sqlx::query(insert).bind(EventId::new(before).uuid()).bind(sub(3));
    insert.execute(&database.owner).await.unwrap();
    let (audited, found) = ask(&database, &yesterday()).await;
    assert_eq!(found, [], "the cut leaves nobody over");
    let own = &audited.total.reporters[&Reporter::CloudTrail];
    assert_eq!((audited.total.logins, own.successes, own.paired), (3, 1, 3));
}

/// Yesterday's sign-ins, of which each side lacks some, for every reason there is.
async fn told(database: &TestDatabase) -> BTreeMap<Uuid, Reason> {
    let minute = 60_000;
    let mut expected = BTreeMap::new();
    let owner = &database.owner;
    log_in(database, 1, minute).await;
    Record::of(1, minute).insert(owner).await;
    expected.insert(log_in(database, 2, minute).await, Reason::NotRecorded);
    let federated = event(Kind::Confirmed, 3, millis(minute)).with(|data| data.federated = true).build();
    expected.insert(federated.id().uuid(), Reason::Federated);
    // A sign-up of a user of the pool is no login.
    let sign_up = event(Kind::Confirmed, 4, millis(minute)).build();
    database.apply(&[federated, sign_up]).await;
    expected.insert(Record::of(5, minute).insert(owner).await, Reason::Lost);
    let flow = Some("login_POST");
    expected.insert(Record { flow, ..Record::of(6, minute) }.insert(owner).await, Reason::ManagedLogin);
    let client = Some("hosted");
    expected.insert(Record { client, ..Record::of(7, minute) }.insert(owner).await, Reason::ManagedLogin);
    expected.insert(Record::of(8, 60 * minute).insert(owner).await, Reason::TriggersAway);
    // Neither of these is a sign-in.
    let flow = Some("REFRESH_TOKEN_AUTH");
    Record { flow, ..Record::of(9, minute) }.insert(owner).await;
    Record { occasion: "sign_up", ..Record::of(10, minute) }.insert(owner).await;
    // Nobody knows whose it is.
    Record { user: None, ..Record::of(11, minute) }.insert(owner).await;
    // Another client's record is another sign-in's; one of nobody's client is this one's.
    log_in(database, 12, 120 * minute).await;
    expected.insert(
        Record { client: Some("other"), ..Record::of(12, 120 * minute) }.insert(owner).await,
        Reason::Lost,
    );
    Record { client: None, ..Record::of(12, 120 * minute) }.insert(owner).await;
    expected
}

fn away() -> (Timestamp, Timestamp) {
    (at(3_000), at(3_595))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_one_side_has_is_told_by_its_reason() {
    let database = TestDatabase::create().await;
    let mut expected = told(&database).await;
    let (from, until) = away();
    let away = vec![Away { from, until: Some(until) }];
    let known = Question { away, managed_login_clients: ["hosted".to_owned()].into(), ..yesterday() };
    let reasons =
        |found: &[OneSided]| found.iter().map(|one| (one.id.uuid(), one.reason)).collect::<BTreeMap<_, _>>();
    let (audited, found) = ask(&database, &known).await;
    assert_eq!(reasons(&found), expected);
    assert!(found.iter().all(|one| one.reporter == Reporter::CloudTrail), "the others are off");
    assert_eq!((audited.reporters.len(), audited.unaccounted(), audited.total.logins), (1, 2, 4));
    let own = &audited.total.reporters[&Reporter::CloudTrail];
    assert_eq!((own.successes, own.paired, own.refreshes, own.without_user), (7, 2, 1, 1));
    let logins = audited.days.iter().map(|((_, client), counts)| (client.as_deref(), counts.logins));
    assert_eq!(
        logins.collect::<Vec<_>>(),
        [(None, 1), (Some("app"), 3), (Some("hosted"), 0), (Some("other"), 0)]
    );

    // Where nobody asked, they are lost.
    let (audited, found) = ask(&database, &yesterday()).await;
    let unknown = [Reason::TriggersAway, Reason::ManagedLogin];
    let says_so = found.iter().filter(|one| one.reason == Reason::ManagedLogin).map(|one| one.id.uuid());
    let says_so: BTreeSet<_> = says_so.collect();
    for (id, reason) in &mut expected {
        if unknown.contains(reason) && !says_so.contains(id) {
            *reason = Reason::Lost;
        }
    }
    assert_eq!((reasons(&found), says_so.len(), audited.unaccounted()), (expected, 1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_which_a_month_is_dropped_is_refused() {
    let database = TestDatabase::create().await;
    let connected = Database::from(database.owner.clone());
    let asked = range(at(0).back(1_000), at(0));
    let error = audit(&connected, &asked, |_| {}, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("audit from 20"), "{error}");
    let Error::Dropped { what: "logins", earliest, .. } = error else { panic!("{error}") };
    assert!(audit(&connected, &range(earliest, at(0)), |_| {}, |_| {}).await.is_ok());
    // The records' own months count as well.
    let drop = "drop table user_sync_contexts_";
    let month = time::OffsetDateTime::from(earliest);
    let drop = format!("{drop}{}_{:02}", month.year(), u8::from(month.month()));
    sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&database.owner).await.unwrap();
    let error = audit(&connected, &range(earliest, at(0)), |_| {}, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Dropped { what: "records of sign-ins", .. }), "{error}");
}

fn run(url: &str, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binaries::user_sync());
    command.arg("audit").args(arguments).env_clear().env("DATABASE_URL", url).stdin(Stdio::null());
    command.envs(env.iter().copied()).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The parameter of a deployment that has noted when its triggers were away.
async fn noted() -> ParameterStub {
    let stub = ParameterStub::start().await;
    let ((from, until), found) = (away(), format!("{}/00000001", away().0));
    let notes = json!({ "seen": 1, "gaps": { found: { "from": from, "until": until } } });
    stub.stub().versions.push(notes.to_string());
    stub
}

const CREDENTIALS: [(&str, &str); 3] =
    [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_is_left_over_and_its_exit_code_whether_any_is_lost() {
    let database = TestDatabase::create().await;
    let expected = told(&database).await;
    let url = login_url(&database, Role::Reader).await;
    let stub = noted().await;
    let env = [("USER_SYNC_TRIGGERS_PARAMETER", NAME), ("AWS_ENDPOINT_URL_SSM", stub.endpoint.as_str())];
    let env = [&env[..], &CREDENTIALS].concat();

    let plain = run(&url, &[], &[]);
    let (said, complained) = texts(&plain);
    assert_eq!(plain.status.code(), Some(1), "{complained}");
    assert!(
        complained.contains("4 recorded sign-ins have no login in the ledger")
            && complained.contains("--list")
    );
    assert!(said.contains("4 logins") && said.contains("4 recorded sign-ins are unaccounted for"), "{said}");
    assert!(said.contains("1 records of refreshed tokens are left out"), "{said}");

    let known = ["--gaps", "--managed-login-clients", "none, hosted", "--list", "--json"];
    let listed = run(&url, &known, &env);
    let (said, complained) = texts(&listed);
    assert_eq!(listed.status.code(), Some(1), "{complained}");
    let document: Value = serde_json::from_str(&said).unwrap();
    let one_sided = document["one_sided"].as_array().unwrap().iter();
    let reasons = one_sided
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one["reason"].as_str().unwrap().to_owned()));
    let reasons: BTreeMap<_, _> = reasons.collect();
    assert_eq!(
        reasons,
        expected.iter().map(|(id, reason)| (id.to_string(), reason.as_str().to_owned())).collect()
    );
    assert_eq!((&document["unaccounted"], &document["reporters"]), (&2.into(), &json!(["cloudtrail"])));
    let total = &document["total"]["cloudtrail"];
    assert_eq!(total["without_login"], json!({ "lost": 2, "managed_login": 2, "triggers_away": 1 }));
    assert_eq!(total["without_success"], json!({ "federated": 1, "not_recorded": 1 }));
    assert_eq!(
        (&document["days"][1]["client_id"], &document["days"][1]["logins"]),
        (&"app".into(), &3.into())
    );

    let lines = run(&url, &["--list"], &[("USER_SYNC_MANAGED_LOGIN_CLIENTS", "hosted")]);
    let (said, _) = texts(&lines);
    let line = format!("{} app {} cloudtrail: a success alone, lost\n", sub(5), at(60));
    assert!(said.contains(&line), "{said}");
    assert_eq!(said.matches(" alone, ").count(), expected.len(), "{said}");

    // An hour without anything lost.
    let hour = ["--from".to_owned(), at(4_000).to_string(), "--to".to_owned(), at(5_000).to_string()];
    let hour: Vec<&str> = hour.iter().map(String::as_str).collect();
    let clean = run(&url, &hour, &[]);
    assert_eq!(clean.status.code(), Some(0), "{:?}", texts(&clean));
    assert!(texts(&clean).0.contains("nobody else recorded a sign-in in this time: nothing can be said"));
    let json = run(&url, &[&hour[..], &["--json", "--list"]].concat(), &[]);
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["one_sided"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_leaves_out_what_is_not_settled_and_says_what_it_needs() {
    let database = TestDatabase::create().await;
    let url = &database.deployment.consumer_url;
    let tomorrow = Timestamp::from_unix_millis(Timestamp::now().unix_millis() + 86_400_000).to_string();
    let from = Timestamp::from_unix_millis(Timestamp::now().unix_millis() - 7_200_000).to_string();
    let shortened = run(url, &["--from", &from, "--to", &tomorrow, "--json"], &[]);
    let (said, complained) = texts(&shortened);
    assert!(shortened.status.success() && complained.contains("audited until "), "{complained}");
    let to = serde_json::from_str::<Value>(&said).unwrap()["to"].as_str().unwrap().to_owned();
    let ago = Timestamp::now().unix_millis() - Timestamp::parse(&to).unwrap().unix_millis();
    assert!((1_800_000..1_860_000).contains(&ago), "{ago}");

    let refused = |arguments: &[&str], expected: &str| {
        let output = run(url, arguments, &[]);
        assert!(!output.status.success() && texts(&output).1.contains(expected), "{:?}", texts(&output));
    };
    refused(&["--from", &tomorrow], "not settled yet");
    refused(&["--from", "last week"], "neither a day such as 2026-11-01");
    refused(&["--from", "2001-01-01"], "past their retention");
    refused(&["--gaps"], "USER_SYNC_TRIGGERS_PARAMETER is not set");
    let refused = run(&database.deployment.app_url, &[], &[]);
    assert_eq!(refused.status.code(), Some(1), "the application may not read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_counts_what_is_lost_of_the_last_day_and_nothing_without_a_witness() {
    let database = TestDatabase::create().await;
    let stub = noted().await;
    // It asks the database and its parameter, and nobody else: its subnets may have no way out.
    let (_socket, nowhere) = crate::support::refusing();
    let variables = [
        ("USER_SYNC_OPERATION", "audit"),
        ("AWS_ENDPOINT_URL", nowhere.as_str()),
        ("USER_SYNC_TRIGGERS_PARAMETER", NAME),
        ("AWS_ENDPOINT_URL_SSM", stub.endpoint.as_str()),
        ("USER_SYNC_MANAGED_LOGIN_CLIENTS", "other,hosted"),
    ];
    let env = [&database.deployment.environment()[..], &variables].concat();
    let api = LambdaRuntimeApi::start().await;
    let function = Function::spawn(&binaries::operator(), &api, &env);
    api.wait_until_ready(LIMIT).await;
    let asked = async || match api.invoke("{}", LIMIT).await {
        Invocation::Response { body, .. } => serde_json::from_slice::<Value>(&body).unwrap(),
        other => panic!("{other:?}"),
    };
    // Two hours ago, in milliseconds of yesterday: within the day that ended an hour ago.
    let recently = Timestamp::now().unix_millis() - 7_200_000 - at(0).unix_millis();
    log_in(&database, 1, recently).await;
    let answered = asked().await;
    assert_eq!(
        (&answered["logins"], &answered["unaccounted"], &answered["reporters"]),
        (&1.into(), &0.into(), &json!({}))
    );

    Record::of(1, recently).insert(&database.owner).await;
    let answered = asked().await;
    assert_eq!(
        (&answered["unaccounted"], &answered["reporters"]["cloudtrail"]["paired"]),
        (&0.into(), &1.into())
    );
    Record::of(2, recently).insert(&database.owner).await;
    Record { client: Some("hosted"), ..Record::of(3, recently) }.insert(&database.owner).await;
    let answered = asked().await;
    assert_eq!(answered["unaccounted"], 1, "{answered}");
    assert_eq!(answered["reporters"]["cloudtrail"]["oneSided"]["managed_login"], 1, "{answered}");
    let ran: Vec<Value> =
        sqlx::query_scalar("select findings from user_sync_runs where what = 'audit' order by started_at")
            .fetch_all(&database.owner)
            .await
            .unwrap();
    let found: Vec<_> = ran.iter().map(|findings| &findings["found"]).collect();
    assert_eq!(found, [&Value::Null, &json!(0), &json!(1)]);
    assert_eq!((&ran[2]["kinds"]["managed_login"], &ran[2]["logins"]), (&json!(1), &json!(1)));
    let said = || function.stdout_lines().join("\n");
    eventually("the metric", LIMIT, async || said().contains("\"logins_unaccounted\":[1.0]")).await;
    assert_eq!(
        said().matches("\"logins_unaccounted\":[").count(),
        2,
        "nothing where nobody recorded: {}",
        said()
    );
    // The parameter is away: it is said, and counts go on.
    stub.stub().denied.push("GetParameter");
    assert_eq!(asked().await["unaccounted"], 1);
    eventually("it is said", LIMIT, async || {
        function.stderr_lines().join("\n").contains("when the triggers were away")
    })
    .await;
    assert!(!function.stderr_lines().join("\n").contains(&sub(2).to_string()), "nobody is named");
}
