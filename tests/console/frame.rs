//! What all pages have in common: headers, files, looks, limits, failures.

use std::time::Duration;

use crate::support::console::{Answer, Console};
use crate::support::{deployment, eventually};

const PAGES: [&str; 8] =
    ["/now", "/users", "/analytics", "/dead-letters", "/drift", "/audit", "/help", "/runbook"];

/// The URL of an asset, as a page names it.
fn asset<'p>(page: &'p Answer, name: &str) -> &'p str {
    let start = page.body.find(&format!("/assets/{name}-")).unwrap_or_else(|| panic!("no {name}: {page:?}"));
    page.body[start..].split('"').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_forbids_the_browser_what_it_does_not_need() {
    let console = Console::start(&deployment().await, &[]).await;
    let style = asset(&console.get("/help").await, "console").to_owned();
    let others = ["/", "/nowhere", "/users/nobody", "/healthz", "/theme", style.as_str()];
    for path in PAGES.into_iter().chain(others) {
        let answer = console.get(path).await;
        let header = |name| answer.header(name).unwrap_or_else(|| panic!("{path} has no {name}"));
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'; "), "{path}");
        for part in ["form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("data:"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert!(header("permissions-policy").contains("camera=()"), "{path}");
        let kept = if path == style { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(header("cache-control"), kept, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_has_a_frame_and_nothing_inline() {
    let console = Console::start(&deployment().await, &["--environment", "<b>night\u{202e}"]).await;
    for path in PAGES.into_iter().chain(["/nowhere"]) {
        let answer = console.get(path).await;
        assert_eq!(answer.status, if path == "/nowhere" { 404 } else { 200 }, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        answer.says("<html lang=\"en\"").says("href=\"#main\"").says("<main id=\"main\"");
        answer.never_says(" style=").never_says("<script>").never_says(" onclick=").never_says("https://");
        answer.says("nightU+202E").never_says("<b>night").never_says("\u{202e}");
        assert_eq!(answer.body.matches("<h1").count(), 1, "{path} has one heading of the first order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_has_its_hash_in_its_url_and_no_other_url() {
    let console = Console::start(&deployment().await, &[]).await;
    let page = console.get("/help").await;
    let style = asset(&page, "console");
    let script = page.body.split("src=\"").nth(1).unwrap().split('"').next().unwrap();
    let icon = asset(&page, "icon");
    for (path, media_type) in [
        (style, "text/css; charset=utf-8"),
        (script, "text/javascript; charset=utf-8"),
        (icon, "image/svg+xml"),
    ] {
        let answer = console.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)), "{path}");
    }
    for path in ["/assets/console.css", "/assets/console-0000000000000000.css", "/assets/../Cargo.toml"] {
        assert_eq!(console.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_theme_and_the_keys_are_chosen_without_script_and_kept() {
    let console = Console::start(&deployment().await, &[]).await;
    console.get("/help").await.says("<html lang=\"en\" data-theme=\"auto\">");
    let chosen = console.post("/theme", &[("theme", "dark"), ("back", "/users?status=confirmed")]).await;
    assert_eq!((chosen.status, chosen.location()), (303, "/users?status=confirmed"));
    let cookie = chosen.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    console.get("/help").await.says("data-theme=\"dark\"");
    let elsewhere = console.post("/theme", &[("theme", "light"), ("back", "//evil.example/")]).await;
    assert_eq!((elsewhere.status, elsewhere.location()), (303, "/now"));
    let unknown = console.post("/theme", &[("theme", "pink"), ("back", "/now")]).await;
    assert_eq!(unknown.status, 400);
    unknown.says("Nothing was changed").never_says("pink");
    let off = console.post("/help", &[("keys", "off")]).await;
    assert_eq!((off.status, off.location()), (303, "/help#keys"));
    console.get("/help").await.says("data-keys=\"off\"").says("Turn keys on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_without_script_may_ask_again_by_itself() {
    let console = Console::start(&deployment().await, &[]).await;
    assert_eq!(console.get("/now?refresh=30").await.header("refresh"), Some("30"));
    for path in ["/now", "/now?refresh=0", "/now?refresh=30;url=//evil.example", "/now?refresh=-1"] {
        assert_eq!(console.get(path).await.header("refresh"), None, "{path}");
    }
}

/// The most memory that a process has had, in kB.
fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_ten_megabytes_is_refused_and_not_kept() {
    let console = Console::start(&deployment().await, &[]).await;
    let before = peak_kb(console.id());
    for length in [5_000, 100_000, 10_000_000] {
        let path = format!("/users?after={}", "x".repeat(length));
        let answer = console.ask("GET", &path, &[], "").await;
        assert!((400..500).contains(&answer.status), "{length}: {}", answer.status);
    }
    let grown = peak_kb(console.id()) - before;
    assert!(grown < 8_000, "{grown} kB more");
    assert_eq!(console.get("/help").await.status, 200, "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_no_page_makes_is_refused_by_a_page() {
    let console = Console::start(&deployment().await, &[]).await;
    let large = console.post("/theme", &[("theme", "dark"), ("back", &"x".repeat(100_000))]).await;
    assert_eq!(large.status, 413);
    large.says("at most 64 KB");
    let other = console.post("/theme", &[("nothing", "1")]).await;
    assert_eq!(other.status, 400);
    other.says("Nothing was changed");
    let page = console.get("/theme").await;
    assert_eq!(page.status, 400);
    page.says("is no page");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_a_request_without_what_was_asked() {
    let console = Console::start(&deployment().await, &[]).await;
    let id = "0198d1f0-7c1e-7cc1-8f5e-5a1ec7ab1e01";
    console.get("/help?after=canary-of-the-query").await;
    console.get(&format!("/nowhere/{id}/canary-of-a-path-that-is-long-as-tokens-are")).await;
    console.post("/theme", &[("theme", "dark"), ("back", "/canary-of-a-form")]).await;
    eventually("the requests are in the log", Duration::from_secs(30), async || {
        let log = console.stderr();
        log.contains("/nowhere/*/*") && log.contains("\"http.status\":404") && log.contains("/theme")
    })
    .await;
    let log = console.stderr();
    assert!(!log.contains("canary") && !log.contains(id), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runbook_is_in_the_program() {
    let console = Console::start(&deployment().await, &[]).await;
    let page = console.get("/runbook").await;
    page.says("<h3 id=\"dead-letters--0\">Dead letters &#62; 0</h3>").says("user-sync dlq").never_says("```");
}
