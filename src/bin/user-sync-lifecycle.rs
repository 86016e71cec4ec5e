//! `user-sync-lifecycle`: the Lambda behind EventBridge's rules.

fn main() {}
