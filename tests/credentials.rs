//! Passwords that change while the consumer runs: nothing restarts, nothing is lost, nothing is told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::consumer::liveness::{Liveness, STALLED_AFTER};
use cognito_user_sync::consumer::queues::Carries;
use cognito_user_sync::consumer::worker;
use cognito_user_sync::dev::local::{Deployment, REGION};
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres;
use cognito_user_sync::postgres::credentials::{Source, TokenSigner};
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::maintenance::verify::verify;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::conformance::Adapter;
use crate::support::events::{at, login};
use crate::support::rds::{Rds, Signed};
use crate::support::{TestDatabase, binaries, dead_letters, eventually, secrets, send};

const LIMIT: Duration = Duration::from_secs(90);
const USERS: u64 = 7;

/// Logins that do not stop coming.
struct Load {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Load {
    fn start(deployment: &Deployment) -> Self {
        let (deployment, sent, stop) =
            (deployment.clone(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counter, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::SeqCst) {
                let start = counter.load(Ordering::SeqCst);
                let logins =
                    (start..start + 10).map(|n| login(u128::from(n % USERS), at(n)).build().encode());
                send(&deployment, &logins.collect::<Vec<_>>()).await;
                counter.fetch_add(10, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { sent, stop, task }
    }

    /// Waits until everything that was sent until now is applied, and something that is sent from now on: ten may be on
    /// their way, and be applied already.
    async fn is_applied(&self, database: &TestDatabase) {
        let sent = self.sent.load(Ordering::SeqCst) + 20;
        eventually("what was sent is applied", LIMIT, async || {
            u64::try_from(database.count("user_events").await).unwrap() >= sent
        })
        .await;
    }

    /// Ends between two sends, and says how many logins there were.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.sent.load(Ordering::SeqCst)
    }
}

/// The consumer's login, and who may change it.
struct Server {
    database: TestDatabase,
    user: String,
    address: SocketAddr,
    name: String,
}

impl Server {
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let options = PgConnectOptions::from_str(&database.deployment.consumer_url).unwrap();
        let address = format!("{}:{}", options.get_host(), options.get_port()).parse().unwrap();
        let (user, name) = (options.get_username().to_owned(), options.get_database().unwrap().to_owned());
        Self { database, user, address, name }
    }

    async fn set_password(&self, password: &str) {
        let alter = format!("alter role {} password '{password}'", self.user);
        sqlx::query(AssertSqlSafe(alter)).execute(&self.database.owner).await.unwrap();
    }

    /// Ends every connection of the consumer, in whatever it is doing.
    async fn cut(&self) {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1";
        sqlx::query(cut).bind(&self.user).execute(&self.database.owner).await.unwrap();
    }

    /// Cuts until the consumer has a connection that is newer than now: one that is being opened is not seen yet.
    async fn reconnects(&self) {
        let owner = &self.database.owner;
        let now: OffsetDateTime =
            sqlx::query_scalar("select clock_timestamp()").fetch_one(owner).await.unwrap();
        eventually("the consumer connects again", LIMIT, async || {
            let is_new =
                "select exists (select from pg_stat_activity where usename = $1 and backend_start > $2)";
            let query = sqlx::query_scalar(is_new).bind(&self.user).bind(now);
            if query.fetch_one(owner).await.unwrap() {
                return true;
            }
            self.cut().await;
            false
        })
        .await;
    }

    /// Whether PostgreSQL takes this password for the consumer.
    async fn takes(&self, password: &str) -> bool {
        let options = PgConnectOptions::from_str(&self.database.deployment.consumer_url).unwrap();
        options.password(password).connect().await.is_ok()
    }

    /// Every login counted once, nothing rejected, nothing left.
    async fn holds_exactly(&self, logins: u64) {
        let database = &self.database;
        assert_eq!(u64::try_from(database.count("user_events").await).unwrap(), logins);
        let counted = "select sum(login_count)::bigint from users";
        let counted: i64 = sqlx::query_scalar(counted).fetch_one(&database.owner).await.unwrap();
        assert_eq!(u64::try_from(counted).unwrap(), logins);
        let operator = DatabaseConfig::with_url(&database.deployment.operator_url);
        let operator = postgres::connect(&operator, 2).await.unwrap();
        let mut found = Vec::new();
        verify(&operator, &GeoIp::default(), |difference| found.push(difference), |_| {}).await.unwrap();
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(dead_letters(&database.deployment).await, []);
    }
}

fn password() -> String {
    format!("pass-{}", Uuid::now_v7().simple())
}

async fn rotate_under_load(adapter: Adapter) {
    let server = Server::create().await;
    let deployment = &server.database.deployment;
    let mut passwords = vec![password()];
    server.set_password(&passwords[0]).await;
    let secrets = secrets::client(&deployment.endpoint);
    let arn = secrets::create(&secrets, &server.user, &passwords[0]).await;
    let url = format!("postgres://{}/{}", server.address, server.name);
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("USER_SYNC_DATABASE_AUTH", "secret"),
        ("USER_SYNC_DATABASE_SECRET_ARN", &arn),
        ("USER_SYNC_LOG", "trace"),
    ];
    let consumer = adapter.start(deployment, &env).await;
    let load = Load::start(deployment);
    load.is_applied(&server.database).await;
    for role_first in [true, false, true, false] {
        let new = password();
        if role_first {
            server.set_password(&new).await;
            server.cut().await;
            // As long as Secrets Manager takes between its steps: the consumer is refused, and has nothing better.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            secrets::put(&secrets, &arn, &server.user, &new).await;
        } else {
            secrets::put(&secrets, &arn, &server.user, &new).await;
            server.set_password(&new).await;
        }
        assert!(!server.takes(passwords.last().unwrap()).await, "PostgreSQL checks no password");
        server.reconnects().await;
        load.is_applied(&server.database).await;
        passwords.push(new);
    }
    let sent = load.end().await;
    consumer.drained(deployment).await;
    let log = consumer.end().await;
    server.holds_exactly(sent).await;
    let renewals = log.iter().filter(|line| line.contains("the database's credentials are new")).count();
    assert_eq!(renewals, passwords.len() - 1);
    let told = log.iter().find(|line| passwords.iter().any(|password| line.contains(password)));
    assert_eq!(told, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_lives_through_rotations_under_load() {
    rotate_under_load(Adapter::Worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lambda_lives_through_rotations_under_load() {
    rotate_under_load(Adapter::Lambda).await;
}

async fn expire_under_load(adapter: Adapter, refusal: &'static str) {
    let server = Server::create().await;
    let deployment = &server.database.deployment;
    let known = password();
    server.set_password(&known).await;
    let session = match adapter {
        Adapter::Lambda => Some("test"),
        Adapter::Worker => None,
    };
    let signed = Signed { user: server.user.clone(), session };
    let rds = Rds::start(server.address, signed, &known, refusal).await;
    let url = format!("postgres://{}@{}/{}", server.user, rds.address, server.name);
    let env =
        [("DATABASE_URL", url.as_str()), ("USER_SYNC_DATABASE_AUTH", "iam"), ("USER_SYNC_LOG", "trace")];
    let consumer = adapter.start(deployment, &env).await;
    let load = Load::start(deployment);
    load.is_applied(&server.database).await;
    let rounds = 3;
    for _ in 0..rounds {
        let seen = rds.tokens().len();
        rds.expire_all();
        eventually("a new token is presented", LIMIT, async || {
            server.cut().await;
            rds.tokens().len() > seen
        })
        .await;
        load.is_applied(&server.database).await;
    }
    let sent = load.end().await;
    consumer.drained(deployment).await;
    let log = consumer.end().await;
    server.holds_exactly(sent).await;
    let attempts = rds.attempts();
    let refusals: BTreeSet<&str> = attempts.iter().filter_map(|attempt| attempt.refused.as_deref()).collect();
    assert_eq!(refusals, BTreeSet::from(["expired"]), "each token is well signed");
    // One token a round, whoever was refused: nobody signs for himself.
    let tokens = rds.tokens();
    assert_eq!(tokens.len(), rounds + 1);
    let secret = |token: &String| token.split("X-Amz-Signature=").nth(1).unwrap()[..64].to_owned();
    let secrets: Vec<String> = tokens.iter().map(secret).chain([known]).collect();
    let told = log.iter().find(|line| secrets.iter().any(|secret| line.contains(secret)));
    assert_eq!(told, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_replaces_a_token_that_expired_under_load() {
    expire_under_load(Adapter::Worker, "28P01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lambda_replaces_a_token_that_expired_under_load() {
    expire_under_load(Adapter::Lambda, "28000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_after_the_interval_presents_a_new_token() {
    let server = Server::create().await;
    let deployment = &server.database.deployment;
    let known = password();
    server.set_password(&known).await;
    let signed = Signed { user: server.user.clone(), session: None };
    let rds = Rds::start(server.address, signed, &known, "28000").await;
    let url = format!("postgres://{}@{}/{}", server.user, rds.address, server.name);
    let signer = TokenSigner {
        endpoint: rds.address.to_string(),
        user: server.user.clone(),
        region: REGION.to_owned(),
        provider: SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")),
    };
    let config = DatabaseConfig::with_url(url);
    let database = postgres::connect_with(&config, Source::Iam(signer), 3).await.unwrap();
    let kept = database.clone();
    let keeper = tokio::spawn(async move { kept.refresh_every(Duration::from_secs(1)).await });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (applier, queue) = (Applier::new(database.clone()), deployment.queue());
    let options = worker::Options { batch_size: 100, concurrency: 2, until_empty: false };
    let sources = [worker::Source { queue: &queue, carries: Carries::Events, options }];
    let liveness = Liveness::of(2, STALLED_AFTER);
    let working = worker::run(&applier, &sources, &liveness, async { drop(stopped.await) });
    let rotating = async {
        let load = Load::start(deployment);
        load.is_applied(&server.database).await;
        for _ in 0..2 {
            let seen = rds.tokens().len();
            eventually("a new connection presents a new token", LIMIT, async || {
                server.cut().await;
                drop(database.ping().await);
                rds.tokens().len() > seen
            })
            .await;
            load.is_applied(&server.database).await;
        }
        let sent = load.end().await;
        eventually("the queue is drained", LIMIT, async || queue.backlog().await.is_ok_and(|left| left == 0))
            .await;
        drop(stop);
        sent
    };
    let (worked, sent) = tokio::join!(working, rotating);
    worked.unwrap();
    keeper.abort();
    server.holds_exactly(sent).await;
    let refused: Vec<_> = rds.attempts().into_iter().filter(|attempt| attempt.refused.is_some()).collect();
    assert_eq!(refused, [], "a token was renewed before it was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_and_no_secret_is() {
    let server = Server::create().await;
    let deployment = &server.database.deployment;
    let hidden = password();
    let text = format!("{{\"username\":\"u\",\"pass\":\"{hidden}\"}}");
    let secrets = secrets::client(&deployment.endpoint);
    let wrong = secrets.create_secret().name(password()).secret_string(text).send().await.unwrap();
    let wrong = wrong.arn.unwrap();
    let missing = format!("{wrong}-gone");
    let url = format!("postgres://{}/{}", server.address, server.name);
    for (auth, arn, expected) in [
        ("secret", missing.as_str(), "secretsmanager:GetSecretValue"),
        ("secret", &wrong, "does not hold what RDS writes"),
        ("secret", "", "USER_SYNC_DATABASE_SECRET_ARN is not set"),
        ("iam", "", "DATABASE_URL names no user"),
    ] {
        for arguments in [&["worker"][..], &["maintain"], &["doctor"]] {
            let output = Command::new(binaries::user_sync())
                .args(arguments)
                .env_clear()
                .envs(deployment.environment())
                .env("DATABASE_URL", &url)
                .env("USER_SYNC_DATABASE_AUTH", auth)
                .env("USER_SYNC_DATABASE_SECRET_ARN", arn)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(!output.status.success(), "{arguments:?} {auth} {arn}");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(expected), "{arguments:?}: {said}");
            assert!(!said.contains(&hidden), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_takes_the_login_from_the_secret() {
    let server = Server::create().await;
    let deployment = &server.database.deployment;
    let known = password();
    server.set_password(&known).await;
    let secrets = secrets::client(&deployment.endpoint);
    let arn = secrets::create(&secrets, &server.user, &known).await;
    let url = format!("postgres://nobody:wrong@{}/{}", server.address, server.name);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binaries::user_sync());
        command.args(arguments).env_clear().envs(deployment.environment()).env("DATABASE_URL", &url);
        command.env("USER_SYNC_DATABASE_AUTH", "secret").env("USER_SYNC_DATABASE_SECRET_ARN", &arn);
        String::from_utf8(command.stdin(Stdio::null()).output().unwrap().stdout).unwrap()
    };
    assert!(run(&["doctor"]).contains(&format!("{}, as {}", server.address, server.user)));
    assert!(run(&["verify"]).contains("0 differences"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_login_of_the_same_database_is_the_services_too() {
    let server = Server::create().await;
    let known = password();
    server.set_password(&known).await;
    let config = DatabaseConfig::with_url(&server.database.deployment.owner_url);
    let database = postgres::connect_as(&config, &server.user, &known.into(), 1).unwrap();
    let query = "select session_user::text, current_setting('user_sync.service')";
    let found: (String, String) = sqlx::query_as(query).fetch_one(database.questions()).await.unwrap();
    assert_eq!(found, (server.user, "versioned".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_connect_is_told_what_to_allow() {
    let server = Server::create().await;
    let deployment = &server.database.deployment;
    // It takes tokens of a session only: as if the role were another one.
    let signed = Signed { user: server.user.clone(), session: Some("another") };
    let rds = Rds::start(server.address, signed, "unused", "28000").await;
    let url = format!("postgres://{}@{}/{}", server.user, rds.address, server.name);
    let env = [("DATABASE_URL", url.as_str()), ("USER_SYNC_DATABASE_AUTH", "iam")];
    let worker = Adapter::Worker.start(deployment, &env).await;
    eventually("the worker was refused", LIMIT, async || rds.attempts().len() > 2).await;
    let log = worker.end().await;
    assert!(log.iter().any(|line| line.contains("rds-db:connect")), "{log:?}");

    let mut doctor = Command::new(binaries::user_sync());
    doctor.arg("doctor").env_clear().envs(deployment.environment()).envs(env);
    let output = tokio::process::Command::from(doctor).output().await.unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("rds-db:connect"));

    let mut worker = Command::new(binaries::user_sync());
    worker.arg("worker").env_clear().envs(deployment.environment()).envs(env);
    worker.env_remove("AWS_ACCESS_KEY_ID").env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nowhere");
    let output = tokio::process::Command::from(worker).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no AWS credentials") && said.contains("rds-db:connect"), "{said}");
}
