//! Checks the server, the connection to it, its roles, grants and migrations. Must not know what is in the tables.

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::postgres::PgSslMode;

use crate::config::{ConfigError, DatabaseConfig};
use crate::ops::doctor::{
    Check, Finding, MIGRATE, Section, TIMEOUT, UNREACHED, bounded, grants, neighbours, obstacles, session,
};
use crate::postgres::{self, Database, DatabaseError, Role, RolePrefix};
use crate::store::migrate::{self, Server, Unmet};

const NAMES: [&str; 16] = [
    "TLS",
    "in between",
    "session settings",
    "server version",
    "encoding",
    "role",
    "roles",
    "deployment",
    "logins",
    "grants",
    "other grants",
    "ownership",
    "memberships",
    "migrations",
    "obstacles",
    "edits",
];

/// Questions under way at once, so that a server that hangs costs one timeout and not one for each question.
const CONNECTIONS: usize = 4;

/// Connects; without the database, no other check of it can run.
pub(super) async fn reach(config: &Result<DatabaseConfig, ConfigError>) -> (Vec<Check>, Option<Database>) {
    let (finding, database) = connect(config).await;
    (vec![finding.named(Section::Database, "reachable")], database)
}

async fn connect(config: &Result<DatabaseConfig, ConfigError>) -> (Finding, Option<Database>) {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let fix = "set DATABASE_URL as the consumer has it, and run it where the consumer runs";
            return (Finding::skipped(error.to_string(), fix), None);
        }
    };
    let database = match postgres::connect(config, CONNECTIONS).await {
        Ok(database) => database,
        Err(error) => {
            let fix = match error {
                DatabaseError::Credentials(_) => "run it where the consumer runs, as the role that it has",
                DatabaseError::NoUser => "set DATABASE_URL to postgres://user@host:5432/database",
                DatabaseError::UnknownParameter { .. } | DatabaseError::RepeatedParameter { .. } => {
                    "take the parameter out of DATABASE_URL"
                }
                DatabaseError::InvalidAddress | DatabaseError::AddressWithoutHost => {
                    "set DATABASE_URL to postgres://user@NAME:5432/database?hostaddr=127.0.0.1:15432"
                }
                DatabaseError::InvalidUrl
                | DatabaseError::Scheme { .. }
                | DatabaseError::Plaintext { .. } => {
                    "set DATABASE_URL to postgres://user:password@host/database?sslrootcert=bundle.pem"
                }
            };
            return (Finding::failed(error.to_string(), fix), None);
        }
    };
    match greet(&database).await {
        Ok(finding) => (finding, Some(database)),
        Err(finding) => (finding, None),
    }
}

async fn greet(database: &Database) -> Result<Finding, Finding> {
    let greeting = async {
        let mut connection = database.connect_once().await?;
        // One message, which a pooler cannot divide.
        sqlx::raw_sql("select session_user::text").fetch_one(&mut connection).await?.try_get::<String, _>(0)
    };
    let address = database.server();
    let silent = "see that the server runs, that host and port in DATABASE_URL are right, and that its security group \
                  lets this machine in";
    match tokio::time::timeout(TIMEOUT, greeting).await {
        Ok(Ok(user)) => Ok(Finding::ok(format!("{address}, as {user}"))),
        Ok(Err(error)) => Err(match error.as_database_error() {
            // It answers, so the network is not what is wrong.
            Some(answer) => {
                let code = answer.code().map(|code| format!(" ({code})")).unwrap_or_default();
                let fix = postgres::next_step(&error).unwrap_or("see the server's log");
                Finding::failed(format!("{address}: {}{code}", answer.message()), fix)
            }
            None => Finding::failed(format!("{address}: {error}"), silent),
        }),
        Err(_) => {
            Err(Finding::failed(format!("{address}: no answer within {} s", TIMEOUT.as_secs()), silent))
        }
    }
}

/// The checks, and what the names of the roles begin with, where that can be asked.
pub(super) async fn examine(database: Option<&Database>) -> (Vec<Check>, Option<RolePrefix>) {
    let Some(database) = database else {
        let unreached = Finding::skipped("the database was not reached", UNREACHED);
        return (NAMES.map(|name| unreached.clone().named(Section::Database, name)).into(), None);
    };
    let prefix = &match bounded(prefix(database)).await {
        Ok(prefix) => prefix,
        Err(unanswered) => {
            return (NAMES.map(|name| unanswered.clone().named(Section::Database, name)).into(), None);
        }
    };
    let findings = tokio::join!(
        tls(database),
        session::between(database),
        session::settings(database),
        server(database, Server::check, |server| format!(
            "PostgreSQL {}, which takes writes",
            server.version
        )),
        server(database, Server::check_encoding, |server| server.encoding.clone()),
        role(database, prefix),
        roles(database, prefix),
        neighbours::roles(database, prefix),
        neighbours::logins(database, prefix),
        grants(database, prefix),
        others(database, prefix),
        ownership(database, prefix),
        memberships(database, prefix),
        migrations(database),
        obstacles::examine(database),
        edits(database),
    );
    let findings: [Result<Finding, Finding>; NAMES.len()] = [
        findings.0,
        findings.1,
        findings.2,
        findings.3,
        findings.4,
        findings.5,
        findings.6,
        findings.7,
        findings.8,
        findings.9,
        findings.10,
        findings.11,
        findings.12,
        findings.13,
        findings.14,
        findings.15,
    ];
    let check = |(name, finding): (_, Result<Finding, Finding>)| {
        finding.unwrap_or_else(|unanswered| unanswered).named(Section::Database, name)
    };
    (NAMES.into_iter().zip(findings).map(check).collect(), Some(prefix.clone()))
}

/// What the names of the roles begin with; where there are no tables, what the environment says.
async fn prefix(database: &Database) -> Result<RolePrefix, sqlx::Error> {
    let in_use = migrate::prefix_in_use(database.inspection()).await?;
    Ok(in_use.or(RolePrefix::from_env().ok().flatten()).unwrap_or_default())
}

async fn tls(database: &Database) -> Result<Finding, Finding> {
    let query = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
    let (encrypted, version): (bool, Option<String>) =
        bounded(sqlx::query_as(query).fetch_one(database.inspection())).await?;
    let mode = database.pool().connect_options().get_ssl_mode();
    let version = encrypted.then(|| version.unwrap_or_else(|| "TLS".to_owned()));
    Ok(tls_of(database.is_local(), version.as_deref(), mode))
}

fn tls_of(is_local: bool, version: Option<&str>, mode: PgSslMode) -> Finding {
    let fix = "set sslmode=verify-full and sslrootcert in DATABASE_URL, and unset \
               USER_SYNC_ALLOW_PLAINTEXT_DATABASE";
    match (version, mode) {
        (Some(version), PgSslMode::VerifyFull) => Finding::ok(format!("{version}, server verified")),
        (_, _) if is_local => Finding::ok("the server is on this machine"),
        (Some(version), PgSslMode::VerifyCa) => {
            Finding::warning(format!("{version}, the certificate verified but not the server's name"), fix)
        }
        (Some(version), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require) => {
            Finding::failed(format!("{version}, but the server is not verified"), fix)
        }
        (
            None,
            PgSslMode::Disable
            | PgSslMode::Allow
            | PgSslMode::Prefer
            | PgSslMode::Require
            | PgSslMode::VerifyCa
            | PgSslMode::VerifyFull,
        ) => Finding::failed("the connection is not encrypted", fix),
    }
}

/// One thing that must hold of the server, and what is said where it does.
async fn server(
    database: &Database,
    check: fn(&Server) -> Result<(), Unmet>,
    found: fn(&Server) -> String,
) -> Result<Finding, Finding> {
    let server = bounded(Server::read(database.inspection())).await?;
    Ok(match check(&server) {
        Ok(()) => Finding::ok(found(&server)),
        Err(Unmet { found, fix }) => Finding::failed(found, fix),
    })
}

/// The role of the session, and so what the consumer with the same `DATABASE_URL` may do.
async fn role(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let query = "select session_user::text, rolsuper,
            array(select rolname::text from pg_roles
                where rolname = any ($1) and pg_has_role(session_user, oid, 'usage') order by rolname)
        from pg_roles where rolname = session_user";
    let query = sqlx::query_as(query).bind(prefix.roles());
    let query = query.fetch_one(database.inspection());
    let (user, is_superuser, roles): (String, bool, Vec<String>) = bounded(query).await?;
    let is = |role: Role| roles.contains(&prefix.role(role));
    let consumer = prefix.role(Role::Consumer);
    Ok(if is_superuser {
        let fix = format!("give the consumer a login of its own: create role … login in role {consumer}");
        Finding::warning(format!("{user} is a superuser"), fix)
    } else if is(Role::Consumer) {
        Finding::ok(format!("{user} may apply events"))
    } else if is(Role::Owner) {
        Finding::ok(format!("{user} may migrate and maintain"))
    } else if is(Role::Reader) {
        Finding::ok(format!("{user} may read"))
    } else if is(Role::Console) {
        Finding::ok(format!("{user} may read, and add to what was done with the console"))
    } else {
        let found = match is(Role::App) {
            true => {
                format!("{user} is a member of {} only, which may not apply events", prefix.role(Role::App))
            }
            false => format!("{user} is a member of none of this project's roles"),
        };
        Finding::failed(found, format!("grant {consumer} to \"{user}\""))
    })
}

async fn roles(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let query = "select role from unnest($1::text[]) as role
        where not exists (select from pg_roles where rolname = role)";
    let query = sqlx::query_scalar(query).bind(prefix.roles());
    let missing: Vec<String> = bounded(query.fetch_all(database.inspection())).await?;
    Ok(match missing.as_slice() {
        [] => Finding::ok("owner, consumer, app, reader and console are there"),
        // It came later than the others, and whoever migrates may not have been able to make it.
        [console] if *console == prefix.role(Role::Console) => Finding::warning(
            format!(
                "owner, consumer, app and reader are there, and {console} is not: there can be no console"
            ),
            "run `user-sync migrate` once as who may make roles",
        ),
        missing => Finding::failed(format!("missing: {}", missing.join(", ")), MIGRATE),
    })
}

async fn has_console(database: &Database, prefix: &RolePrefix) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_scalar("select to_regrole($1) is not null").bind(prefix.role(Role::Console));
    query.fetch_one(database.inspection()).await
}

async fn grants(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let actual = bounded(grants::actual(database, prefix)).await?;
    if actual.is_empty() {
        return Ok(Finding::skipped("there are no tables", MIGRATE));
    }
    let has_console = bounded(has_console(database, prefix)).await?;
    let (missing, excessive) = grants::compare(&actual, has_console);
    if missing.is_empty() && excessive.is_empty() {
        return Ok(Finding::ok(format!(
            "exactly the {} that the migrations make",
            grants::expected().count()
        )));
    }
    let named = |what: &str, grants: &[&str]| match grants {
        [] => None,
        grants => Some(format!("{what}: {}", grants.join("; "))),
    };
    let found = [named("missing", &missing), named("excessive", &excessive)];
    let found: Vec<String> = found.into_iter().flatten().collect();
    let fix: Vec<String> = (missing.iter().map(|grant| grants::grant(grant)))
        .chain(excessive.iter().map(|grant| grants::revoke(grant)))
        .collect();
    let fix = format!("as user_sync_owner: {}", fix.join("; "));
    Ok(Finding::failed(prefix.rename(&found.join(", ")), prefix.rename(&fix)))
}

async fn others(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let others = bounded(grants::others(database, prefix)).await?;
    if others.is_empty() {
        return Ok(Finding::ok("nobody else may write users, user_claims, user_events or the groups"));
    }
    let fix: Vec<String> = others.iter().map(|grant| grants::revoke(grant)).collect();
    let found = format!("others may write: {}", others.join("; "));
    Ok(Finding::failed(found, format!("as {}: {}", prefix.role(Role::Owner), fix.join("; "))))
}

async fn ownership(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let owner = prefix.role(Role::Owner);
    let foreign = bounded(grants::foreign(database, prefix)).await?;
    if foreign.is_empty() {
        return Ok(Finding::ok(format!("every table is {owner}'s")));
    }
    let fix: Vec<String> =
        foreign.iter().map(|(name, _)| format!("alter table {name} owner to {owner}")).collect();
    let found: Vec<String> = foreign.iter().map(|(name, whose)| format!("{name} is {whose}'s")).collect();
    Ok(Finding::failed(found.join(", "), fix.join("; ")))
}

/// A login that may apply events should not be able to change the tables.
async fn memberships(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let query = "select login.rolname::text from pg_roles as login
        where login.rolcanlogin and not login.rolsuper
            and (select bool_and(pg_has_role(login.oid, role.oid, 'usage')) from pg_roles as role
                where role.rolname in ($1, $2))
        order by 1";
    let (consumer, owner) = (prefix.role(Role::Consumer), prefix.role(Role::Owner));
    let query = sqlx::query_scalar(query).bind(&consumer).bind(&owner);
    let logins: Vec<String> = bounded(query.fetch_all(database.inspection())).await?;
    let Some(login) = logins.first() else {
        return Ok(Finding::ok("no login is the consumer's and the owner's at once"));
    };
    let found = format!("of {consumer} and {owner} at once: {}", logins.join(", "));
    Ok(Finding::warning(found, format!("revoke {owner} from \"{login}\"")))
}

/// Without the trigger, or in a session that fires none, the next event overwrites what the application edits.
async fn edits(database: &Database) -> Result<Finding, Finding> {
    let Some(is_noted) = bounded(migrate::edits_are_noted(database.inspection())).await? else {
        return Ok(Finding::skipped("there are no tables", MIGRATE));
    };
    if !is_noted {
        let fix = "run `user-sync migrate`, which makes it again; then see `user-sync verify` for what was overwritten";
        return Ok(Finding::failed("the trigger users_note_app_edit is missing or disabled", fix));
    }
    let query = "select coalesce(rolname, 'every role')::text from pg_db_role_setting left join pg_roles on oid = setrole
        where 'session_replication_role=replica' = any (setconfig)
            and setdatabase in (0, (select oid from pg_database where datname = current_database()))
        order by 1";
    let silent: Vec<String> = bounded(sqlx::query_scalar(query).fetch_all(database.inspection())).await?;
    Ok(match silent.first() {
        None => Finding::ok("what the application edits is noted as its own"),
        Some(role) => Finding::warning(
            format!(
                "no trigger fires for {} (session_replication_role): their edits are overwritten",
                silent.join(", ")
            ),
            format!("alter role \"{role}\" reset session_replication_role"),
        ),
    })
}

/// A migration that ran: its version, the checksum of its text, and whether it succeeded.
type Applied = (i64, Vec<u8>, bool);

async fn migrations(database: &Database) -> Result<Finding, Finding> {
    let query = "select version, checksum, success from _sqlx_migrations order by version";
    match bounded(sqlx::query_as(query).fetch_all(database.inspection())).await {
        Ok(applied) => Ok(compare_migrations(&applied)),
        Err(finding) if finding.fix.as_deref() == Some(MIGRATE) => {
            Err(Finding::failed("the tables are not there", MIGRATE))
        }
        Err(finding) => Err(finding),
    }
}

fn compare_migrations(applied: &[Applied]) -> Finding {
    let embedded = migrate::embedded();
    let known: BTreeMap<i64, &[u8]> =
        embedded.iter().map(|migration| (migration.version, migration.checksum.as_ref())).collect();
    let (mut missing, mut newer, mut changed, mut failed) = (known.clone(), vec![], vec![], vec![]);
    for (version, checksum, success) in applied {
        missing.remove(version);
        match known.get(version) {
            _ if !success => failed.push(*version),
            None => newer.push(*version),
            Some(known) if *known != checksum.as_slice() => changed.push(*version),
            Some(_) => {}
        }
    }
    let missing: Vec<i64> = missing.into_keys().collect();
    let upgrade = "use the release of user-sync that the schema was migrated by, or a newer one";
    if !failed.is_empty() {
        Finding::failed(format!("begun and not ended: {}", list(&failed)), MIGRATE)
    } else if !missing.is_empty() {
        Finding::failed(format!("not applied: {}", list(&missing)), MIGRATE)
    } else if !newer.is_empty() {
        Finding::failed(format!("not known to this build: {}", list(&newer)), upgrade)
    } else if !changed.is_empty() {
        Finding::failed(format!("applied with another text: {}", list(&changed)), upgrade)
    } else {
        Finding::ok(format!("all {} applied", known.len()))
    }
}

fn list(versions: &[i64]) -> String {
    versions.iter().map(|version| format!("{version:04}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::doctor::Status;

    #[test]
    fn another_host_must_be_encrypted_and_verified() {
        for (is_local, version, mode, expected) in [
            (false, Some("TLSv1.3"), PgSslMode::VerifyFull, Status::Ok),
            (false, Some("TLSv1.3"), PgSslMode::VerifyCa, Status::Warning),
            (false, Some("TLSv1.3"), PgSslMode::Require, Status::Failed),
            (false, None, PgSslMode::Prefer, Status::Failed),
            (true, None, PgSslMode::Prefer, Status::Ok),
        ] {
            let finding = tls_of(is_local, version, mode);
            assert_eq!(finding.status, expected, "{finding:?}");
            assert_eq!(finding.fix.is_some(), expected != Status::Ok);
        }
    }
}
