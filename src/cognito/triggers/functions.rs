//! Asks Lambda whose the functions are that a pool calls, by a tag. Knows Lambda's tags; must not know how a pool is updated.
//!
//! A construct that is renamed makes a new function, and CloudFormation sets it before it deletes the one of before: the pool
//! calls that one then, and it is ours. A pool whose function is gone signs nobody in. Both are replaced, and never put back.
//!
//! Whoever may tag a function can give it our tag, so that alone has nothing replaced: both functions must be of one stack, by
//! a tag that CloudFormation alone can set. One that has our tag only is of another deployment, which may be live.
//! Where Lambda cannot say it, in another account or Region or without `lambda:ListTags`, a function is somebody else's.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use cognito_user_sync_triggers::request_error::RequestError;

use crate::aws::{self, Timeouts};
use crate::cognito::triggers::{Before, Error, Hook, Triggers, Wanted, is_ours};
use crate::cognito::user_pool::SCHEDULE;

/// The tag that every deployment gives its trigger function.
pub const PROGRAM_TAG: &str = "user-sync:program";

/// What the tag says of one.
pub const TRIGGER_PROGRAM: &str = "trigger";

/// CloudFormation's own tag. Nobody else can set one that begins with `aws:`.
const STACK_TAG: &str = "aws:cloudformation:stack-id";

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), attempt: Duration::from_secs(5) };

/// How long Lambda is asked again about one function. Without an answer it is somebody else's.
const RETRY_BUDGET: Duration = Duration::from_secs(10);

/// The functions of the account and Region of ours.
#[derive(Debug, Clone)]
pub struct Functions {
    client: Client,
    /// `arn:aws:lambda:eu-west-1:111122223333:function:`, which theirs begin with, too.
    prefix: Option<String>,
    /// Ours itself.
    function_arn: String,
}

/// What a pool's functions are, of those that are not known by their ARN.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Those that may be replaced.
    pub replaceable: Vec<String>,
    /// The triggers of other deployments of this service, which are neither replaced nor put back by themselves.
    pub of_others: Vec<String>,
}

/// What Lambda says of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// It is a trigger of this project, of our own stack.
    Ours,
    /// It says that it is a trigger of this project, and not that it is of our stack.
    AnothersTrigger,
    /// There is none.
    Gone,
    /// It is somebody else's, or that is not known.
    Theirs,
}

impl Functions {
    /// Of the account and Region of `function_arn`; configured by the SDK's own variables.
    pub async fn beside(function_arn: &str) -> Self {
        Self::with_client(Client::new(&aws::sdk_config(TIMEOUTS).await), function_arn)
    }

    /// The same, by this client.
    #[must_use]
    pub fn with_client(client: Client, function_arn: &str) -> Self {
        Self {
            client,
            prefix: parts(function_arn).map(|(prefix, _)| prefix.to_owned()),
            function_arn: function_arn.to_owned(),
        }
    }

    /// Those that `now` names and that may be replaced, never to be put back: our own of before, and those that are gone. And
    /// those of other deployments.
    pub async fn known(&self, now: &Triggers, wanted: &Wanted, ours_before: Option<&str>) -> Known {
        let is_known = |arn: &str| {
            is_ours(arn, &wanted.function_arn) || ours_before.is_some_and(|before| is_ours(arn, before))
        };
        let mut found = Known::default();
        for arn in Hook::ALL.into_iter().filter_map(|hook| now.get(hook)).filter(|arn| !is_known(arn)) {
            if found.replaceable.iter().chain(&found.of_others).any(|known| known == arn) {
                continue;
            }
            match self.whose(arn).await {
                Whose::Ours => tracing::warn!(
                    function = arn,
                    "the user pool calls another trigger of this stack: it is replaced"
                ),
                Whose::AnothersTrigger => {
                    found.of_others.push(arn.to_owned());
                    continue;
                }
                Whose::Gone => tracing::warn!(
                    function = arn,
                    "the user pool calls a function that does not exist, so that nobody can sign in: it is replaced"
                ),
                Whose::Theirs => continue,
            }
            found.replaceable.push(arn.to_owned());
        }
        found
    }

    /// Refuses to chain a trigger of this project: each sign-in would be counted twice.
    ///
    /// # Errors
    /// [`Error::Chained`].
    pub async fn refuse_chained(&self, chained: &[&str]) -> Result<(), Error> {
        for arn in chained {
            if matches!(self.whose(arn).await, Whose::Ours | Whose::AnothersTrigger) {
                return Err(Error::Chained { arn: (*arn).to_owned() });
            }
        }
        Ok(())
    }

    /// What may be put back: no trigger of this project, and nothing that is gone.
    pub async fn put_back(&self, mut before: Before) -> Before {
        for hook in Hook::ALL {
            if let Some(arn) = before.get(hook)
                && self.whose(arn).await != Whose::Theirs
            {
                tracing::warn!(
                    function = arn,
                    trigger = hook.as_str(),
                    "it is a trigger of this service, or does not exist, so it is not put back"
                );
                before.set(hook, None);
            }
        }
        before
    }

    async fn whose(&self, arn: &str) -> Whose {
        let Some((prefix, name)) = parts(arn) else { return Whose::Theirs };
        if self.prefix.as_deref() != Some(prefix) {
            return Whose::Theirs;
        }
        // Tags are a function's, not a version's.
        let tags = match self.tags(&format!("{prefix}{name}")).await {
            Tags::Known(tags) => tags,
            Tags::NoFunction => return Whose::Gone,
            Tags::Unknown => return Whose::Theirs,
        };
        if tags.get(PROGRAM_TAG).map(String::as_str) != Some(TRIGGER_PROGRAM) {
            return Whose::Theirs;
        }
        let Some(stack) = tags.get(STACK_TAG) else { return Whose::AnothersTrigger };
        let ours = parts(&self.function_arn).map(|(prefix, name)| format!("{prefix}{name}"));
        match self.tags(ours.as_deref().unwrap_or_default()).await {
            Tags::Known(ours) if ours.get(STACK_TAG) == Some(stack) => Whose::Ours,
            Tags::Known(_) | Tags::NoFunction | Tags::Unknown => Whose::AnothersTrigger,
        }
    }

    async fn tags(&self, function: &str) -> Tags {
        let ask = || async {
            let answer = self.client.list_tags().resource(function).send().await;
            answer.map_err(|error| {
                (error.code() == Some("ResourceNotFoundException"), RequestError::of(&error))
            })
        };
        let answer =
            SCHEDULE.retry(RETRY_BUDGET, |(_, error): &(bool, RequestError)| error.is_transient(), ask).await;
        match answer {
            Ok(answer) => Tags::Known(answer.tags.unwrap_or_default()),
            Err((true, _)) => Tags::NoFunction,
            Err((false, error)) => {
                tracing::warn!(
                    function,
                    error = error.describe("Lambda"),
                    "whose trigger it is is not known, so it is somebody else's: grant lambda:ListTags on it"
                );
                Tags::Unknown
            }
        }
    }
}

/// Lambda's answer about a function's tags.
enum Tags {
    Known(HashMap<String, String>),
    NoFunction,
    Unknown,
}

/// `arn:aws:lambda:eu-west-1:111122223333:function:` and the function's name, without a version or an alias.
fn parts(arn: &str) -> Option<(&str, &str)> {
    let (at, _) = arn.match_indices(':').nth(5)?;
    let (prefix, name) = arn.split_at_checked(at + 1)?;
    let name = name.split(':').next().filter(|name| !name.is_empty())?;
    prefix.ends_with(":function:").then_some((prefix, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_without_its_alias() {
        let prefix = "arn:aws:lambda:eu-west-1:111122223333:function:";
        for arn in ["theirs", "theirs:live", "theirs:$LATEST"] {
            assert_eq!(parts(&format!("{prefix}{arn}")), Some((prefix, "theirs")), "{arn}");
        }
        for arn in ["", "arn:aws:lambda:eu-west-1:111122223333:layer:x", prefix, "theirs"] {
            assert_eq!(parts(arn), None, "{arn}");
        }
    }
}
