//! What the pool is asked: as planned, counted, nobody becomes active, and an answer that lags does no harm.

use cognito_user_sync::cognito::reconcile::{RangeWalk, Reconcile, Walked};
use cognito_user_sync::cognito::user_pool::{ABSENT_PAUSE, UserPool};
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::postgres;
use cognito_user_sync_triggers::event::UserEvent;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::*;
use crate::support::large_pool::Ranges;
use crate::support::pool;

/// Stands before the pool and counts what it is asked for.
struct Counted {
    lists: Proxy,
    _admin: Proxy,
    admin_reads: std::sync::Arc<std::sync::atomic::AtomicU32>,
    endpoint: String,
}

impl Counted {
    async fn in_front_of(endpoint: &str) -> Self {
        let never = |words| Trap {
            speaker: Speaker::Program,
            words,
            nth: u32::MAX,
            repeats: false,
            action: Action::Cut { pass_on: true },
        };
        let admin = Proxy::in_front_of(endpoint, Some(never("IdentityProviderService.AdminGetUser\r"))).await;
        let behind = admin.through(endpoint);
        let lists = Proxy::in_front_of(&behind, Some(never("IdentityProviderService.ListUsers\r"))).await;
        let endpoint = lists.through(&behind);
        Self { admin_reads: admin.count.clone(), lists, _admin: admin, endpoint }
    }

    /// ListUsers and AdminGetUser.
    fn requests(&self) -> (u64, u64) {
        let counted = |count: &std::sync::atomic::AtomicU32| u64::from(count.load(Ordering::SeqCst));
        (counted(&self.lists.count), counted(&self.admin_reads))
    }
}

impl Found {
    fn requests(&self) -> (u64, u64) {
        let of = |operation: &str| self.0["requests"][operation].as_u64().unwrap();
        (of("list_users"), of("admin_get_user"))
    }
}

impl Scene {
    async fn with_counted_pool(users: usize) -> (Self, Counted) {
        let mut scene = Self::create().await;
        for number in 0..users {
            scene.pool.add(&format!("user-{number}"), &[("email", &format!("{number}@example.com"))]).await;
        }
        let counted = Counted::in_front_of(&scene.database.deployment.endpoint).await;
        scene.cognito = Some(counted.endpoint.clone());
        (scene, counted)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_fill_lists_each_page_once_as_planned_and_nobody_becomes_active() {
    let (scene, counted) = Scene::with_counted_pool(130).await;
    let output = scene.run(&["--repair"]).await;
    let found = Found::read(&output);
    assert_eq!(found.drift(), [(Drift::Missing, 130)].into());
    assert_eq!((found.requests(), counted.requests()), ((3, 0), (3, 0)));
    assert_eq!(found.0["plan"]["list_users"], 3, "{found:?}");
    let said = stderr(&output);
    for words in ["about 130 users: 3 ListUsers requests", "nobody becomes a monthly active user"] {
        assert!(said.contains(words), "{said}");
    }
    scene.drain().await;
    scene.must_be_mended(0).await;
    assert_eq!(scene.dry_run().await.requests(), (3, 0), "what does not differ is not asked for again");
    assert_eq!(scene.database.count("users").await, 130);
}

/// A run that is resumed asks for two pages again: the one whose events it had planned, and the one that it had ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_is_killed_and_resumed_says_what_all_its_runs_have_sent() {
    let (scene, counted) = Scene::with_counted_pool(130).await;
    scene.repair_killed_at(&[(1, true), (70, false)]).await;
    let output = scene.run(&["--repair"]).await;
    let found = Found::read(&output);
    assert_eq!((found.drift(), &found.0["resumed"]), ([(Drift::Missing, 130)].into(), &Value::Bool(true)));
    assert_eq!((found.requests(), counted.requests()), ((7, 0), (7, 0)), "3 as planned, 2 for each kill");
    assert_eq!(found.0["requests"]["describe_user_pool"], 3);
    scene.drain().await;
    scene.must_be_mended(0).await;
    assert_eq!(scene.database.count("users").await, 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_of_a_page_who_differ_are_confirmed_by_one_request() {
    let (scene, counted) = Scene::with_counted_pool(70).await;
    let users = scene.pool.users().await;
    let older = |user: &PoolUser| {
        let mut snapshot = scene.pool.snapshot(user);
        drop(snapshot.data.attributes.insert("name".into(), "Another".into()));
        Event::User(snapshot)
    };
    apply(&scene.database.applier, &users.iter().map(older).collect::<Vec<_>>()).await;
    let found = Found::read(&scene.run(&["--repair"]).await);
    assert_eq!(found.drift(), [(Drift::Removed, 70)].into());
    assert_eq!((found.requests(), counted.requests()), ((4, 0), (4, 0)));
    scene.drain().await;
    scene.must_be_mended(0).await;
}

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(Timestamp::now().unix_millis() - seconds * 1_000)
}

/// The user of the stub, as a whole snapshot of that time.
fn known(
    scene: &Scene,
    sub: Uuid,
    at: Timestamp,
    attributes: &[(&'static str, &'static str)],
) -> Event<'static> {
    let data = Data {
        user_name: Some("only".into()),
        status: Some("CONFIRMED".into()),
        enabled: Some(true),
        created_at: Some(Timestamp::from_unix_millis(1_700_000_000_000)),
        attributes: attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..Data::default()
    };
    let (id, user_pool_id) = (EventId::new(at), scene.pool.id.clone().into());
    Event::User(UserEvent { id, user_pool_id, sub, kind: Kind::Snapshot, data })
}

/// A listing that misses a user, and questions that miss one, too: each of the three may, and not all of them.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_deleted_whom_one_of_three_answers_or_admin_get_user_has() {
    for (noes, flag, deleted, asked, admin_asked) in [
        (0, false, false, 1, 0),
        (1, false, false, 2, 0),
        (2, false, false, 3, 0),
        (3, false, true, 3, 0),
        (3, true, false, 3, 1),
    ] {
        let scene = Scene::create().await;
        let stub = StalePool::without_phone_since(ago(86_400), 0).await;
        stub.pool().is_listed = false;
        stub.pool().finds = std::iter::repeat_n(false, noes).collect();
        let sub = stub.pool().sub;
        apply(&scene.database.applier, &[known(&scene, sub, ago(3_600), &[("name", "Ada")])]).await;
        let flag: &[&str] = if flag { &["--ask-admin-get-user"] } else { &[] };
        let mut command = scene.command(&[flag, &["--repair"]].concat());
        let began_at = Instant::now();
        let output = command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
        let found = Found::read(&output);
        assert_eq!(found.drift().contains_key(&Drift::Gone), deleted, "{noes} noes: {found:?}");
        assert_eq!(queued(&scene.database.deployment).await.len(), usize::from(deleted));
        let counted = stub.counted();
        assert_eq!(counted, (asked, admin_asked), "{noes} noes");
        assert_eq!(found.requests(), (u64::from(asked) + 1, u64::from(admin_asked)));
        assert!(noes < 2 || began_at.elapsed() >= ABSENT_PAUSE, "the third question comes later");
        let said = stderr(&output);
        assert_eq!(said.contains("AdminGetUser may be asked"), !flag.is_empty(), "{said}");
    }
}

/// What both answers say is of before the row's newest event, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_lags_overwrites_nothing_that_the_table_learnt_since() {
    for (settle, lags, expected) in [
        ("--settle-seconds=60", u32::MAX, [].into()),
        ("--settle-seconds=0", 1, [].into()),
        // Of a row that is older than any lag, the pool's word counts.
        ("--settle-seconds=0", u32::MAX, [(Drift::Attributes, 1)].into()),
    ] {
        let scene = Scene::create().await;
        let stub = StalePool::without_phone_since(ago(20), 0).await;
        let sub = stub.pool().sub;
        // The lifecycle function has read the change already.
        apply(&scene.database.applier, &[known(&scene, sub, ago(15), &[("name", "Ada")])]).await;
        stub.pool().stale_pages = lags;
        stub.pool().stale = if lags == u32::MAX { lags } else { 0 };
        let mut command = scene.command(&["--repair", settle]);
        let output = command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
        let found = Found::read(&output);
        assert_eq!(found.drift(), expected, "{settle}, {lags} answers lag");
        assert_eq!(queued(&scene.database.deployment).await.len(), expected.len());
    }
}

/// The pool's list may still have a user whose deletion the table knows.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_a_moment_ago_is_not_reported_as_present() {
    let scene = Scene::create().await;
    let stub = StalePool::without_phone_since(ago(86_400), 0).await;
    let sub = stub.pool().sub;
    let deletion = cognito_user_sync::cognito::user_pool::deletion(&scene.pool.id, sub, ago(15));
    let events = [known(&scene, sub, ago(3_600), &[("name", "Ada")]), Event::User(deletion)];
    apply(&scene.database.applier, &events).await;
    for (settle, expected) in
        [("--settle-seconds=60", [].into()), ("--settle-seconds=0", [(Drift::DeletedButPresent, 1)].into())]
    {
        let mut command = scene.command(&[settle]);
        let output = command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
        assert_eq!(Found::read(&output).drift(), expected, "{settle}");
    }
}

/// A large pool and its rows, without the program.
async fn of_large_pool(scene: &Scene, stub: &LargePool, per_second: u32) -> Reconcile {
    let pool = UserPool::with_client(pool::client(&stub.endpoint()), large_pool::ID.parse().unwrap());
    Reconcile {
        user_pool: pool.at_rate(per_second),
        rows: postgres::connect(&DatabaseConfig::with_url(&scene.reader_url), 1).await.unwrap().into(),
        publisher: None,
        settle: Duration::ZERO,
        claim_rows_without_pool: false,
        max_deletions: u64::MAX,
        groups: false,
    }
}

async fn walk(reconcile: &Reconcile, walk: &mut RangeWalk, time: Duration) -> Walked {
    let walked = Box::pin(reconcile.walk_ranges(walk, Instant::now() + time)).await.unwrap();
    // As it goes to the next call.
    *walk = serde_json::from_str(&serde_json::to_string(&walk).unwrap()).unwrap();
    walked
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_in_several_calls_find_what_one_walk_finds() {
    const USERS: u64 = 3_000;
    let scene = Scene::create().await;
    large_pool::fill(&scene.database.owner, USERS).await;
    let stub = LargePool::start(USERS).await;
    let mut expected = large_pool::drift(USERS);
    // In no range, as nobody knows where they are.
    let without_sub = expected.remove(&Drift::WithoutSub).unwrap();

    // One that has not the time for its first range makes it smaller.
    let mut by_ranges = RangeWalk::of(USERS);
    let slow = of_large_pool(&scene, &stub, 10).await;
    assert_eq!(walk(&slow, &mut by_ranges, Duration::from_millis(150)).await, Walked::Unfinished);
    assert_eq!(serde_json::to_value(&by_ranges).unwrap()["next"], "00");

    // Some do not have the time for all.
    let (mut by_ranges, mut calls) = (RangeWalk::of(USERS), 1);
    let reconcile = of_large_pool(&scene, &stub, 20).await;
    while walk(&reconcile, &mut by_ranges, Duration::from_secs(6)).await == Walked::Unfinished {
        calls += 1;
        assert!(calls < 40, "{by_ranges:?}");
    }
    let tally = &by_ranges.tally;
    assert_eq!((&tally.drift, tally.users), (&expected, USERS - without_sub));
    assert_eq!(tally.rows, u64::try_from(scene.database.count("users").await).unwrap());
    assert!(calls > 1 && by_ranges.next.is_none(), "{calls} calls");
    assert_eq!(stub.asked("AdminGetUser"), 0);

    // One digit more finds the same.
    let mut narrower: RangeWalk = serde_json::from_value({
        let mut walk = serde_json::to_value(RangeWalk::of(USERS)).unwrap();
        walk["next"] = "00".into();
        walk
    })
    .unwrap();
    let fast = of_large_pool(&scene, &stub, 1_000).await;
    assert_eq!(walk(&fast, &mut narrower, Duration::from_secs(300)).await, Walked::Done);
    assert_eq!(narrower.tally, *tally);

    // A server that does not know the filter, and one that lists nobody by it.
    let ignores = LargePool::start_with(USERS, Ranges::Ignored).await;
    let reconcile = of_large_pool(&scene, &ignores, 1_000).await;
    let mut by_ranges = RangeWalk::of(USERS);
    assert_eq!(walk(&reconcile, &mut by_ranges, Duration::from_secs(60)).await, Walked::NotByRange);
    assert_eq!((by_ranges.tally.users, ignores.asked("ListUsers")), (0, 1));
}

/// A listing that has hardly anybody of those who have rows is not believed if the pool has them when it is asked, and then
/// they are not asked for one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_without_most_of_its_users_is_no_range() {
    let scene = Scene::create().await;
    large_pool::fill(&scene.database.owner, 6_000).await;
    let stub = LargePool::start_with(6_000, Ranges::Empty).await;
    let reconcile = of_large_pool(&scene, &stub, 1_000).await;
    let mut by_ranges = RangeWalk::of(0);
    assert_eq!(walk(&reconcile, &mut by_ranges, Duration::from_secs(60)).await, Walked::NotByRange);
    let asked = stub.asked("ListUsers");
    assert!((21..=61).contains(&asked), "a sample of 20: {asked}");
}

/// Whom nobody lists and nobody finds when asked was deleted, however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_most_of_whose_users_were_deleted_is_believed() {
    let scene = Scene::create().await;
    large_pool::fill(&scene.database.owner, 4_000).await;
    let stub = LargePool::start(0).await;
    let reconcile = of_large_pool(&scene, &stub, 1_000).await;
    // The last of 16, since each of the others takes as long.
    let mut last = serde_json::to_value(RangeWalk::of(0)).unwrap();
    last["next"] = "f".into();
    let mut last: RangeWalk = serde_json::from_value(last).unwrap();
    assert_eq!(walk(&reconcile, &mut last, Duration::from_secs(120)).await, Walked::Done);
    assert!(last.tally.rows > 200, "{last:?}");
    assert_eq!(last.tally.drift, [(Drift::Gone, last.tally.rows)].into());
}

/// A listing may lag for everything that is asked of it, so a user who has just signed up is in none of the answers.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_deleted_whom_no_answer_can_know_yet() {
    for (age, expected) in [(5, [].into()), (70, [(Drift::Gone, 1)].into())] {
        let scene = Scene::create().await;
        let stub = StalePool::without_phone_since(ago(age), 0).await;
        let sub = {
            let mut pool = stub.pool();
            pool.is_listed = false;
            pool.finds = std::iter::repeat_n(false, 9).collect();
            pool.sub
        };
        let Event::User(mut row) = known(&scene, sub, ago(age), &[("name", "Ada")]) else { unreachable!() };
        row.data.created_at = Some(ago(age));
        apply(&scene.database.applier, &[Event::User(row)]).await;
        let mut command = scene.command(&["--repair", "--settle-seconds=60"]);
        let output = command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
        assert_eq!(Found::read(&output).drift(), expected, "created {age} s ago");
        assert_eq!(queued(&scene.database.deployment).await.len(), expected.len());
        if expected.is_empty() {
            // Who is gone is found by the next run, when nothing can lag any more.
            let mut command = scene.command(&["--repair", "--settle-seconds=0"]);
            let output = command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap();
            assert_eq!(Found::read(&output).drift(), [(Drift::Gone, 1)].into());
        }
    }
}

/// The pool lists a user, and finds nobody when it is asked: one of the two lags, or has the sub in other letters.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_deleted_whom_the_pool_lists_and_the_next_run_knows_better() {
    let scene = Scene::create().await;
    let stub = StalePool::without_phone_since(ago(86_400), 0).await;
    let sub = stub.pool().sub;
    apply(&scene.database.applier, &[known(&scene, sub, ago(3_600), &[("name", "Another")])]).await;
    let run = async || {
        stub.pool().finds = std::iter::repeat_n(false, 3).collect();
        let mut command = scene.command(&["--repair"]);
        Found::read(&command.env(StalePool::VARIABLE, &stub.endpoint).output().await.unwrap())
    };
    let found = run().await;
    assert_eq!((found.drift(), found.number("settling")), ([].into(), 1), "{found:?}");
    assert_eq!(queued(&scene.database.deployment).await.len(), 0);
    stub.pool().is_listed = false;
    assert_eq!(run().await.drift(), [(Drift::Gone, 1)].into());
}
