//! Dead letters that somebody chose by the ids of their messages: only they are touched, none is lost, nothing stays hidden.

use std::collections::BTreeSet;
use std::time::Duration;

use cognito_user_sync::dev::local::Deployment;
use cognito_user_sync::sqs::dead_letters::chosen::{Dealt, Deed, End};
use cognito_user_sync::sqs::dead_letters::{DeadLetters, Received};
use cognito_user_sync::sqs::send::Sender;
use tokio::sync::watch;

use crate::dlq::{bodies, counts, dead, event, of_version_2, reject};
use crate::support::deployment;
use crate::support::proxy::{Action, Proxy, Speaker, Trap};

const LIMIT: Duration = Duration::from_secs(60);

fn letters(deployment: &Deployment) -> DeadLetters {
    DeadLetters::with_client(deployment.client().clone(), deployment.dlq_url.clone())
}

fn sender(deployment: &Deployment, url: &str) -> Sender {
    Sender::with_client(deployment.client().clone(), url.to_owned())
}

fn back(deployment: &Deployment, per_second: u32) -> Deed {
    Deed::SendBack { to: sender(deployment, &deployment.queue_url), per_second }
}

/// Every message, as somebody reads them.
async fn read(deployment: &Deployment) -> Vec<Received> {
    let (_keep, stop) = watch::channel(false);
    let letters = letters(deployment);
    let scan = letters.scan(1_000, &stop, |_| {}).await.unwrap();
    assert_eq!(letters.release(&scan.received).await, 0);
    scan.received
}

fn ids<'a>(messages: impl IntoIterator<Item = &'a Received>) -> BTreeSet<String> {
    messages.into_iter().map(|message| message.message_id.clone()).collect()
}

async fn deal(letters: &DeadLetters, chosen: BTreeSet<String>, deed: &Deed) -> (Dealt, End, Vec<String>) {
    let (_keep, stop) = watch::channel(false);
    let mut done = Vec::new();
    let report = |_: &Dealt, messages: &[Received]| done.extend(ids(messages));
    let (dealt, end) = tokio::time::timeout(LIMIT, letters.deal(chosen, deed, &stop, report)).await.unwrap();
    (dealt, end, done)
}

/// So many dead letters whose cause is gone.
async fn refused(deployment: &Deployment, users: std::ops::Range<u128>) {
    for user in users {
        reject(deployment, &format!("m{user}"), &event(user).encode(), "refused_by_database", "$").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_chosen_messages_go_back() {
    let deployment = deployment().await;
    refused(&deployment, 0..30).await;
    let seen = read(&deployment).await;
    let chosen = ids(seen.iter().filter(|message| message.body < event(20).encode()));
    assert!(chosen.len() > 3 && chosen.len() < 30, "{}", chosen.len());
    // What comes since is not chosen, though it is the same event as one that is.
    let same = seen.iter().find(|message| chosen.contains(&message.message_id)).unwrap();
    reject(&deployment, "later", &same.body, "refused_by_database", "$").await;
    let (dealt, end, done) = deal(&letters(&deployment), chosen.clone(), &back(&deployment, 500)).await;
    assert_eq!(end, End::Completed);
    assert_eq!((dealt.sent, dealt.deleted), (chosen.len() as u64, chosen.len() as u64));
    assert_eq!((dealt.failed, dealt.missing, dealt.hidden_for_now), (0, 0, 0));
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), chosen);
    assert_eq!(dead(&deployment).await, (31 - chosen.len() as u64, 0));
    let left = ids(&read(&deployment).await);
    assert!(left.is_disjoint(&chosen));
    let expected: BTreeSet<String> = seen
        .into_iter()
        .filter(|message| chosen.contains(&message.message_id))
        .map(|message| message.body)
        .collect();
    let moved = bodies(&deployment, &deployment.queue_url).await;
    assert_eq!(moved.into_keys().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_with_their_original_and_what_would_come_back_is_left() {
    let deployment = deployment().await;
    let twice = event(1).encode();
    for source in ["m1", "m2", "m3"] {
        reject(&deployment, source, &twice, "refused_by_database", "$").await;
    }
    reject(&deployment, "m4", "oops", "malformed", "$").await;
    reject(&deployment, "m5", &of_version_2(2), "unknown_version", "schemaversion").await;
    reject(&deployment, "m6", &event(3).encode(), "too_old", "time").await;
    let (dealt, end, _) =
        deal(&letters(&deployment), ids(&read(&deployment).await), &back(&deployment, 100)).await;
    assert_eq!(end, End::Completed);
    assert_eq!((dealt.sent, dealt.deleted), (1, 3));
    let kept: Vec<_> = dealt.kept.into_iter().collect();
    assert_eq!(kept, [("malformed", 1), ("too_old", 1), ("unknown_version", 1)]);
    assert_eq!(dead(&deployment).await, (3, 0));
    assert_eq!(counts(&deployment, &deployment.queue_url).await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_leaves_the_rest_visible() {
    let deployment = deployment().await;
    refused(&deployment, 0..40).await;
    let chosen = ids(&read(&deployment).await);
    let (stop, stopped) = watch::channel(false);
    let report = |dealt: &Dealt, _: &[Received]| {
        if dealt.sent >= 4 {
            stop.send_replace(true);
        }
    };
    let (dealt, end) = letters(&deployment).deal(chosen, &back(&deployment, 4), &stopped, report).await;
    assert_eq!((end, dealt.sent, dealt.deleted), (End::Stopped, 4, 4));
    assert_eq!(dead(&deployment).await, (36, 0));
    assert_eq!(counts(&deployment, &deployment.queue_url).await, (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_kept() {
    let deployment = deployment().await;
    refused(&deployment, 0..6).await;
    let began = std::time::Instant::now();
    let (dealt, ..) = deal(&letters(&deployment), ids(&read(&deployment).await), &back(&deployment, 2)).await;
    assert_eq!(dealt.sent, 6);
    // The first two at once, then two a second. It may take longer, and never less.
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_queue_does_not_take_stays_a_dead_letter() {
    let deployment = deployment().await;
    refused(&deployment, 0..3).await;
    let chosen = ids(&read(&deployment).await);
    let to = sender(&deployment, &format!("{}-not-there", deployment.queue_url));
    let deed = Deed::SendBack { to, per_second: 100 };
    let (dealt, end, done) = deal(&letters(&deployment), chosen, &deed).await;
    assert_eq!((end, dealt.sent, dealt.deleted, dealt.failed), (End::Completed, 0, 0, 3));
    assert!(done.is_empty());
    assert_eq!(dead(&deployment).await, (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_and_not_deleted_is_in_both_queues_and_said() {
    let deployment = deployment().await;
    refused(&deployment, 0..3).await;
    let chosen = ids(&read(&deployment).await);
    let answer = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 34\r\nconnection: close\r\n\r\n{\"__type\":\"AccessDeniedException\"}";
    let words = "AmazonSQS.DeleteMessageBatch";
    let trap =
        Trap { speaker: Speaker::Program, words, nth: 1, repeats: true, action: Action::Answer(answer) };
    let proxy = Proxy::in_front_of(&deployment.endpoint, Some(trap)).await;
    let endpoint = proxy.through(&deployment.endpoint);
    let config = deployment.client().config().to_builder().endpoint_url(endpoint).build();
    let letters =
        DeadLetters::with_client(aws_sdk_sqs::Client::from_conf(config), deployment.dlq_url.clone());
    let (dealt, end, done) = deal(&letters, chosen, &back(&deployment, 100)).await;
    assert_eq!((end, dealt.sent, dealt.deleted), (End::Completed, 3, 0));
    assert_eq!((dealt.failed, dealt.in_both), (3, 3));
    assert!(done.is_empty());
    assert_eq!(dead(&deployment).await, (3, 0));
    assert_eq!(counts(&deployment, &deployment.queue_url).await, (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_or_hidden_by_somebody_is_missing() {
    let deployment = deployment().await;
    refused(&deployment, 0..12).await;
    let mut chosen = ids(&read(&deployment).await);
    chosen.insert("not-there".to_owned());
    let request = deployment.client().receive_message().queue_url(&deployment.dlq_url);
    let taken = request.visibility_timeout(600).send().await.unwrap().messages.unwrap().len() as u64;
    let (dealt, end, _) = deal(&letters(&deployment), chosen, &back(&deployment, 100)).await;
    assert_eq!((end, dealt.sent, dealt.missing), (End::Completed, 12 - taken, taken + 1));
    assert_eq!(dead(&deployment).await, (0, taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_deletes_only_the_chosen_whatever_they_say() {
    let deployment = deployment().await;
    let large = format!("{{\"data\":\"{}\"}}", "x".repeat(256 * 1_024 - 400));
    for (number, body) in ["oops", &large, &of_version_2(2), &event(1).encode()].into_iter().enumerate() {
        reject(&deployment, &format!("m{number}"), body, "malformed", "$").await;
    }
    let seen = read(&deployment).await;
    let chosen = ids(seen.iter().filter(|message| message.body == "oops" || message.body == large));
    assert_eq!(chosen.len(), 2);
    let (dealt, end, done) = deal(&letters(&deployment), chosen.clone(), &Deed::Drop).await;
    assert_eq!((end, dealt.sent, dealt.deleted), (End::Completed, 0, 2));
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), chosen);
    assert_eq!(dead(&deployment).await, (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_answer_ends_it() {
    let deployment = deployment().await;
    let url = format!("{}-not-there", deployment.dlq_url);
    let nowhere = DeadLetters::with_client(deployment.client().clone(), url);
    let (dealt, end, _) = deal(&nowhere, BTreeSet::from(["x".to_owned()]), &Deed::Drop).await;
    assert_eq!((dealt.deleted, dealt.missing), (0, 0));
    let End::Failed(error) = end else { panic!("{end:?}") };
    assert!(error.to_string().contains("ReceiveMessage"), "{error}");
}
