//! What a comparison found, as a run keeps it: counts by kind. Must not know who keeps it.

use serde_json::{Map, Value, json};

use crate::cognito::reconcile::Tally;
use crate::cognito::user_pool::Requests;

/// Counts of what was found, of what is left where it was repaired, and of what it took.
///
/// `found` is what no login under way explains: not those who differ only in `created_at`, nor members whom Cognito added by
/// itself. `left` is what differs still: after a repair, what no event repairs.
#[must_use]
pub fn findings(tally: &Tally, is_repaired: bool, requests: Requests) -> Value {
    let Tally { users, rows, drift, to_repair, only_created_at, only_reported, settling, groups, .. } = tally;
    let mut kinds: Map<String, Value> =
        drift.iter().map(|(kind, users)| (kind.as_str().to_owned(), json!(users))).collect();
    let of_groups =
        [("group_joined", groups.joined), ("group_left", groups.left), ("group_deleted", groups.deleted)];
    kinds.extend(
        of_groups
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.to_owned(), json!(count))),
    );
    let repairable = to_repair.saturating_sub(*only_created_at) + groups.unexpected();
    let published = |events: u64| if is_repaired { events } else { 0 };
    json!({
        "found": repairable + only_reported,
        "left": if is_repaired { *only_reported } else { repairable + only_reported },
        "repairable": to_repair + groups.to_repair(),
        "kinds": kinds,
        "users": users,
        "rows": rows,
        "members": groups.members,
        "settling": settling + groups.settling,
        "groups_left_out": groups.left_out.map(|why| why.as_str()),
        "published": {
            "snapshots": published(tally.snapshots),
            "deletions": published(tally.deletions),
            "groups": published(groups.to_repair()),
        },
        "requests": requests,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cognito::reconcile::GroupTally;
    use crate::store::maintenance::drift::Kind;

    #[test]
    fn what_is_left_after_a_repair_is_what_no_event_repairs() {
        let drift = [(Kind::Missing, 6), (Kind::DeletedButPresent, 1), (Kind::CreatedAt, 2)].into();
        let groups = GroupTally { joined: 3, joined_by_provider: 1, ..GroupTally::default() };
        let tally = Tally {
            users: 10,
            drift,
            to_repair: 8,
            only_created_at: 2,
            only_reported: 1,
            snapshots: 8,
            groups,
            ..Tally::default()
        };
        let dry = findings(&tally, false, Requests::default());
        let kinds = json!({ "missing": 6, "created_at": 2, "deleted_but_present": 1, "group_joined": 3 });
        let none = json!({ "snapshots": 0, "deletions": 0, "groups": 0 });
        for (name, expected) in [
            ("found", json!(9)),
            ("left", json!(9)),
            ("repairable", json!(11)),
            ("published", none),
            ("kinds", kinds),
        ] {
            assert_eq!(dry.get(name), Some(&expected), "{name}");
        }
        let repaired = findings(&tally, true, Requests::default());
        let sent = json!({ "snapshots": 8, "deletions": 0, "groups": 3 });
        for (name, expected) in [("found", json!(9)), ("left", json!(1)), ("published", sent)] {
            assert_eq!(repaired.get(name), Some(&expected), "{name}");
        }
    }
}
