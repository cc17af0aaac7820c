//! The one suite for every adapter: what [`EventStore`] guarantees, shown on a real store.
//!
//! An adapter's tests call [`run_all`] with a function that makes a new, empty store. Every case
//! panics where the store does not do what it should.

mod appending;
mod erasing;
mod following;
mod reading;

use std::fmt::Debug;
use std::sync::Arc;

use execution_ledger_domain::{Actor, Content, EventId, StreamName};
use uuid::Uuid;

use crate::port::{
    Appended, Batch, EventStore, ExpectedRevision, Metadata, NewEvent, Recorded, Subscription,
};

/// How long a case waits for something that must come, in seconds.
const PATIENCE_S: u64 = 60;

/// Runs every case, each on a store of its own that `make` makes.
pub async fn run_all<F, S>(make: F)
where
    F: Fn() -> S,
    S: Future<Output = Arc<dyn EventStore>>,
{
    appending::revisions_and_positions_grow_without_gaps(&*make().await).await;
    appending::only_the_expected_revision_is_accepted(&*make().await).await;
    appending::a_repeated_append_answers_as_the_first_time(&*make().await).await;
    appending::an_event_id_is_stored_once(&*make().await).await;
    appending::the_limits_of_an_append_are_kept(&*make().await).await;
    appending::of_many_writers_of_one_stream_one_wins_each_revision(make().await).await;
    appending::many_streams_are_written_at_once(make().await).await;
    reading::an_event_is_read_back_byte_for_byte(&*make().await).await;
    reading::texts_come_only_where_they_are_asked_for(&*make().await).await;
    reading::pages_follow_each_other_without_a_gap(&*make().await).await;
    reading::several_streams_are_read_as_if_each_was_read_alone(&*make().await).await;
    reading::events_at_known_positions_are_those_of_their_stream(&*make().await).await;
    reading::backwards_is_the_same_from_the_other_end(&*make().await).await;
    reading::what_is_beyond_the_end_is_empty(&*make().await).await;
    reading::recorded_at_never_decreases(make().await).await;
    reading::a_position_need_not_be_an_events(&*make().await).await;
    reading::a_moment_is_the_last_position_that_was_recorded_by_then(&*make().await).await;
    erasing::an_erased_text_is_gone_everywhere_and_nothing_else_is(&*make().await).await;
    erasing::a_refused_append_erases_nothing(&*make().await).await;
    following::a_follower_sees_what_is_stored_and_what_comes(make().await).await;
    following::followers_that_start_anywhere_miss_nothing_and_see_nothing_twice(make().await).await;
    following::a_dropped_wait_loses_nothing(make().await).await;
    following::a_slow_follower_catches_up(make().await).await;
    following::closing_ends_subscriptions_and_refuses_appends(make().await).await;
}

/// A plain event without texts.
pub fn event(number: usize) -> NewEvent {
    let metadata = Metadata {
        actor: Actor::system("contract"),
        correlation_id: "story".to_owned(),
        causation_id: "cause".to_owned(),
        traceparent: None,
    };
    NewEvent {
        id: EventId(Uuid::now_v7()),
        type_name: "test.happened".to_owned(),
        version: 1,
        metadata: ok("metadata", serde_json::to_string(&metadata)),
        data: format!(r#"{{"number":{number}}}"#),
        contents: Vec::new(),
    }
}

/// An event with one text beside it.
pub fn event_with_text(number: usize, text: &str) -> NewEvent {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&(number as u64).to_be_bytes());
    NewEvent { contents: vec![Content::new(salt, text)], ..event(number) }
}

/// A stream of the contract's own.
pub fn stream(name: &str) -> StreamName {
    ok("stream name", format!("test-{name}").parse())
}

#[track_caller]
fn ok<T, E: Debug>(what: &str, result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

#[track_caller]
fn some<T>(what: &str, option: Option<T>) -> T {
    let Some(value) = option else { panic!("{what}: nothing") };
    value
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(PATIENCE_S);
    ok(what, tokio::time::timeout(patience, future).await)
}

async fn append_one(store: &dyn EventStore, name: &str, number: usize) -> Appended {
    let appended = store.append(&stream(name), ExpectedRevision::Any, vec![event(number)]).await;
    ok("append", appended)
}

async fn next(subscription: &mut Subscription) -> Batch {
    let batch = within("the next batch", subscription.next()).await;
    let batch = ok("the next batch", some("the next batch", batch));
    assert!(!batch.is_empty(), "a batch is never empty");
    batch
}

/// The next `count` events of a subscription, or a few more.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<Recorded> {
    let mut events: Vec<Recorded> = Vec::with_capacity(count);
    while events.len() < count {
        events.extend(next(subscription).await.iter().cloned());
    }
    events
}

/// Numbers that look random and are the same in every run (a linear congruential generator, with
/// the constants of Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
