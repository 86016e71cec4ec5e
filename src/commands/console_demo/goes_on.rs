//! The made-up company goes on while somebody looks: sign-ins and heartbeats through the queue, and a worker that applies
//! them. Must not know the console.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::consumer::liveness::{Liveness, STALLED_AFTER};
use cognito_user_sync::consumer::monitoring::{self, Sources};
use cognito_user_sync::consumer::queues::{Carries, Queues};
use cognito_user_sync::consumer::worker::{self, Options, Source};
use cognito_user_sync::dev::company::{POOL, Person, TRIGGER};
use cognito_user_sync::dev::local::{Deployment, REGION};
use cognito_user_sync::store::Applier;
use cognito_user_sync::{metrics, postgres};
use cognito_user_sync_triggers::event::{Event, EventId, PoolSeen};
use cognito_user_sync_triggers::publish::PUBLISH_BUDGET;
use cognito_user_sync_triggers::timestamp::Timestamp;
use fastrand::Rng;

/// Between two sign-ins, in milliseconds.
const BETWEEN: std::ops::Range<u64> = 300..2_500;
/// Heartbeats are sent so often.
const HEARTBEATS: Duration = Duration::from_secs(60);
/// One sign-in of so many is delivered twice.
const TWICE: u32 = 40;

/// Starts all of it: where the worker serves its metrics, and a future that ends only by an error.
pub(super) async fn start<'a>(
    deployment: &'a Deployment,
    people: &'a [Person],
) -> anyhow::Result<(SocketAddr, impl Future<Output = anyhow::Result<()>> + 'a)> {
    let database = postgres::connect(&DatabaseConfig::with_url(&deployment.consumer_url), 5).await?;
    let queues = Queues { events: deployment.queue(), records: None };
    let options = Options { batch_size: 100, concurrency: 2, until_empty: false };
    let liveness = Liveness::of(options.concurrency, STALLED_AFTER);
    let listener = monitoring::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?;
    let sources = Sources {
        metrics: Some(metrics::prometheus()?),
        database: database.clone(),
        queues: queues.clone(),
        liveness: liveness.clone(),
    };
    heartbeat(deployment).await?;
    let works = async move {
        let applier = Applier::new(database);
        let events = [Source { queue: &queues.events, carries: Carries::Events, options }];
        tokio::select! {
            worked = worker::run(&applier, &events, &liveness, std::future::pending()) => Ok(worked?),
            served = monitoring::serve(listener, sources) => Ok(served?),
            failed = sign_in(deployment, people) => failed,
            failed = beat(deployment) => failed,
        }
    };
    Ok((address, works))
}

/// One sign-in after the other.
async fn sign_in(deployment: &Deployment, people: &[Person]) -> anyhow::Result<()> {
    let (publisher, mut random) = (deployment.publisher(), Rng::new());
    let people: Vec<&Person> = people.iter().filter(|person| person.may_sign_in()).collect();
    loop {
        tokio::time::sleep(Duration::from_millis(random.u64(BETWEEN))).await;
        let Some(person) = random.choice(&people) else { return std::future::pending().await };
        let event = person.signs_in(Timestamp::now(), &mut random);
        publisher.publish(&event, PUBLISH_BUDGET).await?;
        if random.u32(0..TWICE) == 0 {
            publisher.publish(&event, PUBLISH_BUDGET).await?;
        }
    }
}

async fn beat(deployment: &Deployment) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(HEARTBEATS).await;
        heartbeat(deployment).await?;
    }
}

/// A heartbeat that says that both triggers are in place.
async fn heartbeat(deployment: &Deployment) -> anyhow::Result<()> {
    let arn = Some(TRIGGER.to_owned());
    let seen = PoolSeen {
        user_pool_id: POOL.to_owned(),
        region: REGION.to_owned(),
        missing: 0,
        post_confirmation: arn.clone(),
        post_authentication: arn,
    };
    let event = Event::Heartbeat { id: EventId::new(Timestamp::now()), pools: vec![seen] };
    Ok(deployment.publisher().publish(&event, PUBLISH_BUDGET).await?)
}
