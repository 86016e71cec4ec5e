//! The commands: arguments in, an answer on stdout out.

pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod heartbeat;
pub(crate) mod maintain;
pub(crate) mod migrate;
pub(crate) mod reconcile;
pub(crate) mod release;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod verify;
pub(crate) mod worker;

/// Completes when the process is asked to end: SIGTERM, as ECS sends it, or Ctrl-C.
async fn asked_to_end() {
    let interrupted = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot wait for SIGTERM, only for Ctrl-C");
            drop(interrupted.await);
        }
    }
}
