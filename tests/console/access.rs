//! Who may enter the console: one-time links, Host, Origin, sessions. Whom a load balancer signs in: `oidc`.

mod oidc;

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::console::{Answer, Console};
use crate::support::{binaries, deployment, eventually};

/// The path and query of a link.
fn path_of(link: &str) -> String {
    format!("/{}", link.splitn(4, '/').nth(3).unwrap())
}

fn cookies(answer: &Answer) -> Vec<&str> {
    let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    cookies.map(|(_, value)| value.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lets_one_browser_in_once() {
    let deployment = deployment().await;
    let console = Console::start_signed_out(&deployment.environment(), &[]).await;
    let (link, port) = (path_of(&console.url), console.address.rsplit_once(':').unwrap().1.to_owned());
    let outside = console.get("/now").await;
    assert_eq!(outside.status, 401);
    outside.says("Sign in").says(&format!("kill -USR1 {}", console.id())).never_says("token=");
    // A look is no visit.
    assert_eq!(console.ask("HEAD", &link, &[], "").await.status, 204);
    assert_eq!(console.ask("GET", &link, &[("sec-purpose", "prefetch;prerender")], "").await.status, 204);
    console.forget_cookies();
    let entered = console.get(&link).await;
    assert_eq!((entered.status, entered.location()), (303, "/now"));
    let session = cookies(&entered)[0];
    assert!(session.starts_with(&format!("user_sync_session_{port}=")), "{session}");
    assert!(session.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"), "{session}");
    assert_eq!(console.get("/now").await.status, 200);
    assert_eq!(console.get(&link).await.status, 303, "who is in, and opens the link again, is in");
    console.forget_cookies();
    let stolen = console.get(&link).await;
    assert_eq!((stolen.status, cookies(&stolen).len()), (401, 0));
    stolen.says("This link was used at").says("If that was not you, stop the console");
    for token in ["", "?token=", "?token=x", "?token=%00", "?token=../..", "?other=1"] {
        assert_eq!(console.get(&format!("/enter{token}")).await.status, 401, "{token}");
    }
    assert_eq!(console.get("/now").await.status, 401);
    let token = link.split_once('=').unwrap().1;
    assert!(!console.stderr().contains(token), "no token is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_prints_a_link_for_a_colleague_who_may_paste_it() {
    let deployment = deployment().await;
    let console = Console::start(&deployment, &[]).await;
    let killed = Command::new("kill").args(["-USR1", &console.id().to_string()]).status().unwrap();
    assert!(killed.success());
    eventually("another link is printed", Duration::from_secs(20), async || {
        console.stdout().lines().count() == 2
    })
    .await;
    let printed = console.stdout();
    let link = printed.lines().last().unwrap();
    assert_ne!(link, console.url);
    console.forget_cookies();
    assert_eq!(console.post("/enter", &[("token", "none")]).await.status, 401);
    assert_eq!(console.post("/enter", &[("token", link)]).await.status, 303);
    assert_eq!(console.get("/now").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_goes_on_where_they_were_and_nothing_was_done() {
    let deployment = deployment().await;
    let console = Console::start_signed_out(&deployment.environment(), &[]).await;
    let elsewhere = console.ask("GET", "//evil.example/x", &[], "").await;
    assert!(cookies(&elsewhere).is_empty(), "{elsewhere:?}");
    let refused = console.get("/users?status=CONFIRMED").await;
    assert_eq!(refused.status, 401);
    refused.says("href=\"/users?status=CONFIRMED\"");
    let entered = console.get(&path_of(&console.url)).await;
    assert_eq!(entered.location(), "/users?status=CONFIRMED");
    assert!(
        cookies(&entered).iter().any(|cookie| cookie.contains("_back_") && cookie.ends_with("Max-Age=0"))
    );
    console.forget_cookies();
    let (own, other) = (format!("http://{}/help", console.address), "http://evil.example/help");
    for (referer, is_kept) in [(own.as_str(), true), (other, false), ("http://127.0.0.1:1/help", false)] {
        let origin = format!("http://{}", console.address);
        let headers = [("origin", origin.as_str()), ("referer", referer)];
        let lost = console.ask("POST", "/theme", &headers, "theme=dark&back=/help").await;
        assert_eq!(lost.status, 401);
        lost.says("nothing was changed");
        assert!(!cookies(&lost).iter().any(|cookie| cookie.contains("theme")), "nothing was done");
        assert_eq!(cookies(&lost).iter().any(|cookie| cookie.contains("_back_")), is_kept, "{referer}");
        console.forget_cookies();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_another_site_opens_a_page_by_one_more_step() {
    let console = Console::start(&deployment().await, &[]).await;
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        // The browser keeps the cookies back.
        ("cookie", "a=b"),
    ];
    let stepped = console.ask("GET", "/drift?kind=status", &link, "").await;
    assert_eq!((stepped.status, stepped.header("refresh")), (200, Some("0; url=/drift?kind=status")));
    assert!(cookies(&stepped).is_empty());
    let evil = console.ask("GET", "//evil.example", &link, "").await;
    assert_eq!(evil.header("refresh"), Some("0; url=/now"));
    assert_eq!(
        console.ask("GET", "/drift?kind=status", &link[..3], "").await.status,
        200,
        "with cookies: the page"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_by_its_own_name_does_anybody_see_the_console() {
    let console = Console::start(&deployment().await, &[]).await;
    let port = console.address.rsplit_once(':').unwrap().1.to_owned();
    for host in
        ["evil.example".to_owned(), format!("evil.example:{port}"), format!("127.0.0.1.evil.example:{port}")]
            .into_iter()
            .chain(["", "0.0.0.0", "localhost@evil.example", "127.0.0.1:x"].map(str::to_owned))
    {
        for path in ["/now", "/enter?token=x", "/nowhere"] {
            let answer = console.ask("GET", path, &[("host", &host)], "").await;
            assert!(matches!(answer.status, 400 | 421), "{host:?}: {answer:?}");
            answer.never_says("token=");
        }
        let healthy = console.ask("GET", "/healthz", &[("host", &host)], "").await;
        assert!(
            healthy.status == 400 || (healthy.status, healthy.body.as_str()) == (200, "ok\n"),
            "{host:?}"
        );
    }
    let own = console.address.clone();
    let twice = console.ask("GET", "/now", &[("host", &own), ("host", "evil.example")], "").await;
    assert!(matches!(twice.status, 400 | 421), "{twice:?}");
    let named = console.ask("GET", "http://evil.example/now", &[], "").await;
    assert!(matches!(named.status, 400 | 421), "{named:?}");
    let local = format!("localhost:{port}");
    assert_eq!(console.ask("GET", "/now", &[("host", &local)], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_changes_nothing_and_reads_nothing() {
    let console = Console::start(&deployment().await, &[]).await;
    let own = format!("http://{}", console.address);
    let own = own.as_str();
    let refused: [&[(&str, &str)]; 8] = [
        &[],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "same-site")],
        &[("origin", own), ("sec-fetch-site", "cross-site")],
        &[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
        &[("origin", own), ("origin", own)],
    ];
    let form = "theme=dark&back=/now";
    for headers in refused {
        let headers = [headers, &[("content-type", "application/x-www-form-urlencoded")]].concat();
        for path in ["/theme", "/enter"] {
            let answer = console.ask("POST", path, &headers, form).await;
            assert_eq!((answer.status, cookies(&answer).len()), (403, 0), "{headers:?}");
            answer.says("another site").never_says("/now\" method");
        }
    }
    assert_eq!(console.post("/theme", &[("theme", "dark"), ("back", "/now")]).await.status, 303);
    let embedded =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
    assert_eq!(console.ask("GET", "/now", &embedded, "").await.status, 403);
    let asked = [("origin", "http://evil.example"), ("access-control-request-method", "POST")];
    let preflight = console.ask("OPTIONS", "/theme", &asked, "").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, None));
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "X"] {
        assert_eq!(console.ask(method, "/theme", &[("origin", own)], "").await.status, 405, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_but_our_own_is_believed() {
    let deployment = deployment().await;
    let (console, other) = tokio::join!(Console::start(&deployment, &[]), Console::start(&deployment, &[]));
    let name = format!("user_sync_session_{}", console.address.rsplit_once(':').unwrap().1);
    let of_other = other.cookie("session");
    let own = console.cookie("session");
    let (value, tag) = own.split_once('.').unwrap();
    let raised = value.replace('A', "B");
    for forged in [of_other, format!("{value}."), format!("{raised}.{tag}"), value.to_owned(), String::new()]
    {
        let cookie = format!("{name}={forged}");
        assert_eq!(console.ask("GET", "/now", &[("cookie", &cookie)], "").await.status, 401, "{forged}");
    }
    // Another port of the machine put a cookie of the same name before it.
    let both = format!("{name}=x; {name}={own}");
    assert_eq!(console.ask("GET", "/now", &[("cookie", &both)], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_operators_lets_a_session_outlive_the_process() {
    let deployment = deployment().await;
    let key = ("USER_SYNC_CONSOLE_KEY", "0123456789abcdef0123456789abcdef");
    let environment = [deployment.environment(), vec![key]].concat();
    let console = Console::start_signed_out(&environment, &[]).await;
    console.sign_in().await;
    let session = console.cookie("session");
    let next = Console::start_signed_out(&environment, &[]).await;
    let cookie = format!("user_sync_session_{}={session}", next.address.rsplit_once(':').unwrap().1);
    assert_eq!(next.ask("GET", "/now", &[("cookie", &cookie)], "").await.status, 200);
}

/// What the command says that refuses to start.
fn refusal(arguments: &[&str], key: Option<&str>) -> String {
    let mut command = Command::new(binaries::user_sync());
    command.arg("console").args(arguments).env_clear().stdin(Stdio::null());
    command.envs(key.map(|key| ("USER_SYNC_CONSOLE_KEY", key)));
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_would_let_others_in_is_refused_at_start() {
    let said = refusal(&["--listen", "0.0.0.0:8787"], None);
    assert!(said.contains("--listen is \"0.0.0.0:8787\"") && said.contains("--behind-tls"), "{said}");
    let said = refusal(&["--behind-tls", "https://console.example.com"], None);
    assert!(said.contains("--behind-tls is \"https://console.example.com\""), "{said}");
    let said = refusal(&["--oidc-read", "support"], None);
    assert!(said.contains("--oidc-read is \"support\"") && said.contains("--oidc-load-balancer"), "{said}");
    let said = refusal(&["--allow", "everything"], None);
    assert!(said.contains("everything") && said.contains("read, reveal, act"), "{said}");
    let said = refusal(&[], Some("hunter2"));
    assert!(
        said.contains("USER_SYNC_CONSOLE_KEY is \"7 bytes long\"") && !said.contains("hunter2"),
        "{said}"
    );
}
