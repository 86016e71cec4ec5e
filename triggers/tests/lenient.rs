//! An unreadable part of a payload never empties the rest.

use std::fmt::Write as _;

use cognito_user_sync_triggers::client_metadata::ClientMetadataKeys;
use cognito_user_sync_triggers::cognito::{trigger_source, user_event};
use cognito_user_sync_triggers::event::{Event, EventId, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use proptest::prelude::*;

/// Members of a login's objects, each beside what is right.
#[derive(Default, Clone, Copy)]
struct Beside<'a> {
    envelope: &'a str,
    context: &'a str,
    request: &'a str,
    attributes: &'a str,
    metadata: &'a str,
}

fn payload(beside: Beside<'_>) -> String {
    let Beside { envelope, context, request, attributes, metadata } = beside;
    format!(
        r#"{{{envelope}"triggerSource":"PostAuthentication_Authentication","userPoolId":"eu-west-1_Abc123Def","userName":"ada",
        "callerContext":{{{context}"clientId":"client"}},"request":{{{request}
        "userAttributes":{{{attributes}"sub":"abda62a8-5732-41ef-8c00-31d8dc083c34","email":"ada@example.com"}},
        "clientMetadata":{{{metadata}"ip":"203.0.113.9"}}}},"response":{{}}}}"#
    )
}

fn read(payload: &str) -> UserEvent<'static> {
    let id = EventId::new(Timestamp::from_unix_millis(1_790_000_000_123));
    user_event(payload, &ClientMetadataKeys::default(), id)
        .unwrap_or_else(|why| panic!("{}: {payload:.400}", why.as_str()))
}

/// What is right is read, and the consumer reads it too.
fn check(payload: &str) -> UserEvent<'static> {
    assert_eq!(
        trigger_source(payload).as_deref(),
        Some("PostAuthentication_Authentication"),
        "{payload:.400}"
    );
    let event = read(payload);
    let data = &event.data;
    assert_eq!(data.client.ip.as_deref(), Some("203.0.113.9"), "{payload:.400}");
    assert_eq!(data.client_id.as_deref(), Some("client"), "{payload:.400}");
    assert_eq!(data.user_name.as_deref(), Some("ada"), "{payload:.400}");
    assert_eq!(data.attributes["email"], "ada@example.com", "{payload:.400}");
    let event = Event::User(event);
    assert_eq!(Event::decode(&event.encode()).as_ref(), Ok(&event), "{payload:.400}");
    let Event::User(event) = event else { unreachable!() };
    event
}

fn everywhere(member: &str) {
    let none = Beside::default();
    for beside in [
        Beside { envelope: member, ..none },
        Beside { context: member, ..none },
        Beside { request: member, ..none },
        Beside { attributes: member, ..none },
        Beside { metadata: member, ..none },
        Beside { envelope: member, context: member, request: member, attributes: member, metadata: member },
    ] {
        check(&payload(beside));
    }
}

#[test]
fn half_a_surrogate_in_a_key_costs_nothing_else() {
    for key in [
        r"k\ud83d",
        r"\udc00",
        r"\ud83dk",
        r"\ud83d\ud83d",
        r"a\uD800\\b",
        r"\ud83d\u0041",
        r"é\udfff\ude00",
        r"\ud83d\n",
    ] {
        everywhere(&format!(r#""{key}":"x","#));
        everywhere(&format!(r#""{key}":"\ud83d","#));
    }
    // Whichever of the two stands first.
    let after =
        payload(Beside::default()).replace(r#""ip":"203.0.113.9""#, r#""ip":"203.0.113.9","k\ud83d":"x""#);
    check(&after);
}

#[test]
fn a_key_is_read_as_a_value_is() {
    let event = check(&payload(Beside {
        attributes: r#""custom:k\ud83d":"v\ud83d","custom:\u00e9\ud83d\ude00":"w","#,
        ..Beside::default()
    }));
    assert_eq!(event.data.attributes["custom:k\u{fffd}"], "v\u{fffd}");
    assert_eq!(event.data.attributes["custom:é😀"], "w");
    // The application's own name for a key may be cut, too.
    let keys = ClientMetadataKeys::parse("location=wo\u{fffd}").unwrap();
    let odd = payload(Beside { metadata: r#""wo\ud83d":"Lyon","#, ..Beside::default() });
    let event = user_event(&odd, &keys, EventId::new(Timestamp::now())).unwrap();
    assert_eq!(event.data.client.location.as_deref(), Some("Lyon"));
}

#[test]
fn what_no_json_library_holds_costs_nothing_else() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let nested = format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
    let digits = "9".repeat(20_000);
    for value in
        [&deep, &nested, &digits, "1e999", "-1e-999", "-0.0e0", r#""\u0000""#, "null", "[[]]", r#"{"":{}}"#]
    {
        everywhere(&format!(r#""odd":{value},"#));
    }
    everywhere(r#""":"","" :null,"#);
}

#[test]
fn of_a_member_that_is_there_twice_the_last_that_can_be_read_counts() {
    let whole = payload(Beside::default());
    for (once, twice) in [
        (r#""ip":"203.0.113.9""#, r#""ip":"203.0.113.9","ip":null"#),
        (r#""ip":"203.0.113.9""#, r#""ip":"203.0.113.9","ip":{"v4":"192.0.2.1"},"ip":[]"#),
        (r#""ip":"203.0.113.9""#, r#""ip":{},"ip":null,"ip":"203.0.113.9""#),
        (r#""ip":"203.0.113.9""#, r#""ip":"192.0.2.1","ip":"203.0.113.9""#),
        (r#""clientId":"client""#, r#""clientId":"client","clientId":{}"#),
        (r#""email":"ada@example.com""#, r#""email":"ada@example.com","email":null"#),
        (
            r#""email":"ada@example.com""#,
            r#""email":"eve@example.com","email":"ada@example.com","email":[1]"#,
        ),
        (
            r#""response":{}"#,
            r#""request":null,"request":"x","callerContext":[],"userName":null,"triggerSource":{}"#,
        ),
    ] {
        assert!(whole.contains(once));
        check(&whole.replace(once, twice));
    }
}

/// U+0000 is stripped, since PostgreSQL cannot store it.
#[test]
fn an_attribute_is_not_replaced_by_one_whose_name_is_its_own_but_for_nul() {
    for name in [r"email\u0000", r"\u0000email", r"e\u0000mail"] {
        for value in ["\"eve@example.com\"", "\"\"", "true"] {
            let event =
                check(&payload(Beside { attributes: &format!(r#""{name}":{value},"#), ..Beside::default() }));
            assert_eq!(event.data.attributes.len(), 1);
        }
    }
    let event = check(&payload(Beside { attributes: r#""na\u0000me":"Ada","#, ..Beside::default() }));
    assert_eq!(event.data.attributes["name"], "Ada");
}

#[test]
fn a_key_in_another_case_is_another_key() {
    let event =
        check(&payload(Beside { metadata: r#""IP":"192.0.2.1","User_Agent":"x","#, ..Beside::default() }));
    assert_eq!(event.data.client.user_agent, None);
}

/// Text between quotes: any escape that JSON's grammar has, also those of no character.
fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-zé😀 ]{0,6}",
        (0_u16..).prop_map(|unit| format!("\\u{unit:04x}")),
        (0xd800_u16..0xe000).prop_map(|unit| format!("\\u{unit:04X}")),
        proptest::sample::select(vec!["\\\\", "\\\"", "\\/", "\\b", "\\n", "\\t", "ip", "sub"])
            .prop_map(str::to_owned),
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

/// JSON's text of any value.
fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        proptest::sample::select(vec!["null", "true", "false", "1e999", "-0", "{}", "[]"])
            .prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?",
        any_text().prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(","))),
            members_of(any_text(), inner)
                .prop_map(|members| format!("{{{}}}", members.trim_end_matches(','))),
        ]
    })
}

fn members_of(
    key: impl Strategy<Value = String>,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    proptest::collection::vec((key, value), 0..6).prop_map(|members| {
        members.iter().fold(String::new(), |mut text, (key, value)| {
            write!(text, "\"{key}\":{value},").unwrap();
            text
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_good_ip_is_kept_beside_whatever_else_there_is(
        [envelope, context, request, attributes, metadata] in
            proptest::array::uniform5(members_of(any_text().prop_map(|key| format!("odd{key}")), any_value())),
        // Of the same name, before the good one: what stands first and can be read gives way to it.
        same in proptest::collection::vec(any_value(), 0..3),
    ) {
        let same: String = same.iter().map(|value| format!("\"ip\":{value},")).collect();
        let metadata = format!("{metadata}{same}");
        check(&payload(Beside {
            envelope: &envelope,
            context: &context,
            request: &request,
            attributes: &attributes,
            metadata: &metadata,
        }));
    }
}
