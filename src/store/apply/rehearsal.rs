//! A write that is undone: what a user's first events, a known user's login and events of groups do, by the very statements of both paths. Must
//! not judge why it fails.

use cognito_user_sync_triggers::event::{Data, EventId, GroupChange, GroupEvent, Kind, PoolSeen, UserEvent};
use cognito_user_sync_triggers::timestamp::Timestamp;
use uuid::Uuid;

use crate::geoip::GeoIp;
use crate::postgres::{Database, Purpose, Transaction};
use crate::store::apply::batch::Batch;
use crate::store::apply::{fast_path, groups, slow_path};
use crate::store::model::groups::fold;
use crate::store::tables::failure::{Failure, StoreError};
use crate::store::tables::{self, heartbeat};

/// Applies a sign-up, two logins, a group's events and a heartbeat of a user that does not exist, and undoes all of it. As the role, where one
/// is given, which the session must be able to become.
///
/// # Errors
/// When one of the statements fails, or leaves out what it was to write.
pub(crate) async fn rehearse(database: &Database, role: Option<&str>) -> Result<(), StoreError> {
    write_and_undo(database, role).await.map_err(StoreError::when("a write"))
}

async fn write_and_undo(database: &Database, role: Option<&str>) -> Result<(), Failure> {
    let (sub, geoip) = (Uuid::now_v7(), GeoIp::default());
    let event = |kind| {
        // An address is a part of what is written, and nobody's (RFC 2606).
        let email = (String::from("email").into(), format!("{sub}@example.invalid").into());
        let data = Data { attributes: [email].into(), ..Data::default() };
        let (id, user_pool_id) = (EventId::new(Timestamp::now()), "eu-west-1_Rehearsal".into());
        UserEvent { id, user_pool_id, sub, kind, data }
    };
    let mut tx = database.begin(Purpose::Events).await.map_err(Failure::before_any_row)?;
    if let Some(role) = role {
        sqlx::query("select set_config('role', $1, true)").bind(role).execute(&mut tx).await?;
    }
    let (confirmed, login, known) =
        (event(Kind::Confirmed), event(Kind::Authenticated), event(Kind::Authenticated));
    let users = [&confirmed, &login].map(|event| (event.id, event)).into();
    let recorded = slow_path::record(&mut tx, &Batch { users, ..Batch::default() }, &geoip).await;
    let recorded = match recorded {
        Ok(_) => fast_path::record(&mut tx, std::iter::once(&known), &geoip).await,
        Err(failure) => Err(failure),
    };
    let recorded = match recorded {
        Ok(_) => write_groups(&mut tx, sub).await,
        Err(failure) => Err(failure),
    };
    let recorded = match recorded {
        Ok(()) => {
            let seen = [PoolSeen { user_pool_id: "eu-west-1_Rehearsal".to_owned(), ..PoolSeen::default() }];
            heartbeat::stamp(&mut tx, &[(known.id, &seen[..])].into()).await.map_err(Failure::from)
        }
        Err(failure) => Err(failure),
    };
    // What is deferred to a commit.
    let recorded = match recorded {
        Ok(_) => sqlx::query("set constraints all immediate")
            .execute(&mut tx)
            .await
            .map(drop)
            .map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    let undone = tx.rollback().await;
    recorded.and(undone.map_err(Failure::from))
}

/// What events of a group write. Its deletion is not applied as one: that takes locks that others may wait for.
async fn write_groups(tx: &mut Transaction, sub: Uuid) -> Result<(), Failure> {
    let group = |change| GroupEvent {
        id: EventId::new(Timestamp::now()),
        user_pool_id: "eu-west-1_Rehearsal".into(),
        group: sub.to_string().into(),
        change,
    };
    let (joined, deleted) = (group(GroupChange::Joined(sub)), group(GroupChange::Deleted));
    let groups = [(joined.id, &joined)].into();
    groups::record(tx, &Batch { groups, ..Batch::default() }).await?;
    Ok(tables::groups::write(tx, &fold([&deleted])).await?)
}
