//! Migrates the schema and makes the functions' logins, before the consumer of this build receives messages; maintains the
//! ledger's months daily. The only function with the owner's credentials. Must not know the queue or the user pool.

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{ConfigError, DatabaseConfig, Role, RolePrefix};
use crate::ops::deployment::logins::{self, Authentication, LoginError};
use crate::ops::deployment::{Request, RequestType, answer};
use crate::postgres::{self, Database, DatabaseError, Purpose};
use crate::store::maintenance::partitions::{
    self, DEFAULT_MONTHS_AHEAD, DEFAULT_RETENTION_DAYS, MaintainError,
};
use crate::store::migrate::{self, Deployment};

/// The custom resource's name: a deployment has one schema.
const PHYSICAL_RESOURCE_ID: &str = "user-sync-schema";

/// The schema cannot be migrated or maintained.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The function is not configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be connected to.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The migrations.
    #[error(transparent)]
    Migrate(#[from] migrate::Error),
    /// A login.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The ledger's months.
    #[error(transparent)]
    Maintain(#[from] MaintainError),
    /// What `migrate` has made cannot be read.
    #[error("the table user_sync_deployment cannot be read")]
    Deployment(#[source] sqlx::Error),
    /// The ledger's months cannot be read.
    #[error("the ledger's months cannot be read")]
    Months(#[source] sqlx::Error),
    /// A property is missing.
    #[error("the property {0} is missing: this build's construct gives it")]
    Property(&'static str),
}

/// The properties that the construct sets. CloudFormation passes texts only.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    auth: Auth,
    consumer_user: Option<String>,
    consumer_secret_arn: Option<String>,
    reader_user: Option<String>,
    reader_secret_arn: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Auth {
    Iam,
    Secret,
}

/// The payload of a schedule.
#[derive(Debug, Deserialize)]
struct Scheduled {
    maintain: Maintain,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Maintain {
    #[serde(default = "default_retention_days")]
    retention_days: u32,
    #[serde(default = "default_months_ahead")]
    months_ahead: u32,
}

fn default_retention_days() -> u32 {
    DEFAULT_RETENTION_DAYS
}

fn default_months_ahead() -> u32 {
    DEFAULT_MONTHS_AHEAD
}

pub(super) async fn handle(payload: &str) -> Result<Value, crate::ops::deployment::Error> {
    if let Ok(Scheduled { maintain }) = serde_json::from_str(payload) {
        return Ok(keep_months(&maintain).await?);
    }
    let request: Request<Properties> = serde_json::from_str(payload)?;
    match request.request_type {
        RequestType::Create | RequestType::Update => Ok(upgrade(&request.resource_properties).await?),
        // The rows stay: they are the team's.
        RequestType::Delete => Ok(answer(PHYSICAL_RESOURCE_ID)),
    }
}

async fn upgrade(properties: &Properties) -> Result<Value, SchemaError> {
    let config = DatabaseConfig::from_env()?;
    let database = postgres::connect(&config, 2).await?;
    let migrated = migrate::upgrade(&database, RolePrefix::from_env()?.as_ref()).await?;
    for (version, description) in &migrated.ran {
        tracing::info!(migration.version = version, migration.description = description, "migrated");
    }
    let deployment = this_deployment(&database).await.map_err(SchemaError::Deployment)?;
    for (role, user, secret) in [
        (Role::Consumer, &properties.consumer_user, &properties.consumer_secret_arn),
        (Role::Reader, &properties.reader_user, &properties.reader_secret_arn),
    ] {
        let authentication = match (properties.auth, user, secret) {
            (Auth::Iam, Some(user), _) => Authentication::Iam { user },
            (Auth::Secret, _, Some(arn)) => Authentication::Secret { arn },
            (Auth::Iam, None, _) => return Err(SchemaError::Property("ConsumerUser or ReaderUser")),
            // A deployment that looks for no drift needs no reader.
            (Auth::Secret, _, None) if role == Role::Reader => continue,
            (Auth::Secret, _, None) => return Err(SchemaError::Property("ConsumerSecretArn")),
        };
        logins::ensure(&database, &config, &deployment, role, authentication).await?;
    }
    // The first maintenance may be a day away.
    record_days_ahead(&database).await?;
    database.close().await;
    Ok(answer(PHYSICAL_RESOURCE_ID))
}

async fn this_deployment(database: &Database) -> Result<Deployment, sqlx::Error> {
    let mut tx = database.begin(Purpose::Question).await?;
    let deployment = Deployment::read(&mut tx, database.schema()).await?;
    tx.rollback().await?;
    deployment.ok_or(sqlx::Error::RowNotFound)
}

async fn keep_months(asked: &Maintain) -> Result<Value, SchemaError> {
    let database = postgres::connect(&DatabaseConfig::from_env()?, 1).await?;
    let Maintain { months_ahead, retention_days } = *asked;
    let maintained =
        partitions::maintain(&database, months_ahead, retention_days, Timestamp::now(), |_, _| {}).await;
    // Also after a failure: the alarm watches how long the ledger lasts.
    let days = record_days_ahead(&database).await?;
    let maintained = maintained?;
    tracing::info!(
        ledger.created = maintained.created.len(),
        ledger.folded = maintained.folded.len(),
        ledger.days_ahead = days,
        "maintained"
    );
    Ok(json!({ "created": maintained.created, "folded": maintained.folded.len(), "daysAhead": days }))
}

/// Days until the first moment for which the ledger has no month.
async fn record_days_ahead(database: &Database) -> Result<f64, SchemaError> {
    let days = sqlx::query_scalar(include_str!("days_ahead.sql")).fetch_optional(database.questions()).await;
    let days = days.map_err(SchemaError::Months)?.unwrap_or(0.0);
    metrics::histogram!("ledger_days_ahead").record(days);
    Ok(days)
}
