//! What a deployment is: a database and a schema, under an id that is made once. Its roles belong to the whole server, so
//! each carries the id in its comment, and no other deployment takes it for its own.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::postgres::{Role, RolePrefix, Schema, Transaction, quoted};
use crate::store::migrate::files::{self, MAKES_ROLES};
use crate::store::migrate::{Error, names, requirements};

/// Who a role belongs to, as its comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The deployment's id.
    pub deployment: Uuid,
    /// Where it is: `schema … of database …`.
    pub place: String,
}

impl Mark {
    /// The mark of the deployment `id`, which is in `schema` of this database.
    fn of(id: Uuid, schema: &Schema, database: &str) -> Self {
        Self { deployment: id, place: format!("schema {} of database {database}", schema.as_str()) }
    }

    /// Whether it is another deployment's than `ours`. What is marked for our place is ours, too: a deployment that was
    /// there before is gone.
    #[must_use]
    pub fn is_of_another(&self, ours: &Self) -> bool {
        self.deployment != ours.deployment && self.place != ours.place
    }

    /// The mark in a role's comment, if it has one.
    #[must_use]
    pub fn parse(comment: &str) -> Option<Self> {
        let (_, mark) = comment.split_once("; deployment ")?;
        let (id, place) = mark.split_once(", ")?;
        Some(Self { deployment: id.parse().ok()?, place: place.to_owned() })
    }

    /// The comment of a role that is for `what`.
    #[must_use]
    pub fn comment(&self, what: &str) -> String {
        format!("{}; deployment {}, {}", unmarked(what), self.deployment, self.place)
    }
}

/// The comment of a role that is nobody's.
fn unmarked(what: &str) -> String {
    format!("cognito-user-sync: {what}")
}

fn what_for(role: Role) -> &'static str {
    match role {
        Role::Owner => "owns the tables and migrates them",
        Role::Consumer => "applies events; column grants only",
        Role::App => "the application; may change profile and application columns of users",
        Role::Reader => "reports; may read",
        Role::Console => "the console; may read, and add to what was done with it",
    }
}

/// A deployment, as its schema has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// What its roles carry.
    pub mark: Mark,
    /// What the names of its roles begin with.
    pub prefix: RolePrefix,
}

impl Deployment {
    /// The deployment of this schema; `None` where it has not been migrated since deployments have ids.
    ///
    /// # Errors
    /// When the database does not answer, or holds what `migrate` never writes.
    pub async fn read(tx: &mut Transaction, schema: &Schema) -> Result<Option<Self>, sqlx::Error> {
        if !is_there(tx).await? {
            return Ok(None);
        }
        let query = "select id, role_prefix, current_database()::text from user_sync_deployment";
        let row: Option<(Uuid, String, String)> = sqlx::query_as(query).fetch_optional(tx).await?;
        row.map(|(id, prefix, database)| {
            let corrupt = || sqlx::Error::Decode("user_sync_deployment.role_prefix is no prefix".into());
            let prefix = RolePrefix::new(&prefix).ok_or_else(corrupt)?;
            Ok(Self { mark: Mark::of(id, schema, &database), prefix })
        })
        .transpose()
    }
}

/// Whether the deployment has its id. What has the name and not its columns is somebody else's.
pub(super) async fn is_there(tx: &mut Transaction) -> Result<bool, sqlx::Error> {
    let query = "select 3 = (
            select count(*) from pg_attribute
            where attrelid = to_regclass('user_sync_deployment') and not attisdropped
                and attname in ('singleton', 'id', 'role_prefix'))";
    sqlx::query_scalar(query).fetch_one(tx).await
}

/// The marks of some roles; one that is not marked, or not there, is not among them.
///
/// # Errors
/// When the database does not answer.
pub async fn marks_of(tx: &mut Transaction, roles: &[String]) -> Result<BTreeMap<String, Mark>, sqlx::Error> {
    let comments: Vec<(String, Option<String>)> =
        sqlx::query_as(include_str!("marks.sql")).bind(roles).fetch_all(tx).await?;
    let mark = |(role, comment): (String, Option<String>)| Some((role, Mark::parse(&comment?)?));
    Ok(comments.into_iter().filter_map(mark).collect())
}

/// Marks a role, a group's or a login, as the deployment's; does nothing where it is.
///
/// # Errors
/// When the database does not answer.
pub async fn mark_role(tx: &mut Transaction, role: &str, what: &str, mark: &Mark) -> Result<(), sqlx::Error> {
    let roles = [role.to_owned()];
    if marks_of(tx, &roles).await?.get(role) == Some(mark) {
        return Ok(());
    }
    comment_on(tx, role, &mark.comment(what)).await
}

async fn comment_on(tx: &mut Transaction, role: &str, comment: &str) -> Result<(), sqlx::Error> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''").replace("$mark$", ""));
    let statement = include_str!("mark_role.sql")
        .replace("{role}", &quoted(role))
        .replace("{name}", &literal(role))
        .replace("{comment}", &literal(comment));
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(tx).await.map(drop)
}

/// What the names of the roles begin with that own the tables of this schema, as their owner says to everybody; `None`
/// where there are no tables.
///
/// # Errors
/// When the database does not answer.
pub async fn prefix_in_use<'e>(
    questions: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
) -> Result<Option<RolePrefix>, sqlx::Error> {
    let query = "select pg_get_userbyid(relowner)::text from pg_class
        where oid = to_regclass('user_event_partitions')";
    let owner: Option<String> = sqlx::query_scalar(query).fetch_optional(questions).await?;
    Ok(owner.and_then(|owner| RolePrefix::new(owner.strip_suffix("_owner")?)))
}

/// What is to be made of a schema.
pub(super) struct Plan {
    known: Option<Deployment>,
    mark: Mark,
    /// What the names of the roles begin with.
    prefix: RolePrefix,
    /// The same, of those that the tables have now.
    old: Option<RolePrefix>,
    /// Migrations that have not run.
    pub(super) pending: BTreeMap<i64, &'static str>,
}

impl Plan {
    /// Looks at a schema, and at the roles of the prefix that is `wanted`.
    ///
    /// # Errors
    /// When the database cannot hold the tables, or another deployment has the roles.
    pub(super) async fn of(
        tx: &mut Transaction,
        schema: &Schema,
        wanted: Option<&RolePrefix>,
    ) -> Result<Self, Error> {
        requirements::check(tx).await?;
        let known = Deployment::read(tx, schema).await?;
        let pending = files::pending(tx).await?;
        let old = match &known {
            Some(known) => Some(known.prefix.clone()),
            // What was migrated before deployments had ids; where nothing was, such a table is somebody else's.
            None if !pending.contains_key(&MAKES_ROLES) => prefix_in_use(&mut *tx).await?,
            None => None,
        };
        let prefix = wanted.cloned().or(old.clone()).unwrap_or_default();
        let mark = match &known {
            Some(known) => known.mark.clone(),
            None => {
                let database: String =
                    sqlx::query_scalar("select current_database()::text").fetch_one(&mut *tx).await?;
                Mark::of(Uuid::now_v7(), schema, &database)
            }
        };
        let plan = Self { known, mark, prefix, old, pending };
        if plan.takes_roles() {
            refuse_another_schema(tx, schema, &plan.prefix, wanted).await?;
            plan.other(tx).await?;
            refuse_roles_in_use(tx, &plan).await?;
        }
        Ok(plan)
    }

    fn is_migrated(&self) -> bool {
        !self.pending.contains_key(&MAKES_ROLES)
    }

    /// Whether the tables do not have the roles yet.
    fn takes_roles(&self) -> bool {
        !self.is_migrated() || self.old.as_ref() != Some(&self.prefix)
    }

    /// Another deployment that has marked the roles; an error unless both have used them since before they could be told
    /// apart.
    async fn other(&self, tx: &mut Transaction) -> Result<Option<Mark>, Error> {
        match marks_of(tx, &self.prefix.roles())
            .await?
            .into_values()
            .find(|mark| mark.is_of_another(&self.mark))
        {
            Some(other) if self.takes_roles() => {
                Err(Error::PrefixTaken { prefix: self.prefix.clone(), place: other.place })
            }
            other => Ok(other),
        }
    }
}

/// Makes the schema, the deployment's id and its roles where they are missing, or gives everything to the roles of another
/// prefix if that is `wanted`. Idempotent. Returns the prefix.
///
/// # Errors
/// As [`Plan::of`], and when somebody else has a name that a migration makes; the table `users` may have one if it is to be
/// set aside.
pub(super) async fn prepare(
    tx: &mut Transaction,
    schema: &Schema,
    wanted: Option<&RolePrefix>,
    sets_users_aside: bool,
) -> Result<RolePrefix, Error> {
    let plan = Plan::of(tx, schema, wanted).await?;
    names::refuse_taken(tx, &plan.pending, sets_users_aside).await?;
    make_schema(tx, schema).await?;
    let prefix = &plan.prefix;
    sqlx::raw_sql(AssertSqlSafe(prefix.rename(include_str!("create_roles.sql")))).execute(&mut *tx).await?;
    // Asked again: whoever was making the roles at the same moment has marked them by now.
    match plan.other(tx).await? {
        Some(other) => tracing::warn!(
            roles = %prefix,
            "another deployment, in {}, uses the same roles: `user-sync doctor` says how to part them",
            other.place
        ),
        None => {
            if !plan.is_migrated() {
                files::run(tx, MAKES_ROLES, schema, prefix).await?;
            } else if plan.takes_roles() {
                files::make_roles(tx, prefix).await?;
            }
            for role in Role::ALL {
                // The console's came later: it may be missing, or its name somebody else's.
                if role != Role::Console || console_is_ours(tx, prefix).await? {
                    mark_role(tx, &prefix.role(role), what_for(role), &plan.mark).await?;
                }
            }
        }
    }
    // Where nothing is left to do, whoever asks needs no rights.
    if plan.takes_roles() || !plan.pending.is_empty() || plan.known.is_none() {
        let set_owner = prefix.rename(include_str!("set_owner.sql"));
        sqlx::raw_sql(AssertSqlSafe(set_owner)).execute(&mut *tx).await?;
    }
    if let Some(old) = plan.old.as_ref().filter(|old| plan.is_migrated() && *old != prefix) {
        change_roles(tx, old, &plan).await?;
    }
    if plan.known.as_ref().is_none_or(|known| known.prefix != *prefix) {
        record(tx, plan.mark.deployment, prefix).await?;
    }
    Ok(plan.prefix)
}

/// Refuses roles that own tables elsewhere, marked or not, and roles that are not this service's at all.
async fn refuse_roles_in_use(tx: &mut Transaction, plan: &Plan) -> Result<(), Error> {
    let owner = plan.prefix.role(Role::Owner);
    if let Some(place) = other_places(&mut *tx, &owner).await?.into_iter().next() {
        return Err(Error::PrefixTaken { prefix: plan.prefix.clone(), place });
    }
    match role_of_others(tx, &plan.prefix.roles()).await? {
        Some(role) => Err(Error::RoleOfOthers { role }),
        None => Ok(()),
    }
}

/// One of these roles that is there and is not this service's.
async fn role_of_others(tx: &mut Transaction, roles: &[String]) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(include_str!("roles_of_others.sql")).bind(roles).fetch_optional(tx).await
}

/// Whether the console's role is there, and this service's. A deployment from before there was a console goes on without.
pub(super) async fn console_is_ours(tx: &mut Transaction, prefix: &RolePrefix) -> Result<bool, sqlx::Error> {
    let role = prefix.role(Role::Console);
    let is_there = "select to_regrole($1) is not null";
    if !sqlx::query_scalar(is_there).bind(&role).fetch_one(&mut *tx).await? {
        return Ok(false);
    }
    let is_others = role_of_others(tx, std::slice::from_ref(&role)).await?.is_some();
    if is_others {
        tracing::warn!(
            role,
            "the role is there already and is not this service's: there is none for a console"
        );
    }
    Ok(!is_others)
}

/// Where else a role owns something: another database of this server, or another schema of this one.
///
/// # Errors
/// When the database does not answer.
pub async fn other_places<'e>(
    questions: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
    owner: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(include_str!("other_places.sql")).bind(owner).fetch_all(questions).await
}

async fn make_schema(tx: &mut Transaction, schema: &Schema) -> Result<(), sqlx::Error> {
    // Not `if not exists`, which asks for the right to make one even where it is there.
    let is_there = "select exists (select from pg_namespace where nspname = $1)";
    if sqlx::query_scalar(is_there).bind(schema.as_str()).fetch_one(&mut *tx).await? {
        return Ok(());
    }
    let create = format!("create schema {}", schema.quoted());
    sqlx::raw_sql(AssertSqlSafe(create)).execute(tx).await.map(drop)
}

/// The tables may be in a schema that was found by a role's `search_path` before there was a variable for it, or whose
/// variable was forgotten: a second deployment in one database is asked for by its prefix.
async fn refuse_another_schema(
    tx: &mut Transaction,
    schema: &Schema,
    prefix: &RolePrefix,
    wanted: Option<&RolePrefix>,
) -> Result<(), Error> {
    let query = sqlx::query_scalar(include_str!("other_schema.sql"));
    let owner = wanted.map(|wanted| wanted.role(Role::Owner));
    let other: Option<String> = query.bind(schema.as_str()).bind(owner).fetch_optional(tx).await?;
    match other {
        Some(other) => Err(Error::AnotherSchema { other, prefix: prefix.clone() }),
        None => Ok(()),
    }
}

/// Gives everything to other roles. The old ones are nobody's then, unless another deployment has marked them.
async fn change_roles(tx: &mut Transaction, old: &RolePrefix, plan: &Plan) -> Result<(), sqlx::Error> {
    let query = sqlx::query_scalar(include_str!("change_roles.sql"));
    let query = query.bind(old.to_string()).bind(plan.prefix.to_string());
    let statements: Vec<String> = query.fetch_all(&mut *tx).await?;
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
    }
    for role in Role::ALL {
        let name = old.role(role);
        let mark = marks_of(tx, std::slice::from_ref(&name)).await?.remove(&name);
        if mark.is_some_and(|mark| !mark.is_of_another(&plan.mark)) {
            comment_on(tx, &name, &unmarked(what_for(role))).await?;
        }
    }
    Ok(())
}

async fn record(tx: &mut Transaction, id: Uuid, prefix: &RolePrefix) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(include_str!("deployment.sql")).execute(&mut *tx).await?;
    let grants = prefix.rename(
        "alter table user_sync_deployment owner to user_sync_owner;
        grant select on user_sync_deployment to user_sync_consumer, user_sync_reader",
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&mut *tx).await?;
    let record = "insert into user_sync_deployment (id, role_prefix) values ($1, $2)
        on conflict (singleton) do update set role_prefix = excluded.role_prefix";
    sqlx::query(record).bind(id).bind(prefix.to_string()).execute(tx).await.map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_comment_carries_its_mark() {
        let mark = Mark::of(Uuid::nil(), &Schema::new("a, b").unwrap(), "shop");
        assert_eq!(Mark::parse(&mark.comment("reads")), Some(mark));
        assert_eq!(Mark::parse("cognito-user-sync: applies events; column grants only"), None);
    }
}
