//! Checks that the user pool calls the trigger. Must not change the user pool.

use std::time::Duration;

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::types::LambdaConfigType;
use cognito_user_sync_triggers::request_error::RequestError;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;

use crate::aws::{self, Timeouts};
use crate::cognito::user_pool;
use crate::ops::doctor::{Check, Finding, Options, Section, Status, TIMEOUT, hold, replicas};

pub(super) const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(3), attempt: Duration::from_secs(8) };

pub(super) async fn examine(options: &Options) -> Vec<Check> {
    let ids = options.user_pool_id.as_deref();
    let ids = ids.map_or(vec![None], |ids| ids.split(',').map(|id| Some(id.trim())).collect());
    let mut checks = Vec::new();
    // Of the deployment's own pool, the first one.
    let mut parameter = options.triggers_parameter.as_deref();
    for id in ids {
        let (reached, wired, others) = match lambda_config(id).await {
            Ok((found, config)) => {
                let (wired, others) = wired(&config, &found.found, options.trigger_arn.as_deref()).await;
                (found, wired, others)
            }
            Err(finding) => {
                let skipped = Finding { status: Status::Skipped, ..finding.clone() };
                (finding, skipped, Vec::new())
            }
        };
        let wired = hold::noted(wired, parameter.take()).await;
        let reached = if options.accepts_every_pool { accepting_all(reached) } else { reached };
        checks.extend([reached.named(Section::Pool, "reachable"), wired.named(Section::Pool, "triggers")]);
        checks.extend(others.into_iter().map(|other| other.named(Section::Pool, "replica's triggers")));
    }
    checks
}

/// What the pool calls in this Region, and its replicas in others.
async fn wired(config: &LambdaConfigType, id: &str, trigger_arns: Option<&str>) -> (Finding, Vec<Finding>) {
    // The only one is this Region's, whatever it is.
    let wired = match trigger_arns {
        Some(arns) if arns.contains(',') => {
            let region = aws::sdk_config(TIMEOUTS).await.region().map(ToString::to_string);
            replicas::wiring_in(region.as_deref().unwrap_or("this Region"), config, trigger_arns)
        }
        _ => wiring(config, trigger_arns),
    };
    match replicas::examine(id, trigger_arns).await {
        Ok(others) => (wired, others),
        Err(hint) => (Finding { found: format!("{}; {hint}", wired.found), ..wired }, Vec::new()),
    }
}

/// What was found of the pool, and that the consumer takes the events of every other one as well.
pub(super) fn accepting_all(reached: Finding) -> Finding {
    let variable = user_pool::VARIABLE;
    match reached.status {
        Status::Ok | Status::Skipped => Finding::warning(
            format!(
                "{}; without {variable} the consumer accepts the events of every user pool",
                reached.found
            ),
            format!("set {variable} where the consumer runs"),
        ),
        Status::Warning | Status::Failed => reached,
    }
}

async fn lambda_config(user_pool_id: Option<&str>) -> Result<(Finding, LambdaConfigType), Finding> {
    let variable = user_pool::VARIABLE;
    let Some(id) = user_pool_id else {
        return Err(unnamed());
    };
    if let Err(error) = id.parse::<UserPoolId>() {
        return Err(Finding::failed(format!("{id}: {error}"), format!("set {variable} to the pool's id")));
    }
    let describe = async {
        let client = Client::new(&aws::sdk_config(TIMEOUTS).await);
        client.describe_user_pool().user_pool_id(id).send().await
    };
    let fix = format!(
        "see that {variable}, AWS_REGION and the credentials are right, and that they permit \
         cognito-idp:DescribeUserPool"
    );
    match tokio::time::timeout(TIMEOUT, describe).await {
        Ok(Ok(described)) => {
            let config = described.user_pool.and_then(|pool| pool.lambda_config);
            Ok((Finding::ok(id), config.unwrap_or_else(no_triggers)))
        }
        Ok(Err(error)) => {
            Err(Finding::failed(format!("{id}: {}", RequestError::of(&error).describe("Cognito")), fix))
        }
        Err(_) => Err(Finding::failed(format!("{id}: no answer within {} s", TIMEOUT.as_secs()), fix)),
    }
}

/// No pool was named.
pub(super) fn unnamed() -> Finding {
    Finding::skipped("no user pool was named", format!("set {} or --user-pool-id", user_pool::VARIABLE))
}

/// What a pool says that calls nothing.
pub(super) fn no_triggers() -> LambdaConfigType {
    LambdaConfigType::builder().build()
}

/// Both triggers must call one function, so that they share warm processes.
pub(super) fn wiring(config: &LambdaConfigType, trigger_arn: Option<&str>) -> Finding {
    let set = |arn: &Option<String>| arn.clone().filter(|arn| !arn.is_empty());
    let (confirmation, authentication) = (set(&config.post_confirmation), set(&config.post_authentication));
    let expected = trigger_arn.unwrap_or("the function of user-sync-trigger");
    let missing: Vec<&str> = [("PostConfirmation", &confirmation), ("PostAuthentication", &authentication)]
        .into_iter()
        .filter_map(|(name, arn)| arn.is_none().then_some(name))
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(" and ");
        return Finding::failed(
            format!("not set: {missing}"),
            format!("set {missing} of the user pool to {expected}"),
        );
    }
    let (confirmation, authentication) =
        (confirmation.unwrap_or_default(), authentication.unwrap_or_default());
    let fix = format!("set PostConfirmation and PostAuthentication of the user pool to {expected}");
    let is_expected = trigger_arn.is_none_or(|arn| arn == confirmation);
    match confirmation == authentication && is_expected {
        true if trigger_arn.is_none() => {
            Finding::ok(format!("both call {confirmation}; --trigger-arn compares it"))
        }
        true => Finding::ok(format!("both call {confirmation}")),
        false if confirmation == authentication => Finding::failed(format!("both call {confirmation}"), fix),
        false => Finding::failed(
            format!("PostConfirmation calls {confirmation}, PostAuthentication {authentication}"),
            fix,
        ),
    }
}
