//! The limit: the statements of the consumer's way of logins, sent by pgbench. What they are bound to comes from a
//! table, so that nothing is measured but PostgreSQL and the round trips.

use std::process::Stdio;

use cognito_user_sync_triggers::event::UserEvent;
use sqlx::AssertSqlSafe;
use tokio::process::Command;

use crate::drain::Drained;
use crate::server::Database;

const READ: &str = include_str!("../../../src/apply/state_of_users.sql");
const INSERT: &str = include_str!("../../../src/apply/insert_events.sql");
const WRITE: &str = include_str!("../../../src/apply/write_users.sql");
const ROWS: &str = include_str!("../../../src/apply/rows_from_arrays.sql");

/// Sends each batch as the consumer does: read, insert, lock, write, commit.
pub(crate) async fn drain(
    database: &Database,
    events: &[UserEvent],
    batch: usize,
    clients: usize,
) -> Drained {
    let (types, columns) = columns();
    prepare(database, events, batch, &types, &columns).await;
    let per_client = events.len() / batch / clients;
    let script = script(&columns);
    let file = std::env::temp_dir().join(format!("user-sync-bench-{}.sql", std::process::id()));
    std::fs::write(&file, script).unwrap();
    sqlx::query("checkpoint").execute(&database.owner).await.unwrap();
    let program = pgbench();
    let output = Command::new(&program)
        .args(["--no-vacuum", "--protocol=prepared", "-D", "i=0", "-D"])
        .arg(format!("per={per_client}"))
        .args(["-c", &clients.to_string(), "-j", &clients.to_string(), "-t", &per_client.to_string(), "-f"])
        .arg(&file)
        .arg(&database.owner_url)
        .env("PGOPTIONS", "-c user_sync.service=on")
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
    let (ledger, _) = database.counts().await;
    assert_eq!(ledger, i64::try_from(per_client * clients * batch).unwrap(), "events in the ledger\n{said}");
    Drained { rate: tps * batch as f64, cpu: 0.0, peak_rss_mb: 0.0 }
}

fn pgbench() -> String {
    let mut folders: Vec<_> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    folders.sort_by_key(std::fs::DirEntry::file_name);
    let found =
        folders.iter().rev().map(|folder| folder.path().join("bin/pgbench")).find(|file| file.exists());
    found.map_or("pgbench".to_owned(), |file| file.display().to_string())
}

/// The types and names of the columns that are written, from the statement itself.
fn columns() -> (Vec<String>, Vec<String>) {
    let rows = without_comments(ROWS);
    let (types, names) = rows.split_once(") as new (").unwrap();
    let types = types.split_once("unnest(").unwrap().1.split(',');
    let types = types.map(|of| of.split_once("::").unwrap().1.trim().to_owned()).collect();
    let names = names.trim().trim_end_matches(')').split(',').map(|name| name.trim().to_owned()).collect();
    (types, names)
}

fn without_comments(sql: &str) -> String {
    sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}

/// A row a batch, with the arrays that the statements are bound to.
async fn prepare(
    database: &Database,
    events: &[UserEvent],
    batch: usize,
    types: &[String],
    columns: &[String],
) {
    let run = async |statement: String| {
        sqlx::query(AssertSqlSafe(statement)).execute(&database.owner).await.unwrap();
    };
    run("drop table if exists bench_events, bench_batches".to_owned()).await;
    run("create unlogged table bench_events (no int, id uuid, sub uuid, type text, pool text, time timestamptz, data text)".to_owned()).await;
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
    run("analyze bench_events".to_owned()).await;
    let written = columns.iter().zip(types).map(|(name, of)| {
        let value = match name.as_str() {
            "login_count" => "u.login_count + 1".to_owned(),
            "synced_at" => "now()".to_owned(),
            "last_login_ip" | "created_ip" => format!("host(u.{name})"),
            name => format!("u.{name}"),
        };
        let element = of.trim_end_matches("[]");
        format!("array_agg(({value})::{element} order by u.id) as new_{name}")
    });
    let written = written.collect::<Vec<_>>().join(", ");
    let storage = ["ids", "subs", "types", "pools", "times", "told", "users"].map(str::to_owned);
    let storage = storage.into_iter().chain(columns.iter().map(|name| format!("new_{name}")));
    let storage = storage
        .map(|name| format!("alter column {name} set storage external"))
        .collect::<Vec<_>>()
        .join(", ");
    let select = format!(
        "select no, ids, subs, types, pools, times, told, w.* from (
            select no, array_agg(id order by id) as ids, array_agg(sub order by id) as subs,
                array_agg(type order by id) as types, array_agg(pool order by id) as pools,
                array_agg(time order by id) as times, array_agg(data order by id) as told
            from bench_events group by no) as e
        cross join lateral (
            select array_agg(u.id order by u.id) as users, {written}
            from users as u where u.id = any (subs)) as w"
    );
    run(format!("create unlogged table bench_batches as {select} limit 0")).await;
    run(format!("alter table bench_batches {storage}")).await;
    run(format!("insert into bench_batches {select}")).await;
    run("create unique index on bench_batches (no)".to_owned()).await;
    run("vacuum (analyze) bench_batches".to_owned()).await;
}

fn script(columns: &[String]) -> String {
    let read = without_comments(READ);
    let insert = without_comments(INSERT);
    let (head, tail) = insert.split_once("from unnest(").unwrap();
    let tail = tail.split_once(')').unwrap().1;
    let (names, tail) = tail.split_once("order by id").unwrap();
    let written = columns.iter().map(|name| format!("b.new_{name}")).collect::<Vec<_>>().join(", ");
    let write = without_comments(WRITE);
    format!(
        "\\set i :i + 1
\\set n :client_id * :per + :i
begin;
{read} where id = any ((select users from bench_batches where no = :n)::uuid[]);
{head} from bench_batches as b cross join lateral unnest(b.ids, b.subs, b.types, b.pools, b.times, b.told) {names} where b.no = :n order by id {tail};
{read} where id = any ((select users from bench_batches where no = :n)::uuid[]) order by id for update;
{write} from bench_batches as b cross join lateral unnest({written}) as new ({}) where b.no = :n and users.id = new.id;
commit;
",
        columns.join(", ")
    )
}
