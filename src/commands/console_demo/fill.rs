//! Brings the made-up company into the database, by the consumer's own way of applying events. Must not know the console.

use anyhow::Context as _;
use aws_sdk_sqs::types::MessageAttributeValue;
use cognito_user_sync::config::DatabaseConfig;
use cognito_user_sync::consumer::queues::Carries;
use cognito_user_sync::dev::company::{Company, arrival};
use cognito_user_sync::dev::local::{self, Deployment};
use cognito_user_sync::postgres;
use cognito_user_sync::store::Applier;
use cognito_user_sync::store::maintenance::erase::erase;
use cognito_user_sync::store::outcome::Outcome;
use cognito_user_sync_triggers::event::Event;
use cognito_user_sync_triggers::timestamp::Timestamp;
use fastrand::Rng;

/// Messages that are applied at once.
const BATCH: usize = 2_000;
/// So that every demo shows the same company.
const SEED: u64 = 24;

/// Messages that were never events: why, which field, what is said of it, the body.
const NEVER: [[&str; 4]; 4] = [
    [
        "malformed",
        "$",
        "EOF while parsing a value at line 1 column 40",
        r#"{"specversion":"1.0","schemaversion":1,"#,
    ],
    [
        "malformed",
        "data.attributes",
        "expected a map",
        r#"{"specversion":"1.0","schemaversion":1,"type":"user.authenticated","data":{"attributes":7}}"#,
    ],
    [
        "unknown_type",
        "type",
        "not a type of ours",
        r#"{"specversion":"1.0","schemaversion":1,"type":"user.promoted"}"#,
    ],
    [
        "unknown_version",
        "schemaversion",
        "99 is newer than 1",
        r#"{"specversion":"1.0","schemaversion":99,"type":"user.authenticated"}"#,
    ],
];

/// Makes it up, and applies it.
pub(super) async fn company(deployment: &Deployment, users: usize) -> anyhow::Result<Company> {
    let company = Company::of(users, Timestamp::now(), SEED);
    let database = postgres::connect(&DatabaseConfig::with_url(&deployment.consumer_url), 4).await?;
    let applier = Applier::new(database.clone());
    let is_record = |event: &&Event<'_>| matches!(event, Event::Context(_) | Event::Failures(_));
    let (records, events): (Vec<_>, Vec<_>) = company.events.iter().partition(is_record);
    for (events, carries) in [(events, Carries::Events), (records, Carries::Records)] {
        let bodies: Vec<String> = events.into_iter().map(Event::encode).collect();
        for batch in bodies.chunks(BATCH) {
            let outcomes = match carries {
                Carries::Events => applier.apply(batch).await,
                Carries::Records => applier.apply_records(batch).await,
            };
            let failed =
                outcomes.iter().find(|outcome| !matches!(outcome, Outcome::Applied | Outcome::Duplicate));
            anyhow::ensure!(failed.is_none(), "an event was not applied: {failed:?}");
        }
    }
    database.close().await;
    let operator = postgres::connect(&DatabaseConfig::with_url(&deployment.operator_url), 2).await?;
    for user in &company.forgotten {
        erase(&operator, *user, false).await.context("nobody was erased")?;
    }
    operator.close().await;
    let owner = local::connect(&deployment.owner_url, 1).await?;
    arrival::date(&owner, &company.late).await?;
    owner.close().await;
    dead_letters(deployment, &company).await?;
    Ok(company)
}

/// What could not be applied this morning: while a constraint of the application's was in the way, and what was never an
/// event of ours. As the consumer sends them.
async fn dead_letters(deployment: &Deployment, company: &Company) -> anyhow::Result<()> {
    const REFUSED: &str = "the database refuses the row (constraint users_bio_short of table users), by something that is not \
         this service's: mend it, then redrive";
    let mut random = Rng::with_seed(SEED);
    let now = Timestamp::now().unix_millis();
    let mut letters: Vec<[String; 4]> = NEVER.map(|letter| letter.map(str::to_owned)).to_vec();
    for person in company.people.iter().filter(|person| person.may_sign_in()).take(37) {
        let at = Timestamp::from_unix_millis(now - random.u64(600_000..5_400_000));
        let body = person.signs_in(at, &mut random).encode();
        letters.push(["refused_by_database".into(), "$".into(), REFUSED.into(), body]);
    }
    for person in company.people.iter().filter(|person| person.may_sign_in()).skip(50).take(3) {
        let at = Timestamp::from_unix_millis(now - 460 * 86_400_000);
        let detail = "before the oldest month that the ledger keeps".to_owned();
        letters.push(["too_old".into(), "id".into(), detail, person.signs_in(at, &mut random).encode()]);
    }
    for (number, [reason, field, detail, body]) in letters.into_iter().enumerate() {
        let mut send = deployment.client().send_message().queue_url(&deployment.dlq_url).message_body(body);
        let source = format!("00000000-0000-4000-8000-{number:012}");
        for (name, value) in
            [("reason", reason), ("field", field), ("detail", detail), ("source_message_id", source)]
        {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
            send = send.message_attributes(name, value);
        }
        send.send().await.context("the dead-letter queue does not take a message")?;
    }
    Ok(())
}
