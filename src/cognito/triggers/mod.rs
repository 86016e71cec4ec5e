//! Makes our function the two triggers of a user pool that already exists, and takes it back; nothing else of the
//! pool changes. Knows Cognito's calls; must not know the caller, such as CloudFormation's envelope.
//!
//! Cognito has no call that sets one trigger: UpdateUserPool sets everything, and resets what is not sent. So we
//! read the pool, merge the triggers into it (`settings`), write it, read it again and compare (`update`). If
//! anything but the triggers differs, we send the former settings back and name the settings that differed. MFA's
//! factors have their own calls (GetUserPoolMfaConfig, SetUserPoolMfaConfig) and are checked likewise.
//!
//! A pool's secondary replica, in another Region, is updated in the same way: UpdateUserPool there takes triggers of the
//! Region's own, with all other settings as they are ("UpdateUserPool", Amazon Cognito user pools API Reference).
//!
//! A construct that is renamed leaves our own function of before in the pool: `functions` recognises it.
//!
//! Somebody else's update may take the triggers away. `keep` puts them back, unless a person holds them: that is in
//! `notes`, which `parameter` keeps.

mod api;
mod arn;
mod error;
mod functions;
mod keep;
mod notes;
mod parameter;
mod settings;
mod update;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use aws_sdk_cognitoidentityprovider::Client;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;

pub use crate::cognito::triggers::arn::{function_region, is_ours};
pub use crate::cognito::triggers::error::Error;
pub use crate::cognito::triggers::functions::{Functions, Known, PROGRAM_TAG, TRIGGER_PROGRAM};
pub use crate::cognito::triggers::keep::{Keeper, Kept, Looked, Reason};
pub use crate::cognito::triggers::notes::{Gap, Hold, Notes, PUT_BACK_AT_MOST, REASON_MAX_CHARS};
pub use crate::cognito::triggers::parameter::{Parameter, ParameterError, VARIABLE};
use api::UserPoolApi;
use settings::Settings;
use update::{Manner, change};

/// One of the two triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// After a sign-up or a reset password is confirmed.
    PostConfirmation,
    /// After a sign-in.
    PostAuthentication,
}

impl Hook {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PostConfirmation, Self::PostAuthentication];

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

/// The triggers of the pool before we changed them. As text: the two ARNs, with a comma between them.
pub type Before = Triggers;

impl Triggers {
    fn of(described: &Settings) -> Self {
        Self {
            post_confirmation: settings::trigger(described, Hook::PostConfirmation),
            post_authentication: settings::trigger(described, Hook::PostAuthentication),
        }
    }

    /// The function of one of them.
    #[must_use]
    pub fn get(&self, hook: Hook) -> Option<&str> {
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
    "not the two former trigger functions of the user pool: two ARNs, each of which may be empty, with a comma between them"
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

/// What the pool should call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The pool, such as `eu-west-1_Abc123Def`.
    pub user_pool_id: UserPoolId,
    /// The function that should be both triggers.
    pub function_arn: String,
    /// The function that our function calls first for PostConfirmation: this one may be replaced.
    pub chain_post_confirmation: Option<String>,
    /// The same for PostAuthentication.
    pub chain_post_authentication: Option<String>,
    /// Whether a function that is not chained may be replaced too; it is then no longer called.
    pub overwrite: bool,
    /// Whether we keep somebody else's function as the trigger, rather than refuse.
    pub keep_foreign: bool,
    /// Functions that may be replaced without being put back, and triggers of others: [`Functions::known`].
    pub known: Known,
}

impl Wanted {
    /// The functions that ours calls first.
    #[must_use]
    pub fn chained(&self) -> Vec<&str> {
        Hook::ALL.into_iter().filter_map(|hook| self.chain(hook)).collect()
    }

    fn chain(&self, hook: Hook) -> Option<&str> {
        match hook {
            Hook::PostConfirmation => self.chain_post_confirmation.as_deref(),
            Hook::PostAuthentication => self.chain_post_authentication.as_deref(),
        }
    }
}

/// The pool's two triggers.
///
/// # Errors
/// When Cognito refuses, or is unavailable for a minute.
pub async fn current(client: &Client, user_pool_id: &str) -> Result<Triggers, Error> {
    Ok(Triggers::of(&UserPoolApi::new(client, user_pool_id).describe().await?))
}

/// Makes `wanted.function_arn` the two triggers, and returns the former ones, for [`detach`].
///
/// Idempotent: writes nothing if the triggers are as wanted already. `ours_before` is our function's former ARN;
/// `before` is what an earlier call returned, and still holds where the trigger is ours.
///
/// # Errors
/// [`Error::Taken`] when a trigger is somebody else's that is neither chained nor overwritten; [`Error::NoFunction`] when ours
/// is no Lambda function of the client's Region; [`Error::NotRestored`] when the pool may call ours nevertheless.
pub async fn attach(
    client: &Client,
    wanted: &Wanted,
    ours_before: Option<&str>,
    before: Option<Before>,
) -> Result<Before, Error> {
    attach_before(client, wanted, ours_before, before, None).await
}

/// The same, where whoever asks is ended at the deadline: nothing is written that could not be put back until then.
///
/// # Errors
/// As [`attach`]; [`Error::TooLate`] when too little time is left, and [`Error::GaveUp`] when it did not suffice.
pub async fn attach_before(
    client: &Client,
    wanted: &Wanted,
    ours_before: Option<&str>,
    before: Option<Before>,
    deadline: Option<Instant>,
) -> Result<Before, Error> {
    let user_pool = UserPoolApi::new(client, &wanted.user_pool_id);
    if let Some(region) = client.config().region()
        && function_region(&wanted.function_arn) != Some(region.as_ref())
    {
        return Err(Error::NoFunction { arn: wanted.function_arn.clone(), region: region.to_string() });
    }
    let wrote = AtomicBool::new(false);
    let plan = |now: &Triggers| plan(wanted, ours_before, before.as_ref(), now);
    change(&user_pool, &Manner { deadline, ..Manner::asked(&wrote) }, plan).await
}

/// What [`attach`] would have returned of a pool that had the triggers `now`, as [`Error::NotRestored`] tells.
///
/// # Errors
/// As [`attach`], of triggers that may not be replaced.
pub fn former(
    wanted: &Wanted,
    ours_before: Option<&str>,
    before: Option<&Before>,
    now: &Triggers,
) -> Result<Before, Error> {
    plan(wanted, ours_before, before, now).map(|(_, former)| former)
}

/// Restores the former trigger where ours is still set, also a version or an alias of it, and leaves any other trigger alone.
/// Returns the triggers as they were.
///
/// Idempotent. Succeeds if the pool no longer exists.
///
/// # Errors
/// When Cognito refuses, or the update changed more than the triggers.
pub async fn detach(
    client: &Client,
    user_pool_id: &str,
    function_arn: &str,
    before: &Before,
) -> Result<Triggers, Error> {
    let is_ours = |arn: &str| is_ours(arn, function_arn);
    let plan = |now: &Triggers| {
        let mut wanted = now.clone();
        for hook in Hook::ALL.into_iter().filter(|hook| now.get(*hook).is_some_and(is_ours)) {
            wanted.set(hook, before.get(hook).filter(|arn| !is_ours(arn)).map(str::to_owned));
        }
        Ok((wanted, now.clone()))
    };
    let wrote = AtomicBool::new(false);
    match change(&UserPoolApi::new(client, user_pool_id), &Manner::asked(&wrote), plan).await {
        Err(Error::NoPool) => Ok(Triggers::default()),
        detached => detached,
    }
}

/// The triggers to set, and the former ones.
fn plan(
    wanted: &Wanted,
    ours_before: Option<&str>,
    before: Option<&Before>,
    now: &Triggers,
) -> Result<(Triggers, Before), Error> {
    let is_now = |arn: &str| is_ours(arn, &wanted.function_arn) && Some(arn) != ours_before;
    let is_ours = |arn: &str| is_now(arn) || ours_before.is_some_and(|ours| is_ours(arn, ours));
    let (mut target, mut before_us, mut taken) = (Triggers::default(), Before::default(), Vec::new());
    for hook in Hook::ALL {
        target.set(hook, Some(wanted.function_arn.clone()));
        let chain = wanted.chain(hook);
        let former = match now.get(hook) {
            // An earlier attach whose response was lost: the chained function was the trigger.
            Some(arn) if is_ours(arn) => {
                // A version or an alias of ours was set on purpose.
                if is_now(arn) {
                    target.set(hook, Some(arn.to_owned()));
                }
                before.map_or(chain, |before| before.get(hook))
            }
            // As ours would be: what was there before it is not known.
            Some(arn) if wanted.known.replaceable.iter().any(|other| other == arn) => {
                before.map_or(chain, |before| before.get(hook))
            }
            Some(arn) if wanted.overwrite || chain == Some(arn) => Some(arn),
            Some(arn) if wanted.keep_foreign => {
                tracing::warn!(
                    trigger = hook.as_str(),
                    "somebody else's function is the trigger, and we keep it"
                );
                target.set(hook, Some(arn.to_owned()));
                None
            }
            Some(arn) => {
                taken.push((hook, arn.to_owned()));
                None
            }
            None => None,
        };
        let Known { replaceable, of_others } = &wanted.known;
        let stays_out = |arn: &str| replaceable.iter().chain(of_others).any(|other| other == arn);
        before_us.set(hook, former.filter(|arn| !is_ours(arn) && !stays_out(arn)).map(str::to_owned));
    }
    match () {
        () if taken.is_empty() => Ok((target, before_us)),
        () if taken.iter().all(|(_, arn)| wanted.known.of_others.contains(arn)) => {
            Err(Error::TakenByAnother(taken))
        }
        () => Err(Error::Taken(taken)),
    }
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
            keep_foreign: false,
            known: Known::default(),
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
    fn what_may_be_replaced_is_not_what_was_there_before() {
        for (chain, overwrite) in [(None, false), (None, true), (Some(OTHER), false), (Some(THEIRS), true)] {
            let wanted = Wanted {
                known: Known { replaceable: vec![OTHER.to_owned()], ..Known::default() },
                ..wanted(chain, overwrite)
            };
            let (shall, before) = plan(&wanted, None, None, &triggers(Some(OTHER), None)).unwrap();
            assert_eq!(shall, triggers(Some(OURS), Some(OURS)), "{chain:?} {overwrite}");
            assert_eq!(before, triggers(chain.filter(|arn| *arn != OTHER), None), "{chain:?} {overwrite}");
        }
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
