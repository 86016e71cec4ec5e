//! A snapshot is the whole user, and who signs in has a status: what several events amount to, in every order.

use std::collections::BTreeSet;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::maintenance::explain::{Source, explain};
use cognito_user_sync::store::maintenance::partitions::maintain;
use cognito_user_sync::store::maintenance::repair::repair;
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::{Event, EventId, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;

use crate::convergence::{empty, orders};
use crate::model::Tables;
use crate::support::TestDatabase;
use crate::support::events::{EventBuilder, at, confirmed, event, login, sub};

/// What a full read of the pool found.
fn snapshot(user: u128, seconds: u64, attributes: &[(&str, &str)]) -> EventBuilder {
    event(Kind::Snapshot, user, at(seconds)).attributes(attributes)
}

fn with_status(event: EventBuilder, status: &'static str) -> EventBuilder {
    event.with(|data| data.status = Some(status.into()))
}

async fn apply(database: &TestDatabase, events: &[Event<'static>]) {
    let outcomes = database.apply(events).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
}

/// A member of user_sync_owner.
async fn operator(database: &TestDatabase) -> Database {
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    postgres::connect(&config, 3).await.unwrap()
}

/// Changes rows as another release of the service does.
async fn as_service(database: &TestDatabase, change: &str) {
    let mut service = database.owner.begin().await.unwrap();
    sqlx::query("set local user_sync.service = 'on'").execute(&mut *service).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(change.to_owned())).execute(&mut *service).await.unwrap();
    service.commit().await.unwrap();
}

/// The users of whom `verify` names a difference.
async fn who_differs(operator: &Database) -> BTreeSet<uuid::Uuid> {
    let mut users = BTreeSet::new();
    let found = |difference: cognito_user_sync::store::maintenance::verify::Difference| {
        users.insert(difference.user);
    };
    verify(operator, &GeoIp::default(), found, |_| {}).await.unwrap();
    users
}

type Expected<'a> = (u128, &'a str, Option<&'a str>);

async fn must_be(database: &TestDatabase, events: &[Event<'static>], expected: &[Expected<'_>]) {
    for (user, column, value) in expected {
        assert_eq!(database.column(sub(*user), column).await.as_deref(), *value, "{column} of {user}");
    }
    Tables::actual(database.rows().await).must_be(&Tables::expected(events)).unwrap();
}

/// Applies the events in every order, one by one and in one batch: columns and rows are the same.
async fn in_every_order(events: &[Event<'static>], expected: &[Expected<'_>]) {
    let database = TestDatabase::create().await;
    for order in orders(&(0..events.len()).collect::<Vec<_>>()) {
        let events: Vec<Event<'static>> = order.iter().map(|at| events[*at].clone()).collect();
        empty(&database).await;
        for event in &events {
            apply(&database, std::slice::from_ref(event)).await;
        }
        must_be(&database, &events, expected).await;
    }
    empty(&database).await;
    apply(&database, events).await;
    must_be(&database, events, expected).await;
}

/// Whether an event takes the short way: that leaves a column as it is, which the long way writes.
async fn takes_the_short_way(database: &TestDatabase, user: u128, event: Event<'static>) -> bool {
    let set = async |value: &str| {
        let set = format!("update users set first_name = {value} where id = '{}'", sub(user));
        as_service(database, &set).await;
    };
    let before = database.column(sub(user), "first_name").await;
    set("'mark'").await;
    apply(database, &[event]).await;
    let is_short = database.column(sub(user), "first_name").await.as_deref() == Some("mark");
    if is_short {
        set(&before.map_or_else(|| "null".to_owned(), |name| format!("'{name}'"))).await;
    }
    is_short
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signed_in_has_a_password() {
    let created = with_status(snapshot(1, 1, &[("name", "Ada")]), "FORCE_CHANGE_PASSWORD").build();
    let signed_in = |seconds| {
        with_status(login(1, at(seconds)), "FORCE_CHANGE_PASSWORD").attributes(&[("name", "Ada")]).build()
    };
    in_every_order(&[created.clone(), signed_in(2)], &[(1, "cognito_status", Some("CONFIRMED"))]).await;

    // The second login tells nothing new, though its word is not what the row says.
    let database = TestDatabase::create().await;
    apply(&database, std::slice::from_ref(&created)).await;
    must_be(
        &database,
        std::slice::from_ref(&created),
        &[(1, "cognito_status", Some("FORCE_CHANGE_PASSWORD"))],
    )
    .await;
    let (first, second) = (signed_in(2), signed_in(3));
    assert!(!takes_the_short_way(&database, 1, first.clone()).await);
    assert!(takes_the_short_way(&database, 1, second.clone()).await);
    must_be(&database, &[created, first, second], &[(1, "cognito_status", Some("CONFIRMED"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_what_the_event_proves_or_what_the_pool_was_read_to_say() {
    let proofs = [Kind::Authenticated, Kind::Confirmed, Kind::PasswordReset];
    let ended = [
        "CONFIRMED",
        "UNCONFIRMED",
        "FORCE_CHANGE_PASSWORD",
        "RESET_REQUIRED",
        "ARCHIVED",
        "COMPROMISED",
        "UNKNOWN",
        "",
    ];
    let mut lines: Vec<(Kind, Option<&'static str>, bool, Option<&str>)> = Vec::new();
    for kind in proofs {
        lines.extend(ended.map(|word| (kind, Some(word), false, Some("CONFIRMED"))));
        lines.extend(ended.map(|word| (kind, Some(word), true, Some("EXTERNAL_PROVIDER"))));
        lines.extend([
            (kind, None, false, Some("CONFIRMED")),
            (kind, None, true, Some("EXTERNAL_PROVIDER")),
            (kind, Some("EXTERNAL_PROVIDER"), false, Some("EXTERNAL_PROVIDER")),
            // Words that are not known, and one that Cognito writes otherwise.
            (kind, Some("A_WORD_OF_TOMORROW"), false, Some("A_WORD_OF_TOMORROW")),
            (kind, Some("unconfirmed"), false, Some("unconfirmed")),
        ]);
    }
    lines.extend(ended[..6].iter().map(|word| (Kind::Snapshot, Some(*word), false, Some(*word))));
    lines.extend([
        (Kind::Snapshot, Some("EXTERNAL_PROVIDER"), true, Some("EXTERNAL_PROVIDER")),
        (Kind::Snapshot, Some("CONFIRMED"), true, Some("CONFIRMED")),
        (Kind::Snapshot, Some("A_WORD_OF_TOMORROW"), false, Some("A_WORD_OF_TOMORROW")),
        (Kind::Snapshot, Some("UNKNOWN"), false, None),
        (Kind::Snapshot, Some(""), false, None),
        (Kind::Snapshot, None, false, None),
        // The table says nothing of these.
        (Kind::Deleted, Some("CONFIRMED"), false, None),
        (Kind::Restored, Some("CONFIRMED"), true, None),
    ]);
    let database = TestDatabase::create().await;
    let users = || (1_u128..).zip(&lines);
    let told = users().map(|(user, (kind, word, federated, _))| {
        let told = |data: &mut cognito_user_sync_triggers::event::Data<'static>| {
            (data.status, data.federated) = (word.map(Into::into), *federated);
        };
        event(*kind, user, at(1)).with(told).build()
    });
    let told: Vec<Event<'static>> = told.collect();
    apply(&database, &told).await;
    for (user, (kind, word, federated, expected)) in users() {
        let status = database.column(sub(user), "cognito_status").await;
        assert_eq!(status.as_deref(), *expected, "{kind:?} {word:?} {federated}");
    }
    must_be(&database, &told, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_word_on_a_status_stands() {
    let read = |seconds, word| with_status(snapshot(1, seconds, &[]), word).build();
    let status = |word| [(1, "cognito_status", Some(word))];
    // An administrator demands another password, and the user chooses one.
    let reset = read(3, "RESET_REQUIRED");
    let demanded = [read(1, "CONFIRMED"), login(1, at(2)).build(), reset.clone()];
    in_every_order(&demanded, &status("RESET_REQUIRED")).await;
    let chosen = with_status(event(Kind::PasswordReset, 1, at(4)), "RESET_REQUIRED").build();
    in_every_order(&[&demanded[1..], &[chosen]].concat(), &status("CONFIRMED")).await;
    // A read that does not know it, or says nothing, is no news.
    let unread = [login(1, at(2)).build(), read(3, "UNKNOWN"), snapshot(1, 4, &[]).build()];
    in_every_order(&unread, &status("CONFIRMED")).await;
    // An administrator's user who signs in by custom authentication stays so in the pool: the read is later.
    let custom =
        [read(1, "FORCE_CHANGE_PASSWORD"), login(1, at(2)).build(), read(3, "FORCE_CHANGE_PASSWORD")];
    in_every_order(&custom, &status("FORCE_CHANGE_PASSWORD")).await;
    // A provider's user who was linked, and a native confirmation before.
    let federated = login(1, at(3)).with(|data| data.federated = true).build();
    in_every_order(
        &[confirmed(1, at(1)).build(), federated, read(2, "UNCONFIRMED")],
        &status("EXTERNAL_PROVIDER"),
    )
    .await;
}

const NUMBER: &str = "+15550100";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_snapshot_has_no_more_is_no_more_and_the_number_goes_to_the_other() {
    let full = [
        ("phone_number", NUMBER),
        ("phone_number_verified", "true"),
        ("name", "Ada Example"),
        ("picture", "https://example.com/ada.png"),
    ];
    let known = snapshot(1, 1, &full).build();
    let later = snapshot(1, 2, &[("email", "ada@example.com")]).build();
    let other = confirmed(2, at(3)).attributes(&[("phone_number", NUMBER)]).build();
    in_every_order(
        &[known, later, other],
        &[
            (1, "phone_number", None),
            (1, "phone_number_verified", Some("false")),
            (1, "name", Some("User")),
            (1, "profile_picture_url", None),
            (1, "cognito_attributes", Some(r#"{"email": "ada@example.com"}"#)),
            (1, "email", Some("ada@example.com")),
            (2, "phone_number", Some(NUMBER)),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_snapshot_has_no_more_goes_to_who_has_waited_for_it() {
    let address = "shared@example.com";
    // Who has it unverified waits for who had it verified; a third comes when it is free.
    let events = [
        login(1, at(1)).email(address).build(),
        confirmed(2, at(2)).attributes(&[("email", address)]).build(),
        snapshot(1, 3, &[("email", "other@example.com")]).build(),
        confirmed(3, at(4)).attributes(&[("email", address)]).build(),
    ];
    let expected = [
        (1, "email", Some("other@example.com")),
        (1, "is_verified", Some("false")),
        (2, "email", Some(address)),
        (3, "email", None),
    ];
    in_every_order(&events, &expected).await;
    // Who comes back to it is behind who stayed, as if another address had been shown in between.
    let back = login(1, at(5)).attributes(&[("email", address)]).build();
    let none = snapshot(1, 3, &[("name", "Ada")]).build();
    let unverified = confirmed(1, at(1)).attributes(&[("email", address)]).build();
    in_every_order(
        &[unverified, none, events[1].clone(), back],
        &[(1, "email", None), (2, "email", Some(address)), (1, "name", Some("Ada"))],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_gone_by_kind() {
    // A verified flag that the pool has no more; a region; what an application added; everything.
    let had = [
        ("email", "ada@example.com"),
        ("email_verified", "true"),
        ("locale", "de-AT"),
        ("custom:plan", "gold"),
        ("given_name", "Ada"),
        ("zoneinfo", "Europe/Vienna"),
    ];
    let known = login(1, at(1)).attributes(&had).build();
    let unverified = snapshot(1, 2, &[("email", "ada@example.com"), ("custom:plan", "gold")]).build();
    in_every_order(
        &[known.clone(), unverified],
        &[
            (1, "email_verified", Some("false")),
            (1, "language", Some("en")),
            (1, "country_code", None),
            (1, "timezone", None),
            (1, "cognito_attributes", Some(r#"{"email": "ada@example.com", "custom:plan": "gold"}"#)),
        ],
    )
    .await;
    let nothing = snapshot(1, 2, &[]).with(|data| data.user_name = Some("ada".into())).build();
    in_every_order(
        &[known.clone(), nothing],
        &[
            (1, "name", Some("User")),
            (1, "email", None),
            (1, "cognito_attributes", Some("{}")),
            (1, "cognito_username", Some("ada")),
            (1, "user_pool_id", Some("eu-west-1_Test00000")),
            (1, "cognito_status", Some("CONFIRMED")),
        ],
    )
    .await;
    // A partial one, a trigger's event and a deletion are not the whole user.
    let partial = snapshot(1, 2, &[("given_name", "Grace")]).with(|data| data.partial = true).build();
    let others = [login(1, at(3)).build(), event(Kind::Deleted, 1, at(4)).build()];
    in_every_order(
        &[&[known, partial], &others[..]].concat(),
        &[
            (1, "first_name", Some("Grace")),
            (1, "timezone", Some("Europe/Vienna")),
            (1, "whole_snapshot_id", None),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_removes_what_is_older_than_itself_and_nothing_else() {
    // The older one comes late, and what was said between the two stands or not by the later one alone.
    let older = snapshot(1, 2, &[("name", "Ada")]).build();
    let between = login(1, at(3)).attributes(&[("name", "Grace"), ("gender", "female")]).build();
    let later = snapshot(1, 4, &[("gender", "female")]).build();
    let after = login(1, at(5)).attributes(&[("nickname", "Amazing")]).build();
    let before = login(1, at(1)).attributes(&[("picture", "https://example.com/x.png")]).build();
    in_every_order(
        &[before.clone(), older.clone(), between.clone()],
        &[(1, "name", Some("Grace")), (1, "gender", Some("female")), (1, "profile_picture_url", None)],
    )
    .await;
    in_every_order(
        &[before, older, between, later, after],
        &[(1, "name", Some("Amazing")), (1, "gender", Some("female")), (1, "profile_picture_url", None)],
    )
    .await;
    // In one moment, the order is that of the ids.
    let tied = |event: EventBuilder, random: u128| event.random_part(random << 112).build();
    let first = tied(login(1, at(1)).attributes(&[("name", "Ada"), ("gender", "x")]), 1);
    let second = tied(snapshot(1, 1, &[("gender", "x")]), 2);
    let third = tied(login(1, at(1)).attributes(&[("nickname", "Jo")]), 3);
    in_every_order(&[first, second, third], &[(1, "name", Some("Jo")), (1, "gender", Some("x"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_login_brings_nothing_back_whichever_way_it_takes() {
    let database = TestDatabase::create().await;
    let told: [(&str, &str); 2] = [("email", "ada@example.com"), ("gender", "female")];
    let mut events = vec![
        snapshot(1, 10, &[&told[..], &[("phone_number", NUMBER)]].concat()).build(),
        with_status(snapshot(1, 20, &told), "CONFIRMED").build(),
        confirmed(2, at(21)).attributes(&[("phone_number", NUMBER)]).build(),
    ];
    apply(&database, &events).await;
    let reports = |seconds| login(1, at(seconds)).attributes(&told);
    // The newest event of the row is the snapshot: a later login, an older one, and one from before the first snapshot.
    for (seconds, is_short) in [(15, true), (30, true), (25, true), (12, true), (5, false)] {
        let event = reports(seconds).build();
        events.push(event.clone());
        assert_eq!(takes_the_short_way(&database, 1, event).await, is_short, "{seconds}");
        must_be(&database, &events, &[(1, "phone_number", None), (2, "phone_number", Some(NUMBER))]).await;
    }
    // What is gone is no news of now.
    let late = reports(16).attributes(&[("phone_number", NUMBER), ("name", "Ada")]).build();
    events.push(late.clone());
    assert!(!takes_the_short_way(&database, 1, late).await);
    must_be(&database, &events, &[(1, "phone_number", None), (1, "name", Some("User"))]).await;
    assert_eq!(database.column(sub(2), "phone_number").await.as_deref(), Some(NUMBER));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cognito_derives_is_no_attribute() {
    let derived = [
        ("cognito:email_alias", "old@example.com"),
        ("cognito:phone_number_alias", NUMBER),
        ("cognito:mfa_enabled", "true"),
        ("cognito:preferred_mfa_setting", "SOFTWARE_TOKEN_MFA"),
    ];
    let kept =
        [("email", "new@example.com"), ("custom:cognito:x", "1"), ("identities", "[]"), ("Cognito:x", "2")];
    let told = login(1, at(1)).attributes(&derived).attributes(&kept).build();
    let attributes =
        r#"{"Cognito:x": "2", "identities": "[]", "custom:cognito:x": "1", "email": "new@example.com"}"#;
    let database = TestDatabase::create().await;
    apply(&database, std::slice::from_ref(&told)).await;
    let stored: serde_json::Value =
        sqlx::query_scalar("select cognito_attributes from users").fetch_one(&database.owner).await.unwrap();
    assert_eq!(stored, serde_json::from_str::<serde_json::Value>(attributes).unwrap());
    // Whether they come along or not, and whatever they say, a login tells the same.
    let without = login(1, at(2)).attributes(&kept).build();
    let otherwise = login(1, at(3)).attributes(&kept).attributes(&[("cognito:mfa_enabled", "false")]).build();
    assert!(takes_the_short_way(&database, 1, without.clone()).await);
    assert!(takes_the_short_way(&database, 1, otherwise.clone()).await);
    must_be(&database, &[told, without, otherwise], &[]).await;

    // An older release kept them: the next event, or a repair, drops them.
    let stale =
        r#"update users set cognito_attributes = cognito_attributes || '{"cognito:email_alias": "x"}'"#;
    as_service(&database, stale).await;
    let operator = operator(&database).await;
    assert_eq!(who_differs(&operator).await, [sub(1)].into());
    apply(&database, &[login(1, at(4)).attributes(&[("name", "Ada")]).build()]).await;
    assert_eq!(who_differs(&operator).await, [].into());
    as_service(&database, stale).await;
    repair(&operator, &GeoIp::default(), &[sub(1)].into()).await.unwrap();
    assert_eq!(who_differs(&operator).await, [].into());
}

/// While consumers are updated, an older release applies a late event, and its row has what a snapshot had removed.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_release_brings_back_goes_with_the_next_event() {
    let database = TestDatabase::create().await;
    let mut events = vec![
        snapshot(1, 2, &[("gender", "female")]).build(),
        confirmed(2, at(3)).attributes(&[("phone_number", NUMBER)]).build(),
        login(1, at(1)).attributes(&[("phone_number", NUMBER), ("name", "Ada")]).build(),
    ];
    apply(&database, &events).await;
    must_be(&database, &events, &[(2, "phone_number", Some(NUMBER))]).await;
    let late = EventId::new(at(1));
    let older = format!(
        r#"update users set phone_number = null where id = '{}';
        update users set phone_number = '{NUMBER}', phone_shown = created_at, name = 'Ada',
            cognito_attributes = cognito_attributes || '{{"phone_number": "{NUMBER}", "name": "Ada"}}',
            attribute_versions = attribute_versions || '{{"phone_number": "{late}", "name": "{late}"}}'
        where id = '{}'"#,
        sub(2),
        sub(1)
    );
    as_service(&database, &older).await;
    assert_eq!(database.column(sub(1), "phone_number").await.as_deref(), Some(NUMBER));
    let next = login(1, at(9)).attributes(&[("gender", "none")]).build();
    events.push(next.clone());
    apply(&database, &[next]).await;
    must_be(&database, &events, &[(1, "phone_number", None), (2, "phone_number", Some(NUMBER))]).await;

    // Or with a repair.
    as_service(&database, &older).await;
    let operator = operator(&database).await;
    let wrong = who_differs(&operator).await;
    assert!(wrong.contains(&sub(1)), "{wrong:?}");
    repair(&operator, &GeoIp::default(), &wrong).await.unwrap();
    must_be(&database, &events, &[(1, "phone_number", None), (2, "phone_number", Some(NUMBER))]).await;
    assert_eq!(who_differs(&operator).await, [].into());
}

/// Months go into the baseline, and with them which snapshot was the latest.
#[tokio::test(flavor = "multi_thread")]
async fn a_folded_snapshot_removes_what_it_removed() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let now = Timestamp::now();
    let ago = |days: u64| Timestamp::from_unix_millis(now.unix_millis() - days * 86_400_000);
    let told = |kind: Kind, days, attributes: &[(&str, &str)]| {
        event(kind, 1, ago(days)).attributes(attributes).build()
    };
    let mut events = vec![
        told(Kind::Authenticated, 250, &[("phone_number", NUMBER), ("name", "Ada")]),
        told(Kind::Snapshot, 200, &[("name", "Ada")]),
        told(Kind::Authenticated, 10, &[("phone_number", NUMBER)]),
        event(Kind::Confirmed, 2, ago(100)).attributes(&[("phone_number", NUMBER)]).build(),
    ];
    apply(&database, &events).await;
    // Who left the number, by the snapshot, is behind who came meanwhile.
    let expected = [(1, "phone_number", None), (2, "phone_number", Some(NUMBER)), (1, "name", Some("Ada"))];
    must_be(&database, &events, &expected).await;
    let folded = maintain(&operator, 3, 60, now, |_, _| {}).await.unwrap().folded;
    assert_eq!(folded.iter().map(|(_, events)| events).sum::<u64>(), 3, "{folded:?}");
    assert_eq!(who_differs(&operator).await, [].into());
    // What an older release folded has what Cognito derives, and of the other user there is nothing else.
    let stale = "update user_baseline set state = jsonb_set(state, '{registers,cognito:email_alias}',
        state #> '{registers,cognito:user_pool_id}')";
    assert_eq!(sqlx::query(stale).execute(&database.owner).await.unwrap().rows_affected(), 2);
    assert_eq!(who_differs(&operator).await, [].into());
    as_service(&database, "update users set name = 'Eve', whole_snapshot_id = null, phone_left = null").await;
    repair(&operator, &GeoIp::default(), &who_differs(&operator).await).await.unwrap();
    must_be(&database, &events, &expected).await;
    events.push(told(Kind::Snapshot, 5, &[]));
    apply(&database, &events[4..]).await;
    must_be(&database, &events, &[(1, "name", Some("User")), (1, "phone_number", None)]).await;
    assert_eq!(who_differs(&operator).await, [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_which_snapshot_had_an_attribute_no_more() {
    let database = TestDatabase::create().await;
    let known = login(1, at(1)).attributes(&[("name", "Ada"), ("gender", "female")]).build();
    let gone = snapshot(1, 2, &[("gender", "female")]).build();
    let again = snapshot(1, 3, &[("gender", "female")]).build();
    let (event, snapshot) = (known.id(), gone.id());
    apply(&database, &[known, gone, again]).await;
    let explained = explain(&operator(&database).await, &GeoIp::default(), sub(1)).await.unwrap();
    let values = explained.outcome.unwrap().values;
    let gone: Vec<_> = values.iter().filter(|value| matches!(value.source, Source::Gone { .. })).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!((gone[0].name.as_str(), gone[0].value.as_str()), ("name", "Ada"));
    assert_eq!(gone[0].source, Source::Gone { event, snapshot });
}
