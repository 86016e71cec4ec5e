//! `user-sync restore`: takes back the deletion of users whom the user pool still has.

use std::io::Write as _;

use clap::Args;
use cognito_user_sync::aws;
use cognito_user_sync::cognito::restore::Restore;
use cognito_user_sync::cognito::user_pool::{self, UserPool};
use cognito_user_sync::config::Environment;
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use cognito_user_sync_triggers::user_pool_id::UserPoolId;
use uuid::Uuid;

use crate::commands::output;

/// The exit code if a user was not restored.
const REFUSED: i32 = 2;

/// Take back the deletion of users whom the user pool still has
///
/// For a user.deleted that was mistaken or forged: reconcile counts such users as deleted_but_present. Asks the pool for
/// each user as reconcile does before it deletes one, and if it finds the user, publishes user.restored to the queue, dated
/// 15 minutes before the question: from then on no deletion up to that time counts. The consumer applies it. The row gets
/// back what it held, its addresses as far as nobody comes before it; what changed in the pool meanwhile comes with
/// reconcile --repair. Refuses a deletion of the last 15 minutes, because reads of the pool may lag behind it.
///
/// Needs DATABASE_URL of a member of user_sync_reader, USER_SYNC_QUEUE_URL, and credentials that permit
/// cognito-idp:ListUsers and sqs:SendMessage. Update every consumer first: one of before migration 15 sends
/// user.restored to the dead-letter queue. Exits with 0 if every user is restored, with 2 if one is refused, with 1 on an
/// error.
///
/// Example: user-sync restore 1b4e28ba-2fa1-41d2-883f-0016d3cca427 --user-pool-id eu-west-1_Abc123Def
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The users' subs.
    #[arg(required = true)]
    users: Vec<Uuid>,
    /// The user pool.
    #[arg(long, env = user_pool::VARIABLE, value_name = "ID")]
    user_pool_id: UserPoolId,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    super::needs_cognito("restore")?;
    let queue_url = Environment::process().required(QUEUE_URL_VARIABLE, "the queue to publish to")?;
    let restore = Restore {
        user_pool: UserPool::new(arguments.user_pool_id).await,
        database: super::database(1).await?,
        publisher: aws::publisher(queue_url).await,
    };
    let (mut restored, mut refused) = (0_u64, 0_u64);
    for user in arguments.users {
        let line = match restore.restore(user).await? {
            Ok(asked_at) => {
                restored += 1;
                format!("{user} is in the pool: user.restored of {asked_at} is on the queue")
            }
            Err(refusal) => {
                refused += 1;
                format!("{user} is not restored: {refusal}")
            }
        };
        writeln!(output::stdout(), "{line}")?;
    }
    if restored > 0 {
        writeln!(
            output::stdout(),
            "next: when the consumer has applied it, user-sync reconcile --repair brings what changed in the pool \
             meanwhile; user-sync verify --user SUB shows the deletion, to find out where it came from"
        )?;
    }
    if refused > 0 {
        std::process::exit(REFUSED);
    }
    Ok(())
}
