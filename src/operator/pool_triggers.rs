//! The pool's triggers as a custom resource. What the pool had before is in the resource's name: CloudFormation
//! keeps that, and gives it back when the triggers are to be taken away.

use serde::Deserialize;
use serde_json::Value;

use super::{Error, Request, RequestType, answer};
use crate::pool::UserPool;
use crate::pool_triggers::{self, Before, Wanted};

/// What every name begins with. A creation that failed has another one, given by the CDK's provider.
const PREFIX: &str = "user-sync-triggers";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    user_pool_id: String,
    function_arn: String,
    chain_post_confirmation: Option<String>,
    chain_post_authentication: Option<String>,
    /// CloudFormation hands over texts only.
    #[serde(default)]
    overwrite: String,
}

impl Properties {
    fn wanted(self) -> Wanted {
        Wanted {
            user_pool_id: self.user_pool_id,
            function_arn: self.function_arn,
            chain_post_confirmation: self.chain_post_confirmation,
            chain_post_authentication: self.chain_post_authentication,
            overwrite: self.overwrite == "true",
        }
    }
}

/// The name of the resource: whose triggers, and what they were.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    user_pool_id: String,
    before: Before,
}

impl Name {
    fn read(text: &str) -> Option<Self> {
        let (user_pool_id, before) = text.strip_prefix(PREFIX)?.strip_prefix('/')?.split_once('/')?;
        Some(Self { user_pool_id: user_pool_id.to_owned(), before: before.parse().ok()? })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}/{}/{}", self.user_pool_id, self.before)
    }
}

pub(super) async fn handle(payload: &str) -> Result<Value, Error> {
    let request: Request<Properties> = serde_json::from_str(payload)?;
    let text = request.physical_resource_id.unwrap_or_default();
    let wanted = request.resource_properties.wanted();
    let user_pool = UserPool::new(wanted.user_pool_id.clone()).await;
    // Of another pool: this one is attached to anew, and CloudFormation lets the other one go afterwards.
    let known = Name::read(&text).filter(|name| name.user_pool_id == wanted.user_pool_id);
    match request.request_type {
        RequestType::Create | RequestType::Update => {
            let ours_before = request.old_resource_properties.map(|old| old.function_arn);
            let known = known.map(|name| name.before);
            let before =
                pool_triggers::attach(user_pool.client(), &wanted, ours_before.as_deref(), known).await?;
            Ok(answer(&Name { user_pool_id: wanted.user_pool_id, before }.to_string()))
        }
        RequestType::Delete => {
            // Without a name nothing was attached.
            if let Some(Name { user_pool_id, before }) = known {
                pool_triggers::detach(user_pool.client(), &user_pool_id, &wanted.function_arn, &before)
                    .await?;
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
            let name = Name { user_pool_id: "eu-west-1_Abc123Def".to_owned(), before };
            assert_eq!(Name::read(&name.to_string()), Some(name));
        }
        assert_eq!(Name::read("AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"), None);
        assert_eq!(Name::read(""), None);
    }
}
