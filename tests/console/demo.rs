//! `user-sync console-demo`: the made-up company, as whoever tries the console meets it.

use crate::support::console::Console;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_opens_every_page_over_a_company_whose_rows_are_what_its_events_say() {
    let console = Console::demo(&["--users=150"]).await;
    let said = console.stdout();
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("http://127.0.0.1:"), "the link is printed last: {said}");

    let drift = console.get("/drift").await;
    drift.says("The rows against the ledger").says(">0 differences<").says("The pool against the table");
    console.get("/now").await.says("44 events could not be applied").says("2 of 2");
    console.get("/users").await.says("customers").says("Google").never_says("@example.com");
    console.get("/analytics").await.says("Germany").says("Wrong password");
    let read = console.post("/dead-letters/read", &[]).await;
    assert_eq!(read.status, 303, "{read:?}");
    console.get("/dead-letters").await.says("refused_by_database").says("too_old").says("malformed");
}
