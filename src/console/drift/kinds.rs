//! What is found, by kind: what it means, and what a repair does about it. Pure.

use crate::console::words::count;
use crate::store::runs::What;

/// What a repair does about a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repair {
    /// A snapshot of each user goes to the queue.
    Snapshots,
    /// A deletion of each user goes to the queue.
    Deletions,
    /// An event of the group goes to the queue.
    Groups,
    /// Rows are written anew from the ledger.
    Rows,
    /// Nothing; this is what to do.
    Nothing(&'static str),
    /// It is no difference.
    NotNeeded,
}

impl Repair {
    /// The words of a table.
    pub(super) fn says(self, number: u64) -> String {
        let (one, many) = match self {
            Self::Snapshots => ("snapshot", "snapshots"),
            Self::Deletions => ("deletion", "deletions"),
            Self::Groups => ("event of a group", "events of groups"),
            Self::Rows => return "writes them from the ledger".to_owned(),
            Self::Nothing(instead) => return format!("none: {instead}"),
            Self::NotNeeded => return "none needed".to_owned(),
        };
        format!("sends {} {}", count(number), if number == 1 { one } else { many })
    }
}

/// What a kind of finding means, and what a repair does.
pub(super) fn meaning(what: What, kind: &str) -> (&'static str, Repair) {
    match what {
        What::Reconcile | What::Drift => of_pool(kind),
        What::Verify => (of_rows(kind), Repair::Rows),
        What::Audit => of_logins(kind),
        What::Maintain => ("", Repair::NotNeeded),
    }
}

fn of_pool(kind: &str) -> (&'static str, Repair) {
    match kind {
        "missing" => ("in the pool, without a row", Repair::Snapshots),
        "attributes" => ("the row does not show what the pool says", Repair::Snapshots),
        "removed" => ("the row has an attribute that the user no longer has", Repair::Snapshots),
        "status" => ("the row's status is not the pool's", Repair::Snapshots),
        "enabled" => ("enabled in one, disabled in the other", Repair::Snapshots),
        "identity" => ("another user name or pool in the row", Repair::Snapshots),
        "created_at" => {
            ("the row's creation date is later than the pool's: no trigger knows that one", Repair::Snapshots)
        }
        "gone" => ("deleted from the pool, not in the table", Repair::Deletions),
        "unclaimed" => (
            "the row names no pool, and this one has no such user",
            Repair::Nothing("user-sync reconcile --repair --claim-rows-without-pool deletes them"),
        ),
        "deleted_but_present" => (
            "deleted in the table, still in the pool; a deletion is final",
            Repair::Nothing("user-sync restore takes a deletion back"),
        ),
        "erased_but_present" => (
            "erased from the table, still in the pool",
            Repair::Nothing("delete the user from the pool as well"),
        ),
        "without_sub" => ("in the pool without a sub that is a UUID", Repair::Nothing("there can be no row")),
        "group_joined" => ("in a group of the pool, not in the table's", Repair::Groups),
        "group_left" => ("in a group of the table, not in the pool's", Repair::Groups),
        "group_deleted" => ("a group of the table that the pool does not have", Repair::Groups),
        _ => ("a kind that this console does not know", Repair::Nothing("see user-sync reconcile")),
    }
}

fn of_rows(kind: &str) -> &'static str {
    match kind {
        "id" => "a row is missing, or has no history",
        "user_claims" => "who holds an address, and since when",
        "user_sync_memberships" => "who is in a group",
        "user_sync_groups" => "since when a group counts",
        "user_sync_context_states" => "what is kept of contexts",
        _ => "the column is not what the ledger says",
    }
}

fn of_logins(kind: &str) -> (&'static str, Repair) {
    match kind {
        "lost" => (
            "a recorded sign-in without a login, and nothing explains it",
            Repair::Nothing("user-sync audit --list names them"),
        ),
        "managed_login" => ("a sign-in at managed login, where no trigger may fire", Repair::NotNeeded),
        "triggers_away" => ("a sign-in while the pool did not call the trigger", Repair::NotNeeded),
        "federated" => ("a login of a federated user, whom nobody else records", Repair::NotNeeded),
        "not_recorded" => ("a login that nobody else recorded: they miss some", Repair::NotNeeded),
        _ => ("a kind that this console does not know", Repair::NotNeeded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::maintenance::drift::Kind;

    #[test]
    fn every_kind_of_drift_has_a_meaning() {
        for kind in Kind::ALL {
            assert!(!of_pool(kind.as_str()).0.contains("does not know"), "{}", kind.as_str());
        }
        assert!(of_pool("else").0.contains("does not know"));
    }

    #[test]
    fn a_repair_is_said_in_words() {
        assert_eq!(meaning(What::Drift, "gone").1.says(1), "sends 1 deletion");
        assert_eq!(meaning(What::Reconcile, "missing").1.says(1_200), "sends 1,200 snapshots");
        assert_eq!(meaning(What::Verify, "login_count").1.says(2), "writes them from the ledger");
        let says = meaning(What::Reconcile, "deleted_but_present").1.says(1);
        assert!(says.starts_with("none: user-sync restore"), "{says}");
    }
}
