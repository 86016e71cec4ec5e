//! What each role may do, and what it may not.

use sqlx::{AssertSqlSafe, PgPool};

use crate::support::TestDatabase;
use crate::support::events::{at, login};

async fn may(pool: &PgPool, statement: &str) -> bool {
    match sqlx::query(AssertSqlSafe(statement.to_owned())).execute(pool).await {
        Ok(_) => true,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
            assert_eq!(code, "42501", "{statement}: {error}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_its_work_and_nothing_else() {
    let database = TestDatabase::create().await;
    database.apply(&[login(1, at(1)).build()]).await;
    let app = cognito_user_sync::dev::local::connect(&database.deployment.app_url, 1).await.unwrap();
    let consumer = database.applier.pool();
    // From 15 on, nobody may create in `public` unless told so; before, everybody may, and that is the database's.
    let revoke = "revoke create on schema public from public";
    sqlx::query(revoke).execute(&database.owner).await.unwrap();

    for column in ["name = 'x'", "bio = 'x'", "is_premium = true", "preferences = '{}'", "language = 'de'"] {
        assert!(may(&app, &format!("update users set {column}")).await, "{column}");
    }
    for statement in [
        "update users set login_count = 0",
        "update users set email = 'x'",
        "update users set is_deleted = true",
        "update users set referral_code = 'x'",
        "update users set attributes_version = null",
        "delete from users",
        "truncate users",
        "insert into users (id) values (gen_random_uuid())",
        "select * from user_events",
        "select * from user_claims",
        "create table mine (x int)",
    ] {
        assert!(!may(&app, statement).await, "the application may: {statement}");
    }
    for statement in [
        "update users set is_premium = true",
        "update users set bio = 'x'",
        "update users set preferences = '{}'",
        "update users set referral_code = 'x'",
        "delete from users",
        "delete from user_events",
        "update user_events set type = 'x'",
        "delete from user_claims",
        "truncate user_events",
        "drop table user_events",
        "insert into user_event_partitions values ('x', gen_random_uuid(), gen_random_uuid())",
        "create table mine (x int)",
    ] {
        assert!(!may(consumer, statement).await, "the consumer may: {statement}");
    }
}
