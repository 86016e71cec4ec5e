//! What others add to the tables: whatever their triggers raise is told by its cause, what they leave out in silence is never
//! acknowledged, and nothing that they quote is repeated.

use std::process::{Output, Stdio};

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres::{self, Database};
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::maintenance::partitions::maintain;
use cognito_user_sync::store::maintenance::verify::verify;
use cognito_user_sync::store::outcome::{Outcome, RetryCause};
use cognito_user_sync_triggers::event::{Event, Kind};
use cognito_user_sync_triggers::timestamp::Timestamp;
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::conformance::Adapter;
use crate::support::events::{at, confirmed, event, login, sub};
use crate::support::{TestDatabase, binaries, deployment, old_table, permit_receives, send, stack, take};

/// What nobody may repeat.
const ADDRESS: &str = "ada@example.com";

async fn run(pool: &PgPool, statements: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(pool).await.unwrap();
}

async fn operator(database: &TestDatabase) -> Database {
    let config = DatabaseConfig::with_url(&database.deployment.operator_url);
    postgres::connect(&config, 2).await.unwrap()
}

/// A trigger on a table for the rows of user 1, and what it does with them.
fn trigger(name: &str, on: &str, condition: &str, then: &str) -> String {
    format!(
        "create or replace function {name}_now() returns trigger language plpgsql as $$ begin
            if {condition} then {then} end if; return new; end $$;
         create trigger {name} before {on} for each row execute function {name}_now()"
    )
}

/// One login each of three users, of whom the first one is in somebody's way.
fn logins(from: u128, second: u64) -> [Event<'static>; 3] {
    [from, from + 1, from + 2].map(|user| login(user, at(second)).build())
}

/// The detail of the first outcome, which must be obstructed; the others must be applied.
fn obstructed<'a>(outcomes: &'a [Outcome], what: &str) -> &'a str {
    let [Outcome::Obstructed(rejection), others @ ..] = outcomes else { panic!("{what}: {outcomes:?}") };
    assert!(others.iter().all(|outcome| *outcome == Outcome::Applied), "{what}: {others:?}");
    &rejection.detail
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_sqlstate_a_trigger_raises_it_costs_its_own_row_only() {
    let database = TestDatabase::create().await;
    let codes = [
        "P0001", "22000", "23505", "09000", "27000", "38000", "39000", "44000", "ZZ999", "08006", "0A000",
        "25006", "40001", "40P01", "42501", "42P01", "53100", "53300", "55000", "55P03", "57014", "57P01",
        "58030", "XX000",
    ];
    for (code, from) in codes.iter().zip((1..).step_by(3)) {
        let raise = format!(
            "raise exception '{ADDRESS}' using errcode = '{code}', detail = '{ADDRESS}', hint = '{ADDRESS}',
                constraint = '{ADDRESS}', column = '{ADDRESS}', table = 'user_events';"
        );
        let condition = format!("new.id = '{}'", sub(from));
        run(&database.owner, trigger("check_user", "insert or update on users", &condition, &raise)).await;
        let events = logins(from, 1);
        let outcomes = database.apply(&events).await;
        let detail = obstructed(&outcomes, code);
        assert!(detail.contains(code) && detail.contains("function check_user_now"), "{detail}");
        assert!(detail.contains("trigger check_user"), "{detail}");
        assert!(!detail.contains(ADDRESS), "{detail}");
        run(&database.owner, "drop trigger check_user on users").await;
        let again = database.apply(&events).await;
        assert_eq!(again, [Outcome::Applied, Outcome::Duplicate, Outcome::Duplicate], "{code}");
    }
}

/// Deferred to the end, it is raised by COMMIT.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_raised_at_the_commit_is_of_a_row_too() {
    let database = TestDatabase::create().await;
    let function = format!(
        "create function at_end() returns trigger language plpgsql as $$ begin
            if new.id = '{}' then raise exception '{ADDRESS}' using errcode = '53100'; end if; return null; end $$;
         create constraint trigger at_end after insert or update on users deferrable initially deferred
            for each row execute function at_end()",
        sub(1)
    );
    run(&database.owner, function).await;
    let outcomes = database.apply(&logins(1, 1)).await;
    assert!(obstructed(&outcomes, "commit").contains("function at_end"), "{outcomes:?}");
}

/// What keeps a row from being written without an error: the event is neither applied nor a duplicate.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_leaves_out_is_not_acknowledged() {
    let of_one = |column: &str| format!("new.{column} = '{}'", sub(1));
    for (add, mend, named) in [
        (
            trigger("drops", "update on users", &of_one("id"), "return null;"),
            "drop trigger drops on users".to_owned(),
            "rows of users were not written, maybe the trigger drops",
        ),
        (
            trigger("drops", "insert on users", &of_one("id"), "return null;"),
            "drop trigger drops on users".to_owned(),
            "rows of users were not written, maybe the trigger drops",
        ),
        (
            trigger("drops", "insert on user_events", &of_one("user_id"), "return null;"),
            "drop trigger drops on user_events".to_owned(),
            "1 of 1 rows of user_events were not written, maybe the trigger drops",
        ),
        (
            trigger("drops", "insert or update on user_claims", &of_one("user_id"), "return null;"),
            "drop trigger drops on user_claims".to_owned(),
            "rows of user_claims were not written, maybe the trigger drops",
        ),
        (
            format!(
                "alter table users enable row level security; create policy all_but_one on users using (id <> '{}')",
                sub(1)
            ),
            "alter table users disable row level security".to_owned(),
            "row security",
        ),
    ] {
        let database = TestDatabase::create().await;
        run(&database.owner, add.clone()).await;
        let [one, others @ ..] = logins(1, 1);
        let with_address = confirmed(1, at(2)).email(ADDRESS).build();
        for events in
            [[one.clone(), others[0].clone(), others[1].clone()].to_vec(), [with_address.clone()].to_vec()]
        {
            let outcomes = database.apply(&events).await;
            let is_needed = !named.contains("user_claims") || events.len() == 1;
            if is_needed {
                let detail = obstructed(&outcomes, &add);
                assert!(detail.contains(named), "{add}: {detail}");
                // Nor is it taken for one that was there before.
                let again = database.apply(&events[..1]).await;
                obstructed(&again, &add);
            }
        }
        run(&database.owner, mend).await;
        for event in [one, with_address] {
            let outcome = &database.apply(std::slice::from_ref(&event)).await[0];
            assert!(matches!(outcome, Outcome::Applied | Outcome::Duplicate), "{add}: {outcome:?}");
        }
        assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("1"), "{add}");
        let found = verify(database.applier.database(), &GeoIp::default(), |_| {}, |_| {}).await.unwrap();
        assert_eq!(found.differences, 0, "{add}");
    }
}

/// A login that reports nothing new is counted by another statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_users_login_that_is_left_out_is_not_acknowledged() {
    let database = TestDatabase::create().await;
    assert_eq!(database.apply(&logins(1, 1)).await, [const { Outcome::Applied }; 3]);
    let of_one = |column: &str| format!("new.{column} = '{}'", sub(1));
    let policies = format!(
        "alter table users enable row level security;
         create policy reads on users for select using (true);
         create policy inserts on users for insert with check (true);
         create policy all_but_one on users for update using (id <> '{}')",
        sub(1)
    );
    for (second, add, mend, named) in [
        (
            2,
            trigger("drops", "update on users", &of_one("id"), "return null;"),
            "drop trigger drops on users",
            "drops",
        ),
        (
            3,
            trigger("drops", "insert on user_events", &of_one("user_id"), "return null;"),
            "drop trigger drops on user_events",
            "drops",
        ),
        (4, policies, "alter table users disable row level security", "row security"),
    ] {
        run(&database.owner, add.clone()).await;
        let events = logins(1, second);
        let outcomes = database.apply(&events).await;
        assert!(obstructed(&outcomes, &add).contains(named), "{outcomes:?}");
        run(&database.owner, mend).await;
        let again = database.apply(&events).await;
        assert_eq!(again, [Outcome::Applied, Outcome::Duplicate, Outcome::Duplicate], "{add}");
    }
    assert_eq!(database.column(sub(1), "login_count").await.as_deref(), Some("4"));
}

/// Who wins an address, loses it, or finds a referrer is written by statements of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_another_users_row_that_is_left_out_is_not_acknowledged() {
    let database = TestDatabase::create().await;
    let code = cognito_user_sync::store::referral_code(sub(9));
    let referred =
        confirmed(5, at(1)).with(move |data| data.client.referral_code = Some(code.into())).build();
    let verified = |user, second| {
        confirmed(user, at(second)).attributes(&[("email", ADDRESS), ("email_verified", "true")]).build()
    };
    let applied = database
        .apply(&[verified(1, 1), confirmed(2, at(2)).attributes(&[("email", ADDRESS)]).build(), referred])
        .await;
    assert_eq!(applied, [const { Outcome::Applied }; 3]);
    for (row, event) in [
        // The next claimant acquires it, an owner releases it, and who waits for a referrer has one.
        (2, event(Kind::Deleted, 1, at(3)).build()),
        (2, verified(3, 4)),
        (5, confirmed(9, at(5)).build()),
    ] {
        let condition = format!("new.id = '{}'", sub(row));
        run(&database.owner, trigger("drops", "update on users", &condition, "return null;")).await;
        let outcomes = database.apply(std::slice::from_ref(&event)).await;
        assert!(
            obstructed(&outcomes, &format!("{row}: {event:?}")).contains("the trigger drops"),
            "{outcomes:?}"
        );
        run(&database.owner, "drop trigger drops on users").await;
        assert_eq!(database.apply(&[event]).await, [Outcome::Applied]);
    }
    let found = verify(database.applier.database(), &GeoIp::default(), |_| {}, |_| {}).await.unwrap();
    assert_eq!(found.differences, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_on_users_is_said_to_an_operator_and_nothing_is_acknowledged() {
    let database = TestDatabase::create().await;
    assert_eq!(database.apply(&logins(1, 1)).await, [const { Outcome::Applied }; 3]);
    run(&database.owner, "create rule nothing as on update to users do instead nothing").await;
    for outcome in database.apply(&logins(1, 2)).await.into_iter().chain(database.apply(&logins(7, 2)).await)
    {
        assert_eq!(outcome, Outcome::Retry(RetryCause::DatabaseMisconfigured));
    }
    run(&database.owner, "drop rule nothing on users").await;
    assert_eq!(database.apply(&logins(1, 2)).await, [const { Outcome::Applied }; 3]);
}

/// What a command was to write, and a trigger leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_left_out_of_its_rows_fails_and_changes_nothing() {
    let database = TestDatabase::create().await;
    let operator = operator(&database).await;
    let person = confirmed(1, at(1)).email(ADDRESS).build();
    assert_eq!(database.apply(&[person]).await, [Outcome::Applied]);
    for (add, mend) in [
        (
            "create function keeps_now() returns trigger language plpgsql as $$ begin return null; end $$;
             create trigger keeps before delete on user_claims for each row execute function keeps_now()"
                .to_owned(),
            "drop trigger keeps on user_claims",
        ),
        (
            trigger("keeps", "update on user_events", "true", "return null;"),
            "drop trigger keeps on user_events",
        ),
    ] {
        run(&database.owner, format!("drop function if exists keeps_now cascade; {add}")).await;
        let kept = erase(&operator, sub(1), false).await;
        assert!(kept.is_err(), "{kept:?}");
        run(&database.owner, mend).await;
    }
    erase(&operator, sub(1), false).await.unwrap();

    run(&database.owner, trigger("keeps", "insert or update on user_baseline", "true", "return null;")).await;
    let events = database.count("user_events").await;
    let in_two_years = Timestamp::now().unix_millis() + 2 * 365 * 24 * 60 * 60 * 1_000;
    let in_two_years = Timestamp::from_unix_millis(in_two_years);
    maintain(&operator, 3, 31, in_two_years, |_, _| {}).await.unwrap_err();
    assert_eq!(
        database.count("user_events").await,
        events,
        "no month is gone whose events were kept nowhere"
    );
}

fn user_sync(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = std::process::Command::new(binaries::user_sync());
    command.args(arguments).env_clear().envs(env.iter().copied()).stdin(Stdio::null());
    command.output().unwrap()
}

/// Fails where a program repeats the address; returns what it said.
fn said(output: Output, what: &str) -> String {
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains(ADDRESS), "{what}: {said}");
    said
}

/// An application's trigger that quotes an address, by a SQLSTATE for each of some users.
fn quoting() -> String {
    let raise = |(code, user): (&str, u128)| {
        format!("if new.id = '{}' then raise exception 'bad address %', address using errcode = '{code}',
            detail = address, hint = address, column = address, constraint = address, table = address; end if;", sub(user))
    };
    let raises: String =
        ["P0001", "22000", "42501", "53100", "57014"].into_iter().zip(1..).map(raise).collect();
    format!(
        "create function check_address() returns trigger language plpgsql as $$
            declare address text := '{ADDRESS}'; begin {raises} return new; end $$;
         create trigger check_address before insert or update on users
            for each row execute function check_address()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_trigger_quotes_is_in_no_log_and_no_dead_letter() {
    for adapter in Adapter::ALL {
        let deployment = deployment().await;
        let owner = local::connect(&deployment.owner_url, 1).await.unwrap();
        run(&owner, quoting()).await;
        permit_receives(&deployment, 4).await;
        let bodies = (1..7).map(|user| login(user, at(1)).attributes(&[("email", ADDRESS)]).build().encode());
        send(&deployment, &bodies.collect::<Vec<_>>()).await;
        let consumer = adapter.start(&deployment, &[("USER_SYNC_LOG", "trace")]).await;
        consumer.drained(&deployment).await;
        let log = consumer.end().await.join("\n");
        assert!(log.contains("an event failed alone") && log.contains("function check_address"), "{log}");
        assert!(!log.contains(ADDRESS) && !log.contains("bad address"), "{adapter:?}: {log}");
        let letters = take(&deployment, &deployment.dlq_url).await;
        assert_eq!(letters.len(), 5, "the sixth user is nobody's business: {adapter:?}");
        for letter in letters {
            let attributes = format!("{:?}", letter.message_attributes);
            assert!(
                attributes.contains("trigger check_address") && !attributes.contains(ADDRESS),
                "{attributes}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_trigger_quotes_is_in_no_commands_answer() {
    let database = TestDatabase::create().await;
    let deployment: &Deployment = &database.deployment;
    let applied = database.apply(&(1..6).map(|user| login(user, at(1)).build()).collect::<Vec<_>>()).await;
    assert_eq!(applied, [const { Outcome::Applied }; 5]);
    let wrong = "begin; set local user_sync.service = 'versioned';
        update users set login_count = 7, row_version = row_version + 1; commit";
    run(&database.owner, wrong).await;
    run(&database.owner, quoting()).await;
    let environment =
        [&deployment.environment()[..], &[("DATABASE_URL", deployment.operator_url.as_str())]].concat();
    for user in 1..6 {
        let id = sub(user).to_string();
        for arguments in [&["erase", &id][..], &["release", &id, "name"], &["verify", "--repair"]] {
            let output = user_sync(arguments, &environment);
            assert!(!output.status.success(), "{arguments:?}");
            let said = said(output, arguments[0]);
            assert!(said.contains("check_address"), "{arguments:?}: {said}");
        }
    }
    // What adds tables asks nobody's trigger, but for those of the schema itself.
    for prepare in [old_table::CREATE, ""] {
        let name = format!("quoted_{}", uuid::Uuid::now_v7().simple());
        run(&database.owner, format!("create database {name}")).await;
        let mut url = url::Url::parse(stack().await.postgres.admin_url()).unwrap();
        url.set_path(&name);
        let owner = local::connect(url.as_str(), 1).await.unwrap();
        run(&owner, prepare).await;
        let quotes = format!(
            "create function check_schema() returns event_trigger language plpgsql as $$ begin
                raise exception 'bad address %', '{ADDRESS}' using errcode = '42501', detail = '{ADDRESS}'; end $$;
             create event trigger check_schema on ddl_command_end execute function check_schema()"
        );
        run(&owner, quotes).await;
        let environment = [("DATABASE_URL", url.as_str()), ("USER_SYNC_ROLE_PREFIX", name.as_str())];
        let output = user_sync(&["migrate"], &environment);
        assert!(!output.status.success());
        let said = said(output, "migrate");
        assert!(said.contains("in the function check_schema"), "{said}");
        owner.close().await;
    }
}

/// An expression of the application's raises whatever class its functions have, with the value in the message.
#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_cannot_be_computed_costs_its_own_row_only() {
    for make in [
        "add column words tsquery generated always as (to_tsquery('simple'::regconfig, name)) stored",
        "add column vector tsvector generated always as (name::tsvector) stored",
    ] {
        let database = TestDatabase::create().await;
        run(&database.owner, format!("alter table users {make}")).await;
        let named = |user, name| confirmed(user, at(1)).attributes(&[("name", name)]).build();
        let events = [named(1, "'Ada Lovelace@secret"), named(2, "timezone"), named(3, "search_path")];
        let outcomes = database.apply(&events).await;
        let detail = obstructed(&outcomes, make);
        assert!(detail.contains("maybe the "), "{detail}");
        assert!(!detail.contains("secret"), "{detail}");
    }
}

/// PostgreSQL names a constraint like ours, where nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_without_a_name_is_not_taken_for_ours() {
    let database = TestDatabase::create().await;
    for (table, constraint, from) in
        [("user_events", "user_events_user_id_check", 1), ("user_claims", "user_claims_user_id_check", 11)]
    {
        run(&database.owner, format!("alter table {table} add check (user_id <> '{}')", sub(from))).await;
        let events = [from, from + 1].map(|user| login(user, at(1)).email(&format!("{user}@x.test")).build());
        let outcomes = database.apply(&events).await;
        let detail = obstructed(&outcomes, table);
        assert!(detail.contains(constraint), "{detail}");
        run(&database.owner, format!("alter table {table} drop constraint {constraint}")).await;
    }
}
