//! Sets a deployment up and keeps it so: the schema and its logins, the user pool's triggers, and checks that it works, for
//! drift and for logins that were missed; counts the days for the console. Must not know the Lambda runtime.
//!
//! One program, deployed as one function for each [`Operation`], each with its own rights. What a function does, and to which
//! pool and logins, its environment says; a request that asks for something else is refused ([`NotPinned`]).

mod audit;
mod check;
mod daily;
mod drift;
mod keep;
mod logins;
mod name;
mod rows;
mod schema;
mod triggers;
mod witnesses;

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{ConfigError, Environment};
use crate::postgres::advice_for;

pub use audit::AuditError;
pub use check::CheckError;
pub use daily::DailyError;
pub use drift::DriftError;
pub use logins::LoginError;
pub use rows::AnswerError;
pub use schema::SchemaError;
pub use triggers::PoolChanged;

/// The name of the variable that names the operation of this function.
pub const VARIABLE: &str = "USER_SYNC_OPERATION";

/// Every value of it.
const OPERATIONS: &str =
    "schema, drift, rows, deployment-check, pool-triggers, keep-triggers, audit or daily";

/// What a function does. The environment names it, not the payload: who may invoke one function cannot have it do the
/// work of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Migrates, makes the logins, and keeps the ledger's months.
    Schema,
    /// Compares the user pool with the table.
    Drift,
    /// Answers questions about rows.
    Rows,
    /// Sees a heartbeat through the deployment.
    DeploymentCheck,
    /// Sets and restores the two triggers of an imported user pool.
    PoolTriggers,
    /// Looks whether the user pool calls the trigger, and puts it back where it is told to.
    KeepTriggers,
    /// Compares the logins with the sign-ins that others recorded.
    Audit,
    /// Counts, by day, what the console's analytics show.
    Daily,
}

impl Operation {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// When the variable is missing or names no operation.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(Environment::process())
    }

    fn read(environment: Environment<'_>) -> Result<Self, ConfigError> {
        match environment.required(VARIABLE, "what this function does")?.as_str() {
            "schema" => Ok(Self::Schema),
            "drift" => Ok(Self::Drift),
            "rows" => Ok(Self::Rows),
            "deployment-check" => Ok(Self::DeploymentCheck),
            "pool-triggers" => Ok(Self::PoolTriggers),
            "keep-triggers" => {
                // What it cannot do, it says before it is needed.
                keep::parameter(environment)?;
                Ok(Self::KeepTriggers)
            }
            "audit" => Ok(Self::Audit),
            "daily" => Ok(Self::Daily),
            value => Err(ConfigError::Invalid {
                variable: VARIABLE,
                value: value.to_owned(),
                expected: OPERATIONS.to_owned(),
            }),
        }
    }
}

/// An operation failed. Its message is what CloudFormation shows and the log keeps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The function is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The payload is not from CloudFormation or a schedule.
    #[error("the payload cannot be read: {0}")]
    Payload(#[from] serde_json::Error),
    /// The schema or its logins.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The comparison.
    #[error(transparent)]
    Drift(#[from] DriftError),
    /// A question about rows.
    #[error(transparent)]
    Rows(#[from] AnswerError),
    /// The check of the deployment.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The audit.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The days.
    #[error(transparent)]
    Daily(#[from] DailyError),
    /// The pool's triggers.
    #[error(transparent)]
    PoolTriggers(#[from] crate::cognito::triggers::Error),
    /// The request asks for something else than the environment says.
    #[error(transparent)]
    NotPinned(#[from] NotPinned),
    /// The deployment's user pool was exchanged for another one.
    #[error(transparent)]
    PoolChanged(#[from] PoolChanged),
}

impl Error {
    /// What to do about it, where the database is the cause. A migration that fails is not repaired by migrating.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Schema(SchemaError::Maintain(error)) => advice_for(error),
            Self::Rows(error) => advice_for(error),
            Self::Schema(_)
            | Self::Config(_)
            | Self::Payload(_)
            | Self::Drift(_)
            | Self::Audit(_)
            | Self::Daily(_)
            | Self::Check(_)
            | Self::PoolTriggers(_)
            | Self::PoolChanged(_)
            | Self::NotPinned(_) => None,
        }
    }
}

/// A request asks for something else than the function's environment says.
///
/// Whoever may invoke a function could otherwise have it do anything that its rights permit. The properties of the request
/// are there so that CloudFormation asks again when they change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request and this function's environment differ in {}, and nothing was changed: the environment counts, and the \
     construct sets both, so deploy it again",
    .0.join(", ")
)]
pub struct NotPinned(Vec<&'static str>);

impl NotPinned {
    /// Refuses the properties that are not as the environment says.
    fn unless(are_as_pinned: &[(&'static str, bool)]) -> Result<(), Self> {
        let others = are_as_pinned.iter().filter(|(_, is_as_pinned)| !is_as_pinned);
        let others: Vec<_> = others.map(|(property, _)| *property).collect();
        if others.is_empty() { Ok(()) } else { Err(Self(others)) }
    }
}

/// CloudFormation's request, as the CDK's provider hands it over ("Custom resource request objects", AWS
/// CloudFormation User Guide; `onEvent` of aws-cdk-lib's custom-resources).
#[derive(Debug, Deserialize)]
#[serde(from = "Payload<P>", bound(deserialize = "P: Deserialize<'de>"))]
struct Request<P> {
    request_type: RequestType,
    /// The name that an earlier answer gave it; on updates and deletions.
    physical_resource_id: Option<String>,
    resource_properties: P,
    /// On updates.
    old_resource_properties: Option<P>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum RequestType {
    Create,
    Update,
    Delete,
}

/// A request as it comes. From Terraform it is the same at the end as before, and only what the provider adds says that it is
/// the end (`lifecycle_scope` of `aws_lambda_invocation`, Terraform's AWS provider).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Payload<P> {
    request_type: RequestType,
    physical_resource_id: Option<String>,
    resource_properties: P,
    old_resource_properties: Option<P>,
    #[serde(rename = "tf")]
    terraform: Option<Terraform>,
}

#[derive(Debug, Deserialize)]
struct Terraform {
    action: String,
}

impl<P> From<Payload<P>> for Request<P> {
    fn from(payload: Payload<P>) -> Self {
        let is_end = payload.terraform.is_some_and(|terraform| terraform.action == "delete");
        Self {
            request_type: if is_end { RequestType::Delete } else { payload.request_type },
            physical_resource_id: payload.physical_resource_id,
            resource_properties: payload.resource_properties,
            old_resource_properties: payload.old_resource_properties,
        }
    }
}

/// The answer that gives a custom resource its name.
fn answer(physical_resource_id: &str) -> Value {
    json!({ "PhysicalResourceId": physical_resource_id })
}

/// What an invocation leaves to the next one of the same process.
#[derive(Debug, Default)]
pub struct Kept(rows::Kept);

/// Does the work of `operation` that `payload` asks for, before `deadline`.
///
/// Idempotent: CloudFormation and schedules may ask twice.
///
/// # Errors
/// Says what failed, and what to do next.
pub async fn handle(
    operation: Operation,
    kept: &Kept,
    payload: &str,
    deadline: Instant,
) -> Result<Value, Error> {
    match operation {
        Operation::Schema => schema::handle(payload, deadline).await,
        Operation::Drift => Ok(drift::check(payload, deadline).await?),
        Operation::Rows => rows::handle(payload, &kept.0, deadline).await,
        // Boxed: its clients make it large.
        Operation::DeploymentCheck => Box::pin(check::handle(payload, deadline)).await,
        Operation::PoolTriggers => triggers::handle(payload, deadline).await,
        Operation::KeepTriggers => keep::handle(payload, deadline).await,
        Operation::Audit => Ok(audit::audit(deadline).await?),
        Operation::Daily => Ok(daily::refresh(deadline).await?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_operation_is_named_or_the_function_does_not_start() {
        let read = |value: &str| {
            let operation = Operation::read(Environment::new(&|_| Some(value.into())));
            operation.map_err(|error| error.to_string())
        };
        assert_eq!(read("drift"), Ok(Operation::Drift));
        let refused = format!("USER_SYNC_OPERATION is \"all\": it must be {OPERATIONS}");
        assert_eq!(read("all"), Err(refused));
        assert!(read("").unwrap_err().contains("is not set"));
    }

    #[test]
    fn terraform_says_by_a_word_of_its_own_that_it_is_the_end() {
        let read = |terraform: &str| {
            let payload = format!(
                r#"{{"RequestType":"Update","PhysicalResourceId":"name","ResourceProperties":{{"A":"b"}}{terraform}}}"#
            );
            let request: Request<Value> = serde_json::from_str(&payload).unwrap();
            assert_eq!(request.physical_resource_id.as_deref(), Some("name"));
            assert_eq!(request.resource_properties, json!({ "A": "b" }));
            request.request_type
        };
        assert_eq!(read(""), RequestType::Update);
        assert_eq!(read(r#","tf":{"action":"create","prev_input":null}"#), RequestType::Update);
        assert_eq!(
            read(r#","tf":{"action":"update","prev_input":{"RequestType":"Update"}}"#),
            RequestType::Update
        );
        assert_eq!(
            read(r#","tf":{"action":"delete","prev_input":{"RequestType":"Update"}}"#),
            RequestType::Delete
        );
    }

    #[test]
    fn triggers_are_not_kept_without_a_parameter() {
        let read = |keeps: Option<&str>, parameter: Option<&str>| {
            let variable = |name: &str| match name {
                VARIABLE => Some("keep-triggers".into()),
                keep::VARIABLE => keeps.map(Into::into),
                crate::cognito::triggers::VARIABLE => parameter.map(Into::into),
                _ => None,
            };
            Operation::read(Environment::new(&variable)).map_err(|error| error.to_string())
        };
        for (keeps, parameter) in
            [(None, None), (Some("false"), None), (None, Some("p")), (Some("true"), Some("p"))]
        {
            assert_eq!(read(keeps, parameter), Ok(Operation::KeepTriggers), "{keeps:?} {parameter:?}");
        }
        let refused = read(Some("true"), None).unwrap_err();
        assert!(refused.contains("USER_SYNC_TRIGGERS_PARAMETER is not set"), "{refused}");
        assert!(read(Some("yes"), Some("p")).unwrap_err().contains("true or false"));
    }
}
