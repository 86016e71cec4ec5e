//! What all pages have in common: headers, files, failures.

use crate::support::console::Console;
use crate::support::deployment;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_forbids_the_browser_what_it_does_not_need() {
    let console = Console::start(&deployment().await, &[]).await;
    for path in ["/now", "/users", "/analytics", "/dead-letters", "/drift", "/audit", "/help", "/nowhere"] {
        let answer = console.get(path).await;
        assert_eq!(answer.status, if path == "/nowhere" { 404 } else { 200 }, "{path}");
        let header = |name| answer.header(name).unwrap_or_default();
        assert!(header("content-security-policy").starts_with("default-src 'none'; "), "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    }
}
