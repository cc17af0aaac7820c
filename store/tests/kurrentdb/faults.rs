//! What goes wrong on the way to a server: nothing is lost, nothing is doubled, and nobody waits for
//! ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use execution_ledger_store::kurrentdb::{KurrentOptions, KurrentStore};
use execution_ledger_store::{AppendError, EventStore, ExpectedRevision, StoreError, contract};

use crate::proxy::Proxy;
use crate::world::{
    Follower, all, append, at, impatient, numbers, opened, opened_impatiently, server, serving,
    until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    const EVENTS: usize = 150;
    const WRITERS: usize = 4;
    let server = server().await;
    let proxy = Arc::new(Proxy::before(server.address()).await);
    let store = opened(&[proxy.address()]).await;
    let follower = Follower::of(&store).await;
    let cutting = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move {
            loop {
                let seen = proxy.accepted();
                until("connections", || proxy.accepted() > seen + 1).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
                proxy.cut();
            }
        }
    });
    proxy.cut();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let name = contract::stream(&format!("cut-{writer}"));
            let mut expected = ExpectedRevision::NoStream;
            for number in 0..EVENTS {
                let events = vec![contract::event_with_text(number, "beside")];
                let appended = store.append(&name, expected, events).await.unwrap();
                assert_eq!(appended.revision, number as u64);
                expected = ExpectedRevision::Exact(appended.revision);
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    cutting.abort();
    assert!(store.reconnects() > 3, "{} connections were replaced", store.reconnects());
    let stored = all(&store).await;
    assert_eq!(stored.len(), WRITERS * EVENTS);
    let followed = follower.saw(stored.len()).await;
    assert_eq!(followed, stored, "followed as stored, each once, with its text");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_after_the_append_leads_to_the_same_answer() {
    let server = server().await;
    let proxy = Proxy::before(server.address()).await;
    let store = opened_impatiently(&[proxy.address()]).await;
    let follower = Follower::of(&store).await;
    let name = contract::stream("lost");
    let first = store.append(&name, ExpectedRevision::NoStream, vec![contract::event(0)]).await;
    let first = first.unwrap();
    for (number, expected) in
        [ExpectedRevision::Exact(0), ExpectedRevision::Any, ExpectedRevision::Exact(2)]
            .into_iter()
            .enumerate()
    {
        proxy.swallow_answers();
        let began = Instant::now();
        let appended = store.append(&name, expected, vec![contract::event(number + 1)]).await;
        let appended = appended.unwrap();
        assert_eq!(appended.revision, number as u64 + 1);
        assert!(appended.position > first.position);
        assert!(began.elapsed() >= impatient().attempt, "the answer was lost");
        assert!(began.elapsed() < impatient().answer);
        let read = all(&store).await;
        assert_eq!(numbers(&read), (0..number + 2).collect::<Vec<_>>(), "stored once");
        let last = read.last().unwrap();
        assert_eq!((last.position, last.recorded_at), (appended.position, appended.recorded_at));
    }
    assert_eq!(numbers(&follower.saw(4).await), [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_in_doubt_that_another_was_faster_than_is_refused_as_a_conflict() {
    let server = server().await;
    let proxy = Proxy::before(server.address()).await;
    let store = opened_impatiently(&[proxy.address()]).await;
    let another = opened(&[server.address()]).await;
    let name = contract::stream("doubt");
    let none = ExpectedRevision::NoStream;
    append(&store, 0).await.unwrap();
    proxy.swallow();
    let late = tokio::spawn({
        let (store, name) = (Arc::clone(&store), name.clone());
        async move { store.append(&name, none, vec![contract::event(1)]).await }
    });
    another.append(&name, none, vec![contract::event(2)]).await.unwrap();
    let refused = late.await.unwrap();
    assert!(
        matches!(refused, Err(AppendError::WrongExpectedRevision { current: Some(0) })),
        "{refused:?}"
    );
    assert_eq!(numbers(&all(&another).await), [0, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_connections_and_never_answers_is_told_of_in_bounded_time() {
    let server = server().await;
    let proxy = Proxy::before(server.address()).await;
    let store = opened_impatiently(&[proxy.address()]).await;
    let follower = Follower::of(&store).await;
    append(&store, 0).await.unwrap();
    follower.saw(1).await;
    assert_eq!(store.unreachable(), None);
    proxy.be_half_open(true);
    proxy.swallow();
    let began = Instant::now();
    let failed = append(&store, 1).await;
    assert!(matches!(failed, Err(AppendError::Store(_))), "{failed:?}");
    let read = store.head().await.and(
        store
            .read_stream(&contract::stream("a"), 0, 1, execution_ledger_store::With::EventsOnly)
            .await,
    );
    assert!(matches!(read, Err(StoreError::TimedOut(_) | StoreError::Unreachable(_))), "{read:?}");
    let slack = Duration::from_secs(6);
    assert!(began.elapsed() < 2 * impatient().answer + slack, "{:?}", began.elapsed());
    let trouble = store.unreachable().unwrap();
    assert!(!trouble.problem.is_empty());
    let options =
        KurrentOptions { waits: impatient(), ..KurrentOptions::at(at(&[proxy.address()])) };
    let began = Instant::now();
    let refused = KurrentStore::open(options).await.err().unwrap().to_string();
    assert!(refused.contains(&proxy.address().to_string()), "it says where: {refused}");
    assert!(began.elapsed() < impatient().answer + slack, "{:?}", began.elapsed());

    proxy.be_half_open(false);
    proxy.cut();
    let appended = append(&store, 2).await.unwrap();
    assert_eq!(appended.revision, 1, "what was swallowed was not stored");
    assert_eq!(numbers(&follower.saw(2).await), [0, 2]);
    assert_eq!(store.unreachable(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_waited_for() {
    let server = server().await;
    let proxy = Proxy::before(server.address()).await;
    let store = opened(&[proxy.address()]).await;
    let follower = Follower::of(&store).await;
    proxy.delay(Duration::from_millis(60));
    for number in 0..5 {
        append(&store, number).await.unwrap();
    }
    assert_eq!(numbers(&all(&store).await), [0, 1, 2, 3, 4]);
    assert_eq!(numbers(&follower.saw(5).await), [0, 1, 2, 3, 4]);
    assert_eq!(store.reconnects(), 0, "slow is not dead");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_at_first_is_said_to_be_down() {
    let options = KurrentOptions {
        waits: impatient(),
        ..KurrentOptions::at(at(&["127.0.0.1:1".parse().unwrap()]))
    };
    let began = Instant::now();
    let refused = KurrentStore::open(options).await.err().unwrap().to_string();
    assert!(refused.contains("127.0.0.1:1"), "{refused}");
    assert!(began.elapsed() < impatient().answer + Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced_by_another() {
    let first = server().await;
    let second = serving(Arc::clone(&first.store)).await;
    let (gone, left) = (Proxy::before(first.address()).await, second.address());
    // The one that dies is behind a proxy, so that it is gone at once and for good.
    let store = opened_impatiently(&[gone.address()]).await;
    let cluster = opened_impatiently(&[gone.address(), left]).await;
    let follower = Follower::of(&cluster).await;
    for number in 0..3 {
        append(&cluster, number).await.unwrap();
    }
    gone.be_half_open(true);
    gone.swallow();
    gone.cut();
    for number in 3..6 {
        append(&cluster, number).await.unwrap();
    }
    assert_eq!(numbers(&follower.saw(6).await), [0, 1, 2, 3, 4, 5]);
    // One that knows of no other server goes on as soon as somebody answers at its address.
    gone.be_half_open(false);
    gone.lead_to(left);
    gone.cut();
    append(&store, 6).await.unwrap();
    assert_eq!(numbers(&follower.saw(7).await), [0, 1, 2, 3, 4, 5, 6]);
}
