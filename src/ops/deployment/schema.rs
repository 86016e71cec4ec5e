//! Migrates the schema and makes the functions' logins, before the consumer of this build receives messages; maintains the
//! ledger's months daily. The only function with the owner's credentials. Must not know the queue or the user pool.
//!
//! The environment says which logins: a request that names others is refused.

use std::time::{Duration, Instant};

use cognito_user_sync_triggers::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{ConfigError, DatabaseConfig, Environment, RECORD_RETENTION_VARIABLE, Role, RolePrefix};
use crate::ops::deployment::logins::{self, Authentication, LoginError};
use crate::ops::deployment::{Error, NotPinned, Request, RequestType, answer, name};
use crate::postgres::{self, Database, DatabaseError, Purpose};
use crate::store::maintenance::indexes;
use crate::store::maintenance::partitions::{
    self, DEFAULT_MONTHS_AHEAD, DEFAULT_RETENTION_DAYS, MIN_RETENTION_DAYS, MaintainError,
};
use crate::store::maintenance::record_months;
use crate::store::migrate::{self, Deployment};
use crate::store::runs::{self, Run, What, class_of};

/// What the custom resource's name begins with: a deployment has one schema.
const PREFIX: &str = "user-sync-schema";

/// How long a rollback tries: what it goes back to was migrated.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(60);

/// The time that is reserved for the answer.
const RESERVE: Duration = Duration::from_secs(15);

const CONSUMER_LOGIN: &str = "USER_SYNC_CONSUMER_LOGIN";
const CONSUMER_SECRET: &str = "USER_SYNC_CONSUMER_SECRET_ARN";
const READER_LOGIN: &str = "USER_SYNC_READER_LOGIN";
const CONSOLE_LOGIN: &str = "USER_SYNC_CONSOLE_LOGIN";

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
}

/// The logins to make: what the environment says, and what the construct asks for. CloudFormation passes texts only.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    auth: Auth,
    consumer_user: Option<String>,
    consumer_secret_arn: Option<String>,
    reader_user: Option<String>,
    reader_secret_arn: Option<String>,
    console_user: Option<String>,
    console_secret_arn: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Auth {
    Iam,
    Secret,
}

impl Properties {
    /// The logins that this function makes, whoever asks.
    fn pinned(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let variable = "USER_SYNC_LOGINS_AUTH";
        let auth = match environment.required(variable, "how the functions log in: iam or secret")?.as_str() {
            "iam" => Auth::Iam,
            "secret" => Auth::Secret,
            value => {
                let (value, expected) = (value.to_owned(), "iam or secret".to_owned());
                return Err(ConfigError::Invalid { variable, value, expected });
            }
        };
        Ok(Self {
            auth,
            consumer_user: environment.optional(CONSUMER_LOGIN)?,
            consumer_secret_arn: environment.optional(CONSUMER_SECRET)?,
            reader_user: environment.optional(READER_LOGIN)?,
            reader_secret_arn: environment.optional("USER_SYNC_READER_SECRET_ARN")?,
            console_user: environment.optional(CONSOLE_LOGIN)?,
            console_secret_arn: environment.optional("USER_SYNC_CONSOLE_SECRET_ARN")?,
        })
    }

    /// Refuses all that is not what the environment says.
    fn check(&self, pinned: &Self) -> Result<(), NotPinned> {
        NotPinned::unless(&[
            ("Auth", self.auth == pinned.auth),
            ("ConsumerUser", self.consumer_user == pinned.consumer_user),
            ("ConsumerSecretArn", self.consumer_secret_arn == pinned.consumer_secret_arn),
            ("ReaderUser", self.reader_user == pinned.reader_user),
            ("ReaderSecretArn", self.reader_secret_arn == pinned.reader_secret_arn),
            ("ConsoleUser", self.console_user == pinned.console_user),
            ("ConsoleSecretArn", self.console_secret_arn == pinned.console_secret_arn),
        ])
    }
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

pub(super) async fn handle(payload: &str, deadline: Instant) -> Result<Value, Error> {
    if let Ok(Scheduled { maintain }) = serde_json::from_str(payload) {
        return Ok(keep_months(&maintain).await?);
    }
    let request: Request<Value> = serde_json::from_str(payload)?;
    if request.request_type == RequestType::Delete {
        // The rows stay: they are the team's. And each update leaves a former name, which is deleted.
        return Ok(answer(request.physical_resource_id.as_deref().unwrap_or(PREFIX)));
    }
    let named = answer(&name::after(PREFIX, &request));
    if !name::is_rollback(PREFIX, &request) {
        upgrade_as_asked(request.resource_properties).await?;
        return Ok(named);
    }
    // Nothing needs to be migrated, and a rollback that fails leaves a stack that only a person can mend.
    let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
    let limit = ROLLBACK_LIMIT.min(left);
    match tokio::time::timeout(limit, upgrade_as_asked(request.resource_properties)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "an update is rolled back to a schema that was migrated before, and the database fails");
        }
        Err(_) => tracing::warn!(
            limit.seconds = limit.as_secs(),
            "an update is rolled back to a schema that was migrated before, and the database does not answer"
        ),
    }
    Ok(named)
}

async fn upgrade_as_asked(properties: Value) -> Result<(), Error> {
    let properties: Properties = serde_json::from_value(properties)?;
    let pinned = Properties::pinned(Environment::process())?;
    properties.check(&pinned)?;
    Ok(upgrade(&pinned).await?)
}

async fn upgrade(pinned: &Properties) -> Result<(), SchemaError> {
    let config = DatabaseConfig::from_env()?;
    let database = postgres::connect(&config, 2).await?;
    let migrated = migrate::upgrade(&database, RolePrefix::from_env()?.as_ref()).await?;
    for (version, description) in &migrated.ran {
        tracing::info!(migration.version = version, migration.description = description, "migrated");
    }
    let deployment = this_deployment(&database).await.map_err(SchemaError::Deployment)?;
    let missing = |variable| ConfigError::Missing { variable, meaning: "a login that this function makes" };
    for (role, user, secret, variable) in [
        (Role::Consumer, &pinned.consumer_user, &pinned.consumer_secret_arn, CONSUMER_LOGIN),
        (Role::Reader, &pinned.reader_user, &pinned.reader_secret_arn, READER_LOGIN),
        (Role::Console, &pinned.console_user, &pinned.console_secret_arn, CONSOLE_LOGIN),
    ] {
        let authentication = match (pinned.auth, user, secret) {
            // A console is there only if somebody wants one.
            (_, None, None) if role == Role::Console => continue,
            (Auth::Iam, Some(user), _) => Authentication::Iam { user },
            (Auth::Secret, _, Some(arn)) => Authentication::Secret { arn },
            (Auth::Iam, None, _) => return Err(missing(variable).into()),
            // A deployment that looks for no drift needs no reader.
            (Auth::Secret, _, None) if role == Role::Reader => continue,
            (Auth::Secret, _, None) => return Err(missing(CONSUMER_SECRET).into()),
        };
        logins::ensure(&database, &config, &deployment, role, authentication).await?;
    }
    // The first maintenance may be a day away.
    record_days_ahead(&database).await?;
    database.close().await;
    Ok(())
}

async fn this_deployment(database: &Database) -> Result<Deployment, sqlx::Error> {
    let mut tx = database.begin(Purpose::Question).await?;
    let deployment = Deployment::read(&mut tx, database.schema()).await?;
    tx.rollback().await?;
    deployment.ok_or(sqlx::Error::RowNotFound)
}

/// For how many days after its end a month of records is kept.
fn record_retention(environment: Environment<'_>) -> Result<u32, ConfigError> {
    let number = |days: u32| usize::try_from(days).unwrap_or(usize::MAX);
    let limits = number(MIN_RETENTION_DAYS)..=36_500;
    let days = environment.number(RECORD_RETENTION_VARIABLE, number(DEFAULT_RETENTION_DAYS), limits)?;
    Ok(u32::try_from(days).unwrap_or(u32::MAX))
}

async fn keep_months(asked: &Maintain) -> Result<Value, SchemaError> {
    let of_records = record_retention(Environment::process())?;
    let database = postgres::connect(&DatabaseConfig::from_env()?, 1).await?;
    let Maintain { months_ahead, retention_days } = *asked;
    let scope = json!({
        "months_ahead": months_ahead, "retention_days": retention_days, "record_retention_days": of_records,
    });
    let run = Run::begin(&database, What::Maintain, scope).await;
    let now = Timestamp::now();
    let folding = |_: &str, events| run.progress(events, None);
    let maintained = partitions::maintain(&database, months_ahead, retention_days, now, folding).await;
    let maintained = match maintained {
        Ok(maintained) => record_months::maintain(&database, months_ahead, of_records, now, folding)
            .await
            .map(|records| (maintained, records)),
        Err(error) => Err(error),
    };
    match &maintained {
        Ok((events, records)) => {
            let forgotten = runs::forget_old(&database).await;
            run.end(partitions::findings(events, records, forgotten)).await;
        }
        Err(error) => run.fail(&error.class().map_or_else(|| class_of(error), str::to_owned)).await,
    }
    // Also after a failure: the alarm watches how long the ledgers last.
    let days = record_days_ahead(&database).await?;
    let (maintained, records) = maintained?;
    // Last: it may take longer than this function may, and the next run goes on.
    let indexes = indexes::build(&database, |_| {}).await?;
    tracing::info!(
        ledger.created = maintained.created.len(),
        ledger.folded = maintained.folded.len(),
        records.created = records.created.len(),
        records.folded = records.folded.len(),
        ledger.days_ahead = days,
        indexes.built = indexes.len(),
        "maintained"
    );
    Ok(json!({
        "created": maintained.created,
        "folded": maintained.folded.len(),
        "records": { "created": records.created, "folded": records.folded.len() },
        "indexes": indexes,
        "daysAhead": days,
    }))
}

/// Days until the first moment for which a ledger has no month.
async fn record_days_ahead(database: &Database) -> Result<f64, SchemaError> {
    let days = sqlx::query_scalar(include_str!("days_ahead.sql")).fetch_optional(database.questions()).await;
    let days = days.map_err(SchemaError::Months)?.unwrap_or(0.0);
    metrics::histogram!("ledger_days_ahead").record(days);
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_for_as_long_as_the_environment_says() {
        let days = |value: Option<&str>| {
            let value = value.map(str::to_owned);
            record_retention(Environment::new(&|name| {
                value.clone().filter(|_| name == "USER_SYNC_RECORD_RETENTION_DAYS").map(Into::into)
            }))
            .map_err(|error| error.to_string())
        };
        assert_eq!(days(None), Ok(400));
        assert_eq!(days(Some("")), Ok(400));
        assert_eq!(days(Some("31")), Ok(31));
        for refused in ["30", "36501", "a year"] {
            let refused = days(Some(refused)).err().unwrap_or_default();
            assert!(refused.contains("USER_SYNC_RECORD_RETENTION_DAYS"), "{refused}");
        }
    }
}
