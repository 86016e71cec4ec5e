//! Compares the grants that the migrations make with those that the database has. Must not change a grant.
//!
//! A grant is written `role privilege table` or `role privilege table.column`; a second one, with a `+` after the
//! privilege, says that the role may pass it on.

use std::collections::BTreeSet;

use crate::postgres::{Database, Role, RolePrefix};

/// Written from a freshly migrated database; `tests/doctor.rs` holds it to one.
const EXPECTED: &str = include_str!("grants.txt");

/// The roles whose grants must be exactly the expected ones.
const ROLES: [Role; 4] = [Role::Consumer, Role::App, Role::Reader, Role::Console];

/// What nobody else may write.
const GUARDED: [&str; 9] = [
    "users",
    "user_claims",
    "user_events",
    "user_sync_memberships",
    "user_sync_groups",
    "user_sync_contexts",
    "user_sync_failures",
    "user_sync_context_states",
    "user_sync_runs",
];

/// What the names of their months' tables begin with.
const GUARDED_MONTHS: [&str; 3] = ["user_events_", "user_sync_contexts_", "user_sync_failures_"];

/// The grants that the migrations make, to roles of the default prefix.
pub fn expected() -> impl Iterator<Item = &'static str> {
    EXPECTED.lines()
}

/// The grants that the roles have in this schema, sorted, with the roles' names as they are with the default prefix.
///
/// # Errors
/// When the database cannot be asked.
pub async fn actual(database: &Database, prefix: &RolePrefix) -> Result<Vec<String>, sqlx::Error> {
    let default = RolePrefix::default();
    let role_of = |grantee: &str| ROLES.into_iter().find(|role| prefix.role(*role) == grantee);
    let grants = all(database, prefix).await?.into_iter();
    let mut named: Vec<String> = grants
        .filter_map(|(grantee, privilege, name)| {
            Some(written((default.role(role_of(&grantee)?), privilege, name)))
        })
        .collect();
    named.sort_unstable();
    Ok(named)
}

/// What is missing of `actual`, and what is too much. Where there is no role for a console, nobody misses its grants.
pub(super) fn compare(actual: &[String], has_console: bool) -> (Vec<&'static str>, Vec<&str>) {
    let console = RolePrefix::default().role(Role::Console);
    let is_wanted = |grant: &&str| has_console || parts(grant).0 != console;
    let expected: BTreeSet<&'static str> = expected().filter(is_wanted).collect();
    let actual: BTreeSet<&str> = actual.iter().map(String::as_str).collect();
    let missing = expected.iter().copied().filter(|grant| !actual.contains(grant)).collect();
    (missing, actual.into_iter().filter(|grant| !expected.contains(grant)).collect())
}

/// Grants to anybody else to write what is guarded.
pub(super) async fn others(database: &Database, prefix: &RolePrefix) -> Result<Vec<String>, sqlx::Error> {
    let roles = ROLES.map(|role| prefix.role(role));
    let mut grants = all(database, prefix).await?;
    grants.retain(|(grantee, privilege, name)| {
        let table = name.split('.').next().unwrap_or_default();
        let is_guarded =
            GUARDED.contains(&table) || GUARDED_MONTHS.iter().any(|start| table.starts_with(start));
        let writes = ["insert", "update", "delete", "truncate"].contains(&privilege.trim_end_matches('+'));
        is_guarded && writes && !roles.contains(grantee)
    });
    Ok(grants.into_iter().map(written).collect())
}

/// Tables that are not the owner's, and whose they are.
pub(super) async fn foreign(
    database: &Database,
    prefix: &RolePrefix,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let query = "select oid::regclass::text, pg_get_userbyid(relowner)::text from pg_class
        where (oid in (select to_regclass(ours) from unnest($1::text[]) as ours)
                or oid in (select inhrelid from pg_inherits where inhparent in (
                    to_regclass('user_events'), to_regclass('user_sync_contexts'), to_regclass('user_sync_failures'))))
            and pg_get_userbyid(relowner) <> $2
        order by 1";
    sqlx::query_as(query).bind(tables()).bind(prefix.role(Role::Owner)).fetch_all(database.inspection()).await
}

/// The statement that makes an expected grant.
pub(super) fn grant(grant: &str) -> String {
    let (grantee, privilege, name) = parts(grant);
    format!("grant {} to {grantee}", on(privilege, name))
}

/// The statement that takes a grant back.
pub(super) fn revoke(grant: &str) -> String {
    let (grantee, privilege, name) = parts(grant);
    let from = if grantee == "public" { grantee.to_owned() } else { format!("\"{grantee}\"") };
    match privilege.strip_suffix('+') {
        Some(privilege) => format!("revoke grant option for {} from {from}", on(privilege, name)),
        None => format!("revoke {} from {from}", on(privilege, name)),
    }
}

fn on(privilege: &str, name: &str) -> String {
    match name.split_once('.') {
        Some((table, column)) => format!("{privilege} ({column}) on {table}"),
        None => format!("{privilege} on {name}"),
    }
}

fn parts(grant: &str) -> (&str, &str, &str) {
    // A role's name may have blanks; a privilege and our tables' names have none.
    let (rest, name) = grant.rsplit_once(' ').unwrap_or((grant, ""));
    let (grantee, privilege) = rest.rsplit_once(' ').unwrap_or((rest, ""));
    (grantee, privilege, name)
}

/// Columns of `users` that no grant names.
const UNGRANTED: [&str; 3] = ["users.app_owned", "users.app_edited_at", "users.erased_at"];

/// Whether a grant is on a column that somebody else added to `users`, which is theirs to grant.
fn is_on_another_column(name: &str) -> bool {
    let is_ours = || UNGRANTED.contains(&name) || expected().any(|grant| parts(grant).2 == name);
    name.starts_with("users.") && !is_ours()
}

/// Ours only where that name was free.
const OFFERED: &str = "user_groups";

async fn all(database: &Database, prefix: &RolePrefix) -> Result<Vec<(String, String, String)>, sqlx::Error> {
    let query = sqlx::query_as(include_str!("grants.sql")).bind(tables()).bind(prefix.role(Role::Owner));
    let mut grants: Vec<(String, String, String)> = query.fetch_all(database.inspection()).await?;
    grants.retain(|(_, _, name)| !is_on_another_column(name) && name != OFFERED);
    Ok(grants)
}

fn written((grantee, privilege, name): (String, String, String)) -> String {
    format!("{grantee} {privilege} {name}")
}

/// Our tables and views: each of them is granted to somebody.
fn tables() -> Vec<&'static str> {
    let table = |grant| parts(grant).2.split('.').next().unwrap_or_default();
    expected().map(table).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_says_how_it_is_made_and_taken_back() {
        assert_eq!(grant("a update users.name"), "grant update (name) on users to a");
        assert_eq!(revoke("public insert users"), "revoke insert on users from public");
        assert_eq!(revoke("a insert+ users"), "revoke grant option for insert on users from \"a\"");
        assert_eq!(revoke("my app delete users"), "revoke delete on users from \"my app\"");
    }
}
