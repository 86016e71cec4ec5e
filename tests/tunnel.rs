//! A server that is dialled at another address than its own, as where a tunnel ends: its certificate and its tokens stay
//! those of its name.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::str::FromStr as _;
use std::time::Duration;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::dev::stack::Stack;
use cognito_user_sync::postgres;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnectOptions;

use crate::support::certificates::Certified;
use crate::support::conformance::Adapter;
use crate::support::events::{at, login};
use crate::support::proxy::Proxy;
use crate::support::rds::{Rds, Signed};
use crate::support::{TestDatabase, binaries, eventually, own_stack, refusing, send};

/// Nobody resolves it, so whoever reaches it was led there.
const NAME: &str = "db.user-sync.invalid";
const PORT: u16 = 5433;

/// A server that speaks TLS, and a tunnel to it.
struct Tunnel {
    stack: Stack,
    database: TestDatabase,
    tunnel: Proxy,
    folder: tempfile::TempDir,
}

impl Tunnel {
    async fn create() -> Self {
        let stack = own_stack().await;
        let certified = Certified::of(NAME);
        let server: SocketAddr =
            format!("{}:{}", stack.postgres.host(), stack.postgres.port()).parse().unwrap();
        speak_tls(stack.postgres.admin_url(), &certified).await;
        let database = TestDatabase::of(Deployment::create(&stack).await.unwrap()).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &certified.authority).unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        Self { stack, database, tunnel: Proxy::start(server, None).await, folder }
    }

    /// The URL, leading through the tunnel, to a server of this name.
    fn url(&self, url: &str, name: &str, hostaddr: &str) -> String {
        let options = PgConnectOptions::from_str(url).unwrap();
        let (_, rest) = url.split_once("://").unwrap();
        let (login, _) = rest.split_once('@').unwrap();
        let (database, ca) = (options.get_database().unwrap(), self.folder.path().join("ca.pem"));
        let ca = ca.display();
        format!("postgres://{login}@{name}:{PORT}/{database}?hostaddr={hostaddr}&sslrootcert={ca}")
    }

    fn temporary(&self) -> std::path::PathBuf {
        self.folder.path().join("tmp")
    }

    async fn run(&self, arguments: &[&str], url: &str) -> Output {
        self.run_in(&self.temporary(), arguments, url).await
    }

    async fn run_in(&self, temporary: &Path, arguments: &[&str], url: &str) -> Output {
        let mut command = tokio::process::Command::new(binaries::user_sync());
        command.args(arguments).env_clear().envs(self.database.deployment.environment());
        command.env("DATABASE_URL", url).env("TMPDIR", temporary).stdin(Stdio::null());
        command.output().await.unwrap()
    }
}

/// Gives the server the certificate while it runs, by what a superuser may.
async fn speak_tls(admin_url: &str, certified: &Certified) {
    let admin = local::connect(admin_url, 1).await.unwrap();
    for (file, pem) in [("server.crt", &certified.certificate), ("server.key", &certified.key)] {
        let copy = format!(
            "copy (select unnest(string_to_array('{}', E'\\n'))) to program 'cat > {file} && chmod 600 {file}'",
            pem.trim_end().replace("\r\n", "\n")
        );
        sqlx::raw_sql(AssertSqlSafe(copy)).execute(&admin).await.unwrap();
    }
    sqlx::raw_sql("alter system set ssl = on").execute(&admin).await.expect("a PostgreSQL that has TLS");
    sqlx::raw_sql("select pg_reload_conf()").execute(&admin).await.unwrap();
    eventually("the server speaks TLS", Duration::from_secs(30), async || {
        let is_on = sqlx::query_scalar::<_, String>("show ssl").fetch_one(&admin).await.unwrap();
        is_on == "on"
    })
    .await;
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&all).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_reaches_a_server_by_another_address_and_verifies_its_name() {
    let tunnel = Tunnel::create().await;
    let deployment = &tunnel.database.deployment;
    let address =
        tunnel.tunnel.through(&format!("{}:{}", tunnel.stack.postgres.host(), tunnel.stack.postgres.port()));
    let through = |url: &str| tunnel.url(url, NAME, &address);

    let config = DatabaseConfig::with_url(through(&deployment.consumer_url));
    let database = postgres::connect(&config, 2).await.unwrap();
    database.ping().await.unwrap();
    assert_eq!(database.server(), format!("{NAME}:{PORT} by way of {address}"));
    let query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let is_encrypted: bool = sqlx::query_scalar(query).fetch_one(database.questions()).await.unwrap();
    assert!(is_encrypted);
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1";
    let options = PgConnectOptions::from_str(&deployment.consumer_url).unwrap();
    sqlx::query(cut).bind(options.get_username()).execute(&tunnel.database.owner).await.unwrap();
    database.ping().await.expect("another connection, after one that was cut");
    database.close().await;

    let consumer = through(&deployment.consumer_url);
    let tmp = tunnel.temporary().display().to_string();
    for (number, adapter) in (0..).zip(Adapter::ALL) {
        let env = [("DATABASE_URL", consumer.as_str()), ("TMPDIR", &tmp)];
        let running = adapter.start(deployment, &env).await;
        send(deployment, &[login(number, at(1)).build().encode()]).await;
        running.drained(deployment).await;
        running.end().await;
    }
    assert_eq!(tunnel.database.count("users where login_count = 1").await, 2);
    let doctor = said(&tunnel.run(&["doctor"], &consumer).await);
    let user = options.get_username();
    for words in [&format!("{NAME}:{PORT} by way of {address}, as {user}"), "server verified"] {
        assert!(doctor.contains(words), "{doctor}");
    }
    let verified = tunnel.run(&["verify"], &through(&deployment.operator_url)).await;
    assert!(said(&verified).contains("0 differences"), "{}", said(&verified));
    let migrated = tunnel.run(&["migrate"], &through(&deployment.owner_url)).await;
    assert!(migrated.status.success(), "{}", said(&migrated));
    assert!(is_empty(&tunnel.temporary()), "nothing is left of the way there");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_the_server_of_that_name_is_refused_and_both_are_named() {
    let tunnel = Tunnel::create().await;
    let url = &tunnel.database.deployment.consumer_url;
    let address =
        tunnel.tunnel.through(&format!("{}:{}", tunnel.stack.postgres.host(), tunnel.stack.postgres.port()));
    let (_socket, silent) = refusing();
    let silent = silent.trim_start_matches("http://").to_owned();
    for (name, address, words) in [
        ("other.user-sync.invalid", &address, "not valid for name"),
        ("localhost.", &address, "not valid for name"),
        (NAME, &silent, "Connection refused"),
    ] {
        let url = tunnel.url(url, name, address);
        let error = postgres::connect(&DatabaseConfig::with_url(&url), 1).await.unwrap().ping().await;
        let error = error.unwrap_err().to_string();
        let both = format!("{name}:{PORT} by way of {address}");
        assert!(error.contains(words) && error.contains(&both), "{error}");
        for command in ["verify", "doctor"] {
            let output = tunnel.run(&[command], &url).await;
            assert!(!output.status.success() && said(&output).contains(&both), "{}", said(&output));
        }
    }
    let right = tunnel.url(url, NAME, &address);
    let output = tunnel.run_in(Path::new("/nowhere"), &["verify"], &right).await;
    assert!(!output.status.success() && said(&output).contains("TMPDIR"), "{}", said(&output));
    let output = tunnel.run(&["verify"], &tunnel.url(url, NAME, "localhost:15432")).await;
    assert!(said(&output).contains("hostaddr=127.0.0.1:15432"), "{}", said(&output));
    assert!(is_empty(&tunnel.temporary()), "nothing is left of the way there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_signed_for_the_name_and_not_for_the_address() {
    let database = TestDatabase::create().await;
    let options = PgConnectOptions::from_str(&database.deployment.consumer_url).unwrap();
    let (user, known) = (options.get_username().to_owned(), "known-0f9d");
    let alter = format!("alter role {user} password '{known}'");
    sqlx::query(AssertSqlSafe(alter)).execute(&database.owner).await.unwrap();
    let server = format!("{}:{}", options.get_host(), options.get_port()).parse().unwrap();
    let certified = Certified::of(NAME);
    let signed = Signed { user: user.clone(), session: None };
    let named = Some((format!("{NAME}:{PORT}"), &certified));
    let rds = Rds::start_as(named, server, signed, known, "28000").await;
    let tunnel = Proxy::start(rds.address, None).await;
    let address = tunnel.through(&rds.address.to_string());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &certified.authority).unwrap();
    let name = options.get_database().unwrap();
    let url =
        format!("postgres://{user}@{NAME}:{PORT}/{name}?hostaddr={address}&sslrootcert={}", ca.display());
    let env = [("DATABASE_URL", url.as_str()), ("USER_SYNC_DATABASE_AUTH", "iam")];
    let worker = Adapter::Worker.start(&database.deployment, &env).await;
    send(&database.deployment, &[login(7, at(1)).build().encode()]).await;
    worker.drained(&database.deployment).await;
    // Fetched again, it is of the name still.
    rds.expire_all();
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1";
    let seen = rds.tokens().len();
    eventually("a new token is presented", Duration::from_secs(60), async || {
        sqlx::query(cut).bind(&user).execute(&database.owner).await.unwrap();
        rds.tokens().len() > seen
    })
    .await;
    send(&database.deployment, &[login(7, at(2)).build().encode()]).await;
    worker.drained(&database.deployment).await;
    worker.end().await;
    assert_eq!(database.count("users where login_count = 2").await, 1);
    let tokens = rds.tokens();
    assert!(tokens.iter().all(|token| token.starts_with(&format!("{NAME}:{PORT}/?"))), "{tokens:?}");
    let refused: Vec<_> = rds.attempts().into_iter().filter_map(|attempt| attempt.refused).collect();
    assert!(refused.iter().all(|why| why == "expired"), "{refused:?}");
}
