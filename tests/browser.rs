//! The console in a browser, with script and without: `browser/drive.mjs` does on every page what a visitor does, beside
//! 100,000 users and 1,000,000 events, and looks at each page in both themes and three widths.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::dev::stack::Stack;
use cognito_user_sync_triggers::timestamp::Timestamp;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::dlq::{event, reject};
use crate::metrics::Worker;
use crate::support::console::Console;
use crate::support::events::{confirmed, login, sub};
use crate::support::{TestDatabase, binaries, own_stack};

/// Names the browser where it is not found by its name.
const VARIABLE: &str = "USER_SYNC_TEST_CHROMIUM";
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What the driver may take; it takes a quarter of it.
const LIMIT: Duration = Duration::from_secs(1200);

/// How many messages a redrive helps.
const LETTERS: u128 = 24;

const ADA: u128 = 0xada;
const EMAIL: &str = "countess.of.lovelace@example.org";
const PHONE: &str = "+442079460958";
const NAME: &str = "Ada Countess-Lovelace";
const USER_NAME: &str = "ada-king-1815";

fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
    NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(is_program)
}

/// Past what captures the output of tests: nobody shall take a test that was left out for one that passed.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Where the packages are that drive it; they are fetched where they are not there.
fn packages() -> PathBuf {
    let made = Command::new("make")
        .args(["--silent", "--no-print-directory", "browser-packages"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("make runs");
    assert!(made.status.success(), "the packages of tests/browser cannot be fetched");
    String::from_utf8(made.stdout).unwrap().lines().last().unwrap().into()
}

fn ago(minutes: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - minutes * 60_000)
}

/// One whose every event came on the ordinary way: more of them than a page shows.
async fn ada(database: &TestDatabase) {
    let named = |name: &str, email: &str| {
        [("name", name.to_owned()), ("email", email.to_owned()), ("email_verified", "true".to_owned())]
            .into_iter()
            .chain([("phone_number", PHONE.to_owned()), ("phone_number_verified", "true".to_owned())])
            .collect::<Vec<_>>()
    };
    let mut events = Vec::new();
    for number in 0..60 {
        let (name, email) = if number < 20 { ("Ada Byron", "ada.byron@example.org") } else { (NAME, EMAIL) };
        let of = named(name, email);
        let of: Vec<_> = of.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let at = ago(20 * 60 - 15 * number);
        let build = if number == 0 { confirmed(ADA, at) } else { login(ADA, at) };
        events.push(build.attributes(&of).with(|data| data.user_name = Some(USER_NAME.into())).build());
    }
    database.apply(&events).await;
}

/// 100,000 users, 1,000,000 events, what analytics keep of them, and dead letters of two reasons.
async fn seed(database: &TestDatabase) {
    let deployment = &database.deployment;
    let setup = local::connect(&deployment.owner_url, 1).await.unwrap();
    sqlx::raw_sql(include_str!("browser/seed.sql")).execute(&setup).await.unwrap();
    setup.close().await;
    assert_eq!((database.count("users").await, database.count("user_events").await), (100_000, 1_000_000));
    ada(database).await;
    let mut refresh = Command::new(binaries::user_sync());
    refresh.args(["report", "refresh"]).env_clear().envs(deployment.environment());
    let refreshed = refresh.output().unwrap();
    assert!(refreshed.status.success(), "{}", String::from_utf8_lossy(&refreshed.stderr));
    for user in 0..LETTERS {
        reject(deployment, &format!("m{user}"), &event(user).encode(), "refused_by_database", "$").await;
    }
    for number in 0..3 {
        reject(deployment, &format!("x{number}"), &format!("{{\"number\":{number}"), "malformed", "$").await;
    }
}

/// Runs the driver to its end, and does what it asks for.
async fn drive(stack: &Stack, browser: &Path, order: &serde_json::Value) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/drive.mjs");
    let mut driver = tokio::process::Command::new("node")
        .arg(script)
        .arg(order.to_string())
        .env("USER_SYNC_BROWSER_PACKAGES", packages())
        .env(VARIABLE, browser)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A browser whose driver ends ends with it: its pipe closes.
        .kill_on_drop(true)
        .spawn()
        .expect("node is in PATH");
    let mut answers = driver.stdin.take().unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        eprintln!("{line}");
        match line.as_str() {
            "please stop the database" => stack.postgres.stop_server().await.unwrap(),
            "please start the database" => stack.postgres.start_server().await.unwrap(),
            _ => continue,
        }
        answers.write_all(b"done\n").await.unwrap();
    }
    assert!(driver.wait().await.unwrap().success(), "see what the driver said above");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_does_in_a_browser_what_it_says_with_script_and_without() {
    let Some(browser) = browser() else {
        say(&format!(
            "NOT TESTED: the console in a browser. None of {} is in PATH, and {VARIABLE} names none: install chromium",
            NAMES.join(", ")
        ));
        return;
    };
    let stack = own_stack().await;
    let database = TestDatabase::of(Deployment::create(&stack).await.unwrap()).await;
    seed(&database).await;
    let deployment = &database.deployment;
    let worker = Worker::start(&deployment.environment());
    let metrics = format!("http://{}/metrics", worker.address().await);
    let own = [("USER_SYNC_COMMANDS_DATABASE_URL", deployment.operator_url.as_str())];
    let environment: Vec<_> =
        crate::support::console::environment(deployment).into_iter().chain(own).collect();
    let acting = ["--allow", "reveal", "--allow", "act", "--metrics-url", &metrics];
    let console = Console::start_signed_out(&environment, &acting).await;
    let reader = Console::start_signed_out(&environment, &["--metrics-url", &metrics]).await;
    let secrets = [EMAIL, PHONE, NAME, USER_NAME, "Ada Byron", "ada.byron@example.org"];
    let person =
        json!({ "sub": sub(ADA), "email": EMAIL, "phone": PHONE, "userName": USER_NAME, "secrets": secrets });
    let order = json!({
        "url": console.url, "readerUrl": reader.url, "letters": u64::try_from(LETTERS).unwrap(), "person": person
    });
    let driven = tokio::time::timeout(LIMIT, drive(&stack, &browser, &order)).await;
    driven.expect("the driver ends in time");
    for log in [console.stderr(), reader.stderr()] {
        for secret in secrets {
            assert!(!log.contains(secret), "{secret} is in the log");
        }
        assert!(!log.contains("panicked") && !log.contains("could not be made"), "{log}");
    }
    drop((console, reader, worker));
    stack.stop().await.unwrap();
}
