//! Keeps every Amazon Cognito user as a row in your own PostgreSQL, with exact login counts.
//!
//! A Cognito trigger puts each event onto an SQS queue, and this crate applies the events to the tables. The trigger is a
//! crate of its own, [`cognito_user_sync_triggers`], which also owns the format of the messages. So data flows one way:
//! trigger, queue, [`consumer`], [`store`], tables.
//!
//! # Applying events
//!
//! An [`Applier`](store::Applier) takes message bodies and returns an [`Outcome`](store::outcome::Outcome) for each, in
//! the same order. What it reports as applied is committed. A message that is delivered again counts once.
//!
#![cfg_attr(feature = "dev", doc = "```")]
#![cfg_attr(not(feature = "dev"), doc = "```ignore")]
//! use cognito_user_sync::config::DatabaseConfig;
//! use cognito_user_sync::postgres;
//! use cognito_user_sync::store::Applier;
//! use cognito_user_sync::store::outcome::Outcome;
//! use cognito_user_sync_triggers::event::{Data, Event, EventId, Kind, UserEvent};
//! use cognito_user_sync_triggers::timestamp::Timestamp;
//! use uuid::Uuid;
//!
//! # use cognito_user_sync::dev::local::Deployment;
//! # use cognito_user_sync::dev::stack::{PostgresOptions, PostgresSource, Stack, StackOptions};
//! #
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let options = PostgresOptions { source: PostgresSource::from_env(), durable: false };
//! # let stack = Stack::start(StackOptions { postgres: options, ..StackOptions::default() }).await?;
//! # let deployment = Deployment::create(&stack).await?;
//! # let database_url = deployment.consumer_url.as_str();
//! // The database is migrated, and `database_url` names a member of the role `user_sync_consumer`.
//! let database = postgres::connect(&DatabaseConfig::with_url(database_url), 2).await?;
//! let applier = Applier::new(database);
//!
//! let sub = Uuid::now_v7();
//! let event = |kind, data| {
//!     let (id, user_pool_id) = (EventId::new(Timestamp::now()), "eu-west-1_Abc123Def".into());
//!     Event::User(UserEvent { id, user_pool_id, sub, kind, data }).encode()
//! };
//! let attributes = [("name".into(), "Ada Okafor".into())].into();
//! let sign_up = event(Kind::Confirmed, Data { attributes, ..Data::default() });
//! let login = event(Kind::Authenticated, Data::default());
//!
//! // The queue delivers the login twice.
//! let outcomes = applier.apply(&[sign_up.as_str(), &login, &login]).await;
//! assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied, Outcome::Duplicate]);
//!
//! let user = sqlx::query_as("select name, login_count from users where id = $1").bind(sub);
//! let user: (String, i64) = user.fetch_one(applier.pool()).await?;
//! assert_eq!(user, ("Ada Okafor".to_owned(), 1));
//!
//! // What can never be applied is rejected, with a reason.
//! let outcomes = applier.apply(&["not an event"]).await;
//! assert!(matches!(&outcomes[..], [Outcome::Rejected(rejection)] if rejection.reason == "malformed"));
//! # applier.database().close().await;
//! # deployment.remove().await?;
//! # stack.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The wings
//!
//! Each module says at its top what it is for and what it must not know. ARCHITECTURE.md has the map, README.md the
//! commands.
//!
//! | module | what it is for |
//! |---|---|
//! | [`store`] | turns message bodies into committed rows. Nothing else writes a table |
//! | [`postgres`] | connects to the database, with passwords that may change; knows no table |
//! | [`sqs`] | the queue and the dead-letter queue; knows no database |
//! | [`cognito`] | the user pool: reads it, follows its changes, sets its triggers; publishes events |
//! | [`consumer`] | joins [`sqs`] to [`store`]: the Lambda function's handler and the worker |
//! | [`console`] | pages that show all of it, and start what repairs it |
//! | [`ops`] | `user-sync doctor`, and the functions that a deployment runs |
#![cfg_attr(feature = "dev", doc = "| [`dev`] | local servers, for `make demo`, `make dev` and tests |")]
//! | [`config`], [`logging`], [`metrics`] | environment variables; logs without personal data; what is counted |
//! | [`aws`], [`geoip`] | how the AWS SDK is set up; the locations of IP addresses |

pub mod aws;
pub mod cognito;
pub mod config;
pub mod console;
pub mod consumer;
#[cfg(feature = "dev")]
pub mod dev;
pub mod geoip;
pub mod logging;
pub mod metrics;
pub mod ops;
pub mod postgres;
pub mod sqs;
pub mod store;
pub mod text;
