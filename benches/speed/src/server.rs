//! A durable PostgreSQL with as many users as asked for, and what its rows must say afterwards.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use cognito_user_sync::dev::stack::{Postgres, PostgresOptions, PostgresSource, Progress};
use cognito_user_sync::postgres::RolePrefix;
use cognito_user_sync::store::migrate;
use cognito_user_sync_triggers::event::{Data, Event, EventId, Kind, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgPool};
use uuid::Uuid;

pub(crate) const POOL: &str = "eu-west-1_Bench0000";
/// The event that every user of the table comes from: 2025-10-20.
const ORIGIN: &str = "019a0000-0000-7000-8000-000000000001";
/// The first event of July 2026, which comes after all that fills the ledger and before all that a run puts there.
const FIRST_OF_RUN: &str = "019f1af9-b400-7000-8000-000000000000";

/// So many rows at once are filled in without indexes.
const MANY: u64 = 500_000;
/// Rows of one statement that fills.
const CHUNK: u64 = 100_000;
/// Most bytes of free memory that are touched before a run: more than it writes.
const TOUCHED: usize = 1 << 30;

/// What is printed beside every figure.
const SETTINGS: [&str; 11] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "wal_compression",
    "shared_buffers",
    "max_wal_size",
    "min_wal_size",
    "checkpoint_timeout",
    "autovacuum",
];

/// How much of the machine's memory PostgreSQL keeps its tables' pages in.
#[derive(Clone, Copy)]
pub(crate) enum SharedBuffers {
    /// What RDS gives PostgreSQL unless told otherwise ("Working with parameters on your RDS for PostgreSQL DB
    /// instance", `{DBInstanceClassMemory/32768}` pages).
    Quarter,
    /// Nearer to the two thirds and more that Aurora gives ("Amazon Aurora PostgreSQL parameters").
    Most,
}

impl SharedBuffers {
    pub(crate) fn megabytes(self) -> i64 {
        let memory = meminfo("MemTotal") / 1024;
        match self {
            Self::Quarter => memory / 4,
            Self::Most => memory * 3 / 5,
        }
    }
}

/// Asks Linux for so many pages of 2 MB, which PostgreSQL takes if they are there: RDS turns them on for all but its
/// smallest classes ("Huge pages for RDS for PostgreSQL"). Only root may ask; [`has_huge_pages`] says what came of it.
fn ask_for_huge_pages(count: i64) {
    let otherwise = "no huge pages: run as root to measure with them, as RDS has them";
    // Each is 2 MB in a row, which memory full of files and of what compilers left has not.
    forget_files();
    ask_linux("/proc/sys/vm/compact_memory", "1", otherwise);
    ask_linux("/proc/sys/vm/nr_hugepages", &count.to_string(), otherwise);
}

/// Whether PostgreSQL got them, which it does not say before 17.
pub(crate) fn has_huge_pages() -> bool {
    meminfo("HugePages_Total") - meminfo("HugePages_Free") + meminfo("HugePages_Rsvd") > 0
}

/// Asks Linux to forget the pages of files that it keeps and that were written out. What filled a table of 13 GB leaves
/// no free page, while a small one leaves most of the memory free. Only root may ask.
pub(crate) fn forget_files() {
    let otherwise = "Linux keeps the pages of files: run as root to have none at the start";
    ask_linux("/proc/sys/vm/drop_caches", "1", otherwise);
}

fn ask_linux(file: &str, value: &str, otherwise: &str) {
    if let Err(error) = std::fs::write(file, value) {
        println!("   {otherwise} ({error})");
    }
}

/// A line of `/proc/meminfo`: kilobytes, or a number of pages.
fn meminfo(name: &str) -> i64 {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

pub(crate) struct Server {
    postgres: Postgres,
}

/// A migrated database.
pub(crate) struct Database {
    pub(crate) name: String,
    /// As a superuser: what peers connect with, so that no privilege check slows them.
    pub(crate) owner_url: String,
    /// As a member of `user_sync_consumer`: what the programs connect with.
    pub(crate) consumer_url: String,
    pub(crate) owner: PgPool,
    pub(crate) users: u64,
}

impl Server {
    /// Starts one whose commits wait for the disk.
    pub(crate) async fn start(shared_buffers: SharedBuffers) -> Self {
        let options = PostgresOptions { source: PostgresSource::from_env(), durable: true };
        let postgres = Postgres::start(&options, &Progress::Lines).await.unwrap();
        let mut admin = PgConnectOptions::from_str(postgres.admin_url()).unwrap().connect().await.unwrap();
        for setting in [
            "alter system set max_wal_size = '24GB'",
            // Segments are used again, as on a server that has run for a while: a new one is filled with zeros first.
            "alter system set min_wal_size = '4GB'",
            "alter system set checkpoint_timeout = '30min'",
            // It would fall into one run and not into another; `users` is vacuumed before each run of logins.
            "alter system set autovacuum = off",
            "alter system set maintenance_work_mem = '1GB'",
            "create role bench_consumer login password 'bench'",
        ] {
            sqlx::query(setting).execute(&mut admin).await.unwrap();
        }
        admin.close().await.unwrap();
        let server = Self { postgres };
        server.restart(shared_buffers).await;
        server
    }

    /// Starts it again with so much memory.
    pub(crate) async fn restart(&self, shared_buffers: SharedBuffers) {
        let mut admin =
            PgConnectOptions::from_str(self.postgres.admin_url()).unwrap().connect().await.unwrap();
        let set = format!("alter system set shared_buffers = '{}MB'", shared_buffers.megabytes());
        sqlx::query(AssertSqlSafe(set)).execute(&mut admin).await.unwrap();
        sqlx::query("checkpoint").execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        self.postgres.stop_server().await.unwrap();
        ask_for_huge_pages(shared_buffers.megabytes() * 52 / 100 + 100);
        self.postgres.start_server().await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.postgres.stop().await.unwrap();
        ask_for_huge_pages(0);
    }

    pub(crate) async fn settings(&self) -> Value {
        let mut admin =
            PgConnectOptions::from_str(self.postgres.admin_url()).unwrap().connect().await.unwrap();
        let mut settings = Map::new();
        for name in SETTINGS {
            let show = AssertSqlSafe(format!("show {name}"));
            let value: String = sqlx::query_scalar(show).fetch_one(&mut admin).await.unwrap();
            settings.insert(name.to_owned(), value.into());
        }
        let huge_pages = if has_huge_pages() { "in use" } else { "not in use" };
        settings.insert("huge_pages".to_owned(), huge_pages.into());
        Value::Object(settings)
    }

    /// A database of so many users, each as a sign-up and a login leave it.
    pub(crate) async fn database(&self, name: &str, users: u64) -> Database {
        let admin = PgConnectOptions::from_str(self.postgres.admin_url()).unwrap();
        let mut connection = admin.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await.unwrap();
        let at = format!("{}:{}/{name}", self.postgres.host(), self.postgres.port());
        let owner_url = self.postgres.admin_url().replace("/postgres?", &format!("/{name}?"));
        let owner_url =
            owner_url.strip_suffix("/postgres").map_or(owner_url.clone(), |url| format!("{url}/{name}"));
        let owner = PgPoolOptions::new().max_connections(4).connect(&owner_url).await.unwrap();
        // The server is this benchmark's own, but it has several databases, whose roles must differ.
        let prefix = RolePrefix::new(name);
        migrate::run(&owner.clone().into(), prefix.as_ref()).await.unwrap();
        let grant = format!("grant {name}_consumer to bench_consumer");
        sqlx::query(AssertSqlSafe(grant)).execute(&owner).await.unwrap();
        let consumer_url = format!("postgres://bench_consumer:bench@{at}");
        let database = Database { name: name.to_owned(), owner_url, consumer_url, owner, users };
        database.fill(0, users, false).await;
        database
    }

    pub(crate) async fn drop_database(&self, database: Database) {
        database.owner.close().await;
        let mut admin =
            PgConnectOptions::from_str(self.postgres.admin_url()).unwrap().connect().await.unwrap();
        let drop = format!("drop database {} with (force)", database.name);
        sqlx::query(AssertSqlSafe(drop)).execute(&mut admin).await.unwrap();
    }
}

/// A user that an event is about.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) sub: Uuid,
    pub(crate) email: String,
}

impl Database {
    /// Adds users, each with an address of its own or all with one.
    pub(crate) async fn fill(&self, from: u64, to: u64, one_address: bool) {
        let started = Instant::now();
        // Millions of rows are in sooner without the indexes, which are made again afterwards.
        let indexes = if to - from >= MANY { self.drop_indexes().await } else { Vec::new() };
        let chunks = (from..to).step_by(CHUNK as usize).map(|start| (start, to.min(start + CHUNK)));
        let rows = |(start, end): (u64, u64)| async move {
            let mut tx = self.owner.begin().await.unwrap();
            for insert in [include_str!("fill_users.sql"), include_str!("fill_claims.sql")] {
                let query = sqlx::query(insert).bind(start as i64).bind(end as i64 - 1).bind(one_address);
                let query = query.bind(Uuid::parse_str(ORIGIN).unwrap()).bind(POOL);
                query.execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        };
        futures::stream::iter(chunks.map(rows)).buffer_unordered(2).collect::<Vec<()>>().await;
        for index in indexes {
            sqlx::query(AssertSqlSafe(index)).execute(&self.owner).await.unwrap();
        }
        for statement in ["vacuum (analyze) users", "vacuum (analyze) user_claims", "checkpoint"] {
            sqlx::query(statement).execute(&self.owner).await.unwrap();
        }
        if to - from >= MANY {
            println!("   {} users more in {:.0?}", to - from, started.elapsed());
        }
    }

    /// Drops what rows are looked up by, but for the primary key of users, and says how to make it again.
    async fn drop_indexes(&self) -> Vec<String> {
        let constraints = "select format('alter table %s drop constraint %I', conrelid::regclass, conname),
                format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
            from pg_constraint
            where conrelid in ('users'::regclass, 'user_claims'::regclass) and contype in ('f', 'u', 'p')
                and conname <> 'users_pkey'
            union all
            select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
            from pg_index
            where indrelid in ('users'::regclass, 'user_claims'::regclass)
                and not exists (select from pg_constraint where conindid = indexrelid)";
        let indexes: Vec<(String, String)> =
            sqlx::query_as(constraints).fetch_all(&self.owner).await.unwrap();
        for (drop, _) in &indexes {
            sqlx::query(AssertSqlSafe(drop.as_str())).execute(&self.owner).await.unwrap();
        }
        indexes.into_iter().map(|(_, make)| make).collect()
    }

    /// Fills the ledger of earlier months with events that are nobody's, up to so many rows.
    pub(crate) async fn fill_ledger(&self, rows: u64) {
        let started = Instant::now();
        let fill = |start: u64| async move {
            let query = sqlx::query(include_str!("fill_ledger.sql")).bind(start as i64);
            query.bind(rows.min(start + CHUNK) as i64 - 1).execute(&self.owner).await.unwrap();
        };
        let chunks = (0..rows).step_by(CHUNK as usize);
        futures::stream::iter(chunks.map(fill)).buffer_unordered(2).collect::<Vec<()>>().await;
        sqlx::query("vacuum (analyze) user_events").execute(&self.owner).await.unwrap();
        println!("   {rows} ledger rows in {:.0?}", started.elapsed());
    }

    /// So many users at random, with repetitions, as logins come.
    pub(crate) async fn some(&self, count: usize) -> Vec<Who> {
        let query = "select md5(n::text)::uuid, 'user' || n || '@example.com'
            from (select floor(random() * $1)::bigint as n from generate_series(1, $2)) as picked";
        let picked: Vec<(Uuid, String)> = sqlx::query_as(query)
            .bind(self.users as f64)
            .bind(i32::try_from(count).unwrap())
            .fetch_all(&self.owner)
            .await
            .unwrap();
        picked.into_iter().map(|(sub, email)| Who { sub, email }).collect()
    }

    /// Empties this month's ledger, and gives every run the same start: nothing to write out, and every page of
    /// `users` logged whole since the checkpoint, as it is some seconds after any of them. A run right after a
    /// checkpoint would measure how fast 8 KB an event can be written to the log.
    pub(crate) async fn reset(&self) {
        self.empty().await;
        sqlx::query("checkpoint").execute(&self.owner).await.unwrap();
        self.settle().await;
    }

    /// The same of tables that were just filled, after a checkpoint of the whole server. What is logged for it is
    /// compressed, so that a table of 20 GB does not bring on the next checkpoint by itself.
    pub(crate) async fn settle(&self) {
        // A row of each page that is there: the first place of a page that was touched before holds none any more.
        let touch = "update users set login_count = login_count
            where ctid = any (array(select min(ctid) from users group by (ctid::text::point)[0]))";
        let mut connection = self.owner.acquire().await.unwrap();
        for statement in [
            "set wal_compression = on",
            touch,
            "set wal_compression = off",
            "vacuum users",
            // The primary key by itself, which then is in memory.
            "set enable_seqscan = off",
            "select count(id) from users",
            "set enable_seqscan = on",
        ] {
            sqlx::query(statement).execute(&mut *connection).await.unwrap();
        }
        drop(connection);
        self.quiet().await;
    }

    /// Waits until the system has written what was left to write: a commit's flush would stand in line behind it.
    /// Then touches memory that is free, but never so much that files would have to make room for it: where the host
    /// takes free memory back, whoever writes it next waits for the host.
    pub(crate) async fn quiet(&self) {
        assert!(tokio::process::Command::new("sync").status().await.unwrap().success());
        let free = usize::try_from(meminfo("MemFree")).unwrap() * 1024;
        drop(std::hint::black_box(vec![1_u8; TOUCHED.min(free / 2)]));
    }

    /// Empties this month's ledger, files and all: of what a vacuum leaves of a file, one run would find room where
    /// another has to make it.
    pub(crate) async fn empty(&self) {
        let truncate = format!(
            "do $$ declare partition text; begin
                for partition in select name from user_event_partitions where upper > '{FIRST_OF_RUN}' loop
                    execute format('truncate %I', partition);
                end loop;
            end $$"
        );
        for statement in [truncate.as_str(), "vacuum users"] {
            sqlx::query(AssertSqlSafe(statement)).execute(&self.owner).await.unwrap();
        }
    }

    /// Events in the ledger that a run put there, and logins counted.
    pub(crate) async fn counts(&self) -> (i64, i64) {
        let counts = format!(
            "select (select count(*) from user_events where id >= '{FIRST_OF_RUN}'),
                (select coalesce(sum(login_count), 0)::bigint from users)"
        );
        sqlx::query_as(AssertSqlSafe(counts)).fetch_one(&self.owner).await.unwrap()
    }

    /// Megabytes (of 1,000,000 bytes) of what logins read and write, the users and their primary key; and what there
    /// is to keep them in.
    pub(crate) async fn memory(&self) -> (i64, String) {
        let query = "select (pg_relation_size('users') + pg_relation_size('users_pkey')) / 1000000,
            current_setting('shared_buffers')";
        sqlx::query_as(query).fetch_one(&self.owner).await.unwrap()
    }

    /// Updates of users, and those of them that touched no index.
    pub(crate) async fn updates(&self) -> (i64, i64) {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let query = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'users'";
        sqlx::query_as(query).fetch_one(&self.owner).await.unwrap()
    }
}

/// A login as the trigger tells it, `number` milliseconds into the last hour.
pub(crate) fn login(who: &Who, number: usize) -> UserEvent<'static> {
    event(who, number, Kind::Authenticated)
}

pub(crate) fn event(who: &Who, number: usize, kind: Kind) -> UserEvent<'static> {
    let time = Timestamp::now().unix_millis() - 3_600_000 + number as u64 % 3_500_000;
    event_at(who, Timestamp::from_unix_millis(time), kind)
}

pub(crate) fn event_at(who: &Who, time: Timestamp, kind: Kind) -> UserEvent<'static> {
    let attribute = |name: &str, value: &str| (name.to_owned().into(), value.to_owned().into());
    let mut data = Data {
        user_name: Some(who.sub.to_string().into()),
        status: Some("CONFIRMED".into()),
        attributes: [
            attribute("email", &who.email),
            attribute("email_verified", "true"),
            attribute("given_name", "Ada"),
            attribute("family_name", "Lovelace"),
            attribute("locale", "de-AT"),
        ]
        .into(),
        ..Data::default()
    };
    data.client.ip = Some("192.0.2.17".into());
    data.client.user_agent = Some(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
         Version/18.5 Mobile/15E148 Safari/604.1"
            .into(),
    );
    UserEvent { id: EventId::new(time), user_pool_id: POOL.into(), sub: who.sub, kind, data }
}

/// A batch as Lambda's event source mapping hands it over ("Using Lambda with Amazon SQS").
pub(crate) fn payload(events: &[UserEvent<'_>]) -> Vec<u8> {
    payload_of(events.iter().map(|event| Event::User(event.clone()).encode()), "user-sync")
}

/// The same, of these bodies and from this queue.
pub(crate) fn payload_of(bodies: impl Iterator<Item = String>, queue: &str) -> Vec<u8> {
    let record = |body: String| {
        json!({
            "messageId": Uuid::now_v7(),
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a".repeat(8),
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1760936755200",
                "SenderId": "AROAEXAMPLE:user-sync-trigger",
                "ApproximateFirstReceiveTimestamp": "1760936755300",
            },
            "messageAttributes": {},
            "md5OfBody": "00000000000000000000000000000000",
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:eu-west-1:111122223333:{queue}"),
            "awsRegion": "eu-west-1",
        })
    };
    json!({ "Records": bodies.map(record).collect::<Vec<_>>() }).to_string().into_bytes()
}
