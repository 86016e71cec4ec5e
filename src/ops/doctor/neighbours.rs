//! Checks what a deployment shares with others of the same server: roles belong to the whole of it. Must not know what is
//! in the tables.

use crate::ops::doctor::{Finding, MIGRATE, bounded};
use crate::postgres::{Database, Purpose, Role, RolePrefix};
use crate::store::migrate::{Deployment, Mark, marks_of, other_places};

/// Whether the deployment's roles are its own.
pub(super) async fn roles(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let asked = async {
        let mut tx = database.begin(Purpose::Inspection).await?;
        let deployment = Deployment::read(&mut tx, database.schema()).await?;
        let marks: Vec<Mark> = marks_of(&mut tx, &prefix.roles()).await?.into_values().collect();
        let query = sqlx::query_scalar("select count(*) from pg_roles where rolname = any ($1)");
        let there: i64 = query.bind(prefix.roles()).fetch_one(&mut tx).await?;
        tx.rollback().await.map(|()| (deployment, marks, there))
    };
    let (deployment, marks, there) = bounded(asked).await?;
    let others = bounded(other_places(database.inspection(), &prefix.role(Role::Owner))).await?;
    let Some(Deployment { mark, .. }) = deployment else {
        return Ok(Finding::skipped("this schema has no deployment's id", MIGRATE));
    };
    let other = marks.iter().find(|other| other.is_of_another(&mark)).map(|other| &other.place);
    if let Some(other) = other.or(others.first()) {
        let found = format!(
            "the roles {prefix}_… are used by two deployments, in {} and in {other}: a login of one may write to the other",
            mark.place
        );
        let fix = "in one of them: set USER_SYNC_ROLE_PREFIX to a prefix of its own and run `user-sync migrate`, which \
                   gives its tables and grants to roles of that prefix; then grant those roles to its logins, and revoke \
                   the old ones";
        return Ok(Finding::failed(found, fix));
    }
    let is_copy = |other: &&Mark| other.deployment == mark.deployment && other.place != mark.place;
    if let Some(other) = marks.iter().find(is_copy) {
        let found = format!(
            "the roles {prefix}_… are marked for {}, and this is a copy of it or its new name, in {}",
            other.place, mark.place
        );
        let fix = "if it is a copy: give it its own id (delete from user_sync_deployment) and its own \
                   USER_SYNC_ROLE_PREFIX, and run `user-sync migrate`; if it has a new name: run `user-sync migrate`";
        return Ok(Finding::warning(found, fix));
    }
    let marked = marks.iter().filter(|marked| **marked == mark).count();
    Ok(match i64::try_from(marked) == Ok(there) {
        true => Finding::ok(format!("the roles {prefix}_… are this deployment's alone")),
        false => Finding::warning(
            format!("not every one of the roles {prefix}_… is marked as this deployment's"),
            "run `user-sync migrate` as who made the roles, or as a superuser",
        ),
    })
}

/// Logins that may do something in more than one deployment, this one among them.
pub(super) async fn logins(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let query = sqlx::query_as(include_str!("logins_of_several.sql")).bind(prefix.to_string());
    let logins: Vec<(String, String)> = bounded(query.fetch_all(database.inspection())).await?;
    let Some((login, _)) = logins.first() else {
        return Ok(Finding::ok("no login reaches another deployment, too"));
    };
    let found: Vec<String> = logins.iter().map(|(login, roles)| format!("{login} (by {roles})")).collect();
    let fix =
        format!("give each deployment a login of its own, and revoke the other's roles from \"{login}\"");
    Ok(Finding::warning(format!("logins that reach more than one: {}", found.join(", ")), fix))
}
