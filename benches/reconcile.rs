//! How long `user-sync reconcile` takes, and how much memory. Three runs, each of the release program:
//!
//! `cargo bench --bench reconcile -- emulator USERS`: a real pool API with USERS users, 1% of them different in each
//! way; repaired, killed half-way, resumed, drained, and proved.
//! `cargo bench --bench reconcile -- fill USERS`: the same of an empty table, the first fill, with its requests.
//! `cargo bench --bench reconcile -- stub USERS`: a pool of any size, made up from numbers; a dry run on an empty table,
//! as a first fill, and one on the table with its rows. Both say what they asked the pool, beside what they had planned.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use cognito_user_sync::cognito::user_pool;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Progress, Stack, StackOptions};
use cognito_user_sync::geoip::GeoIp;
use cognito_user_sync::postgres;
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::maintenance::drift::Kind;
use cognito_user_sync::store::maintenance::verify::verify;
use serde_json::Value;
use tokio::process::Command;
use user_sync_test_support::{large_pool, pool};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mode = arguments.next().unwrap_or_else(|| "emulator".to_owned());
    let users = arguments.next().map(|users| users.parse::<u64>().unwrap());
    let postgres = PostgresOptions { source: PostgresSource::from_env(), durable: true };
    let stack = Stack::start(StackOptions { postgres, progress: Progress::Lines }).await.unwrap();
    let deployment = Deployment::create(&stack).await.unwrap();
    match mode.as_str() {
        "emulator" => emulator(&deployment, users.unwrap_or(10_000)).await,
        "fill" => fill(&deployment, users.unwrap_or(10_000)).await,
        "stub" => stub(&deployment, users.unwrap_or(100_000)).await,
        other => panic!("{other:?} is neither emulator, fill nor stub"),
    }
    deployment.remove().await.unwrap();
    stack.stop().await.unwrap();
}

async fn emulator(deployment: &Deployment, users: u64) {
    let config = DatabaseConfig::with_url(&deployment.consumer_url);
    let applier = Applier::new(postgres::connect(&config, 2).await.unwrap());
    let pool = pool::TestPool::create(&deployment.endpoint).await;
    let started = Instant::now();
    let count = usize::try_from(users).unwrap();
    let expected = pool.drift(&applier, count, count / 100).await;
    println!("made: {users} users and their rows in {:.0?}", started.elapsed());

    let repaired = repair(deployment, &pool.id, users).await;
    assert_eq!(drift(&repaired), expected, "exactly what was made");
    let left = prove(deployment, &applier, &pool.id).await;
    assert_eq!(left, [(Kind::DeletedButPresent, expected[&Kind::DeletedButPresent])].into());
}

/// The first fill of an empty table.
async fn fill(deployment: &Deployment, users: u64) {
    let config = DatabaseConfig::with_url(&deployment.consumer_url);
    let applier = Applier::new(postgres::connect(&config, 2).await.unwrap());
    let pool = pool::TestPool::create(&deployment.endpoint).await;
    let started = Instant::now();
    pool.add_many(usize::try_from(users).unwrap()).await;
    println!("made: {users} users in {:.0?}", started.elapsed());
    let filled = repair(deployment, &pool.id, users).await;
    assert_eq!(drift(&filled), [(Kind::Missing, users)].into(), "exactly what was made");
    let [sent, planned] = ["requests", "plan"].map(|name| filled[name]["list_users"].as_u64().unwrap());
    assert!((planned..=planned + 2).contains(&sent), "what was under way at the kill is asked again: {sent}");
    assert_eq!(planned, users.div_ceil(user_pool::PAGE_USERS as u64));
    assert_eq!(prove(deployment, &applier, &pool.id).await, BTreeMap::new());
}

/// Repairs, killed half-way and resumed; what the second run says.
async fn repair(deployment: &Deployment, pool: &str, users: u64) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let pages = users.div_ceil(user_pool::PAGE_USERS as u64);
    let program = || {
        let arguments = ["--repair", "--max-deletions=1000000"];
        reconcile(deployment, pool, folder.path(), &deployment.endpoint, &arguments).spawn().unwrap()
    };
    let (started, mut killed) = (Instant::now(), program());
    let peak_of_killed = until_page(&mut killed, folder.path(), pages / 2).await;
    killed.kill().await.unwrap();
    println!("killed after {:.0?}, half-way, peak memory {peak_of_killed} kB", started.elapsed());

    let started = Instant::now();
    let (output, peak) = large_pool::measured(program()).await;
    print(&output, started.elapsed(), peak);
    let found = found(&output);
    assert_eq!(found["resumed"], true);
    found
}

/// Drains the queue, recomputes every row, and compares once more; what is left.
async fn prove(deployment: &Deployment, applier: &Applier, pool: &str) -> BTreeMap<Kind, u64> {
    let started = Instant::now();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_user-sync"));
    worker.args(["worker", "--until-empty"]).env_clear().envs(deployment.environment()).stderr(Stdio::null());
    assert!(worker.status().await.unwrap().success());
    println!("drained in {:.0?}", started.elapsed());
    let (mut differences, geoip) = (0_u64, GeoIp::default());
    verify(applier.database(), &geoip, |_| differences += 1, |_| {}).await.unwrap();
    let (started, folder) = (Instant::now(), tempfile::tempdir().unwrap());
    let again = reconcile(deployment, pool, folder.path(), &deployment.endpoint, &[]).spawn().unwrap();
    let (output, peak) = large_pool::measured(again).await;
    print(&output, started.elapsed(), peak);
    let left = drift(&found(&output));
    println!("verify: {differences} differences; left: {left:?}");
    assert_eq!((differences, output.status.code()), (0, Some(0)));
    left
}

async fn stub(deployment: &Deployment, users: u64) {
    let owner = local::connect(&deployment.owner_url, 1).await.unwrap();
    let stub = large_pool::LargePool::start(users).await;
    let dry_run = async |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let mut program = reconcile(deployment, large_pool::ID, folder.path(), &stub.endpoint(), arguments);
        let (output, peak) = large_pool::measured(program.spawn().unwrap()).await;
        print(&output, started.elapsed(), peak);
        found(&output)
    };
    let first = dry_run(&["--without-groups"]).await;
    let expected = large_pool::drift(users);
    let without_sub = expected.get(&Kind::WithoutSub).copied().unwrap_or(0);
    let missing = BTreeMap::from([(Kind::Missing, users - without_sub), (Kind::WithoutSub, without_sub)]);
    assert_eq!(drift(&first), missing.into_iter().filter(|(_, users)| *users > 0).collect());
    assert_eq!(first["requests"]["list_users"], first["plan"]["list_users"], "as planned");
    assert_eq!(stub.asked("ListUsers"), users.div_ceil(user_pool::PAGE_USERS as u64));

    let started = Instant::now();
    large_pool::fill(&owner, users).await;
    println!("made: {users} users' rows in {:.0?}", started.elapsed());
    let found = dry_run(&[]).await;
    assert_eq!(drift(&found), expected, "exactly what was made");
    assert_eq!(stub.asked("AdminGetUser"), 0);
}

/// The program, as fast as the server answers.
fn reconcile(
    deployment: &Deployment,
    pool: &str,
    folder: &Path,
    endpoint: &str,
    arguments: &[&str],
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_user-sync"));
    command
        .args(["reconcile", "--json", "--settle-seconds=0", "--user-pool-id", pool])
        .args(["--max-requests-per-second=1000", "--checkpoint"])
        .arg(folder.join("reconcile"))
        .args(arguments)
        .env_clear()
        .envs(deployment.environment())
        .env("AWS_ENDPOINT_URL", endpoint)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Waits until the checkpoint has so many pages; says the most memory until then, in kB.
async fn until_page(program: &mut tokio::process::Child, folder: &Path, pages: u64) -> u64 {
    let status = format!("/proc/{}/status", program.id().unwrap());
    loop {
        assert_eq!(program.try_wait().unwrap(), None, "it ended before it was half-way");
        let progress = std::fs::read(folder.join("reconcile/progress.json")).unwrap_or_default();
        let progress: Value = serde_json::from_slice(&progress).unwrap_or_default();
        if progress["pages"].as_u64() >= Some(pages.max(1)) {
            return large_pool::peak(&status).unwrap_or(0);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn found(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{} {said}", output.status))
}

fn drift(found: &Value) -> BTreeMap<Kind, u64> {
    let drift: BTreeMap<Kind, u64> = serde_json::from_value(found["drift"].clone()).unwrap();
    drift.into_iter().filter(|(_, users)| *users > 0).collect()
}

fn print(output: &Output, took: Duration, peak: u64) {
    let found = found(output);
    let users = u32::try_from(found["users"].as_u64().unwrap()).unwrap();
    let rate = f64::from(users) / took.as_secs_f64();
    println!("{}", String::from_utf8_lossy(&output.stdout).trim());
    let [asked, planned] =
        [&found["requests"], &found["plan"]].map(|requests| requests["list_users"].clone());
    let active = &found["requests"]["admin_get_user"];
    println!("requests: {asked} ListUsers, {planned} planned without confirmations; AdminGetUser = {active}");
    assert_eq!(*active, 0, "nobody becomes active");
    println!("reconcile: {users} users in {took:.1?}, {rate:.0} users/s, peak memory {peak} kB");
}
