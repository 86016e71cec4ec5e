//! Sends records of sign-ins that `user-sync replay` finds, many to a request, to their own queue.

use cognito_user_sync::cognito::records::{self, Records, What};
use cognito_user_sync::config::{CONTEXT_QUEUE_URL_VARIABLE, ConfigError};
use tokio::sync::OnceCell;

use super::Tally;

/// Records that are read before they are sent together: some megabytes.
pub(super) const AT_ONCE: usize = 5_000;

/// Problems of one sending that are said one by one.
const SAID_MAX: usize = 10;

const CONTEXT: &str = "user.login_context";
const FAILURE: &str = "user.sign_in_failed";

/// A record, and where it was found.
pub(super) struct Found {
    pub(super) place: String,
    pub(super) record: String,
}

/// The queue of records, which is asked for when the first one is found.
pub(super) struct Destination {
    is_dry_run: bool,
    records: OnceCell<Records>,
}

impl Destination {
    pub(super) fn new(is_dry_run: bool) -> Self {
        Self { is_dry_run, records: OnceCell::new() }
    }

    /// Sends what was found, counts it, and says what went wrong.
    pub(super) async fn send(&self, found: &mut Vec<Found>, tally: &mut Tally) -> Vec<String> {
        let found = std::mem::take(found);
        if found.is_empty() {
            return Vec::new();
        }
        for Found { record, .. } in &found {
            let read = records::read(record, &|_| true);
            match &read {
                Ok(record) => tally.at(record.id.time()),
                Err(why) if self.is_dry_run => *tally.ignored.entry(why.as_str()).or_default() += 1,
                Err(_) => {}
            }
            if let (Ok(record), true) = (read, self.is_dry_run) {
                let r#type = match record.what {
                    What::Success(_) => CONTEXT,
                    What::Failure(_) => FAILURE,
                };
                tally.add(r#type, 1);
            }
        }
        if self.is_dry_run {
            return Vec::new();
        }
        let records = match self.records.get_or_try_init(configured).await {
            Ok(records) => records,
            Err(error) => {
                tally.failed += u64::try_from(found.len()).unwrap_or(u64::MAX);
                return vec![format!("{} records of sign-ins: {error}", found.len())];
            }
        };
        let texts: Vec<&str> = found.iter().map(|found| found.record.as_str()).collect();
        let published = Box::pin(records.publish(&texts)).await;
        tally.add(CONTEXT, published.contexts);
        tally.add(FAILURE, published.failures);
        for (why, count) in &published.ignored {
            *tally.ignored.entry(why.as_str()).or_default() += count;
        }
        tally.failed += u64::try_from(published.failed.len()).unwrap_or(u64::MAX);
        let place = |item: usize| found.get(item).map_or("a record", |found| found.place.as_str());
        let said = published.failed.iter().map(|(item, error)| format!("{}: {error}", place(*item)));
        let mut said: Vec<String> = said.take(SAID_MAX).collect();
        if let Some(more) = published.failed.len().checked_sub(SAID_MAX).filter(|more| *more > 0) {
            said.push(format!("and {more} more"));
        }
        said
    }
}

async fn configured() -> Result<Records, ConfigError> {
    let meaning = "the queue of records of sign-ins, which the files hold";
    let missing = || ConfigError::Missing { variable: CONTEXT_QUEUE_URL_VARIABLE, meaning };
    Records::from_env().await?.ok_or_else(missing)
}
