//! The request path cannot reach the database: the trigger links no SQL driver.

use std::process::Command;

#[test]
fn the_trigger_links_no_sql_driver() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            env!("CARGO_PKG_NAME"),
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("aws-sdk-sqs"), "not the trigger's tree:\n{tree}");
    for driver in
        ["sqlx", "postgres", "libpq", "diesel", "sea-orm", "mysql", "rusqlite", "cognito-user-sync v"]
    {
        let found = tree.lines().find(|line| line.contains(driver));
        assert_eq!(found, None, "the trigger must not link {driver}");
    }
    // One TLS stack, on ring: aws-lc costs every cold start 33 ms of CPU.
    for stack in ["aws-lc", "openssl-sys", "native-tls"] {
        assert!(!tree.lines().any(|line| line.starts_with(stack)), "the trigger must not link {stack}");
    }
    // The SDK's own HTTP client, with HTTP/2: a tenth of the program that nothing uses.
    for large in ["aws-smithy-http-client", "h2 v"] {
        assert!(!tree.lines().any(|line| line.starts_with(large)), "the trigger must not link {large}");
    }
}
