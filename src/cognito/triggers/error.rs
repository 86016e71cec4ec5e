//! Why the triggers cannot be set, and what to do about it. Quotes the value of no setting but a trigger's ARN.

use crate::cognito::triggers::parameter::ParameterError;
use crate::cognito::triggers::{Hook, PROGRAM_TAG, Triggers};
use crate::cognito::user_pool::PoolError;

/// Why the triggers are not as they were asked to be. Quotes no setting's value but a trigger's ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another function is the trigger. Nothing was changed.
    #[error(
        "the user pool has {} already, and nothing was changed: chain it, so that it is still called first, \
         or overwrite it, so that it is no longer called",
        listed(.0)
    )]
    Taken(Vec<(Hook, String)>),
    /// A trigger of another deployment of this service is the trigger. Nothing was changed.
    #[error(
        "the user pool has {} already, which is a trigger of this service (its tag {PROGRAM_TAG} says so) of another stack, or \
         of none, and nothing was changed: if it should give way, `overwrite` replaces it (the construct's and Terraform's \
         setting, and --overwrite). It is never chained, and never put back",
        listed(.0)
    )]
    TakenByAnother(Vec<(Hook, String)>),
    /// This cannot be the trigger. Nothing was changed.
    #[error(
        "{arn} is not a Lambda function of {region}, where we ask for the user pool, so nothing was changed: give our \
         function's ARN, and AWS_REGION"
    )]
    NoFunction {
        /// What was given.
        arn: String,
        /// The Region that is asked.
        region: String,
    },
    /// A trigger of this project is to be chained. Nothing was changed.
    #[error(
        "{arn} is a trigger function of this service itself (its tag {PROGRAM_TAG} says so), and is not chained: each \
         sign-in would be counted twice. Nothing was changed: take it out of the chain; where it is the user pool's trigger \
         and of the same stack, ours replaces it by itself, and otherwise with `overwrite`"
    )]
    Chained {
        /// What was to be chained.
        arn: String,
    },
    /// Cognito could not be reached or refused.
    #[error(transparent)]
    Cognito(#[from] PoolError),
    /// IAM denied the request.
    #[error("Cognito: {operation} is not allowed: grant {action}{}", hint(.action))]
    Denied {
        /// Cognito's operation.
        operation: &'static str,
        /// What has to be granted, such as `iam:PassRole`.
        action: String,
    },
    /// Cognito does not do this in this Region: the pool is a secondary replica here.
    #[error(
        "Cognito: {operation} is not available for the user pool in this Region, as on a secondary replica: set its \
         triggers there by CloudFormation's AWS::Cognito::UserPoolRegionalConfigurationAttachment, in LambdaConfig"
    )]
    NotEnabled {
        /// Cognito's operation.
        operation: &'static str,
    },
    /// There is no such pool.
    #[error("there is no user pool of this id: check the id and the region")]
    NoPool,
    /// A response without the settings that we asked for.
    #[error("Cognito: {operation} returned a response that cannot be read")]
    Unreadable {
        /// Cognito's operation.
        operation: &'static str,
    },
    /// Somebody else is changing the pool. Nothing was changed.
    #[error(
        "somebody else is changing the user pool, so we changed nothing: try again when they have finished"
    )]
    ConcurrentlyModified,
    /// Writing, verifying and putting back might not end in time. Nothing was changed.
    #[error(
        "Cognito answered so slowly that too little of the time is left to write the triggers, and to put back what was \
         there if that fails, so nothing was changed: try again"
    )]
    TooLate,
    /// The triggers were written or not, and the time did not suffice to see that nothing else was.
    #[error(
        "Cognito answered so slowly that the triggers could not be verified in time; the former settings were sent back: try again"
    )]
    GaveUp,
    /// More than the triggers differed after the update.
    #[error("the update changed more than the triggers: {}; the former settings were sent back{}", .changed.join(", "), still(.remaining))]
    Changed {
        /// The names of the settings that differed.
        changed: Vec<String>,
        /// Those that still differ after the former settings were sent back.
        remaining: Vec<String>,
    },
    /// The update failed, and the former settings could not be sent back.
    #[error("{because}; the former settings could not be sent back either: set the user pool's {} by hand", by_hand(.before))]
    NotRestored {
        /// What went wrong.
        #[source]
        because: Box<Error>,
        /// The triggers as they were.
        before: Triggers,
    },
    /// Somebody holds the triggers. Nothing was changed.
    #[error("somebody holds the triggers, so nothing was changed: user-sync triggers release ends that")]
    Held,
    /// The pool does not show what it accepted.
    #[error(
        "Cognito accepted the triggers, and the user pool does not show them: somebody else may have taken them away again"
    )]
    NotSeen,
    /// Whether somebody holds the triggers is not known.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
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

/// What to grant the permission on; the first two surprise everybody.
fn hint(action: &str) -> &'static str {
    match action {
        // IAM requires it of whoever sets a role, even if the role stays the same ("Granting a user permissions to
        // pass a role to an AWS service", IAM User Guide).
        "iam:PassRole" => {
            " on the role by which the pool sends SMS messages, since every update sends that role: \
             give the construct's smsRole"
        }
        // `KMSKeyID` encrypts what custom senders receive. Whether an update that keeps it requires this
        // permission is unconfirmed.
        "kms:CreateGrant" => {
            " on the key of the pool's custom sender triggers, since every update sends that key"
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
