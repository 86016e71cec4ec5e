//! Makes a whole deployment on the local stack: a migrated database, its logins, a queue and its dead-letter queue, for
//! `user-sync demo`, `user-sync dev` and the integration tests. Must not start a server.

use std::str::FromStr as _;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::QueueAttributeName;
use cognito_user_sync_triggers::publish::Publisher;
use cognito_user_sync_triggers::request_error::RequestError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool};
use uuid::Uuid;

use crate::aws;
use crate::config::DatabaseConfig;
use crate::dev::stack::Stack;
use crate::postgres::{self, DatabaseError, RolePrefix};
use crate::sqs::queue::Queue;
use crate::store::migrate;

/// The region that local queues are in.
pub const REGION: &str = "eu-west-1";

/// Receives before SQS itself moves a message to the dead-letter queue. High, because what can never be
/// applied is sent there at once with its reason: only an outage that lasts spends receives.
pub const MAX_RECEIVE_COUNT: u32 = 100;

/// One deployment, which shares only the servers with others.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The database as its owner: what `user-sync migrate` takes.
    pub owner_url: String,
    /// The database as a member of `user_sync_consumer`: what the consumer takes.
    pub consumer_url: String,
    /// The database as a member of `user_sync_app`: what the application takes.
    pub app_url: String,
    /// The database as a member of `user_sync_owner`: what `maintain`, `verify --repair` and `release` take.
    pub operator_url: String,
    /// The database as a member of `user_sync_console`: what the console takes. Empty where the schema has none.
    pub console_url: String,
    /// The SQS endpoint.
    pub endpoint: String,
    /// The queue.
    pub queue_url: String,
    /// Its dead-letter queue.
    pub dlq_url: String,
    admin_url: String,
    database: String,
    client: Client,
}

/// The roles that a deployment has a login of.
const ROLES: [&str; 4] = ["consumer", "app", "owner", "console"];

/// A deployment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database part failed.
    #[error("cannot prepare the local database")]
    Database(#[from] sqlx::Error),
    /// The migrations failed.
    #[error("cannot migrate the local database")]
    Migrate(#[from] migrate::Error),
    /// The database's URL is not one of a database.
    #[error(transparent)]
    Url(#[from] DatabaseError),
    /// The queue part failed.
    #[error("cannot create the local queues: {operation} failed: {}", .error.describe("SQS"))]
    Queue {
        /// SQS's operation.
        operation: &'static str,
        /// What became of the request.
        error: RequestError,
    },
    /// SQS created a queue and gave no URL.
    #[error("cannot create the local queues: no URL for {0}")]
    NoQueueUrl(String),
}

impl Error {
    fn queue<E: ProvideErrorMetadata>(operation: &'static str, error: &SdkError<E>) -> Self {
        Self::Queue { operation, error: RequestError::of(error) }
    }
}

impl Deployment {
    /// Creates a database and queues of a new name, and migrates.
    ///
    /// # Errors
    /// When a server refuses; what was made until then stays until the servers end.
    pub async fn create(stack: &Stack) -> Result<Self, Error> {
        Self::create_on(stack, stack.sqs.endpoint()).await
    }

    /// The same, with the queues on another SQS server.
    ///
    /// # Errors
    /// As [`Deployment::create`].
    pub async fn create_on(stack: &Stack, endpoint: &str) -> Result<Self, Error> {
        Self::make(stack, endpoint, async |owner_url| migrate_as_owner(owner_url).await).await
    }

    /// The same, where `migrate` brings the schema to the new database, whose URL as its owner it is given.
    ///
    /// # Errors
    /// As [`Deployment::create`], and when `migrate` fails.
    pub async fn create_migrated_by(
        stack: &Stack,
        migrate: impl AsyncFnOnce(&str) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        Self::make(stack, stack.sqs.endpoint(), migrate).await
    }

    async fn make(
        stack: &Stack,
        endpoint: &str,
        migrate: impl AsyncFnOnce(&str) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let name = format!("user_sync_{}", Uuid::now_v7().simple());
        let admin_url = stack.postgres.admin_url().to_owned();
        let admin = PgConnectOptions::from_str(&admin_url)?;
        let mut connection = admin.connect().await?;
        // The name is our own: a prefix and hexadecimal digits.
        sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await?;
        let owner_url = url(&admin, None, &name, &admin_url);
        migrate(&owner_url).await?;
        let mut logins = Vec::new();
        for role in ROLES {
            let (login, password) = (format!("{name}_{role}_login"), Uuid::now_v7().simple().to_string());
            let is_there =
                sqlx::query_scalar("select to_regrole($1) is not null").bind(format!("{name}_{role}"));
            if !is_there.fetch_one(&mut connection).await? {
                logins.push(String::new());
                continue;
            }
            let create = format!("create role {login} login password '{password}' in role {name}_{role}");
            sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await?;
            logins.push(url(&admin, Some((&login, &password)), &name, &admin_url));
        }
        let [consumer_url, app_url, operator_url, console_url] = logins.try_into().unwrap_or_default();

        let client = client(endpoint);
        let dlq_url = create_queue(&client, &format!("{name}-dlq"), None).await?;
        let request = client.get_queue_attributes().queue_url(&dlq_url);
        let answer = request.attribute_names(QueueAttributeName::QueueArn).send().await;
        let attributes = answer.map_err(|error| Error::queue("GetQueueAttributes", &error))?.attributes;
        let arn = attributes.and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn));
        let redrive = serde_json::json!({
            "deadLetterTargetArn": arn.unwrap_or_default(),
            "maxReceiveCount": MAX_RECEIVE_COUNT,
        });
        let queue_url = create_queue(&client, &name, Some(redrive.to_string())).await?;
        Ok(Self {
            owner_url,
            consumer_url,
            app_url,
            operator_url,
            console_url,
            endpoint: endpoint.to_owned(),
            queue_url,
            dlq_url,
            admin_url,
            database: name,
            client,
        })
    }

    /// What the names of its roles begin with: the database's name, since roles are the whole server's.
    #[must_use]
    pub fn prefix(&self) -> RolePrefix {
        RolePrefix::new(&self.database).unwrap_or_default()
    }

    /// A client for the queues.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A publisher to the queue, as the trigger has it.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher::with_client(self.client.clone(), self.queue_url.clone())
    }

    /// The queues, as the consumer has them.
    #[must_use]
    pub fn queue(&self) -> Queue {
        Queue::with_client(self.client.clone(), self.queue_url.clone(), self.dlq_url.clone())
    }

    /// Environment variables under which the programs work on this deployment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("USER_SYNC_QUEUE_URL", &self.queue_url),
            ("USER_SYNC_DLQ_URL", &self.dlq_url),
            ("DATABASE_URL", &self.consumer_url),
        ]
    }

    /// Drops the database and its logins, for a server that lives on. Queues end with the SQS server.
    ///
    /// # Errors
    /// When the database is still in use or cannot be reached.
    pub async fn remove(self) -> Result<(), Error> {
        let mut connection = PgConnectOptions::from_str(&self.admin_url)?.connect().await?;
        let name = &self.database;
        let logins = ROLES.iter().map(|role| format!("drop role if exists {name}_{role}_login"));
        let groups = self.prefix().roles().map(|role| format!("drop role if exists {role}"));
        let drops = logins.chain(groups);
        for drop in std::iter::once(format!("drop database {name} with (force)")).chain(drops) {
            sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await?;
        }
        Ok(())
    }
}

/// Migrates the database of a URL, whose roles begin with its name.
///
/// # Errors
/// When the database cannot be reached, or does not take the tables.
pub async fn migrate_as_owner(url: &str) -> Result<(), Error> {
    let database = postgres::connect(&DatabaseConfig::with_url(url), 2).await?;
    let name = database.pool().connect_options().get_database().unwrap_or_default().to_owned();
    migrate::run(&database, RolePrefix::new(&name).as_ref()).await?;
    database.close().await;
    Ok(())
}

/// A pool of connections apart from the product's own.
///
/// # Errors
/// When the database cannot be reached.
pub async fn connect(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new().max_connections(connections).connect(url).await
}

fn url(admin: &PgConnectOptions, login: Option<(&str, &str)>, database: &str, admin_url: &str) -> String {
    match login {
        Some((user, password)) => {
            format!("postgres://{user}:{password}@{}:{}/{database}", admin.get_host(), admin.get_port())
        }
        None => {
            let (start, query) =
                admin_url.split_once('?').map_or((admin_url, None), |(url, query)| (url, Some(query)));
            let (scheme, rest) = start.split_once("://").unwrap_or(("postgres", start));
            let authority = rest.split('/').next().unwrap_or_default();
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            format!("{scheme}://{authority}/{database}{query}")
        }
    }
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "local"))
        .http_client(aws::http_client())
        .build();
    Client::from_conf(config)
}

/// 14 days, the longest that SQS keeps a message, in seconds.
const RETENTION: &str = "1209600";

async fn create_queue(client: &Client, name: &str, redrive: Option<String>) -> Result<String, Error> {
    let request = client.create_queue().queue_name(name);
    let mut request = request
        .attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION)
        .attributes(QueueAttributeName::SqsManagedSseEnabled, "true");
    if let Some(redrive) = redrive {
        request = request.attributes(QueueAttributeName::RedrivePolicy, redrive);
    }
    let created = request.send().await.map_err(|error| Error::queue("CreateQueue", &error))?;
    created.queue_url.ok_or_else(|| Error::NoQueueUrl(name.to_owned()))
}
