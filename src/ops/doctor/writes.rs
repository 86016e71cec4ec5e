//! Tries a write as the consumer would make it, and undoes it: whatever else is as it should be, this is what has to work.
//! Must not know the statements.

use crate::logging::causes;
use crate::ops::doctor::{Check, Finding, Section, Status, TIMEOUT, bounded};
use crate::postgres::{Database, Role, RolePrefix, advice_for};
use crate::store::rehearse;

/// The line that says who the session is, and so whether that may write.
const LINE: &str = "role";

/// As whom a write is tried.
struct Writer {
    /// The session's user.
    user: String,
    /// Whether it has the consumer's rights, and not all of them.
    is_consumer: bool,
    /// Whether it may become the consumer's role.
    may_become: bool,
    is_owner: bool,
}

/// Adds to the line of the session's role whether a write succeeds. Where other checks of the database fail, a write that
/// fails is their consequence.
pub(super) async fn examine(database: Option<&Database>, prefix: Option<RolePrefix>, checks: &mut [Check]) {
    let (Some(database), Some(prefix)) = (database, prefix) else { return };
    let is_of_the_tables = |check: &&Check| matches!(check.section, Section::Database | Section::Ledger);
    let has_failed = checks.iter().filter(is_of_the_tables).any(|check| check.status == Status::Failed);
    let Some(line) = checks.iter_mut().find(|check| check.section == Section::Database && check.name == LINE)
    else {
        return;
    };
    if !matches!(line.status, Status::Ok | Status::Warning) {
        return;
    }
    let finding = tried(database, &prefix).await.unwrap_or_else(|unanswered| unanswered);
    line.found = format!("{}; {}", line.found, finding.found);
    match finding.status {
        Status::Failed if has_failed => line.found.push_str(", which may be due to the lines that fail"),
        Status::Failed | Status::Skipped => (line.status, line.fix) = (finding.status, finding.fix),
        Status::Warning | Status::Ok => {}
    }
}

async fn tried(database: &Database, prefix: &RolePrefix) -> Result<Finding, Finding> {
    let consumer = prefix.role(Role::Consumer);
    let writer = Writer::read(database, prefix).await?;
    let (role, who) = match writer {
        Writer { is_consumer: true, user, .. } => (None, user),
        Writer { may_become: true, .. } => (Some(consumer.as_str()), consumer.clone()),
        Writer { is_owner: true, user, .. } => (None, user),
        Writer { user, .. } => {
            let fix = "run it as the consumer's login, too";
            return Ok(Finding::skipped(format!("a write was not tried, for {user} may not"), fix));
        }
    };
    Ok(match tokio::time::timeout(TIMEOUT, rehearse(database, role)).await {
        Ok(Ok(())) => Finding::ok(format!("a write as {who}, which was undone, succeeds")),
        Ok(Err(error)) => {
            let fix = advice_for(&error).unwrap_or(
                "see what others added to the tables (obstacles), and mend it; else the server's log has the whole error",
            );
            Finding::failed(format!("as {who}, {}", causes(&error)), fix)
        }
        Err(_) => Finding::failed(
            format!("a write as {who} did not end within {} s", TIMEOUT.as_secs()),
            super::BUSY,
        ),
    })
}

impl Writer {
    async fn read(database: &Database, prefix: &RolePrefix) -> Result<Self, Finding> {
        let query = "select session_user::text,
                not rolsuper and pg_has_role(session_user, to_regrole($1)::oid, 'usage'),
                pg_has_role(session_user, to_regrole($1)::oid, 'member'),
                pg_has_role(session_user, to_regrole($2)::oid, 'usage')
            from pg_roles where rolname = session_user";
        let roles = [prefix.role(Role::Consumer), prefix.role(Role::Owner)];
        let query = sqlx::query_as(query).bind(&roles[0]).bind(&roles[1]);
        let (user, is_consumer, may_become, is_owner): (String, Option<bool>, Option<bool>, Option<bool>) =
            bounded(query.fetch_one(database.inspection())).await?;
        let [is_consumer, may_become, is_owner] =
            [is_consumer, may_become, is_owner].map(Option::unwrap_or_default);
        Ok(Self { user, is_consumer, may_become, is_owner })
    }
}
