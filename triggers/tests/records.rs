//! Records of sign-ins: the code, the JSON Schema and the wire say the same, and whoever may send them gains nothing by an
//! odd one.

use aws_smithy_types::base64;
use cognito_user_sync_triggers::event::{
    CLIENT_ID_MAX_CHARS, Context, ContextEvent, DecodeError, Event, EventId, FAILURES_MAX, Failure,
    FailureGroup, Failures, FailuresEvent, MESSAGE_MAX_BYTES, Occasion, Reporter, TEXT_MAX_CHARS,
};
use cognito_user_sync_triggers::text::Text;
use cognito_user_sync_triggers::timestamp::Timestamp;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const AT: u64 = 1_790_000_000_123;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/event.schema.json")).unwrap()
}

fn validator() -> Validator {
    jsonschema::options().should_validate_formats(true).build(&schema()).unwrap()
}

fn id(bits: u128) -> EventId {
    EventId::of_record(Timestamp::from_unix_millis(AT), bits)
}

fn context(sub: Option<Uuid>, data: Context<'static>) -> Event<'static> {
    Event::Context(ContextEvent { id: id(7), user_pool_id: "eu-west-1_Abc123Def".into(), sub, data })
}

fn failures(groups: Vec<FailureGroup<'static>>) -> Event<'static> {
    let data = Failures { reported_by: Reporter::ThreatProtection, groups };
    Event::Failures(FailuresEvent { id: id(7), user_pool_id: "eu-west-1_Abc123Def".into(), data })
}

fn failure(bits: u128) -> Failure<'static> {
    Failure { id: id(bits), sub: None, ip: None, user_agent: None, city: None, country: None }
}

fn full_context() -> Context<'static> {
    Context {
        occasion: Occasion::SignUp,
        witness: true,
        client_id: Some("4k2m8r1s7t0v9w3x5y6z1a2b3c".into()),
        ip: Some("203.0.113.9".into()),
        user_agent: Some("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)".into()),
        device: Some("iPhone, iOS 18".into()),
        city: Some("Lyon".into()),
        country: Some("France".into()),
        flow: Some("USER_PASSWORD_AUTH".into()),
        risk: Some("Low".into()),
        ..Context::by(Reporter::CloudTrail)
    }
}

fn full_group() -> FailureGroup<'static> {
    FailureGroup {
        client_id: Some("4k2m8r1s7t0v9w3x5y6z1a2b3c".into()),
        reason: Some("wrong_password".into()),
        network: Some("203.0.113.0/24".into()),
        failures: vec![
            Failure {
                sub: Some(Uuid::from_u128(7)),
                ip: Some("203.0.113.9".into()),
                user_agent: Some("curl/8.0".into()),
                city: Some("Lyon".into()),
                country: Some("France".into()),
                ..failure(1)
            },
            failure(2),
        ],
    }
}

/// The message, with the value at a JSON pointer's place set, or removed.
fn changed(message: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut message = message.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match (message.pointer_mut(parent).unwrap(), value) {
        (Value::Array(parent), Some(value)) => parent[name.parse::<usize>().unwrap()] = value,
        (parent, Some(value)) => drop(parent.as_object_mut().unwrap().insert(name.to_owned(), value)),
        (parent, None) => drop(parent.as_object_mut().unwrap().remove(name)),
    }
    message
}

fn wire(event: &Event<'_>) -> Value {
    serde_json::from_str(&event.encode()).unwrap()
}

fn valid_context() -> Value {
    wire(&context(Some(Uuid::from_u128(7)), full_context()))
}

fn valid_failures() -> Value {
    wire(&failures(vec![full_group()]))
}

#[test]
fn the_wire_is_as_it_is_written_down() {
    for (name, event) in [
        ("login_context", context(Some(Uuid::from_u128(7)), full_context())),
        ("login_context_least", context(None, Context::by(Reporter::Application))),
        ("sign_in_failed", failures(vec![full_group()])),
    ] {
        insta::assert_json_snapshot!(name, wire(&event));
    }
}

#[test]
fn the_schema_has_the_codes_words_and_limits() {
    let schema = schema();
    let at = |pointer: &str| schema.pointer(pointer).cloned().unwrap_or_else(|| panic!("no {pointer}"));
    assert_eq!(at("/$defs/reporter/enum"), json!(Reporter::ALL.map(Reporter::as_str)));
    let occasions = [Occasion::SignIn, Occasion::SignUp].map(Occasion::as_str);
    assert_eq!(at("/$defs/context/properties/occasion/enum"), json!(occasions));
    let failures = "/$defs/failures/properties/groups";
    assert_eq!(at(&format!("{failures}/maxItems")), json!(FAILURES_MAX));
    assert_eq!(at(&format!("{failures}/items/properties/failures/maxItems")), json!(FAILURES_MAX));
    for reporter in Reporter::ALL {
        assert_eq!(Reporter::parse(reporter.as_str()), Some(reporter));
        assert_eq!(json!(reporter), json!(reporter.as_str()));
        assert_eq!(serde_json::from_value::<Reporter>(json!(reporter.as_str())).unwrap(), reporter);
    }
}

#[test]
fn every_shape_comes_back_and_is_valid() {
    let validator = validator();
    let contexts = Reporter::ALL.into_iter().flat_map(|reporter| {
        [Occasion::SignIn, Occasion::SignUp].into_iter().flat_map(move |occasion| {
            [true, false].map(|witness| Context { occasion, witness, ..Context::by(reporter) })
        })
    });
    let with_and_without_a_user =
        contexts.flat_map(|data| [None, Some(Uuid::from_u128(7))].map(|sub| context(sub, data.clone())));
    let many = FailureGroup {
        failures: (0..FAILURES_MAX).map(|bits| failure(bits.try_into().unwrap())).collect(),
        ..FailureGroup::default()
    };
    let of_failures = [vec![full_group(), full_group()], vec![many]].map(failures);
    for event in with_and_without_a_user.chain([context(None, full_context())]).chain(of_failures) {
        let encoded = event.encode();
        assert!(encoded.len() < MESSAGE_MAX_BYTES);
        let wire: Value = serde_json::from_str(&encoded).unwrap();
        let errors: Vec<_> = validator.iter_errors(&wire).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(Event::decode(&encoded), Ok(event.clone()));
        assert_eq!((event.r#type(), event.id()), (wire["type"].as_str().unwrap(), id(7)));
        // Nor does it matter whether the data stands there as base64, or what a later build adds to it.
        let mut carried = changed(&wire, "/data", None);
        carried["data_base64"] = base64::encode(wire["data"].to_string()).into();
        assert!(validator.is_valid(&carried));
        assert_eq!(Event::decode(&carried.to_string()), Ok(event.clone()));
        let later = changed(&wire, "/data/new_field", Some(json!({ "deep": [1, null] })));
        assert!(validator.is_valid(&later));
        assert_eq!(Event::decode(&later.to_string()), Ok(event));
    }
}

/// All that another program needs to make the id of a record: version and variant, the time, and 74 bits of its own.
#[test]
fn an_id_of_a_record_has_its_time_and_its_bits_and_nothing_else() {
    let time = Timestamp::from_unix_millis(AT);
    let made = EventId::of_record(time, 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    assert_eq!(made.uuid().to_string(), "01a0c450-6c7b-7677-8899-aabbccddeeff");
    assert_eq!(made.time(), time);
    // What stands where version, variant and time do is of no account.
    let other = EventId::of_record(time, 0xffff_ffff_ffff_f677_c899_aabb_ccdd_eeff);
    assert_eq!(made, other);
    for bits in [0, u128::MAX] {
        for time in [Timestamp::from_unix_millis(0), time, Timestamp::MAX] {
            let id = EventId::of_record(time, bits);
            assert_eq!(EventId::from_uuid(id.uuid()), Ok(id));
            assert_eq!(id.time(), time);
        }
    }
    let each = |bit: u32| EventId::of_record(time, 1 << bit) != EventId::of_record(time, 0);
    assert_eq!((0..128).filter(|bit| each(*bit)).count(), 74);
}

#[test]
fn what_is_wrong_with_a_context_is_named_and_the_schema_rejects_it_too() {
    let validator = validator();
    let valid = valid_context();
    assert!(validator.is_valid(&valid));
    let long = || Some(json!("é".repeat(TEXT_MAX_CHARS + 1)));
    let mut cases = vec![
        ("/data", None, "malformed", "data"),
        ("/data", Some(Value::Null), "malformed", "data"),
        ("/data", Some(json!([])), "malformed", "data"),
        ("/data", Some(json!(["application"])), "malformed", "data"),
        ("/data", Some(json!("application")), "malformed", "data"),
        ("/data", Some(json!({})), "malformed", "data"),
        ("/data/reported_by", Some(Value::Null), "malformed", "data.reported_by"),
        ("/data/reported_by", Some(json!("somebody")), "malformed", "data.reported_by"),
        ("/data/reported_by", Some(json!("CloudTrail")), "malformed", "data.reported_by"),
        ("/data/reported_by", Some(json!({ "application": null })), "malformed", "data.reported_by"),
        ("/data/reported_by", Some(json!(0)), "malformed", "data.reported_by"),
        ("/data/occasion", Some(json!("signed_in")), "malformed", "data.occasion"),
        ("/data/occasion", Some(json!({ "sign_up": null })), "malformed", "data.occasion"),
        ("/data/witness", Some(json!("yes")), "malformed", "data.witness"),
        ("/data/ip", Some(json!(["203.0.113.9"])), "malformed", "data.ip"),
        ("/data/client_id", Some(json!("a".repeat(CLIENT_ID_MAX_CHARS + 1))), "oversized", "data.client_id"),
        ("/subject", Some(json!("somebody")), "malformed", "subject"),
        ("/source", Some(json!("elsewhere/pool")), "malformed", "source"),
        ("/source", None, "malformed", "source"),
        ("/schemaversion", Some(json!(2)), "unknown_version", "schemaversion"),
        ("/id", Some(json!(Uuid::from_u128(7))), "malformed", "id"),
    ];
    let texts = [
        ("/data/client_id", "data.client_id"),
        ("/data/ip", "data.ip"),
        ("/data/user_agent", "data.user_agent"),
        ("/data/device", "data.device"),
        ("/data/city", "data.city"),
        ("/data/country", "data.country"),
        ("/data/flow", "data.flow"),
        ("/data/risk", "data.risk"),
    ];
    cases.extend(texts.map(|(pointer, field)| (pointer, long(), "oversized", field)));
    cases.extend(texts.map(|(pointer, field)| (pointer, Some(json!(7)), "malformed", field)));
    for (pointer, value, reason, field) in cases {
        let message = changed(&valid, pointer, value);
        let error = Event::decode(&message.to_string()).expect_err(&message.to_string());
        assert_eq!((error.reason(), error.field()), (reason, field), "{message}: {error}");
        assert!(!validator.is_valid(&message), "{message}: the schema accepts what the code rejects");
    }
    // Nobody may be named.
    let of_nobody = changed(&valid, "/subject", None);
    assert!(validator.is_valid(&of_nobody));
    let Ok(Event::Context(event)) = Event::decode(&of_nobody.to_string()).map(Event::into_owned) else {
        panic!("{of_nobody}")
    };
    assert_eq!(event.sub, None);
}

#[test]
fn what_is_wrong_with_failures_is_named_and_the_schema_rejects_it_too() {
    let validator = validator();
    let valid = valid_failures();
    assert!(validator.is_valid(&valid));
    let first = |name: &str| format!("/data/groups/0/failures/0/{name}");
    let field = |name: &str| format!("data.groups[0].failures[0].{name}");
    let mut cases = vec![
        ("/data".to_owned(), None, "malformed", "data".to_owned()),
        ("/data".to_owned(), Some(json!({ "reported_by": "cloudtrail" })), "malformed", "data".to_owned()),
        ("/data/reported_by".to_owned(), None, "malformed", "data".to_owned()),
        ("/data/groups".to_owned(), Some(json!({})), "malformed", "data.groups".to_owned()),
        ("/data/groups".to_owned(), Some(json!([])), "malformed", "data.groups".to_owned()),
        ("/data/groups".to_owned(), Some(json!([{}])), "malformed", "data.groups".to_owned()),
        ("/data/groups/0/failures".to_owned(), Some(json!([])), "malformed", "data.groups".to_owned()),
        // In the order of our own fields, which nobody knows.
        (
            "/data/groups/0".to_owned(),
            Some(json!([null, null, null, [{ "id": id(1).uuid() }]])),
            "malformed",
            "data.groups[0]".to_owned(),
        ),
        (
            "/data/groups/0/failures/0".to_owned(),
            Some(json!([id(1).uuid(), null, null, null, null, null])),
            "malformed",
            "data.groups[0].failures[0]".to_owned(),
        ),
        (
            "/data/groups/0/failures/0".to_owned(),
            Some(json!({})),
            "malformed",
            "data.groups[0].failures[0]".into(),
        ),
        (first("id"), Some(json!("7")), "malformed", field("id")),
        (first("id"), Some(json!(Uuid::from_u128(7))), "malformed", field("id")),
        (first("sub"), Some(json!("somebody")), "malformed", field("sub")),
        (first("ip"), Some(json!(7)), "malformed", field("ip")),
    ];
    let long = || Some(json!("é".repeat(TEXT_MAX_CHARS + 1)));
    let client_id = Some(json!("a".repeat(CLIENT_ID_MAX_CHARS + 1)));
    cases.push((
        "/data/groups/0/client_id".to_owned(),
        client_id,
        "oversized",
        "data.groups.client_id".to_owned(),
    ));
    for name in ["client_id", "reason", "network"] {
        cases.push((format!("/data/groups/0/{name}"), long(), "oversized", format!("data.groups.{name}")));
    }
    for name in ["ip", "user_agent", "city", "country"] {
        cases.push((first(name), long(), "oversized", format!("data.groups.failures.{name}")));
    }
    for (pointer, value, reason, field) in cases {
        let message = changed(&valid, &pointer, value);
        let error = Event::decode(&message.to_string()).expect_err(&message.to_string());
        assert_eq!((error.reason(), error.field()), (reason, field.as_str()), "{message}: {error}");
        assert!(!validator.is_valid(&message), "{message}: the schema accepts what the code rejects");
    }
    // Beside one that has some, too.
    let beside =
        changed(&valid, "/data/groups", Some(json!([valid["data"]["groups"][0], { "failures": [] }])));
    let error = Event::decode(&beside.to_string()).unwrap_err();
    assert_eq!((error.reason(), error.field()), ("malformed", "data.groups"));
    assert!(!validator.is_valid(&beside));
}

#[test]
fn too_many_failures_are_refused_however_they_are_divided() {
    let one = format!(r#"{{"id":"{}"}}"#, id(1));
    let list = |count: usize, of: &str| vec![of; count].join(",");
    let of = |groups: &str| {
        let message = valid_failures();
        let group = message["data"]["groups"].to_string();
        let text = message.to_string().replace(&group, &format!("[{groups}]"));
        assert!(text.len() <= MESSAGE_MAX_BYTES, "{}", text.len());
        text
    };
    let group = |failures: &str| format!(r#"{{"failures":[{failures}]}}"#);
    let too_many = [
        of(&group(&list(FAILURES_MAX + 1, &one))),
        of(&format!("{},{}", group(&list(FAILURES_MAX / 2, &one)), group(&list(FAILURES_MAX / 2 + 1, &one)))),
        of(&list(FAILURES_MAX + 1, &group(&one))),
        of(&format!("{},{}", list(300_000, "{}"), group(&one))),
        of(&group(&list(20_000, &one))),
    ];
    for message in &too_many {
        let error = Event::decode(message).err();
        // Of a list, no more was kept than it takes to see that it is too long.
        let (field, limit, actual) = ("data.groups".to_owned(), FAILURES_MAX, FAILURES_MAX + 1);
        assert_eq!(error, Some(DecodeError::Oversized { field, limit, actual }));
    }
    let most = of(&list(FAILURES_MAX, &group(&one)));
    let Ok(Event::Failures(event)) = Event::decode(&most) else { panic!("not read") };
    assert_eq!((event.data.len(), event.data.iter().count()), (FAILURES_MAX, FAILURES_MAX));
}

#[test]
fn no_null_character_comes_through() {
    let odd = "\0a\0";
    let mut message = valid_context();
    for name in ["client_id", "ip", "user_agent", "device", "city", "country", "flow", "risk"] {
        message = changed(&message, &format!("/data/{name}"), Some(json!(odd)));
    }
    let Ok(Event::Context(event)) = Event::decode(&message.to_string()).map(Event::into_owned) else {
        panic!("{message}")
    };
    assert!(!format!("{event:?}").contains("\\0"), "{event:?}");
    assert_eq!(event.data.risk.as_deref(), Some("a"));

    let mut message = valid_failures();
    for name in ["client_id", "reason", "network"] {
        message = changed(&message, &format!("/data/groups/0/{name}"), Some(json!(odd)));
    }
    for name in ["ip", "user_agent", "city", "country"] {
        message = changed(&message, &format!("/data/groups/0/failures/0/{name}"), Some(json!(odd)));
    }
    let Ok(Event::Failures(event)) = Event::decode(&message.to_string()).map(Event::into_owned) else {
        panic!("{message}")
    };
    assert!(!format!("{event:?}").contains("\\0"), "{event:?}");
    assert_eq!(event.data.groups[0].failures[0].country.as_deref(), Some("a"));
    // A name of the limit's length fits without them.
    let long = format!("\0{}", "é".repeat(TEXT_MAX_CHARS));
    assert!(Event::decode(&changed(&valid_context(), "/data/city", Some(json!(long))).to_string()).is_ok());
}

#[test]
fn an_error_never_quotes_a_value() {
    let secret = "jo@example.com";
    for (message, pointers) in [
        (valid_context(), &["/data/reported_by", "/data/occasion", "/data/witness", "/subject"][..]),
        (
            valid_failures(),
            &[
                "/data/reported_by",
                "/data/groups",
                "/data/groups/0/failures",
                "/data/groups/0/failures/0",
                "/data/groups/0/failures/0/id",
                "/data/groups/0/failures/0/sub",
            ],
        ),
    ] {
        for pointer in pointers {
            for value in
                [json!(secret), json!({ secret: secret }), json!([secret]), json!({ secret: [secret] })]
            {
                let message = changed(&message, pointer, Some(value));
                let error = Event::decode(&message.to_string()).expect_err(&message.to_string());
                assert!(!error.to_string().contains(secret), "{pointer}: {error}");
                assert!(!error.field().contains(secret), "{pointer}: {error}");
            }
        }
    }
}

#[test]
fn what_is_bounded_is_accepted() {
    let long = || Some(Text::from("é".repeat(2 * TEXT_MAX_CHARS)));
    let mut data = Context {
        client_id: long(),
        ip: long(),
        user_agent: long(),
        device: long(),
        city: long(),
        country: long(),
        flow: long(),
        risk: long(),
        ..Context::by(Reporter::CloudTrail)
    };
    data.bound();
    assert_eq!(data.user_agent.as_ref().unwrap().chars().count(), TEXT_MAX_CHARS);
    assert_eq!(Context { user_agent: None, ..data.clone() }, Context::by(Reporter::CloudTrail));
    let event = context(None, data);
    assert_eq!(Event::decode(&event.encode()), Ok(event));

    let group = FailureGroup {
        client_id: long(),
        reason: long(),
        network: long(),
        failures: vec![Failure {
            ip: long(),
            user_agent: long(),
            city: long(),
            country: long(),
            ..failure(1)
        }],
    };
    let mut data = Failures { reported_by: Reporter::CloudTrail, groups: vec![group] };
    data.bound();
    let kept = Failure { user_agent: Some("é".repeat(TEXT_MAX_CHARS).into()), ..failure(1) };
    assert_eq!(data.groups, [FailureGroup { failures: vec![kept], ..FailureGroup::default() }]);
    let event = failures(data.groups);
    assert_eq!(Event::decode(&event.encode()), Ok(event));
}

prop_compose! {
    fn any_context()(
        millis in 0..=Timestamp::MAX.unix_millis(),
        bits: u128,
        sub in proptest::option::of(any::<u128>()),
        pool in "[!-~]{1,60}",
        reported_by in proptest::sample::select(Reporter::ALL.to_vec()),
        (is_sign_up, witness) in any::<(bool, bool)>(),
        texts in proptest::array::uniform8(proptest::option::of(".{0,60}")),
    ) -> Event<'static> {
        let [client_id, ip, user_agent, device, city, country, flow, risk] = texts.map(|text| text.map(Text::from));
        let occasion = if is_sign_up { Occasion::SignUp } else { Occasion::SignIn };
        let mut data = Context {
            reported_by, occasion, witness, client_id, ip, user_agent, device, city, country, flow, risk,
        };
        data.bound();
        let id = EventId::of_record(Timestamp::from_unix_millis(millis), bits);
        Event::Context(ContextEvent { id, user_pool_id: pool.into(), sub: sub.map(Uuid::from_u128), data })
    }
}

prop_compose! {
    fn any_failure()(
        millis in 0..=Timestamp::MAX.unix_millis(),
        bits: u128,
        sub in proptest::option::of(any::<u128>()),
        texts in proptest::array::uniform4(proptest::option::of(".{0,40}")),
    ) -> Failure<'static> {
        let [ip, user_agent, city, country] = texts.map(|text| text.map(Text::from));
        let id = EventId::of_record(Timestamp::from_unix_millis(millis), bits);
        Failure { id, sub: sub.map(Uuid::from_u128), ip, user_agent, city, country }
    }
}

prop_compose! {
    fn any_failures()(
        millis in 0..=Timestamp::MAX.unix_millis(),
        bits: u128,
        pool in "[!-~]{1,60}",
        reported_by in proptest::sample::select(Reporter::ALL.to_vec()),
        groups in proptest::collection::vec(
            (proptest::array::uniform3(proptest::option::of(".{0,40}")), proptest::collection::vec(any_failure(), 1..6)),
            1..5,
        ),
    ) -> Event<'static> {
        let group = |(texts, failures): ([Option<String>; 3], Vec<Failure<'static>>)| {
            let [client_id, reason, network] = texts.map(|text| text.map(Text::from));
            FailureGroup { client_id, reason, network, failures }
        };
        let mut data = Failures { reported_by, groups: groups.into_iter().map(group).collect() };
        data.bound();
        let id = EventId::of_record(Timestamp::from_unix_millis(millis), bits);
        Event::Failures(FailuresEvent { id, user_pool_id: pool.into(), data })
    }
}

proptest! {
    #[test]
    fn every_record_is_valid_and_comes_back(event in prop_oneof![any_context(), any_failures()]) {
        thread_local!(static VALIDATOR: Validator = validator());
        let encoded = event.encode();
        let wire: Value = serde_json::from_str(&encoded).unwrap();
        let errors: Vec<_> = VALIDATOR.with(|validator| validator.iter_errors(&wire).map(|e| e.to_string()).collect());
        prop_assert!(errors.is_empty(), "{:?}", errors);
        prop_assert_eq!(Event::decode(&encoded).map(Event::into_owned), Ok(event));
    }

    /// A record of which anything was changed is read or refused, and what is read is written the same.
    #[test]
    fn a_changed_record_is_read_or_refused(
        event in prop_oneof![any_context(), any_failures()],
        at: prop::sample::Index,
        with in "[\\x00-\\x7f]{0,4}",
    ) {
        let encoded = event.encode();
        let starts: Vec<usize> = encoded.char_indices().map(|(start, _)| start).collect();
        let start = *at.get(&starts);
        let next = encoded[start..].chars().next().map_or(0, char::len_utf8);
        let changed = format!("{}{with}{}", &encoded[..start], &encoded[start + next..]);
        match Event::decode(&changed) {
            Ok(read) => {
                let encoded = read.encode();
                prop_assert_eq!(Event::decode(&encoded), Ok(read));
            }
            Err(error) => prop_assert!(error.field().chars().count() <= 300),
        }
    }
}
