//! Sets the user pool's triggers as a custom resource. Must not know how Cognito is asked.
//!
//! The environment says which pool, which function and which former functions: a request that names others is refused. The
//! resource's name holds the former triggers: CloudFormation keeps the name, and passes it back when the triggers are to be
//! removed.

use std::time::Instant;

use cognito_user_sync_triggers::chain;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use serde::Deserialize;
use serde_json::Value;

use crate::cognito::lifecycle::TRIGGER_VARIABLE;
use crate::cognito::triggers::{self, Before, Functions, Known, Wanted};
use crate::cognito::user_pool::{self, UserPool};
use crate::config::{ConfigError, Environment};
use crate::ops::deployment::{Error, NotPinned, Request, RequestType, answer};

/// The prefix of every name. After a creation that failed, the CDK's provider gives another name.
const PREFIX: &str = "user-sync-triggers";

/// What the construct asks for, which is what the environment says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    user_pool_id: String,
    function_arn: String,
    chain_post_confirmation: Option<String>,
    chain_post_authentication: Option<String>,
    /// CloudFormation passes texts only.
    #[serde(default)]
    overwrite: String,
}

impl Properties {
    /// Refuses all that is not what the environment says.
    fn check(&self, pinned: &Wanted) -> Result<(), NotPinned> {
        NotPinned::unless(&[
            ("UserPoolId", self.user_pool_id == pinned.user_pool_id.as_str()),
            ("FunctionArn", self.function_arn == pinned.function_arn),
            ("ChainPostConfirmation", self.chain_post_confirmation == pinned.chain_post_confirmation),
            ("ChainPostAuthentication", self.chain_post_authentication == pinned.chain_post_authentication),
            ("Overwrite", (self.overwrite == "true") == pinned.overwrite),
        ])
    }

    fn chains(&self, arn: &str) -> bool {
        let chained = [&self.chain_post_confirmation, &self.chain_post_authentication];
        chained.into_iter().any(|chained| chained.as_deref() == Some(arn))
    }

    /// The same of another pool.
    fn of(self, user_pool_id: UserPoolId) -> Wanted {
        Wanted {
            user_pool_id,
            function_arn: self.function_arn,
            chain_post_confirmation: self.chain_post_confirmation,
            chain_post_authentication: self.chain_post_authentication,
            overwrite: self.overwrite == "true",
            keep_foreign: false,
            known: Known::default(),
        }
    }
}

/// What this function sets, whoever asks.
pub(super) fn pinned(environment: Environment<'_>) -> Result<Wanted, ConfigError> {
    Ok(Wanted {
        user_pool_id: user_pool::configured("the user pool whose triggers this function sets")?,
        function_arn: environment.required(TRIGGER_VARIABLE, "the function that becomes both triggers")?,
        chain_post_confirmation: environment.optional(chain::POST_CONFIRMATION_VARIABLE)?,
        chain_post_authentication: environment.optional(chain::POST_AUTHENTICATION_VARIABLE)?,
        overwrite: environment.flag("USER_SYNC_OVERWRITE_TRIGGERS")?,
        keep_foreign: false,
        known: Known::default(),
    })
}

/// The deployment's user pool was exchanged for another one.
///
/// This function may no longer change the former pool, whose permission to call the trigger is removed next: nobody could
/// sign in there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the user pool is {to} now, and was {from}, whose triggers would be left behind; nothing was changed: deploy once \
     with {from} and PoolTriggers.outputOnly(), which puts back what it had, and then with {to}"
)]
pub struct PoolChanged {
    from: UserPoolId,
    to: UserPoolId,
}

/// The name of the resource: the user pool, and its former triggers.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    user_pool_id: UserPoolId,
    before: Before,
}

impl Name {
    fn read(text: &str) -> Option<Self> {
        let (user_pool_id, before) = text.strip_prefix(PREFIX)?.strip_prefix('/')?.split_once('/')?;
        Some(Self { user_pool_id: user_pool_id.parse().ok()?, before: before.parse().ok()? })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}/{}/{}", self.user_pool_id, self.before)
    }
}

/// The functions that become the triggers again when ours is removed: what was overwritten, and what is still chained. A
/// function that is no longer chained may be deleted, and a pool that calls it could sign nobody in.
fn put_back(wanted: &Wanted, before: Before) -> Before {
    let is_there = |chain: Option<&str>, arn: &str| chain.map_or(wanted.overwrite, |chain| chain == arn);
    let confirmation = wanted.chain_post_confirmation.as_deref();
    let authentication = wanted.chain_post_authentication.as_deref();
    Before {
        post_confirmation: before.post_confirmation.filter(|arn| is_there(confirmation, arn)),
        post_authentication: before.post_authentication.filter(|arn| is_there(authentication, arn)),
    }
}

pub(super) async fn handle(payload: &str, deadline: Instant) -> Result<Value, Error> {
    let pinned = pinned(Environment::process())?;
    let request: Request<Properties> = serde_json::from_str(payload)?;
    let text = request.physical_resource_id.unwrap_or_default();
    let known = Name::read(&text);
    match request.request_type {
        RequestType::Create | RequestType::Update => {
            request.resource_properties.check(&pinned)?;
            if let Some(name) = known.as_ref().filter(|name| name.user_pool_id != pinned.user_pool_id) {
                let (from, to) = (name.user_pool_id.clone(), pinned.user_pool_id);
                return Err(PoolChanged { from, to }.into());
            }
            // An update that is refused is refused again when CloudFormation rolls it back, and the stack is stuck. The
            // alarm reports that the pool does not call us.
            let wanted = Wanted { keep_foreign: request.request_type == RequestType::Update, ..pinned };
            let before = known.as_ref().map(|name| name.before.clone());
            let may_stay = request.request_type == RequestType::Create;
            let before = attach(&wanted, request.old_resource_properties, before, may_stay, deadline).await?;
            // The name stays: CloudFormation would delete the resource of the former name, and with it the triggers.
            let name = known.unwrap_or(Name { user_pool_id: wanted.user_pool_id, before });
            Ok(answer(&name.to_string()))
        }
        RequestType::Delete => {
            match known {
                Some(name) => remove(name, pinned, request.resource_properties).await?,
                None if text.is_empty() => remove_unnamed(pinned).await?,
                // Of another name, nothing was attached.
                None => {}
            }
            Ok(answer(&text))
        }
    }
}

/// Makes our function the pool's triggers, also where the pool calls another one of ours, as after a construct was renamed: no
/// resource says then what that one was.
///
/// A creation that fails has CloudFormation delete our function. So where the pool may call it (`may_stay`), and what was there
/// could not be put back, it succeeds: the function stays, people sign in, and the alarm on missing triggers tells whether the
/// pool calls it. An update that fails deletes nothing before the former triggers are set, and one that succeeds deletes a
/// function that was replaced, which the pool may still call: so an update fails.
async fn attach(
    wanted: &Wanted,
    old: Option<Properties>,
    before: Option<Before>,
    may_stay: bool,
    deadline: Instant,
) -> Result<Before, triggers::Error> {
    let functions = Functions::beside(&wanted.function_arn).await;
    let was_chained = |arn: &str| old.as_ref().is_some_and(|old| old.chains(arn));
    // What is chained already is not refused: nor could it be rolled back to.
    let chained: Vec<&str> = wanted.chained().into_iter().filter(|arn| !was_chained(arn)).collect();
    functions.refuse_chained(&chained).await?;
    let user_pool = UserPool::new(wanted.user_pool_id.clone()).await;
    let ours_before = old.as_ref().map(|old| old.function_arn.as_str());
    let now = triggers::current(user_pool.client(), &wanted.user_pool_id).await?;
    let known = functions.known(&now, wanted, ours_before).await;
    let wanted = Wanted { known, ..wanted.clone() };
    let client = user_pool.client();
    match triggers::attach_before(client, &wanted, ours_before, before.clone(), Some(deadline)).await {
        Err(triggers::Error::NotRestored { because, before: now }) if may_stay => {
            tracing::error!(
                error = %because,
                former = %now,
                "the user pool may call our function, and what was there could not be put back: the resource is made \
                 nevertheless, since nobody could sign in without the function; deploy again, and compare the pool's settings"
            );
            triggers::former(&wanted, ours_before, before.as_ref(), &now)
        }
        attached => attached,
    }
}

/// Takes our function out of the pool that the name says, and puts back what the name says.
///
/// It may be another pool than the environment's: CloudFormation deletes a resource that was replaced, and what a rollback
/// leaves over, when the environment is that of the resource that stays. Its pool's former functions are not in the
/// environment then, and what the resource was made with says which of them are still there.
async fn remove(name: Name, pinned: Wanted, made_with: Properties) -> Result<(), Error> {
    NotPinned::unless(&[("FunctionArn", made_with.function_arn == pinned.function_arn)])?;
    let Name { user_pool_id, before } = name;
    let wanted = match user_pool_id == pinned.user_pool_id {
        true => pinned,
        false => made_with.of(user_pool_id),
    };
    take_out(&wanted, before).await
}

/// Takes our function out of our pool where nobody knows the resource's name: an apply of Terraform attached it and stopped
/// before it had kept that. The function is deleted next, and a pool that calls it could sign nobody in.
///
/// The chained functions are put back: what was overwritten is not known. What the resource was made with may be of long ago.
async fn remove_unnamed(pinned: Wanted) -> Result<(), Error> {
    let before = Before {
        post_confirmation: pinned.chain_post_confirmation.clone(),
        post_authentication: pinned.chain_post_authentication.clone(),
    };
    take_out(&pinned, before).await
}

async fn take_out(wanted: &Wanted, before: Before) -> Result<(), Error> {
    let user_pool = UserPool::new(wanted.user_pool_id.clone()).await;
    let functions = Functions::beside(&wanted.function_arn).await;
    let before = functions.put_back(put_back(wanted, before)).await;
    triggers::detach(user_pool.client(), &wanted.user_pool_id, &wanted.function_arn, &before).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let arn = |name: &str| Some(format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}"));
        for (post_confirmation, post_authentication) in
            [(None, None), (arn("welcome"), None), (None, arn("audit")), (arn("welcome"), arn("audit:live"))]
        {
            let before = Before { post_confirmation, post_authentication };
            let name = Name { user_pool_id: "eu-west-1_Abc123Def".parse().unwrap(), before };
            assert_eq!(Name::read(&name.to_string()), Some(name));
        }
        assert_eq!(Name::read("AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"), None);
        assert_eq!(Name::read(""), None);
    }

    #[test]
    fn what_is_put_back_is_what_was_overwritten_or_is_chained_still() {
        let check = |chain: Option<&str>, overwrite, expected: Option<&str>| {
            let wanted = Wanted {
                user_pool_id: "eu-west-1_Abc123Def".parse().unwrap(),
                function_arn: "arn:ours".to_owned(),
                chain_post_confirmation: chain.map(str::to_owned),
                chain_post_authentication: None,
                overwrite,
                keep_foreign: false,
                known: Known::default(),
            };
            let before =
                Before { post_confirmation: Some("arn:theirs".to_owned()), post_authentication: None };
            assert_eq!(
                put_back(&wanted, before).post_confirmation.as_deref(),
                expected,
                "{chain:?} {overwrite}"
            );
        };
        check(Some("arn:theirs"), false, Some("arn:theirs"));
        check(None, true, Some("arn:theirs"));
        check(None, false, None);
        check(Some("arn:other"), false, None);
        check(Some("arn:other"), true, None);
    }
}
