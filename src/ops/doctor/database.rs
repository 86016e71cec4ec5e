//! Checks the server, the connection to it, its roles, grants and migrations. Must not know what is in the tables.

use std::collections::BTreeMap;

use sqlx::postgres::PgSslMode;
use sqlx::{ConnectOptions as _, PgPool};

use crate::config::{ConfigError, DatabaseConfig};
use crate::ops::doctor::{Check, Finding, MIGRATE, Section, TIMEOUT, UNREACHED, bounded, grants};
use crate::postgres::{self, DatabaseError};
use crate::store::migrate;

/// The oldest PostgreSQL that the migrations run on, as `server_version_num` has it.
const MIN_SERVER_VERSION: i32 = 140_000;

const ROLES: [&str; 4] = ["user_sync_owner", "user_sync_consumer", "user_sync_app", "user_sync_reader"];

const NAMES: [&str; 9] = [
    "TLS",
    "server version",
    "role",
    "roles",
    "grants",
    "other grants",
    "ownership",
    "memberships",
    "migrations",
];

/// Questions under way at once, so that a server that hangs costs one timeout and not one for each question.
const CONNECTIONS: usize = 4;

/// Connects; without the pool, no other check of the database can run.
pub(super) async fn reach(config: &Result<DatabaseConfig, ConfigError>) -> (Vec<Check>, Option<PgPool>) {
    let (finding, pool) = connect(config).await;
    (vec![finding.named(Section::Database, "reachable")], pool)
}

async fn connect(config: &Result<DatabaseConfig, ConfigError>) -> (Finding, Option<PgPool>) {
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let fix = "set DATABASE_URL as the consumer has it, and run it where the consumer runs";
            return (Finding::skipped(error.to_string(), fix), None);
        }
    };
    let pool = match postgres::connect(config, CONNECTIONS).await {
        Ok(database) => database.pool().clone(),
        Err(error) => {
            let fix = match error {
                DatabaseError::Credentials(_) => "run it where the consumer runs, as the role that it has",
                DatabaseError::NoUser => "set DATABASE_URL to postgres://user@host:5432/database",
                DatabaseError::InvalidUrl | DatabaseError::Plaintext { .. } => {
                    "set DATABASE_URL to postgres://user:password@host/database?sslrootcert=bundle.pem"
                }
            };
            return (Finding::failed(error.to_string(), fix), None);
        }
    };
    // Not by the pool, which reports every failure as a timeout.
    let options = pool.connect_options();
    let address = format!("{}:{}", options.get_host(), options.get_port());
    let greeting = async {
        let mut connection = options.connect().await?;
        sqlx::query_scalar::<_, String>("select session_user::text").fetch_one(&mut connection).await
    };
    match tokio::time::timeout(TIMEOUT, greeting).await {
        Ok(Ok(user)) => (Finding::ok(format!("{address}, as {user}")), Some(pool)),
        Ok(Err(error)) => {
            let reason = match error.as_database_error() {
                Some(refused) => refused.message().to_owned(),
                None => error.to_string(),
            };
            let refused = error.as_database_error().and_then(|_| postgres::next_step(&error));
            let fix = "see that the server runs, that its security group lets this machine in, and that \
                       DATABASE_URL (or its secret) has the right user, password and sslrootcert";
            (Finding::failed(format!("{address}: {reason}"), refused.unwrap_or(fix)), None)
        }
        Err(_) => {
            let found = format!("{address}: no answer within {} s", TIMEOUT.as_secs());
            (
                Finding::failed(
                    found,
                    "see that the server runs and that its security group lets this machine in",
                ),
                None,
            )
        }
    }
}

pub(super) async fn examine(pool: Option<&PgPool>) -> Vec<Check> {
    let Some(pool) = pool else {
        let unreached = Finding::skipped("the database was not reached", UNREACHED);
        return NAMES.map(|name| unreached.clone().named(Section::Database, name)).into();
    };
    let findings = tokio::join!(
        tls(pool),
        server_version(pool),
        role(pool),
        roles(pool),
        grants(pool),
        others(pool),
        ownership(pool),
        memberships(pool),
        migrations(pool),
    );
    let findings: [Result<Finding, Finding>; 9] = findings.into();
    let check = |(name, finding): (_, Result<Finding, Finding>)| {
        finding.unwrap_or_else(|unanswered| unanswered).named(Section::Database, name)
    };
    NAMES.into_iter().zip(findings).map(check).collect()
}

async fn tls(pool: &PgPool) -> Result<Finding, Finding> {
    let query = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
    let (encrypted, version): (bool, Option<String>) = bounded(sqlx::query_as(query).fetch_one(pool)).await?;
    let options = pool.connect_options();
    let version = encrypted.then(|| version.unwrap_or_else(|| "TLS".to_owned()));
    Ok(tls_of(postgres::is_local(&options), version.as_deref(), options.get_ssl_mode()))
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

async fn server_version(pool: &PgPool) -> Result<Finding, Finding> {
    let query = "select current_setting('server_version_num')::integer, current_setting('server_version')";
    let (number, version): (i32, String) = bounded(sqlx::query_as(query).fetch_one(pool)).await?;
    Ok(match number {
        MIN_SERVER_VERSION.. => Finding::ok(format!("PostgreSQL {version}")),
        _ => Finding::failed(format!("PostgreSQL {version}"), "upgrade the server to PostgreSQL 14 or newer"),
    })
}

/// The role of the session, and so what the consumer with the same `DATABASE_URL` may do.
async fn role(pool: &PgPool) -> Result<Finding, Finding> {
    let query = "select session_user::text, rolsuper,
            array(select rolname::text from pg_roles
                where rolname = any ($1) and pg_has_role(session_user, oid, 'usage') order by rolname)
        from pg_roles where rolname = session_user";
    let query = sqlx::query_as(query).bind(ROLES);
    let (user, is_superuser, roles): (String, bool, Vec<String>) = bounded(query.fetch_one(pool)).await?;
    let is = |role: &str| roles.iter().any(|is| is == role);
    Ok(if is_superuser {
        let fix = "give the consumer a login of its own: create role … login in role user_sync_consumer";
        Finding::warning(format!("{user} is a superuser"), fix)
    } else if is("user_sync_consumer") {
        Finding::ok(format!("{user} may apply events"))
    } else if is("user_sync_owner") {
        Finding::ok(format!("{user} may migrate and maintain"))
    } else if is("user_sync_reader") {
        Finding::ok(format!("{user} may read"))
    } else {
        let found = match is("user_sync_app") {
            true => format!("{user} is a member of user_sync_app only, which may not apply events"),
            false => format!("{user} is a member of none of this project's roles"),
        };
        Finding::failed(found, format!("grant user_sync_consumer to \"{user}\""))
    })
}

async fn roles(pool: &PgPool) -> Result<Finding, Finding> {
    let query = "select role from unnest($1::text[]) as role
        where not exists (select from pg_roles where rolname = role)";
    let missing: Vec<String> = bounded(sqlx::query_scalar(query).bind(ROLES).fetch_all(pool)).await?;
    Ok(match missing.is_empty() {
        true => Finding::ok("owner, consumer, app and reader are there"),
        false => Finding::failed(format!("missing: {}", missing.join(", ")), MIGRATE),
    })
}

async fn grants(pool: &PgPool) -> Result<Finding, Finding> {
    let actual = bounded(grants::actual(pool)).await?;
    if actual.is_empty() {
        return Ok(Finding::skipped("there are no tables", MIGRATE));
    }
    let (missing, excessive) = grants::compare(&actual);
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
    Ok(Finding::failed(found.join(", "), format!("as user_sync_owner: {}", fix.join("; "))))
}

async fn others(pool: &PgPool) -> Result<Finding, Finding> {
    let others = bounded(grants::others(pool)).await?;
    if others.is_empty() {
        return Ok(Finding::ok("nobody else may write users, user_claims or user_events"));
    }
    let fix: Vec<String> = others.iter().map(|grant| grants::revoke(grant)).collect();
    let found = format!("others may write: {}", others.join("; "));
    Ok(Finding::failed(found, format!("as user_sync_owner: {}", fix.join("; "))))
}

async fn ownership(pool: &PgPool) -> Result<Finding, Finding> {
    let foreign = bounded(grants::foreign(pool)).await?;
    if foreign.is_empty() {
        return Ok(Finding::ok("every table is user_sync_owner's"));
    }
    let fix: Vec<String> =
        foreign.iter().map(|(name, _)| format!("alter table {name} owner to user_sync_owner")).collect();
    let found: Vec<String> = foreign.iter().map(|(name, owner)| format!("{name} is {owner}'s")).collect();
    Ok(Finding::failed(found.join(", "), fix.join("; ")))
}

/// A login that may apply events should not be able to change the tables.
async fn memberships(pool: &PgPool) -> Result<Finding, Finding> {
    let query = "select login.rolname::text from pg_roles as login
        where login.rolcanlogin and not login.rolsuper
            and (select bool_and(pg_has_role(login.oid, role.oid, 'usage')) from pg_roles as role
                where role.rolname in ('user_sync_consumer', 'user_sync_owner'))
        order by 1";
    let logins: Vec<String> = bounded(sqlx::query_scalar(query).fetch_all(pool)).await?;
    let Some(login) = logins.first() else {
        return Ok(Finding::ok("no login is the consumer's and the owner's at once"));
    };
    let found = format!("of user_sync_consumer and user_sync_owner at once: {}", logins.join(", "));
    Ok(Finding::warning(found, format!("revoke user_sync_owner from \"{login}\"")))
}

/// A migration that ran: its version, the checksum of its text, and whether it succeeded.
type Applied = (i64, Vec<u8>, bool);

async fn migrations(pool: &PgPool) -> Result<Finding, Finding> {
    let query = "select version, checksum, success from _sqlx_migrations order by version";
    match bounded(sqlx::query_as(query).fetch_all(pool)).await {
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
