//! What subscriptions deliver.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;

use super::{Dice, append_one, event, event_with_text, next, ok, stream, take, within};
use crate::port::{AppendError, EventStore, ExpectedRevision, Position, Recorded, With};

pub(super) async fn a_follower_sees_what_is_stored_and_what_comes(store: Arc<dyn EventStore>) {
    let stored = append_one(&*store, "follow", 0).await;
    let mut subscription = ok("subscribe", store.subscribe(Position::START).await);
    let mut from_head = ok("subscribe", store.subscribe(stored.position).await);
    assert_eq!(take(&mut subscription, 1).await[0].position, stored.position);
    assert!(subscription.next().now_or_never().is_none(), "at the head a follower waits");
    let text = event_with_text(1, "beside");
    let reference = text.contents[0].reference();
    let live = store.append(&stream("follow"), ExpectedRevision::Exact(0), vec![text]).await;
    let live = ok("append", live);
    for follower in [&mut subscription, &mut from_head] {
        let seen = take(follower, 1).await;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].position, live.position);
        assert_eq!(seen[0].text(&reference), Some("beside"), "texts come with the batches");
    }
    let beyond = Position::new(live.position.number() + 1_000);
    let mut beyond = ok("subscribe", store.subscribe(beyond).await);
    append_one(&*store, "follow", 2).await;
    assert!(beyond.next().now_or_never().is_none(), "what lies before its position is not shown");
}

pub(super) async fn followers_that_start_anywhere_miss_nothing_and_see_nothing_twice(
    store: Arc<dyn EventStore>,
) {
    const WRITERS: usize = 6;
    const EACH: usize = 60;
    const FOLLOWERS: u64 = 12;
    let all_written = WRITERS * EACH;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut dice = Dice(writer as u64);
            for number in 0..EACH {
                append_one(&*store, &format!("follow-{writer}"), number).await;
                yield_some(&mut dice).await;
            }
        });
    }
    let mut followers = JoinSet::new();
    for follower in 0..FOLLOWERS {
        let store = Arc::clone(&store);
        followers.spawn(async move {
            let mut dice = Dice(1_000 + follower);
            for _ in 0..dice.below(8) {
                yield_some(&mut dice).await;
            }
            let head = ok("head", store.head().await).number();
            let after = Position::new(dice.below(head + 1));
            let mut subscription = ok("subscribe", store.subscribe(after).await);
            let before = store.read_all(Position::START, all_written, With::EventsOnly).await;
            let before = ok("read", before);
            let before = before.iter().filter(|event| event.position <= after).count();
            let mut seen: Vec<Recorded> = Vec::new();
            while before + seen.len() < all_written {
                seen.extend(next(&mut subscription).await.iter().cloned());
                yield_some(&mut dice).await;
            }
            (after, seen)
        });
    }
    tasks.join_all().await;
    let followed = within("all followers", followers.join_all()).await;
    let all = ok("read", store.read_all(Position::START, all_written, With::EventsOnly).await);
    for (after, seen) in followed {
        let expected: Vec<_> = all.iter().filter(|event| event.position > after).cloned().collect();
        assert_eq!(seen, expected, "after {after:?}");
    }
}

async fn yield_some(dice: &mut Dice) {
    for _ in 0..dice.below(20) {
        tokio::task::yield_now().await;
    }
}

pub(super) async fn a_dropped_wait_loses_nothing(store: Arc<dyn EventStore>) {
    const EVENTS: usize = 50;
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for number in 0..EVENTS {
                append_one(&*store, "dropped", number).await;
            }
        }
    });
    let mut subscription = ok("subscribe", store.subscribe(Position::START).await);
    let (mut seen, mut dice) = (Vec::new(), Dice(7));
    let follow = async {
        while seen.len() < EVENTS {
            let patience = Duration::from_micros(dice.below(300));
            // Mostly over before anything comes: the wait is dropped at every possible point.
            if let Ok(batch) = tokio::time::timeout(patience, subscription.next()).await {
                let batch = ok("batch", super::some("batch", batch));
                seen.extend(batch.iter().map(|event| event.position));
            }
        }
    };
    within("all events", follow).await;
    ok("writer", writer.await);
    let all = ok("read", store.read_all(Position::START, EVENTS, With::EventsOnly).await);
    let all: Vec<Position> = all.iter().map(|event| event.position).collect();
    assert_eq!(seen, all);
}

pub(super) async fn a_slow_follower_catches_up(store: Arc<dyn EventStore>) {
    const APPENDS: usize = 40;
    const EACH: usize = 50;
    let mut subscription = ok("subscribe", store.subscribe(Position::START).await);
    append_one(&*store, "slow", 0).await;
    assert_eq!(next(&mut subscription).await.len(), 1);
    for number in 0..APPENDS {
        let events = (0..EACH).map(|_| event(number)).collect();
        ok("append", store.append(&stream("slow"), ExpectedRevision::Any, events).await);
    }
    let seen = take(&mut subscription, APPENDS * EACH).await;
    let revisions: Vec<u64> = seen.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (1..=(APPENDS * EACH) as u64).collect::<Vec<_>>());
}

pub(super) async fn closing_ends_subscriptions_and_refuses_appends(store: Arc<dyn EventStore>) {
    append_one(&*store, "closing", 0).await;
    let mut subscription = ok("subscribe", store.subscribe(Position::START).await);
    assert_eq!(next(&mut subscription).await.len(), 1);
    let follower = tokio::spawn(async move { subscription.next().await.is_none() });
    within("closing", store.close()).await;
    assert!(ok("follower", within("the end of the subscription", follower).await));
    let refused = store.append(&stream("closing"), ExpectedRevision::Any, vec![event(1)]).await;
    assert!(
        matches!(refused, Err(AppendError::Store(crate::StoreError::Closed(_)))),
        "{refused:?}"
    );
    within("closing again", store.close()).await;
}
