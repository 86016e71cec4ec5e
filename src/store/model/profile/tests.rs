//! Texts as providers and runtimes send them, and what a reader of the row would call right.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use cognito_user_sync_triggers::event::{Data, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use super::*;

#[test]
fn a_text_is_trimmed_of_what_nobody_sees() {
    let check = |value: &str, expected: Option<&str>| assert_eq!(text(value), expected, "{value:?}");
    check(" ", None);
    check("  Example ", Some("Example"));
    check("\u{a0}\u{3000}Ada\u{2009}", Some("Ada"));
    check("\u{feff}Ada\u{200b}\u{200e}", Some("Ada"));
    check("\u{ad}Ada\u{2060}", Some("Ada"));
    check("\u{2067}שלום\u{2069}", Some("שלום"));
    check("\u{7}Ada\r\n", Some("Ada"));
    for blank in
        ["", "\t\n", "\u{200b}", "\u{feff}\u{200d}", "\u{ad}", "\u{202a}\u{202c}", "\u{3164}", "\u{fe0f}"]
    {
        check(blank, None);
    }
    for blank in [
        "\u{e0067}\u{e007f}",
        "\u{2800}",
        "\u{115f}\u{1160}",
        "\u{ffa0}",
        "\u{180e}",
        "\u{34f}",
        " \u{200b} ",
    ] {
        check(blank, None);
    }
    // Inside, and where an emoji needs them, they stay.
    check("می\u{200c}خواهم", Some("می\u{200c}خواهم"));
    check(" 👩\u{200d}🚀 ", Some("👩\u{200d}🚀"));
    check("Ada ❤\u{fe0f}", Some("Ada ❤\u{fe0f}"));
    check("🏴\u{e0067}\u{e0062}\u{e007f} ", Some("🏴\u{e0067}\u{e0062}\u{e007f}"));
    check("Ada  Lovelace", Some("Ada  Lovelace"));
}

#[test]
fn what_programs_write_for_nothing_is_nothing() {
    for nothing in
        ["undefined", "null", " undefined ", "Undefined", "undefined undefined", "null null", "(null)"]
    {
        assert_eq!(text(nothing), None, "{nothing}");
    }
    for nothing in ["undefined null", "<null>", "[object Object]", "NaN", "N/A", "n/a", "\u{feff}null"] {
        assert_eq!(text(nothing), None, "{nothing}");
    }
    for nothing in ["(null) (null)", "undefined, undefined", "null,null", "\"\"", "''", "{}", "[]"] {
        assert_eq!(text(nothing), None, "{nothing}");
    }
    for name in [",", "Null", "NULL", "None", "Nan", "Jane Null", "nullius", "Nil", "0"] {
        assert_eq!(text(name), Some(name));
    }
}

fn state(attributes: &[(&'static str, &'static str)]) -> UserState {
    let id = EventId::new(Timestamp::from_unix_millis(1_700_000_000_000));
    let attributes: BTreeMap<_, _> =
        attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let data = Data { attributes, ..Data::default() };
    let user_pool_id = "eu-west-1_Test00000".into();
    UserState::of(&UserEvent { id, user_pool_id, sub: Uuid::nil(), kind: Kind::Snapshot, data })
}

#[test]
fn a_name_that_is_an_address_is_none() {
    let check = |name: &'static str, expected: Option<&str>| {
        let state = state(&[("email", "Ada.L@x.test"), ("phone_number", "+43 660 1234567"), ("name", name)]);
        assert_eq!(name_of(&state, "name"), expected, "{name}");
    };
    for address in [
        "Ada.L@x.test",
        "ada.l@X.TEST",
        " ada.l@x.test ",
        "somebody.else@privaterelay.example",
        "mailto:a@x.test",
        "ü@müller.example",
        "ada@example.com ada@example.com",
        "ada@example.com.",
        "+436601234567",
        "+43 (660) 123-45-67",
        "436601234567",
        "+1 206 555 0013",
    ] {
        check(address, None);
    }
    for name in
        ["Ada Lovelace", "@ada", "ada@home", "@ada@social.example", "Ada @ Work", "12345678", "007", "O'Neil"]
    {
        check(name, Some(name));
    }
    for (name, expected) in [
        ("Jane undefined", "Jane"),
        ("undefined Meyer", "Meyer"),
        ("null Lovelace", "Lovelace"),
        ("Ada (null)", "Ada"),
        ("Jennifer Null", "Jennifer Null"),
    ] {
        check(name, Some(expected));
    }
    // One that has no form: the user's own is one all the same.
    let own = state(&[("email", "ada@localhost"), ("nickname", "ADA@localhost"), ("name", "bob@localhost")]);
    assert_eq!((name_of(&own, "nickname"), name_of(&own, "name")), (None, Some("bob@localhost")));
}

#[test]
fn a_birthdate_is_a_day_between_1900_and_the_events() {
    // 2026-03-01T09:59:59.999Z: the last moment at which nowhere on earth it is the second of March.
    let reported = Timestamp::parse("2026-03-01T09:59:59.999Z").unwrap();
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(birthdate(text, reported).map(|date| date.to_string()).as_deref(), expected, "{text}");
    };
    check("1984-02-29", Some("1984-02-29"));
    check(" 1984-02-29\u{200b}", Some("1984-02-29"));
    check("1984/02/29", Some("1984-02-29"));
    check("1984-02-29T00:00:00Z", Some("1984-02-29"));
    check("1984-02-29T00:00:00.000Z", Some("1984-02-29"));
    check("1984-02-29 00:00:00", Some("1984-02-29"));
    check("1900-01-01", Some("1900-01-01"));
    check("2026-03-01", Some("2026-03-01"));
    for text in [
        "",
        "0001-01-01",
        "0000-05-01",
        "1899-12-31",
        "2026-03-02",
        "9999-12-31",
        "1983-02-29",
        "1984-2-29",
        "29-02-1984",
        "02/29/1984",
        "1984-13-01",
        "+984-01-01",
        "1984-01-01T00",
        "1984-02-28T23:00:00.000Z",
        "1984-02-29T00:00:00+01:00",
        "1984-02/29",
        "1984-02-29x",
        "undefined",
        "19840229",
        "１９８４-02-29",
        "1984",
    ] {
        check(text, None);
    }
    let next = Timestamp::parse("2026-03-01T10:00:00Z").unwrap();
    assert!(birthdate("2026-03-02", next).is_some(), "a day that has begun somewhere");
    assert!(birthdate("1984-02-29", Timestamp::MAX).is_some());
}

#[test]
fn a_zone_is_one_of_ianas_list() {
    let check = |text: &str, expected: Option<&str>| assert_eq!(zone(text), expected, "{text}");
    check("Europe/Berlin", Some("Europe/Berlin"));
    check("Asia/Calcutta ", Some("Asia/Calcutta"));
    check("Asia/Kolkata", Some("Asia/Kolkata"));
    check("US/Pacific", Some("US/Pacific"));
    check("America/Argentina/Buenos_Aires", Some("America/Argentina/Buenos_Aires"));
    check("europe/berlin", Some("Europe/Berlin"));
    check("America/New York", Some("America/New_York"));
    check("\"Asia/Tokyo\"", Some("Asia/Tokyo"));
    check("Etc/GMT+8", Some("Etc/GMT+8"));
    check("utc", Some("UTC"));
    check("EST", Some("EST"));
    check("MST7MDT", Some("MST7MDT"));
    for text in [
        "",
        "Pacific Standard Time",
        "-8",
        "+01:00",
        "GMT+2",
        "UTC-5",
        "(UTC+01:00) Amsterdam, Berlin",
        "PST",
        "CEST",
        "Europe/Berlino",
        "Europe",
        "posix/Europe/Berlin",
        "right/UTC",
        "localtime",
        "Factory",
        "posixrules",
        "undefined",
        "null",
        "Z",
        "UTC+01:00",
        "EST5EDT,M3.2.0,M11.1.0",
        "../etc/passwd",
        "America/",
        "3600",
    ] {
        check(text, None);
    }
}

#[test]
fn a_picture_is_a_url() {
    let check = |text: &str, expected: Option<&str>| assert_eq!(picture(text).as_deref(), expected, "{text}");
    check(
        r#"{"data":{"height":50,"url":"https://graph.example/p.jpg","width":50}}"#,
        Some("https://graph.example/p.jpg"),
    );
    check("https://x.test/a.png?s=96&d=%20x#f", Some("https://x.test/a.png?s=96&d=%20x#f"));
    check(" http://x.test/a.png\u{200b}", Some("http://x.test/a.png"));
    check("HTTPS://X.test/É", Some("HTTPS://X.test/É"));
    check("//www.gravatar.example/avatar/1", Some("https://www.gravatar.example/avatar/1"));
    check("https://x.test/my photo.png", Some("https://x.test/my%20photo.png"));
    check(r"https:\/\/x.test\/a.png", Some("https://x.test/a.png"));
    check(r#"{"url":"https:\/\/x.test\/b.png"}"#, Some("https://x.test/b.png"));
    check(r#"[{"url":"https://x.test/c.png"},{"url":"https://x.test/d.png"}]"#, Some("https://x.test/c.png"));
    check(r#"["https://x.test/e.png"]"#, Some("https://x.test/e.png"));
    check(r#""https://x.test/f.png""#, Some("https://x.test/f.png"));
    check(
        r#"{"picture":{"data":{"is_silhouette":false,"url":"https://x.test/g.jpg"}}}"#,
        Some("https://x.test/g.jpg"),
    );
    check(r#"{"data":"{\"url\":\"https://x.test/h.png\"}"}"#, Some("https://x.test/h.png"));
    check("{'data': {'url': 'https://x.test/i.png'}}", Some("https://x.test/i.png"));
    check("{data={height=50, url=https://x.test/j.jpg, width=50}}", Some("https://x.test/j.jpg"));
    check(r#"{"data":{"url":null},"URL":"https://x.test/k.jpg"}"#, Some("https://x.test/k.jpg"));
    for text in [
        "",
        "undefined",
        "null",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "/images/a.png",
        "a.png",
        "https://",
        "https:x.test/a.png",
        "ftp://x.test/a.png",
        "x.test/a.png",
        "{}",
        "[]",
        r#"{"data":{"url":"javascript:1"}}"#,
        r#"{"width":50}"#,
        "https://[::1",
        r#"{"data":{"url":"https://x.test/cut"#,
        "[object Object]",
        "file:///etc/passwd",
        r#"{"url":["#,
        "//",
        "https://x y/",
    ] {
        check(text, None);
    }
}
