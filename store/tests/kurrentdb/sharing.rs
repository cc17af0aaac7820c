//! Several ledgers and others on one server, and what one process leaves to the next.

use std::sync::Arc;

use eventstore::{AppendToStreamOptions, EventData, ReadStreamOptions};
use execution_ledger_domain::Content;
use execution_ledger_store::kurrentdb::{KurrentOptions, KurrentStore, Prefix};
use execution_ledger_store::{
    AppendError, ContentPlace, EventStore, ExpectedRevision, Position, StoreError, With, contract,
};
use serde_json::json;
use uuid::Uuid;

use crate::world::{Follower, Server, all, append, at, numbers, opened, server, somebody};

/// Events of others between two of ours: more than the server looks at before it tells where it is.
const FOREIGN_EVENTS: usize = 2_500;

async fn with_prefix(server: &Server, prefix: &str) -> Arc<KurrentStore> {
    let prefix: Prefix = prefix.parse().unwrap();
    let options = KurrentOptions { prefix, ..KurrentOptions::at(at(&[server.address()])) };
    KurrentStore::open(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledgers_of_different_prefixes_and_others_share_a_server_unseen() {
    let server = server().await;
    let (one, two) = (with_prefix(&server, "one.").await, with_prefix(&server, "two.").await);
    assert_ne!(one.log_id(), two.log_id());
    let other = somebody(&server);
    let follower = Follower::of(&one).await;
    append(&one, 0).await.unwrap();
    append(&two, 10).await.unwrap();
    let foreign = |number: usize| EventData::json("order.made", &json!({"n": number})).unwrap();
    let events: Vec<EventData> = (0..FOREIGN_EVENTS).map(foreign).collect();
    other.append_to_stream("orders-1", &AppendToStreamOptions::default(), events).await.unwrap();
    // In our own place too: it is no fact, wherever it stands.
    other
        .append_to_stream("one.test-a", &AppendToStreamOptions::default(), foreign(0))
        .await
        .unwrap();
    append(&one, 1).await.unwrap();
    assert_eq!(numbers(&follower.saw(2).await), [0, 1]);
    assert_eq!(numbers(&all(&one).await), [0, 1]);
    assert_eq!(numbers(&all(&two).await), [10]);
    let last = one.read_all_backwards(Position::END, 2, With::EventsOnly).await.unwrap();
    assert_eq!(numbers(&last), [1, 0]);

    let again = with_prefix(&server, "one.").await;
    assert_eq!(again.log_id(), one.log_id(), "the same log");
    assert_eq!(again.head().await.unwrap(), last[0].position);
    let read_only = KurrentOptions {
        prefix: "three.".parse().unwrap(),
        ..KurrentOptions::at(at(&[server.address()]))
    };
    let refused = KurrentStore::open_read_only(read_only).await.err().unwrap().to_string();
    assert!(refused.contains("three."), "nothing is begun by looking: {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_follow_the_same_log_and_one_wins_each_revision() {
    let server = server().await;
    let (one, two) = (opened(&[server.address()]).await, opened(&[server.address()]).await);
    assert_eq!(one.log_id(), two.log_id());
    let follower = Follower::of(&two).await;
    let name = contract::stream("both");
    let none = ExpectedRevision::NoStream;
    let text = contract::event_with_text(0, "said on another node");
    one.append(&name, none, vec![text.clone()]).await.unwrap();
    let refused = two.append(&name, none, vec![contract::event(1)]).await;
    assert!(matches!(refused, Err(AppendError::WrongExpectedRevision { current: Some(0) })));
    let seen = follower.saw(1).await;
    assert_eq!(seen[0].text(&text.contents[0].reference()), Some("said on another node"));
    assert_eq!(one.head().await.unwrap(), two.head().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_only_sees_the_log_as_it_is_and_appends_nothing() {
    let server = server().await;
    let store = opened(&[server.address()]).await;
    for number in 0..3 {
        append(&store, number).await.unwrap();
    }
    let reader =
        KurrentStore::open_read_only(KurrentOptions::at(at(&[server.address()]))).await.unwrap();
    let mut log = reader.subscribe(Position::START).await.unwrap();
    let mut seen = Vec::new();
    while let Some(batch) = log.next().await {
        seen.extend(batch.unwrap().iter().cloned());
    }
    assert_eq!(numbers(&seen), [0, 1, 2]);
    let refused = append(&reader, 3).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Closed(_)))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_was_cut_off_is_finished_at_the_next_opening_if_its_fact_is_there() {
    let server = server().await;
    let store = opened(&[server.address()]).await;
    let (gone, kept) = (contract::event_with_text(0, "gone"), contract::event_with_text(1, "kept"));
    let name = contract::stream("texts");
    let events = vec![gone.clone(), kept.clone()];
    store.append(&name, ExpectedRevision::NoStream, events).await.unwrap();
    let fact = contract::event(2);
    let told = contract::stream("told");
    store.append(&told, ExpectedRevision::NoStream, vec![fact.clone()]).await.unwrap();
    drop(store);
    // What a process leaves that dies after the fact, and one that dies before it.
    let other = somebody(&server);
    for (event, fact) in [(&gone, fact.id.0), (&kept, Uuid::now_v7())] {
        let texts = json!([[event.id, event.contents[0].reference().sha256]]);
        let begun = json!({"stream": told.as_str(), "fact": fact, "texts": texts});
        let begun = EventData::json("erasing.begun", &begun).unwrap().id(Uuid::now_v7());
        other
            .append_to_stream("log.ledger-erasing", &AppendToStreamOptions::default(), begun)
            .await
            .unwrap();
    }
    for _ in 0..2 {
        let store = opened(&[server.address()]).await;
        let read = store.read_stream(&name, 0, 10, With::Contents).await.unwrap();
        assert_eq!(read[0].text(&gone.contents[0].reference()), None);
        assert_eq!(read[1].text(&kept.contents[0].reference()), Some("kept"));
        let place = |content: &Content| ContentPlace {
            event_id: gone.id,
            sha256: content.reference().sha256,
        };
        let any = ExpectedRevision::Any;
        let again = vec![place(&gone.contents[0])];
        store.append_erasing(&told, any, vec![contract::event(3)], again).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_a_refused_append_are_taken_back_and_those_of_a_stored_event_never() {
    let server = server().await;
    let store = opened(&[server.address()]).await;
    let name = contract::stream("taken");
    let stored = contract::event_with_text(0, "stored");
    let none = ExpectedRevision::NoStream;
    store.append(&name, none, vec![stored.clone()]).await.unwrap();
    let fresh = contract::event_with_text(1, "refused");
    let refused = store.append(&name, none, vec![fresh.clone()]).await;
    assert!(matches!(refused, Err(AppendError::WrongExpectedRevision { .. })), "{refused:?}");
    let prefix = store.prefix().clone();
    let other = somebody(&server);
    let text = prefix.text_stream(fresh.id, &fresh.contents[0].reference().sha256);
    let left = other.read_stream(text, &ReadStreamOptions::default()).await;
    let left = match left {
        Ok(mut read) => read.next().await.map(|event| event.is_some()),
        Err(error) => Err(error),
    };
    assert!(!matches!(left, Ok(true)), "the text is gone: {left:?}");
    // By a process that has not appended it itself, and with another companion.
    let store = opened(&[server.address()]).await;
    let refused = store.append(&name, none, vec![stored.clone(), contract::event(2)]).await;
    assert!(matches!(refused, Err(AppendError::WrongExpectedRevision { .. })), "{refused:?}");
    let read = store.read_stream(&name, 0, 10, With::Contents).await.unwrap();
    assert_eq!(read[0].text(&stored.contents[0].reference()), Some("stored"));
}
