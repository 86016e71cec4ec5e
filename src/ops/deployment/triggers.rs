//! Sets the user pool's triggers as a custom resource. Must not know how Cognito is asked.
//!
//! The resource's name holds the former triggers: CloudFormation keeps the name, and passes it back when the triggers are
//! to be removed.

use cognito_user_sync_triggers::user_pool_id::{InvalidUserPoolId, UserPoolId};
use serde::Deserialize;
use serde_json::Value;

use crate::cognito::triggers::{self, Before, Wanted};
use crate::cognito::user_pool::UserPool;
use crate::ops::deployment::{Error, Request, RequestType, answer};

/// The prefix of every name. After a creation that failed, the CDK's provider gives another name.
const PREFIX: &str = "user-sync-triggers";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    /// Checked by [`Properties::wanted`] alone: a rollback must be able to read the old properties whatever they hold.
    user_pool_id: String,
    function_arn: String,
    chain_post_confirmation: Option<String>,
    chain_post_authentication: Option<String>,
    /// CloudFormation passes texts only.
    #[serde(default)]
    overwrite: String,
}

impl Properties {
    fn wanted(self) -> Result<Wanted, InvalidUserPoolId> {
        Ok(Wanted {
            user_pool_id: self.user_pool_id.try_into()?,
            function_arn: self.function_arn,
            chain_post_confirmation: self.chain_post_confirmation,
            chain_post_authentication: self.chain_post_authentication,
            overwrite: self.overwrite == "true",
            keep_foreign: false,
        })
    }
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

/// The name of an existing resource; an error if the resource would move to another user pool.
fn named(text: &str, wanted: &Wanted) -> Result<Option<Name>, PoolChanged> {
    let name = Name::read(text);
    match name.filter(|name| name.user_pool_id != wanted.user_pool_id) {
        Some(Name { user_pool_id, .. }) => {
            Err(PoolChanged { from: user_pool_id, to: wanted.user_pool_id.clone() })
        }
        None => Ok(Name::read(text)),
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

pub(super) async fn handle(payload: &str) -> Result<Value, Error> {
    let request: Request<Properties> = serde_json::from_str(payload)?;
    let text = request.physical_resource_id.unwrap_or_default();
    let wanted = request.resource_properties.wanted()?;
    let user_pool = UserPool::new(wanted.user_pool_id.clone()).await;
    let known = named(&text, &wanted)?;
    match request.request_type {
        RequestType::Create | RequestType::Update => {
            // An update that is refused is refused again when CloudFormation rolls it back, and the stack is stuck. The
            // alarm reports that the pool does not call us.
            let wanted = Wanted { keep_foreign: request.request_type == RequestType::Update, ..wanted };
            let ours_before = request.old_resource_properties.map(|old| old.function_arn);
            let before = known.as_ref().map(|name| name.before.clone());
            let before =
                triggers::attach(user_pool.client(), &wanted, ours_before.as_deref(), before).await?;
            // The name stays: CloudFormation would delete the resource of the former name, and with it the triggers.
            let name = known.unwrap_or(Name { user_pool_id: wanted.user_pool_id, before });
            Ok(answer(&name.to_string()))
        }
        RequestType::Delete => {
            // Without a name, nothing was attached.
            if let Some(Name { user_pool_id, before }) = known {
                let before = put_back(&wanted, before);
                triggers::detach(user_pool.client(), &user_pool_id, &wanted.function_arn, &before).await?;
            }
            Ok(answer(&text))
        }
    }
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
