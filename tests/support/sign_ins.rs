//! Logins and what a reporter recorded of them, made in the database: as many as an audit may meet, with some taken away on
//! either side.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

/// How many days a history goes over; it ended three days ago.
pub const DAYS: u32 = 10;

/// Logins of a user.
const EACH: u64 = 10;

/// How close the logins of one user are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Density {
    /// One in each day, hours apart.
    Sparse,
    /// Seconds apart, many within one window; logins are taken from every other user, records from the others.
    Dense,
}

/// What was taken away, by the ids of what is left over for it.
#[derive(Debug, Default)]
pub struct Taken {
    /// Records whose logins are not in the ledger.
    pub records: BTreeSet<Uuid>,
    /// Logins of which there is no record.
    pub logins: BTreeSet<Uuid>,
}

/// When a login was, `n` being its number, in milliseconds.
fn moment(density: Density) -> &'static str {
    // A user's own time of the day, and up to 22 hours later.
    match density {
        Density::Sparse => {
            "86400000 * (n % 10) + ('x' || substr(md5('u' || n / 10), 1, 8))::bit(32)::bigint % 86400000
                + ('x' || substr(md5('m' || n), 1, 8))::bit(32)::bigint % 79200000"
        }
        Density::Dense => {
            "('x' || substr(md5('u' || n / 10), 1, 8))::bit(32)::bigint % 860000000 + 4000 * (n % 10)
                + ('x' || substr(md5('m' || n), 1, 8))::bit(32)::bigint % 4000"
        }
    }
}

/// Makes so many logins and their records, without `taken` logins and `taken` records.
pub async fn fill(owner: &PgPool, density: Density, logins: u64, taken: u64) -> Taken {
    let mut tx = owner.begin().await.unwrap();
    let id = |word: &str, ms: &str| {
        let hash = format!("md5('{word}' || n)");
        format!(
            "(lpad(to_hex({ms}), 12, '0') || '7' || substr({hash}, 1, 3) || '8' || substr({hash}, 4, 15))::uuid"
        )
    };
    // The time of a record is the whole second in which the call ended: up to a second earlier than the login, or 2 s later.
    let history = format!(
        "create temporary table history on commit drop as
        select n, md5('u' || n / {EACH})::uuid as sub, 'client' || n % 2 as client, ms,
            {} as login, {} as record
        from (select n, ms, (ms + ('x' || substr(md5('d' || n), 1, 8))::bit(32)::bigint % 2500) / 1000 * 1000 as ended
            from (select n, start + {} as ms from generate_series(0, {logins} - 1) as n,
                (select (extract(epoch from date_trunc('day', now() at time zone 'utc'))::bigint - 86400 * 14) * 1000)
                    as begun (start)) as logged) as recorded",
        id("l", "ms"),
        id("r", "ended"),
        moment(density),
    );
    let of_users = match density {
        Density::Sparse => ["true", "true"],
        Density::Dense => ["n / 10 % 2 = 0", "n / 10 % 2 = 1"],
    };
    for statement in [
        history,
        format!(
            "create temporary table taken on commit drop as
            select n, 'login' as side from (select n from history where {} order by md5('tl' || n) limit {taken}) as logins
            union all
            select n, 'record' from (select n from history where {} order by md5('tl' || n) desc limit {taken}) as records",
            of_users[0], of_users[1]
        ),
        "insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
            select login, sub, 'user.authenticated', 'eu-west-1_Test00000', to_timestamp(ms / 1000.0),
                jsonb_build_object('client_id', client)
            from history where n not in (select n from taken where side = 'login')"
            .to_owned(),
        "insert into user_sync_contexts (id, user_id, user_pool_id, client_id, reported_by, occasion, is_witness,
                occurred_at, data)
            select record, sub, 'eu-west-1_Test00000', client, 'cloudtrail', 'sign_in', false,
                to_timestamp(ms / 1000.0), '{}'
            from history where n not in (select n from taken where side = 'record')"
            .to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap();
    }
    let mut found = Taken::default();
    let query = "select side, login, record from taken join history using (n)";
    for (side, login, record) in
        sqlx::query_as::<_, (String, Uuid, Uuid)>(query).fetch_all(&mut *tx).await.unwrap()
    {
        match side.as_str() {
            "login" => found.records.insert(record),
            _ => found.logins.insert(login),
        };
    }
    tx.commit().await.unwrap();
    sqlx::query("analyze user_events, user_sync_contexts").execute(owner).await.unwrap();
    found
}
