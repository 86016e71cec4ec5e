//! Makes our function the two triggers of a user pool that somebody else made, and takes it back: nothing else
//! of the pool changes. Knows Cognito's calls; must not know who asks, such as CloudFormation's envelope.
//!
//! Cognito has no call that sets a trigger: UpdateUserPool sets everything, and what is not sent is reset. So
//! the pool is read, merged (`settings`), written, read again and compared; if anything but the triggers
//! differs, what was there is sent back and the failure names the settings. MFA's factors have calls of their
//! own (GetUserPoolMfaConfig, SetUserPoolMfaConfig) and are watched likewise.

mod cognito;
mod settings;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::Client;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;

use crate::cognito::user_pool::PoolError;
use cognito::{Pool, Written};
use settings::Settings;

/// How often the pool is read and written anew when somebody else changes it meanwhile.
const ATTEMPTS: u32 = 4;

/// How long a pool that is being changed is left alone.
const REST: Duration = Duration::from_millis(500);

/// When a written pool is read: a description that is not there yet is no difference.
const READ_AGAIN: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(2)];

/// One of the two triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// After a sign-up or a reset password is confirmed.
    PostConfirmation,
    /// After a sign-in.
    PostAuthentication,
}

impl Hook {
    const ALL: [Self; 2] = [Self::PostConfirmation, Self::PostAuthentication];

    /// Its name in `LambdaConfig`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PostConfirmation => "PostConfirmation",
            Self::PostAuthentication => "PostAuthentication",
        }
    }
}

/// The functions of the two triggers, by ARN; `None` is no trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triggers {
    /// PostConfirmation's.
    pub post_confirmation: Option<String>,
    /// PostAuthentication's.
    pub post_authentication: Option<String>,
}

/// What the pool had before us. As text it is the two ARNs, with a comma between them.
pub type Before = Triggers;

impl Triggers {
    fn of(described: &Settings) -> Self {
        Self {
            post_confirmation: settings::trigger(described, Hook::PostConfirmation),
            post_authentication: settings::trigger(described, Hook::PostAuthentication),
        }
    }

    fn get(&self, hook: Hook) -> Option<&str> {
        match hook {
            Hook::PostConfirmation => self.post_confirmation.as_deref(),
            Hook::PostAuthentication => self.post_authentication.as_deref(),
        }
    }

    fn set(&mut self, hook: Hook, arn: Option<String>) {
        match hook {
            Hook::PostConfirmation => self.post_confirmation = arn,
            Hook::PostAuthentication => self.post_authentication = arn,
        }
    }
}

impl fmt::Display for Triggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [confirmation, authentication] = Hook::ALL.map(|hook| self.get(hook).unwrap_or_default());
        write!(f, "{confirmation},{authentication}")
    }
}

/// A text that is not two ARNs with a comma between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the two functions that the user pool had before: two ARNs, or nothing, with a comma between them"
)]
pub struct InvalidTriggers;

impl FromStr for Triggers {
    type Err = InvalidTriggers;

    fn from_str(text: &str) -> Result<Self, InvalidTriggers> {
        let (confirmation, authentication) = text.split_once(',').ok_or(InvalidTriggers)?;
        let arn = |text: &str| match text {
            "" => Ok(None),
            _ if text.starts_with("arn:") && !text.contains(',') => Ok(Some(text.to_owned())),
            _ => Err(InvalidTriggers),
        };
        Ok(Self { post_confirmation: arn(confirmation)?, post_authentication: arn(authentication)? })
    }
}

/// What is wanted of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The pool, such as `eu-west-1_Abc123Def`.
    pub user_pool_id: UserPoolId,
    /// The function that is to be both triggers.
    pub function_arn: String,
    /// The function that our function calls first for PostConfirmation: the one that may be replaced.
    pub chain_post_confirmation: Option<String>,
    /// The same for PostAuthentication.
    pub chain_post_authentication: Option<String>,
    /// Whether a function that is not chained may be replaced too, and is called no more.
    pub overwrite: bool,
    /// Whether any other function is left to be the trigger, rather than refused.
    pub yielding: bool,
}

impl Wanted {
    fn chain(&self, hook: Hook) -> Option<&str> {
        match hook {
            Hook::PostConfirmation => self.chain_post_confirmation.as_deref(),
            Hook::PostAuthentication => self.chain_post_authentication.as_deref(),
        }
    }
}

/// Why the triggers are not as they were asked to be. Quotes no setting's value but a trigger's ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another function is the trigger. Nothing was changed.
    #[error(
        "the user pool has {} already, and nothing was changed: chain it, so that it goes on being called first, \
         or overwrite it, so that it is called no more",
        listed(.0)
    )]
    Taken(Vec<(Hook, String)>),
    /// Cognito could not be reached or refused.
    #[error(transparent)]
    Cognito(#[from] PoolError),
    /// IAM refused.
    #[error("Cognito: {operation} is not allowed: grant {action}{}", hint(.action))]
    Denied {
        /// Cognito's operation.
        operation: &'static str,
        /// What has to be granted, such as `iam:PassRole`.
        action: String,
    },
    /// There is no such pool.
    #[error("there is no user pool of this id: check the id and the region")]
    NoPool,
    /// An answer without what it is for.
    #[error("Cognito: {operation} answered what cannot be read")]
    Unreadable {
        /// Cognito's operation.
        operation: &'static str,
    },
    /// Somebody else is changing the pool.
    #[error(
        "somebody else is changing the user pool; nothing was changed here: try again when it is at rest"
    )]
    Restless,
    /// More than the triggers differed after the update.
    #[error("the update changed more than the triggers: {}; what was there was sent back{}", .changed.join(", "), still(.remaining))]
    Changed {
        /// The names of the settings that differed.
        changed: Vec<String>,
        /// Those that still differ after what was there was sent back.
        remaining: Vec<String>,
    },
    /// The update went wrong, and what was there could not be sent back.
    #[error("{because}; and what was there could not be sent back: set the user pool's {} by hand", by_hand(.before))]
    Left {
        /// What went wrong.
        because: Box<Error>,
        /// The triggers as they were.
        before: Triggers,
    },
}

fn by_hand(before: &Triggers) -> String {
    let each =
        Hook::ALL.map(|hook| format!("{} trigger to {}", hook.as_str(), before.get(hook).unwrap_or("none")));
    each.join(" and its ")
}

fn listed(taken: &[(Hook, String)]) -> String {
    let each = taken.iter().map(|(hook, arn)| format!("{arn} as its {} trigger", hook.as_str()));
    each.collect::<Vec<_>>().join(" and ")
}

/// What to do about a permission that one would not expect.
fn hint(action: &str) -> &'static str {
    match action {
        // IAM asks it of whoever sets a role, though it stays the same ("Granting a user permissions to pass a role
        // to an AWS service", IAM User Guide).
        "iam:PassRole" => {
            " on the role by which the pool sends SMS messages, which goes along with every update: \
             give the construct's smsRole"
        }
        // `KMSKeyID` encrypts what custom senders are handed. Whether an update that keeps it asks for this is
        // unconfirmed.
        "kms:CreateGrant" => {
            " on the key of the pool's custom sender triggers, which goes along with every update"
        }
        _ if action.starts_with("cognito-idp:") => " on the user pool",
        _ => "",
    }
}

fn still(remaining: &[String]) -> String {
    match remaining.is_empty() {
        true => String::new(),
        false => format!(", and these still differ, so set them by hand: {}", remaining.join(", ")),
    }
}

/// Makes `wanted.function_arn` the two triggers, and returns what they were before us, for [`detach`].
///
/// Idempotent: where all is as wanted already, nothing is written. `ours_before` is our function's former ARN;
/// `before` is what an earlier call returned, and stays true where the trigger is still ours.
///
/// # Errors
/// [`Error::Taken`] when a trigger is somebody else's that is neither chained nor overwritten.
pub async fn attach(
    client: &Client,
    wanted: &Wanted,
    ours_before: Option<&str>,
    before: Option<Before>,
) -> Result<Before, Error> {
    let pool = Pool::new(client, &wanted.user_pool_id);
    change(&pool, |now| plan(wanted, ours_before, before.as_ref(), now)).await
}

/// Puts back what was before us where the trigger is ours still, and leaves it alone where it is not.
///
/// Idempotent, and no failure when the pool is gone.
///
/// # Errors
/// When Cognito refuses, or the update changed more than the triggers.
pub async fn detach(
    client: &Client,
    user_pool_id: &str,
    function_arn: &str,
    before: &Before,
) -> Result<(), Error> {
    let plan = |now: &Triggers| {
        let mut wanted = now.clone();
        for hook in Hook::ALL.into_iter().filter(|hook| now.get(*hook) == Some(function_arn)) {
            wanted.set(hook, before.get(hook).filter(|arn| *arn != function_arn).map(str::to_owned));
        }
        Ok((wanted, ()))
    };
    match change(&Pool::new(client, user_pool_id), plan).await {
        Err(Error::NoPool) => Ok(()),
        detached => detached,
    }
}

/// The triggers as they shall be, and what they were before us.
fn plan(
    wanted: &Wanted,
    ours_before: Option<&str>,
    before: Option<&Before>,
    now: &Triggers,
) -> Result<(Triggers, Before), Error> {
    let is_ours = |arn: &str| arn == wanted.function_arn || Some(arn) == ours_before;
    let (mut shall, mut found, mut taken) = (Triggers::default(), Before::default(), Vec::new());
    for hook in Hook::ALL {
        shall.set(hook, Some(wanted.function_arn.clone()));
        let chain = wanted.chain(hook);
        let former = match now.get(hook) {
            // An attach whose answer was lost: what is chained was there.
            Some(arn) if is_ours(arn) => before.map_or(chain, |before| before.get(hook)),
            Some(arn) if wanted.overwrite || chain == Some(arn) => Some(arn),
            Some(arn) if wanted.yielding => {
                tracing::warn!(
                    trigger = hook.as_str(),
                    "somebody else's function is the trigger, and is left so"
                );
                shall.set(hook, Some(arn.to_owned()));
                None
            }
            Some(arn) => {
                taken.push((hook, arn.to_owned()));
                None
            }
            None => None,
        };
        found.set(hook, former.filter(|arn| !is_ours(arn)).map(str::to_owned));
    }
    if taken.is_empty() { Ok((shall, found)) } else { Err(Error::Taken(taken)) }
}

/// Reads the pool, asks what its triggers shall be, and makes it so. Writes nothing where it is so.
async fn change<T>(
    pool: &Pool<'_>,
    plan: impl Fn(&Triggers) -> Result<(Triggers, T), Error>,
) -> Result<T, Error> {
    for _ in 0..ATTEMPTS {
        let first = pool.describe().await?;
        let now = Triggers::of(&first);
        let (wanted, outcome) = plan(&now)?;
        if wanted == now {
            return Ok(outcome);
        }
        let factors = pool.describe_mfa().await?;
        // Cognito writes unconditionally: what somebody changes between this answer and the update is lost. So
        // it is read once more, and a pool that somebody is at is left to rest.
        let latest = pool.describe().await?;
        if !is_same(&first, &latest) {
            tokio::time::sleep(REST).await;
            continue;
        }
        let written = match pool.update(settings::merged(&first, &wanted)).await {
            Ok(Written::Concurrently) => {
                tokio::time::sleep(REST).await;
                continue;
            }
            Ok(Written::Done) => verify(pool, &first, factors.as_ref(), &wanted).await,
            // Without an answer it may have been written.
            Err(error) if cognito::is_transient(&error) => Err(error),
            Err(error) => return Err(error),
        };
        return match written {
            Ok(()) => Ok(outcome),
            Err(error) => Err(put_back(pool, &first, factors.as_ref(), &now, error).await),
        };
    }
    Err(Error::Restless)
}

fn is_same(one: &Settings, other: &Settings) -> bool {
    one.get("LastModifiedDate") == other.get("LastModifiedDate")
        && Triggers::of(one) == Triggers::of(other)
        && settings::differences(one, other).is_empty()
}

/// Compares the pool with what it was: nothing but the triggers may differ.
async fn verify(
    pool: &Pool<'_>,
    first: &Settings,
    factors: Option<&Settings>,
    wanted: &Triggers,
) -> Result<(), Error> {
    if let Some(factors) = factors {
        keep_factors(pool, factors).await?;
    }
    let changed = changes(pool, first, factors, wanted).await?;
    match changed.is_empty() {
        true => Ok(()),
        false => Err(Error::Changed { changed, remaining: Vec::new() }),
    }
}

/// Sends what was there back: whoever deploys rolls back now, and deletes the function that is the trigger.
async fn put_back(
    pool: &Pool<'_>,
    first: &Settings,
    factors: Option<&Settings>,
    now: &Triggers,
    mut because: Error,
) -> Error {
    let Ok(Written::Done) = pool.update(settings::merged(first, now)).await else {
        return Error::Left { because: Box::new(because), before: now.clone() };
    };
    if let Error::Changed { remaining, .. } = &mut because {
        *remaining = changes(pool, first, factors, now).await.unwrap_or_default();
    }
    because
}

/// Sends MFA's factors again if the update changed them.
///
/// It does not where the same `MfaConfiguration` goes along (measured by go-to-k/cdkd, us-east-1, August 2026),
/// but nothing that AWS says promises it.
async fn keep_factors(pool: &Pool<'_>, factors: &Settings) -> Result<(), Error> {
    match pool.describe_mfa().await? {
        Some(after) if !settings::mfa_differences(factors, &after).is_empty() => pool.set_mfa(factors).await,
        Some(_) | None => Ok(()),
    }
}

/// The names of what differs from how the pool was, its triggers beside what they shall be.
async fn changes(
    pool: &Pool<'_>,
    first: &Settings,
    factors: Option<&Settings>,
    wanted: &Triggers,
) -> Result<Vec<String>, Error> {
    let mut changes = Vec::new();
    for delay in READ_AGAIN {
        tokio::time::sleep(delay).await;
        let after = pool.describe().await?;
        let triggers = Triggers::of(&after);
        let other = Hook::ALL.into_iter().filter(|hook| triggers.get(*hook) != wanted.get(*hook));
        changes = other.map(|hook| format!("LambdaConfig.{}", hook.as_str())).collect();
        changes.extend(settings::differences(first, &after));
        if let Some(factors) = factors
            && let Some(after) = pool.describe_mfa().await?
        {
            changes.extend(settings::mfa_differences(factors, &after));
        }
        if changes.is_empty() {
            break;
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const OURS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:ours";
    const FORMER: &str = "arn:aws:lambda:eu-west-1:111122223333:function:ours-former";
    const THEIRS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:theirs:live";
    const OTHER: &str = "arn:aws:lambda:eu-west-1:111122223333:function:other";

    fn triggers(confirmation: Option<&str>, authentication: Option<&str>) -> Triggers {
        Triggers {
            post_confirmation: confirmation.map(str::to_owned),
            post_authentication: authentication.map(str::to_owned),
        }
    }

    fn wanted(chain: Option<&str>, overwrite: bool) -> Wanted {
        Wanted {
            user_pool_id: "eu-west-1_Abc123Def".parse().unwrap(),
            function_arn: OURS.into(),
            chain_post_confirmation: chain.map(str::to_owned),
            chain_post_authentication: None,
            overwrite,
            yielding: false,
        }
    }

    #[test]
    fn what_was_before_survives_its_own_text_which_is_short() {
        let long = format!(
            "arn:aws-us-gov:lambda:us-gov-west-1:111122223333:function:{}:{}",
            "f".repeat(64),
            "a".repeat(128)
        );
        for (one, other) in
            [(None, None), (Some(THEIRS), None), (None, Some(OTHER)), (Some(&long[..]), Some(&long[..]))]
        {
            let before = triggers(one, other);
            let text = before.to_string();
            assert!(text.len() < 600, "{text}");
            assert_eq!(text.parse(), Ok(before));
        }
        for text in ["", "x", "x,y", "arn:a,arn:b,arn:c", "arn:a"] {
            assert_eq!(text.parse::<Before>(), Err(InvalidTriggers), "{text}");
        }
    }

    #[test]
    fn a_trigger_is_taken_over_as_the_owner_of_the_pool_said() {
        let check = |what: &str,
                     chain,
                     overwrite,
                     known: Option<Option<&str>>,
                     now,
                     expected: Option<Option<&str>>| {
            let known = known.map(|known| triggers(known, None));
            let planned = plan(&wanted(chain, overwrite), Some(FORMER), known.as_ref(), &triggers(now, None));
            let found = planned.map(|(shall, found)| {
                assert_eq!(shall, triggers(Some(OURS), Some(OURS)), "{what}");
                found.post_confirmation
            });
            assert_eq!(found.ok(), expected.map(|arn| arn.map(str::to_owned)), "{what}");
        };
        check("no trigger", None, false, None, None, Some(None));
        check("theirs", None, false, None, Some(THEIRS), None);
        check("theirs, chained", Some(THEIRS), false, None, Some(THEIRS), Some(Some(THEIRS)));
        check("theirs, another chained", Some(OTHER), false, None, Some(THEIRS), None);
        check("theirs, overwritten", None, true, None, Some(THEIRS), Some(Some(THEIRS)));
        check("ours again, the first answer lost", Some(THEIRS), false, None, Some(OURS), Some(Some(THEIRS)));
        check("ours, known", None, false, Some(Some(THEIRS)), Some(OURS), Some(Some(THEIRS)));
        check(
            "our former function",
            Some(OTHER),
            false,
            Some(Some(THEIRS)),
            Some(FORMER),
            Some(Some(THEIRS)),
        );
        check("ours, nothing before", Some(THEIRS), false, Some(None), Some(OURS), Some(None));
        check("somebody replaced us", None, false, Some(Some(THEIRS)), Some(OTHER), None);
        check(
            "somebody replaced us, chained",
            Some(OTHER),
            false,
            Some(Some(THEIRS)),
            Some(OTHER),
            Some(Some(OTHER)),
        );
        check("never ours", None, true, Some(Some(FORMER)), Some(OURS), Some(None));
    }

    #[test]
    fn a_refusal_names_each_trigger_and_both_ways_out() {
        let error = plan(&wanted(None, false), None, None, &triggers(Some(THEIRS), Some(OTHER))).unwrap_err();
        let message = error.to_string();
        for part in [
            &format!(
                "{THEIRS} as its PostConfirmation trigger and {OTHER} as its PostAuthentication trigger"
            ),
            "chain it",
            "overwrite it",
            "nothing was changed",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_role_that_cannot_be_passed_says_which_prop_to_give() {
        let error = Error::Denied { operation: "UpdateUserPool", action: "iam:PassRole".into() };
        assert!(error.to_string().contains("grant iam:PassRole on the role"), "{error}");
        assert!(error.to_string().contains("smsRole"), "{error}");
    }
}
