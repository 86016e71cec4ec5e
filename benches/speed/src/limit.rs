//! The limit: the statements of the consumer's fast path, sent by pgbench. What they are bound to comes from a
//! table, so that nothing is measured but PostgreSQL and the round trips.

use std::process::Stdio;

use cognito_user_sync_triggers::event::UserEvent;
use tokio::process::Command;

use crate::drain::Drained;
use crate::server::Database;

const BEGIN: &str = "begin isolation level read committed; call user_sync_begin('logins')";
const RECORD: &str = include_str!("../../../src/store/apply/record_logins.sql");

/// The columns of `bench_batches` that the statement's parameters are bound to.
const BOUND: [&str; 16] = [
    "users",
    "digests",
    "logins",
    "first_times",
    "latest",
    "latest_times",
    "ips",
    "devices",
    "locations",
    "ids",
    "subs",
    "types",
    "pools",
    "times",
    "told",
    "others",
];

/// Sends each batch of [`prepare`] as the consumer does: begin, count and record, commit.
pub(crate) async fn drain(database: &Database, events: usize, batch: usize, clients: usize) -> Drained {
    let per_client = events / batch / clients;
    let script = script();
    let file = std::env::temp_dir().join(format!("user-sync-bench-{}.sql", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let (_, before) = database.counts().await;
    let program = pgbench();
    let output = Command::new(&program)
        .args(["--no-vacuum", "--protocol=prepared", "-D", "i=0", "-D"])
        .arg(format!("per={per_client}"))
        .args(["-c", &clients.to_string(), "-j", &clients.to_string(), "-t", &per_client.to_string(), "-f"])
        .arg(&file)
        .arg(&database.owner_url)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap_or_else(|error| {
            panic!("{program}: {error}: install PostgreSQL's pgbench, or put it in PATH")
        });
    std::fs::remove_file(&file).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")).unwrap();
    let tps: f64 = tps.split_whitespace().next().unwrap().parse().unwrap();
    let (ledger, logins) = database.counts().await;
    let sent = i64::try_from(per_client * clients * batch).unwrap();
    assert_eq!((ledger, logins - before), (sent, sent), "events in the ledger, logins counted\n{said}");
    Drained { rate: tps * batch as f64, cpu: 0.0, peak_rss_mb: 0.0, start_cpu_ms: 0.0 }
}

fn pgbench() -> String {
    let mut folders: Vec<_> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    folders.sort_by_key(std::fs::DirEntry::file_name);
    let found =
        folders.iter().rev().map(|folder| folder.path().join("bin/pgbench")).find(|file| file.exists());
    found.map_or("pgbench".to_owned(), |file| file.display().to_string())
}

fn without_comments(sql: &str) -> String {
    sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}

/// A row a batch, with the arrays that the statements are bound to. Before the database is reset, for the same start as
/// everybody's.
pub(crate) async fn prepare(database: &Database, events: &[UserEvent<'_>], batch: usize) {
    let run = async |statement: &'static str| {
        sqlx::query(statement).execute(&database.owner).await.unwrap();
    };
    run("drop table if exists bench_events, bench_batches").await;
    run("create unlogged table bench_events (no int, id uuid, sub uuid, type text, pool text, time timestamptz, data text)").await;
    for (chunk, part) in events.chunks(20_000).enumerate() {
        let numbers: Vec<i32> =
            (0..part.len()).map(|at| ((chunk * 20_000 + at) / batch + 1) as i32).collect();
        sqlx::query("insert into bench_events select no, id, sub, type, pool, to_timestamp(ms / 1000.0), data
            from unnest($1::int[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[]) as e (no, id, sub, type, pool, ms, data)")
            .bind(numbers)
            .bind(part.iter().map(|event| event.id.uuid()).collect::<Vec<_>>())
            .bind(part.iter().map(|event| event.sub).collect::<Vec<_>>())
            .bind(part.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>())
            .bind(part.iter().map(|event| event.user_pool_id.as_str()).collect::<Vec<_>>())
            .bind(part.iter().map(|event| event.id.time().unix_millis() as i64).collect::<Vec<_>>())
            .bind(part.iter().map(|event| serde_json::to_string(&event.data).unwrap()).collect::<Vec<_>>())
            .execute(&database.owner)
            .await
            .unwrap();
    }
    run("create unlogged table bench_batches as
        select * from (
            select no, array_agg(id order by id) as ids, array_agg(sub order by id) as subs,
                array_agg(type order by id) as types, array_agg(pool order by id) as pools,
                array_agg(time order by id) as times, array_agg(data order by id) as told
            from bench_events group by no) as e
        cross join lateral (
            select array_agg(sub order by sub) as users,
                -- Nobody is left: pgbench does not try again whom another client holds.
                '{}'::uuid[] as others, array_agg(logins order by sub) as logins,
                array_agg(of_user.id order by sub) as latest, array_agg(time order by sub) as latest_times,
                array_agg('192.0.2.17'::text order by sub) as ips, array_agg('Mobile'::text order by sub) as devices,
                array_agg(null::text order by sub) as locations,
                array_agg(profile_digest order by sub) as digests, array_agg(first order by sub) as first_times
            from (
                select sub, count(*) as logins, (array_agg(id order by id desc))[1] as id, max(time) as time,
                    min(time) as first
                from unnest(ids, subs, times) as told (id, sub, time) group by sub) as of_user
            join users on users.id = sub) as w")
    .await;
    // Whole, as what comes from a client is: nothing to decompress.
    run("do $$ declare name text; begin
        for name in select attname from pg_attribute where attrelid = 'bench_batches'::regclass and attnum > 1 loop
            execute format('alter table bench_batches alter %I set storage external', name);
        end loop; end $$").await;
    run("create unlogged table bench_stored (like bench_batches including storage)").await;
    run("insert into bench_stored select * from bench_batches").await;
    run("drop table bench_batches").await;
    run("alter table bench_stored rename to bench_batches").await;
    run("create unique index on bench_batches (no)").await;
    run("vacuum (analyze) bench_batches").await;
}

fn script() -> String {
    let begin = without_comments(BEGIN).replace('\n', " ");
    let mut record = without_comments(RECORD);
    // From the last on: $1 is the beginning of $10.
    for (at, column) in BOUND.iter().enumerate().rev() {
        let bound = format!("(select {column} from bench_batches where no = :n)");
        record = record.replace(&format!("${}", at + 1), &bound);
    }
    format!("\\set i :i + 1\n\\set n :client_id * :per + :i\n{begin};\n{record};\ncommit;\n")
}
