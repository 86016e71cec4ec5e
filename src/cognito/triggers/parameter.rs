//! Keeps the notes in a parameter of SSM, which several processes write. Must not know what the notes mean.
//!
//! SSM has no conditional write: a write takes the place of whatever is there, and returns the number of the new version.
//! So each value says which version its writer had seen (`seen`). Whoever reads version 5 that has seen 3 reads version 4
//! too, and merges both: nothing that was written is ever lost to a reader, also when its overwriter dies. And whoever
//! finds that it has overwritten somebody writes again, with all of it. A value without `seen`, such as the `{}` that
//! CloudFormation writes again when the stack's tags change, had seen nothing, and takes nothing away.

use std::fmt;
use std::time::Duration;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::types::ParameterType;
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::retry::Schedule;
use serde::{Deserialize, Serialize};

use crate::aws::{self, Timeouts};
use crate::cognito::triggers::notes::Notes;

/// The name of the variable that names the parameter.
pub const VARIABLE: &str = "USER_SYNC_TRIGGERS_PARAMETER";

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), attempt: Duration::from_secs(4) };
const SCHEDULE: Schedule = Schedule { first: Duration::from_millis(200), cap: Duration::from_secs(2) };
const RETRY_BUDGET: Duration = Duration::from_secs(8);

/// How often we write again because somebody else wrote at the same time. After that a reader merges it.
const ROUNDS: u32 = 8;

/// Two puts at the same time ("PutParameter", AWS Systems Manager API Reference).
const TOO_MANY_UPDATES: &str = "TooManyUpdates";

/// The parameter cannot be read or written. Quotes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// It is not there.
    #[error(
        "there is no parameter {name} in {region}: see that {VARIABLE} and AWS_REGION are right; only if the deployment has \
         none, make it (user-sync triggers hold --make-parameter)"
    )]
    Missing {
        /// Its name.
        name: String,
        /// The Region that was asked.
        region: String,
    },
    /// SSM refused, or could not be reached.
    #[error("the parameter {name}: {operation} failed ({}): allow ssm:{operation} on it", .error.describe("SSM"))]
    Request {
        /// The parameter's name.
        name: String,
        /// SSM's operation.
        operation: &'static str,
        /// What became of the request.
        error: RequestError,
    },
    /// It holds something else.
    #[error(
        "the parameter {0} holds something that we did not write: look at it, then write {{}} into it, and what was noted \
         before counts again; to forget that too, delete it and make it again"
    )]
    Unreadable(String),
}

/// What a version holds.
#[derive(Debug, Serialize, Deserialize)]
struct Value {
    /// The version up to which this one has everything; `None` where a person or CloudFormation wrote it, who had seen none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<i64>,
    #[serde(flatten)]
    notes: Notes,
}

/// One parameter, by its name. As text with its Region, for whoever may have asked for another one.
#[derive(Debug)]
pub struct Parameter {
    client: Client,
    name: String,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.name, self.region())
    }
}

impl Parameter {
    /// The parameter of this name, configured by the SDK's own variables.
    pub async fn new(name: String) -> Self {
        Self::with_client(Client::new(&aws::sdk_config(TIMEOUTS).await), name)
    }

    /// The same, with an existing client.
    #[must_use]
    pub fn with_client(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// What is noted, all of it.
    ///
    /// # Errors
    /// When SSM refuses or does not answer, when there is no such parameter, or when it holds something else.
    pub async fn read(&self) -> Result<Notes, ParameterError> {
        let latest = self.latest().await?;
        latest.map(|(_, notes)| notes).ok_or_else(|| self.missing())
    }

    /// Notes `change`, and returns all that is noted then.
    ///
    /// # Errors
    /// As [`Self::read`]. The change may have been noted all the same.
    pub async fn update(&self, change: impl FnOnce(&mut Notes)) -> Result<Notes, ParameterError> {
        let latest = self.latest().await?.ok_or_else(|| self.missing())?;
        self.write(latest, change).await
    }

    /// The same, and makes the parameter where there is none.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn update_or_make(&self, change: impl FnOnce(&mut Notes)) -> Result<Notes, ParameterError> {
        self.write(self.latest().await?.unwrap_or_default(), change).await
    }

    async fn write(
        &self,
        (mut seen, mut notes): (i64, Notes),
        change: impl FnOnce(&mut Notes),
    ) -> Result<Notes, ParameterError> {
        change(&mut notes);
        for _ in 0..ROUNDS {
            let written = self.put(&notes, seen).await?;
            let overwritten = seen + 1..written;
            let is_alone = overwritten.is_empty();
            for version in overwritten {
                notes.merge(self.version(version).await?.map(|value| value.notes).unwrap_or_default());
            }
            if is_alone {
                break;
            }
            seen = written;
        }
        Ok(notes)
    }

    /// The newest version and everything that was noted up to it; `None` if there is no such parameter.
    async fn latest(&self) -> Result<Option<(i64, Notes)>, ParameterError> {
        let Some((version, Value { mut seen, mut notes })) = self.get(&self.name).await? else {
            return Ok(None);
        };
        let mut older = version - 1;
        while older > seen.unwrap_or(0).max(0) {
            match self.version(older).await? {
                Some(value) => {
                    notes.merge(value.notes);
                    seen = seen.or(value.seen);
                }
                // SSM has forgotten it, and so all before.
                None => break,
            }
            older -= 1;
        }
        Ok(Some((version, notes)))
    }

    /// What this version holds; `None` if SSM has forgotten it. Of one that cannot be read, nothing: it stays as it is, and
    /// would stop us for ever.
    async fn version(&self, version: i64) -> Result<Option<Value>, ParameterError> {
        match self.get(&format!("{}:{version}", self.name)).await {
            Ok(found) => Ok(found.map(|(_, value)| value)),
            Err(ParameterError::Unreadable(name)) => {
                tracing::warn!(
                    name,
                    version,
                    "an older version of the parameter cannot be read, and is left out"
                );
                Ok(Some(Value { seen: None, notes: Notes::default() }))
            }
            Err(error) => Err(error),
        }
    }

    fn missing(&self) -> ParameterError {
        ParameterError::Missing { name: self.name.clone(), region: self.region() }
    }

    fn region(&self) -> String {
        self.client.config().region().map_or_else(|| "no Region".to_owned(), ToString::to_string)
    }

    async fn get(&self, name: &str) -> Result<Option<(i64, Value)>, ParameterError> {
        let get = || async {
            let got = self.client.get_parameter().name(name).send().await;
            got.map_err(|error| self.failed("GetParameter", &error))
        };
        let found = match SCHEDULE.retry(RETRY_BUDGET, is_transient, get).await {
            Ok(found) => found.parameter,
            Err(ParameterError::Request { error, .. })
                if matches!(error.code(), Some("ParameterNotFound" | "ParameterVersionNotFound")) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let unreadable = || ParameterError::Unreadable(self.name.clone());
        let found = found.ok_or_else(unreadable)?;
        let value = serde_json::from_str(found.value.as_deref().unwrap_or_default());
        Ok(Some((found.version, value.map_err(|_| unreadable())?)))
    }

    /// Writes, and returns the number of the new version. Sent twice, it changes nothing more.
    async fn put(&self, notes: &Notes, seen: i64) -> Result<i64, ParameterError> {
        let value = Value { seen: Some(seen), notes: notes.clone() };
        let text =
            serde_json::to_string(&value).map_err(|_| ParameterError::Unreadable(self.name.clone()))?;
        let put = || async {
            let request = self.client.put_parameter().name(&self.name).value(&text).overwrite(true);
            let put = request.r#type(ParameterType::String).send().await;
            put.map_err(|error| self.failed("PutParameter", &error))
        };
        Ok(SCHEDULE.retry(RETRY_BUDGET, is_transient, put).await?.version)
    }

    fn failed<E: ProvideErrorMetadata>(
        &self,
        operation: &'static str,
        error: &SdkError<E>,
    ) -> ParameterError {
        ParameterError::Request { name: self.name.clone(), operation, error: RequestError::of(error) }
    }
}

fn is_transient(error: &ParameterError) -> bool {
    match error {
        ParameterError::Request { error, .. } => {
            error.is_transient() || error.code() == Some(TOO_MANY_UPDATES)
        }
        ParameterError::Missing { .. } | ParameterError::Unreadable(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cognito_user_sync_triggers::timestamp::Timestamp;

    #[test]
    fn what_a_version_holds_is_flat_and_may_be_empty() {
        let mut notes = Notes::default();
        notes.hold(Timestamp::from_unix_millis(0), None, "why");
        let text = serde_json::to_string(&Value { seen: Some(3), notes: notes.clone() }).unwrap();
        assert_eq!(text, r#"{"seen":3,"hold":{"set_at":"1970-01-01T00:00:00.000Z","reason":"why"}}"#);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((read.seen, read.notes), (Some(3), notes));
        let empty: Value = serde_json::from_str("{}").unwrap();
        assert_eq!((empty.seen, empty.notes), (None, Notes::default()));
        for other in ["", "no", "[]", r#"{"hold":7}"#, r#"{"attempts":{"x":true}}"#] {
            assert!(serde_json::from_str::<Value>(other).is_err(), "{other}");
        }
    }
}
