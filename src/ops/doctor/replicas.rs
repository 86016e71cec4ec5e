//! Checks that a user pool's replicas in other Regions call a trigger, too: each Region has triggers of its own. Must
//! not change a replica.

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::config::{Builder, Region};
use aws_sdk_cognitoidentityprovider::error::SdkError;
use aws_sdk_cognitoidentityprovider::types::{LambdaConfigType, ReplicaStatusType, UserPoolReplicaType};
use cognito_user_sync_triggers::request_error::RequestError;

use crate::aws;
use crate::ops::doctor::triggers::{TIMEOUTS, wiring};
use crate::ops::doctor::{Finding, Status, TIMEOUT};

const PERMIT: &str =
    "permit cognito-idp:ListUserPoolReplicas, then its replicas in other Regions are checked";
const AGAIN: &str = "its replicas in other Regions could not be listed: run it again";

/// What was found of each replica in another Region than the SDK's; none where the pool has none. `Err` is what to do
/// to know.
pub(super) async fn examine(id: &str, trigger_arns: Option<&str>) -> Result<Vec<Finding>, &'static str> {
    let config = aws::sdk_config(TIMEOUTS).await;
    let own = config.region().map(Region::to_string);
    let replicas = list(&Client::new(&config), id).await?;
    let others = replicas.iter().filter_map(|replica| Some((replica, replica.region_name()?)));
    let others = others.filter(|(replica, region)| {
        own.as_deref() != Some(region) && replica.status() != Some(&ReplicaStatusType::Deleting)
    });
    let asked = others.map(|(replica, region)| {
        let there = Builder::from(&config).region(Region::new(region.to_owned())).build();
        async move { of_replica(&Client::from_conf(there), id, region, replica, trigger_arns).await }
    });
    Ok(futures::future::join_all(asked).await)
}

/// All replicas; none where Cognito refuses the question, as an emulator may, or a feature plan without replicas.
async fn list(client: &Client, id: &str) -> Result<Vec<UserPoolReplicaType>, &'static str> {
    let pages = async {
        let (mut replicas, mut next) = (Vec::new(), None);
        loop {
            let request = client.list_user_pool_replicas().user_pool_id(id).set_next_token(next);
            let page = request.send().await?;
            replicas.extend(page.user_pool_replicas.unwrap_or_default());
            next = page.next_token;
            if next.is_none() {
                return Ok::<_, SdkError<_, _>>(replicas);
            }
        }
    };
    match tokio::time::timeout(TIMEOUT, pages).await {
        Ok(Ok(replicas)) => Ok(replicas),
        Ok(Err(error)) => match RequestError::of(&error) {
            error if error.is_transient() => Err(AGAIN),
            error if error.describe("Cognito").contains("AccessDenied") => Err(PERMIT),
            _ => Ok(Vec::new()),
        },
        Err(_) => Err(AGAIN),
    }
}

/// Nobody can sign in at a replica that is not active: what it lacks is a warning.
async fn of_replica(
    client: &Client,
    id: &str,
    region: &str,
    replica: &UserPoolReplicaType,
    trigger_arns: Option<&str>,
) -> Finding {
    let is_active = replica.status() == Some(&ReplicaStatusType::Active);
    let state = [replica.role().map(AsRef::as_ref), replica.status().map(AsRef::as_ref)];
    let state = state.into_iter().flatten().collect::<Vec<&str>>().join(", ");
    let named =
        |finding: Finding| Finding { found: format!("{region} ({state}): {}", finding.found), ..finding };
    let described = tokio::time::timeout(TIMEOUT, client.describe_user_pool().user_pool_id(id).send()).await;
    let config = match described {
        Ok(Ok(described)) => described.user_pool.and_then(|pool| pool.lambda_config),
        Ok(Err(error)) => {
            let fix = format!("permit cognito-idp:DescribeUserPool on the user pool in {region}");
            return named(Finding::skipped(RequestError::of(&error).describe("Cognito"), fix));
        }
        Err(_) => {
            let fix = format!("see whether Cognito is well in {region}, then run it again");
            return named(Finding::skipped("no answer in time", fix));
        }
    };
    let config = config.unwrap_or_else(super::triggers::no_triggers);
    let wired = named(wiring_in(region, &config, trigger_arns));
    match wired.status {
        Status::Failed => Finding {
            status: if is_active { Status::Failed } else { Status::Warning },
            fix: wired.fix.map(|fix| format!("in {region}: {fix}")),
            ..wired
        },
        Status::Ok | Status::Warning | Status::Skipped => wired,
    }
}

/// What a pool calls in a Region, compared with the function that was named for it. Who named several, and none for this
/// one, may have mistyped it.
pub(super) fn wiring_in(region: &str, config: &LambdaConfigType, trigger_arns: Option<&str>) -> Finding {
    let arn = trigger_arns.and_then(|arns| of_region(arns, region));
    let wired = wiring(config, arn);
    if wired.status != Status::Ok || arn.is_some() || !trigger_arns.is_some_and(|arns| arns.contains(',')) {
        return wired;
    }
    Finding::warning(
        format!("no function was named for {region}: {}", wired.found),
        format!("add the function of {region} to --trigger-arn"),
    )
}

/// The function of a Region: an ARN names it.
fn of_region<'a>(arns: &'a str, region: &str) -> Option<&'a str> {
    arns.split(',').map(str::trim).find(|arn| arn.split(':').nth(3) == Some(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_has_a_function_of_its_own() {
        let near = "arn:aws:lambda:eu-west-1:111122223333:function:trigger";
        let far = "arn:aws:lambda:us-east-1:111122223333:function:trigger:live";
        let both = format!("{near}, {far}");
        assert_eq!(of_region(&both, "eu-west-1"), Some(near));
        assert_eq!(of_region(&both, "us-east-1"), Some(far));
        assert_eq!(of_region(&both, "us-east-2"), None);
        assert_eq!(of_region("not an ARN", "us-east-1"), None);
    }

    #[test]
    fn a_region_without_a_function_is_named_where_others_have_one() {
        const NEAR: &str = "arn:aws:lambda:eu-west-1:111122223333:function:trigger";
        const FAR: &str = "arn:aws:lambda:us-east-1:111122223333:function:trigger";
        let calls = LambdaConfigType::builder().post_confirmation(NEAR).post_authentication(NEAR).build();
        let found = |arns: Option<&str>| wiring_in("eu-west-1", &calls, arns);
        let both = format!("{NEAR},{FAR}");
        for arns in [None, Some(NEAR), Some(FAR), Some(both.as_str())] {
            assert_eq!(found(arns).status, Status::Ok, "{arns:?}");
        }
        let warned = found(Some(&format!("{FAR},arn:aws:lambda:us-west-2:111122223333:function:trigger")));
        assert_eq!(warned.status, Status::Warning);
        assert!(warned.found.starts_with("no function was named for eu-west-1: both call "), "{warned:?}");
        let none = wiring_in("eu-west-1", &super::super::triggers::no_triggers(), Some("a,b"));
        assert_eq!(none.status, Status::Failed, "what is missing is not hidden");
    }
}
