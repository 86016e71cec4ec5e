//! Says what a reconcile asks the user pool, before it does, and what it has asked. Must not ask anything.

use std::io::Write;

use cognito_user_sync::cognito::user_pool::{LISTS_QUOTA, PAGE_USERS, Requests};

use crate::commands::reconcile::Arguments;

/// The requests that it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// About how many users there are.
    users: u64,
    /// Of ListUsers, each with as many users as it can have.
    list_users: u64,
    per_second: u32,
}

impl Plan {
    /// For about so many users.
    pub(super) fn of(arguments: &Arguments, users: u64) -> Self {
        // A pool without users has a page, too.
        let list_users = users.div_ceil(PAGE_USERS as u64).max(1);
        Self { users, list_users, per_second: arguments.max_requests_per_second }
    }

    pub(super) fn json(self) -> serde_json::Value {
        serde_json::json!({ "users": self.users, "list_users": self.list_users, "seconds": self.seconds() })
    }

    fn seconds(self) -> u64 {
        self.list_users.div_ceil(u64::from(self.per_second))
    }

    /// Writes it for people; an earlier run has listed so many users.
    pub(super) fn write(
        self,
        arguments: &Arguments,
        listed: u64,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let Self { users, list_users, per_second } = self;
        let id = &arguments.user_pool_id;
        writeln!(
            out,
            "{id}: about {users} users: {list_users} ListUsers requests, at most {per_second} a second (the quota is \
             {LISTS_QUOTA} for everybody in the account and Region): {} or more",
            time(self.seconds())
        )?;
        if listed > 0 {
            writeln!(out, "an earlier run has listed {listed} of them")?;
        }
        writeln!(
            out,
            "besides: one request for a page with users who differ from their rows, three for a row whose user is not \
             listed{}",
            if arguments.without_groups {
                ""
            } else {
                ", one for each 60 groups and for each 60 members of a group"
            }
        )?;
        match arguments.ask_admin_get_user {
            false => writeln!(out, "nobody becomes a monthly active user: AdminGetUser is not asked"),
            true => writeln!(
                out,
                "AdminGetUser may be asked where nothing else answers: for users of whom ListUsers knows less than it \
                 should, and before a deletion, so {users} users at most. Each whom it finds becomes a monthly active user, \
                 whom AWS bills"
            ),
        }
    }
}

/// What was sent, for people.
pub(super) fn sent(requests: Requests) -> String {
    let Requests { list_users, list_users_in_group, list_groups, describe_user_pool, admin_get_user } =
        requests;
    let cost = match admin_get_user {
        0 => "nobody became a monthly active user".to_owned(),
        asked => format!("{asked} AdminGetUser: each user whom it found is a monthly active user"),
    };
    format!(
        "requests: {list_users} ListUsers, {list_users_in_group} ListUsersInGroup, {list_groups} ListGroups, \
         {describe_user_pool} DescribeUserPool; {cost}"
    )
}

pub(super) fn time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{:.1} h", std::time::Duration::from_secs(seconds).as_secs_f64() / 3_600.0),
    }
}
