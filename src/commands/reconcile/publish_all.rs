//! `user-sync reconcile --publish-all`: the first fill of a table that cannot be reached from here. Must not ask for a
//! database.

use std::io::Write;
use std::time::{Duration, Instant};

use cognito_user_sync::cognito::reconcile::{GroupTally, LeftOut, PublishAll, Tally};
use cognito_user_sync::cognito::user_pool::{LISTS_QUOTA, PAGE_USERS, Requests, UserPool};
use cognito_user_sync::config::Environment;
use cognito_user_sync::sqs::queue::REQUEST_MAX_MESSAGES;
use cognito_user_sync::sqs::send::Sender;
use cognito_user_sync::store::maintenance::drift::Kind;
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;

use crate::commands::output;
use crate::commands::reconcile::{Arguments, Progress, count, open_checkpoint, plan};

/// USD for a million requests to a standard queue, in us-east-1 ("Amazon SQS pricing").
const USD_A_MILLION: f64 = 0.40;

/// To send, to receive and to delete a message.
const REQUESTS_EACH: u64 = 3;

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let queue_url = match arguments.dry_run {
        true => None,
        false => Some(Environment::process().required(QUEUE_URL_VARIABLE, "the queue to publish to")?),
    };
    let user_pool = UserPool::new(arguments.user_pool_id.clone()).await;
    let user_pool = user_pool.at_rate(arguments.max_requests_per_second);
    let plan = Plan::of(arguments, PublishAll::estimate(&user_pool).await?);
    let Some(queue_url) = queue_url else {
        plan.write(0, &mut output::stderr())?;
        let said = "nothing was published: without --dry-run it is";
        let answer = serde_json::json!({ "mode": "publish_all", "dry_run": true, "plan": plan.json() });
        let answer = if arguments.json { answer.to_string() } else { said.to_owned() };
        return Ok(writeln!(output::stdout(), "{answer}")?);
    };
    let mut checkpoint = open_checkpoint(arguments, PublishAll::MODE, Some(&queue_url))?;
    let resumed = checkpoint.is_resumed();
    plan.write(checkpoint.tally().users, &mut output::stderr())?;
    let settle = Duration::from_secs(arguments.settle_seconds);
    let sender = Sender::new(queue_url).await;
    let publish_all = PublishAll { user_pool, sender, settle, groups: !arguments.without_groups };
    let mut progress = Progress::new(plan.users.unwrap_or(0), 0)?;
    // Boxed: its future is large, since it holds many requests under way.
    let run = Box::pin(publish_all.run(&mut checkpoint, |phase, tally| progress.report(phase, tally))).await;
    progress.bar.finish_and_clear();
    run?;
    let (tally, requests) = (checkpoint.tally().clone(), checkpoint.requests()?);
    checkpoint.remove()?;
    let done = Done { arguments, plan, tally, requests, resumed, took: started.elapsed() };
    let mut out = output::stdout();
    match arguments.json {
        true => writeln!(out, "{}", done.json())?,
        false => done.write(&mut out)?,
    }
    Ok(out.flush()?)
}

/// What it takes.
#[derive(Debug)]
struct Plan<'a> {
    arguments: &'a Arguments,
    /// About how many there are, as far as it is known.
    users: Option<u64>,
}

impl<'a> Plan<'a> {
    fn of(arguments: &'a Arguments, users: Option<u64>) -> Self {
        Self { arguments, users }
    }

    /// Pages of the pool; one without users has a page, too.
    fn list_users(users: u64) -> u64 {
        users.div_ceil(PAGE_USERS as u64).max(1)
    }

    fn seconds(&self, users: u64) -> u64 {
        Self::list_users(users).div_ceil(u64::from(self.arguments.max_requests_per_second))
    }

    /// Requests to send so many messages; a request holds ten.
    fn sends(messages: u64) -> u64 {
        // The last one of a page may hold fewer.
        let of_page = |messages: u64| messages.div_ceil(REQUEST_MAX_MESSAGES as u64);
        let page = PAGE_USERS as u64;
        messages / page * of_page(page) + of_page(messages % page)
    }

    fn usd(messages: u64) -> f64 {
        let requests = u32::try_from(Self::sends(messages) * REQUESTS_EACH).unwrap_or(u32::MAX);
        f64::from(requests) * USD_A_MILLION / 1e6
    }

    fn json(&self) -> serde_json::Value {
        let each = |users: u64| {
            serde_json::json!({
                "users": users,
                "messages": users,
                "list_users": Self::list_users(users),
                "send_requests": Self::sends(users),
                "usd": Self::usd(users),
                "seconds": self.seconds(users),
            })
        };
        self.users.map_or(serde_json::Value::Null, each)
    }

    /// Writes it for people; an earlier run has published so many users.
    fn write(&self, published: u64, out: &mut impl Write) -> std::io::Result<()> {
        let (id, per_second) = (&self.arguments.user_pool_id, self.arguments.max_requests_per_second);
        let memberships =
            if self.arguments.without_groups { "" } else { ", and one for each membership of a group" };
        let users = match self.users {
            Some(users) => {
                writeln!(out, "{id}: about {users} users: {users} messages{memberships}")?;
                users
            }
            None => {
                writeln!(
                    out,
                    "{id}: how many users there are, nobody says (DescribeUserPool): a message for each{memberships}. Of \
                     1000000 users:"
                )?;
                1_000_000
            }
        };
        writeln!(
            out,
            "time: {} ListUsers requests, at most {per_second} a second (the quota is {LISTS_QUOTA} for everybody in the \
             account and Region): {} or more",
            Self::list_users(users),
            plan::time(self.seconds(users))
        )?;
        writeln!(
            out,
            "cost: {} SendMessageBatch requests, and as many to receive and to delete them: {} at {USD_A_MILLION:.2} \
             USD a million (Amazon SQS pricing: a standard queue in us-east-1, requests of up to 64 KB; other Regions have \
             other prices)",
            Self::sends(users),
            usd(Self::usd(users))
        )?;
        if published > 0 {
            writeln!(out, "an earlier run has published {published} of them")?;
        }
        writeln!(out, "nobody becomes a monthly active user, and no login is counted")
    }
}

fn usd(amount: f64) -> String {
    if amount < 0.01 { "less than 0.01 USD".to_owned() } else { format!("about {amount:.2} USD") }
}

/// What a complete run published.
struct Done<'a> {
    arguments: &'a Arguments,
    plan: Plan<'a>,
    tally: Tally,
    requests: Requests,
    resumed: bool,
    took: Duration,
}

impl Done<'_> {
    fn json(&self) -> serde_json::Value {
        let Tally { users, snapshots, groups, .. } = &self.tally;
        serde_json::json!({
            "user_pool_id": self.arguments.user_pool_id.as_str(),
            "mode": "publish_all",
            "dry_run": false,
            "resumed": self.resumed,
            "users": users,
            "without_sub": count(&self.tally, Kind::WithoutSub),
            "published": { "snapshots": snapshots, "joined": groups.joined },
            "groups": {
                "left_out": groups.left_out.map(LeftOut::as_str),
                "groups": groups.groups,
                "members": groups.members,
            },
            "requests": self.requests,
            "plan": self.plan.json(),
            "seconds": self.took.as_secs_f64(),
        })
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Tally { users, snapshots, groups, .. } = &self.tally;
        let (id, seconds) = (&self.arguments.user_pool_id, self.took.as_secs_f64());
        writeln!(
            out,
            "{id}: {users} users in the pool: {snapshots} snapshots are on the queue, {seconds:.0} s"
        )?;
        let without_sub = count(&self.tally, Kind::WithoutSub);
        if without_sub > 0 {
            writeln!(out, "{without_sub} of them have no sub that is a UUID, and can have no row")?;
        }
        let GroupTally { left_out, groups, members, .. } = groups;
        match left_out {
            None => writeln!(out, "groups: {groups} with {members} members, who are on the queue")?,
            Some(LeftOut::Denied) => writeln!(
                out,
                "the groups are not published: permit cognito-idp:ListGroups and cognito-idp:ListUsersInGroup on the user \
                 pool and run it again, or leave them out with --without-groups"
            )?,
            Some(LeftOut::NotAsked | LeftOut::NoTables) => {
                writeln!(out, "the groups are not published, as asked")?;
            }
        }
        writeln!(out, "{}", plan::sent(self.requests))?;
        writeln!(
            out,
            "when the consumer has drained the queue (user-sync doctor shows the backlog), the drift check should find \
             nothing"
        )
    }
}
