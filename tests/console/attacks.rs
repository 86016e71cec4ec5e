//! Attacks: whoever asks for what they may not, from where they may not, with what acts, or too slowly.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use cognito_user_sync::postgres::Role;
use cognito_user_sync::store::runs::{Begin, Run, What};
use cognito_user_sync_triggers::event::{Event, GroupChange};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::report::login_url;
use crate::support::console::{Answer, Console};
use crate::support::events::{at, confirmed, group, sub};
use crate::support::{TestDatabase, deployment, eventually};

const LIMIT: Duration = Duration::from_secs(90);

/// What a route that takes POST wants of who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// Anybody may, without a session.
    Nothing,
    Read,
    Reveal,
    Act,
}

type Form = &'static [(&'static str, &'static str)];

/// Every route that takes POST, what it wants, and a form that it would take. Whoever adds a route says here who may.
const POSTS: [(&str, Wants, Form); 12] = [
    ("/enter", Wants::Nothing, &[("token", "x")]),
    ("/theme", Wants::Read, &[("theme", "dark"), ("back", "/now")]),
    ("/help", Wants::Read, &[("keys", "off")]),
    ("/users/find", Wants::Read, &[("text", "nobody@example.com")]),
    ("/users/count", Wants::Act, &[("status", "confirmed")]),
    ("/users/{sub}/reveal", Wants::Reveal, &[("reason", "ticket 882")]),
    ("/dead-letters/read", Wants::Act, &[]),
    (
        "/dead-letters/plan",
        Wants::Act,
        &[("queue", "events"), ("reading", "x"), ("deed", "drop_all"), ("reason", "malformed")],
    ),
    ("/plans", Wants::Act, &[("kind", "maintain")]),
    ("/plans/{id}", Wants::Act, &[("reason", "change 882")]),
    ("/tasks/{id}/cancel", Wants::Act, &[]),
    ("/drift/{run}/repair", Wants::Act, &[]),
];

/// The routes of the console's own code that take POST.
fn routes(folder: &Path, found: &mut BTreeSet<String>) {
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.is_dir() {
            routes(&file, found);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&file).unwrap();
            for route in text.split(".route(").skip(1) {
                let path = route.trim_start().strip_prefix('"').and_then(|route| route.split('"').next());
                let Some(path) = path else { continue };
                let mut depth = 1_i32;
                let end = route.find(|character| {
                    depth += i32::from(character == '(') - i32::from(character == ')');
                    depth == 0
                });
                let handlers = &route[..end.unwrap()];
                let takes_post = |words: &&str| handlers.contains(*words);
                if ["post(", "any(", "MethodRouter", "on("].iter().any(takes_post) {
                    found.insert(path.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_route_that_takes_post_is_attacked_here() {
    let mut found = BTreeSet::new();
    routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), &mut found);
    assert_eq!(found, POSTS.iter().map(|(route, _, _)| (*route).to_owned()).collect());
}

/// A deployment in which each route has something to act on.
struct Scene {
    database: TestDatabase,
    plan: Uuid,
    task: Uuid,
    run: Uuid,
}

impl Scene {
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        database.apply(&[confirmed(1, at(0)).email("ada@example.com").build()]).await;
        let url = login_url(&database, Role::Reader).await;
        let config = cognito_user_sync::config::DatabaseConfig::with_url(&url);
        let reader = cognito_user_sync::postgres::connect(&config, 1).await.unwrap();
        let run = Run::begin_as(&reader, Begin::new(What::Reconcile, json!({}))).await;
        let id = run.id().unwrap();
        run.end(json!({ "found": 3, "left": 3, "repairable": 3, "kinds": { "missing": 3 } })).await;
        let scene = Self { database, plan: Uuid::now_v7(), task: Uuid::now_v7(), run: id };
        for plan in [scene.plan, scene.task] {
            let insert =
                "insert into user_sync_console_plans (id, who, kind, scope, ids, count, facts, samples)
                values ($1, 'ada', 'verify', '{}', '{}', 0, '[]', '{}')";
            sqlx::query(insert).bind(plan).execute(&scene.database.owner).await.unwrap();
        }
        let insert = "insert into user_sync_console_tasks (id, plan, who, rate) values ($1, $1, 'ada', 1)";
        sqlx::query(insert).bind(scene.task).execute(&scene.database.owner).await.unwrap();
        let note = "insert into user_sync_console_task_notes (task, id, state) values ($1, $1, 'running')";
        sqlx::query(note).bind(scene.task).execute(&scene.database.owner).await.unwrap();
        scene
    }

    fn path(&self, route: &str) -> String {
        let id = if route.starts_with("/tasks") { self.task } else { self.plan };
        route
            .replace("{id}", &id.to_string())
            .replace("{run}", &self.run.to_string())
            .replace("{sub}", &sub(1).to_string())
    }

    /// How many rows each table has that the console writes, but for refusals and sign-ins.
    async fn done(&self) -> [i64; 4] {
        let mut counts = [0; 4];
        let trail = "trail where did not in ('refused', 'signed_in')";
        for (count, table) in counts.iter_mut().zip([trail, "plans", "tasks", "task_notes"]) {
            *count = self.database.count(&format!("user_sync_console_{table}")).await;
        }
        counts
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_acts_is_refused_at_every_route_and_each_refusal_is_written_down() {
    let scene = Scene::create().await;
    let console = Console::start(&scene.database.deployment, &[]).await;
    let before = scene.done().await;
    let mut refused = 0;
    for (route, wants, form) in POSTS {
        let answer = console.post(&scene.path(route), form).await;
        match wants {
            Wants::Nothing | Wants::Read => {
                assert!(matches!(answer.status, 200 | 303), "{route}: {answer:?}");
            }
            Wants::Reveal | Wants::Act => {
                assert_eq!(answer.status, 403, "{route}: {answer:?}");
                answer.says("You may not do this").never_says("ada@example.com");
                assert_eq!(answer.header("set-cookie"), None, "{route}");
                refused += 1;
            }
        }
    }
    let refusals = "user_sync_console_trail where did = 'refused'";
    assert_eq!(scene.database.count(refusals).await, refused);
    let [trail, rest @ ..] = scene.done().await;
    assert_eq!((trail, &rest[..]), (before[0] + 1, &before[1..]), "but for the search");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_site_and_no_other_name_changes_anything_at_any_route() {
    let scene = Scene::create().await;
    let console = Console::start(&scene.database.deployment, &["--allow", "reveal,act"]).await;
    let own = format!("http://{}", console.address);
    let port = console.address.rsplit_once(':').unwrap().1;
    let evil_host = format!("evil.example:{port}");
    let form_type = ("content-type", "application/x-www-form-urlencoded");
    let crossing: [&[(&str, &str)]; 7] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
        &[("origin", "https://evil.example")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        &[("origin", "http://127.0.0.1:1")],
    ];
    let before = scene.done().await;
    for (route, _, form) in POSTS {
        let path = scene.path(route);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        for headers in crossing {
            let answer = console.ask("POST", &path, &[headers, &[form_type]].concat(), &body).await;
            assert_eq!(answer.status, 403, "{route}, {headers:?}");
            answer.says("another site");
            assert_eq!(answer.header("set-cookie"), None, "{route}, {headers:?}");
        }
        let named = [("host", evil_host.as_str()), ("origin", "http://evil.example"), form_type];
        let rebound = console.ask("POST", &path, &named, &body).await;
        assert_eq!(rebound.status, 421, "{route}");
        // Whoever has no session, or only a part of one.
        for cookie in ["a=b".to_owned(), format!("user_sync_session_{port}=x.y")] {
            let headers = [("origin", own.as_str()), ("cookie", &cookie), form_type];
            let answer = console.ask("POST", &path, &headers, &body).await;
            assert_eq!(answer.status, 401, "{route}");
        }
    }
    assert_eq!(scene.done().await, before);
    assert_eq!(scene.database.count("user_sync_console_trail where did = 'refused'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_has_expired_lets_nobody_in() {
    let database = TestDatabase::create().await;
    let console = Console::start_signed_out(
        &crate::support::console::environment(&database.deployment),
        &["--link-seconds", "1"],
    )
    .await;
    let path = format!("/{}", console.url.splitn(4, '/').nth(3).unwrap());
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for _ in 0..2 {
        let answer = console.get(&path).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None));
        answer.says("This link has expired").says(&format!("kill -USR1 {}", console.id()));
    }
    assert_eq!(console.get("/now").await.status, 401);
    assert_eq!(database.count("user_sync_console_trail").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_used_lets_no_second_browser_in_and_the_first_is_written_down_once() {
    let database = TestDatabase::create().await;
    let console = Console::start(&database.deployment, &["--allow", "act"]).await;
    let path = format!("/{}", console.url.splitn(4, '/').nth(3).unwrap());
    let signed_in = async || {
        let query =
            "select who || ': ' || coalesce(result, '') from user_sync_console_trail where did = 'signed_in'";
        sqlx::query_scalar::<_, String>(query).fetch_all(&database.owner).await.unwrap()
    };
    assert_eq!(signed_in().await, ["operator (link 1): may read, act"]);
    for _ in 0..3 {
        assert_eq!(console.get("/help").await.status, 200);
        assert_eq!(console.get(&path).await.status, 303, "the same browser is in");
    }
    let thief = console.ask("GET", &path, &[("cookie", "a=b"), ("user-agent", "thief")], "").await;
    assert_eq!((thief.status, thief.header("set-cookie")), (401, None));
    thief.says("This link was used at");
    assert_eq!(signed_in().await.len(), 1);
    // A primary that is down keeps no reader out; that it was not written is in the log.
    let rename = "alter table user_sync_console_trail rename to user_sync_console_trail_away";
    sqlx::raw_sql(rename).execute(&database.owner).await.unwrap();
    let other = Console::start(&database.deployment, &[]).await;
    assert_eq!(other.get("/help").await.status, 200);
    eventually("it is in the log", LIMIT, async || other.stderr().contains("a sign-in was not written down"))
        .await;
}

const EVIL: &str = "</bdi></title><script>alert(1)</script>\u{202e}\u{200b}\"'><img src=x onerror=alert(1)>";

fn must_not_act(path: &str, page: &Answer) {
    // What a form sends back is the value itself; nobody sees it.
    let mut parts = page.body.split(" value=\"");
    let first = parts.next().unwrap().to_owned();
    let seen = first + &parts.map(|part| part.split_once('"').unwrap().1).collect::<String>();
    for acts in ["\u{202e}", "\u{200b}", "<script>alert", "<img src=x", "<b>evil"] {
        assert!(!seen.contains(acts), "{acts:?} in {path}: {seen}");
    }
    assert!(!page.body.contains("<script>alert") && !page.body.contains("<img src=x"), "{path}");
}

/// Every page that can be reached by links from the rail.
async fn crawl(console: &Console, more: &[&str]) -> usize {
    let rail = ["/now", "/users", "/analytics", "/dead-letters", "/drift", "/audit", "/tasks", "/help"];
    let mut to_see: VecDeque<String> = rail.iter().chain(more).map(|path| (*path).to_owned()).collect();
    let mut seen: BTreeSet<String> = to_see.iter().cloned().collect();
    let mut pages = 0;
    while let Some(path) = to_see.pop_front() {
        let page = console.get(&path).await;
        assert!(page.status < 500, "{path}: {page:?}");
        pages += 1;
        if !page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            continue;
        }
        must_not_act(&path, &page);
        for link in page.body.split("href=\"").skip(1) {
            let link = link.split(['"', '#']).next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
            if link.starts_with('/')
                && !link.starts_with("/assets")
                && !link.contains("range=")
                && seen.insert(link.clone())
            {
                to_see.push_back(link);
            }
        }
        assert!(pages < 400, "{to_see:?}");
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_chose_acts_on_no_page_that_a_link_leads_to() {
    let scene = Scene::create().await;
    let database = &scene.database;
    let names = [
        "name",
        "given_name",
        "family_name",
        "nickname",
        "phone_number",
        "email",
        "locale",
        "custom:<b>evil",
        "picture",
    ];
    let attributes: Vec<_> = names.iter().map(|name| (*name, EVIL)).collect();
    let person = confirmed(2, at(10)).attributes(&attributes).pool("eu-west-1_<b>evil").with(|data| {
        data.user_name = Some(EVIL.into());
        data.client_id = Some(EVIL.into());
        data.status = Some(EVIL.into());
        data.client.device = Some(EVIL.into());
        data.client.location = Some(EVIL.into());
        data.client.ip = Some(EVIL.into());
        data.client.user_agent = Some(EVIL.into());
    });
    database.apply(&[person.build(), Event::Group(group(EVIL, GroupChange::Joined(sub(2)), at(11)))]).await;
    let url = login_url(database, Role::Reader).await;
    let config = cognito_user_sync::config::DatabaseConfig::with_url(&url);
    let reader = cognito_user_sync::postgres::connect(&config, 1).await.unwrap();
    let begin = Begin {
        started_by: Some(EVIL.to_owned()),
        ..Begin::new(What::Verify, json!({ "pool": EVIL, EVIL: 1 }))
    };
    Run::begin_as(&reader, begin).await.end(json!({ "found": 2, "left": 2, "kinds": { EVIL: 2 } })).await;
    let begin = Begin { started_by: Some(EVIL.to_owned()), ..Begin::new(What::Audit, json!({})) };
    Run::begin_as(&reader, begin).await.fail(EVIL).await;

    // A dead letter of whoever may send to the queue.
    let text = |value: &str| {
        let value_builder = aws_sdk_sqs::types::MessageAttributeValue::builder();
        value_builder.data_type("String").string_value(value).build().unwrap()
    };
    let evil_sent = EVIL.replace('\u{200b}', "");
    let evil_body = json!({ "specversion": "1.0", "type": EVIL, "subject": sub(2), "source": EVIL, "data": { EVIL: EVIL } });
    for reason in ["malformed", evil_sent.as_str()] {
        let mut request = database.deployment.client().send_message().queue_url(&database.deployment.dlq_url);
        for (name, value) in [
            ("reason", reason),
            ("field", &evil_sent),
            ("detail", &evil_sent),
            ("source_message_id", &evil_sent),
        ] {
            request = request.message_attributes(name, text(value));
        }
        request.message_body(evil_body.to_string()).send().await.unwrap();
    }
    let more = [("USER", EVIL)];
    let console =
        Console::start_with(&database.deployment, &more, &["--allow", "reveal,act", "--environment", EVIL])
            .await;
    assert_eq!(console.post("/dead-letters/read", &[]).await.status, 303);
    eventually("they are read", LIMIT, async || {
        !console.get("/dead-letters").await.body.contains("Reading since")
    })
    .await;
    // Reasons, in the trail, the plan and the task.
    let planned = console.post("/plans", &[("kind", "verify")]).await;
    let wrong = console.post(planned.location(), &[("reason", &format!("{EVIL}{}", "x".repeat(400)))]).await;
    assert_eq!(wrong.status, 422);
    must_not_act("the plan with what was typed", &wrong);
    let task = console.post(planned.location(), &[("reason", EVIL)]).await.location().to_owned();
    console.post(&format!("{task}/cancel"), &[]).await;
    eventually("it has ended", LIMIT, async || !console.get(&task).await.body.contains("data-every")).await;
    console.get(&task).await.says("U+202E");
    let user = format!("/users/{}", sub(2));
    assert_eq!(console.post(&format!("{user}/reveal"), &[("reason", EVIL)]).await.status, 303);
    let page = console.get(&user).await;
    page.says("U+202E").says("Not applied: a dead letter").says("Personal data is shown");
    let pages = crawl(&console, &[&user, &task, planned.location()]).await;
    assert!(pages >= 18, "only {pages} pages are reached");
    for path in ["/audit.csv", "/analytics/growth.csv", "/analytics/growth.json"] {
        assert!(matches!(console.get(path).await.status, 200 | 404), "{path}");
    }
}

/// Sends a byte a second until nobody listens any more; returns what was answered.
async fn dribble(mut stream: TcpStream, head: &str, rest: &[u8]) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let write = async {
        for byte in rest.iter().cycle() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    // What is put out may be so by a reset.
    tokio::select! {
        _ = reader.read_to_end(&mut answer) => {}
        () = write => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_byte_a_second_is_put_out_and_keeps_nobody_waiting() {
    let console = Console::start(&deployment().await, &[]).await;
    let (address, cookie) = (console.address.clone(), console.cookie("session"));
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let mut slow = tokio::task::JoinSet::new();
    for number in 0..40 {
        let stream = TcpStream::connect(&address).await.unwrap();
        let (address, cookie, port) = (address.clone(), cookie.clone(), port.clone());
        slow.spawn(async move {
            match number % 2 {
                0 => ("head", dribble(stream, "GET /now HTTP/1.1\r\nx-slow: ", b"x").await),
                _ => {
                    let head = format!(
                        "POST /theme HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\n\
                         cookie: user_sync_session_{port}={cookie}\r\n\
                         content-type: application/x-www-form-urlencoded\r\ncontent-length: 5000\r\n\r\n"
                    );
                    ("body", dribble(stream, &head, b"x").await)
                }
            }
        });
    }
    // Meanwhile the others have their pages.
    for _ in 0..20 {
        assert_eq!(console.get("/help").await.status, 200);
    }
    let all = tokio::time::timeout(LIMIT, slow.join_all()).await.expect("all of them are put out");
    for (what, answer) in all {
        let is_refused = answer.is_empty()
            || ["408", "504"].iter().any(|code| answer.contains(&format!("HTTP/1.1 {code}")));
        assert!(is_refused, "{what}: {answer}");
    }
    assert_eq!(console.get("/help").await.status, 200);
}
