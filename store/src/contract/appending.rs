//! What appends do and refuse.

use std::sync::Arc;

use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use tokio::task::JoinSet;

use super::{event, ok, stream};
use crate::port::{AppendError, EventStore, ExpectedRevision, NewEvent, Position, With};

const NONE: ExpectedRevision = ExpectedRevision::NoStream;

pub(super) async fn revisions_and_positions_grow_without_gaps(store: &dyn EventStore) {
    let name = stream("growing");
    assert_eq!(ok("head", store.head().await), Position::START);
    let first = ok("first", store.append(&name, NONE, vec![event(0), event(1)]).await);
    assert_eq!(first.revision, 1);
    let expected = ExpectedRevision::Exact(1);
    let second = ok("second", store.append(&name, expected, vec![event(2)]).await);
    assert_eq!(second.revision, 2);
    assert!(second.position > first.position);
    assert!(first.position > Position::START);
    assert_eq!(ok("head", store.head().await), second.position);
    let events = ok("read", store.read_stream(&name, 0, 10, With::EventsOnly).await);
    let revisions: Vec<u64> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [0, 1, 2]);
    assert!(events.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!(events[1].position, first.position);
    assert_eq!(events[1].recorded_at, first.recorded_at);
}

pub(super) async fn only_the_expected_revision_is_accepted(store: &dyn EventStore) {
    let name = stream("expected");
    let wrong = |refused: Result<_, AppendError>, at: Option<u64>| {
        assert!(
            matches!(refused, Err(AppendError::WrongExpectedRevision { current }) if current == at),
            "{refused:?}"
        );
    };
    let exact = ExpectedRevision::Exact;
    wrong(store.append(&name, exact(0), vec![event(0)]).await, None);
    ok("first", store.append(&name, NONE, vec![event(0)]).await);
    wrong(store.append(&name, NONE, vec![event(1)]).await, Some(0));
    wrong(store.append(&name, exact(1), vec![event(1)]).await, Some(0));
    wrong(store.append(&name, exact(u64::MAX), vec![event(1)]).await, Some(0));
    ok("second", store.append(&name, exact(0), vec![event(1)]).await);
    wrong(store.append(&name, exact(0), vec![event(2)]).await, Some(1));
    ok("any", store.append(&name, ExpectedRevision::Any, vec![event(2)]).await);
    ok("another stream", store.append(&stream("other"), NONE, vec![event(0)]).await);
    let stored = ok("read", store.read_stream(&name, 0, 10, With::EventsOnly).await);
    assert_eq!(stored.len(), 3, "a refused append stores nothing");
}

pub(super) async fn a_repeated_append_answers_as_the_first_time(store: &dyn EventStore) {
    let name = stream("repeated");
    let opening = vec![event(0), event(1)];
    let going_on = vec![event(2)];
    let first = ok("first", store.append(&name, NONE, opening.clone()).await);
    let second =
        ok("second", store.append(&name, ExpectedRevision::Exact(1), going_on.clone()).await);
    let again = ok("again", store.append(&name, NONE, opening.clone()).await);
    assert_eq!(again, first);
    let again = store.append(&name, ExpectedRevision::Exact(1), going_on.clone()).await;
    assert_eq!(ok("again", again), second);
    let other_end = vec![opening[0].clone(), event(3)];
    let refused = store.append(&name, NONE, other_end).await;
    assert!(
        matches!(refused, Err(AppendError::WrongExpectedRevision { current: Some(2) })),
        "only the same ids are the same append: {refused:?}"
    );
    let stored = ok("read", store.read_all(Position::START, 10, With::EventsOnly).await);
    assert_eq!(stored.len(), 3);
}

pub(super) async fn an_event_id_is_stored_once(store: &dyn EventStore) {
    let known = event(0);
    ok("first", store.append(&stream("one"), NONE, vec![known.clone()]).await);
    let duplicate = |refused: Result<_, AppendError>| {
        assert!(
            matches!(refused, Err(AppendError::DuplicateEventId(id)) if id == known.id),
            "{refused:?}"
        );
    };
    duplicate(store.append(&stream("two"), NONE, vec![known.clone()]).await);
    duplicate(store.append(&stream("two"), NONE, vec![event(1), known.clone()]).await);
    let exact = ExpectedRevision::Exact(0);
    duplicate(store.append(&stream("one"), exact, vec![known.clone()]).await);
    let twice = event(2);
    let refused = store.append(&stream("two"), NONE, vec![twice.clone(), twice.clone()]).await;
    assert!(matches!(refused, Err(AppendError::DuplicateEventId(id)) if id == twice.id));
    let stored = ok("read", store.read_all(Position::START, 10, With::EventsOnly).await);
    assert_eq!(stored.len(), 1, "a refused append stores nothing");
    ok("the stream is still new", store.append(&stream("two"), NONE, vec![event(3)]).await);
}

pub(super) async fn the_limits_of_an_append_are_kept(store: &dyn EventStore) {
    let name = stream("limits");
    let empty = store.append(&name, NONE, Vec::new()).await;
    assert!(matches!(empty, Err(AppendError::Malformed(_))), "{empty:?}");
    let sized = |bytes: usize| {
        let small = NewEvent { data: String::new(), ..event(0) };
        let data = format!("\"{}\"", "x".repeat(bytes - small.bytes() - 2));
        NewEvent { data, ..small }
    };
    let refused = store.append(&name, NONE, vec![sized(APPEND_MAX_BYTES + 1)]).await;
    assert!(
        matches!(refused, Err(AppendError::TooLarge { bytes, max })
            if bytes == APPEND_MAX_BYTES + 1 && max == APPEND_MAX_BYTES),
        "{refused:?}"
    );
    ok("the largest", store.append(&name, NONE, vec![sized(APPEND_MAX_BYTES)]).await);
    let stored = ok("read", store.read_all(Position::START, 10, With::Contents).await);
    assert_eq!(stored.len(), 1);
}

pub(super) async fn of_many_writers_of_one_stream_one_wins_each_revision(
    store: Arc<dyn EventStore>,
) {
    const WRITERS: usize = 16;
    const EACH: u64 = 10;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let name = stream("contended");
            let (mut won, mut expected) = (Vec::new(), NONE);
            while (won.len() as u64) < EACH {
                match store.append(&name, expected, vec![event(writer)]).await {
                    Ok(appended) => {
                        won.push(appended.revision);
                        expected = ExpectedRevision::Exact(appended.revision);
                    }
                    Err(AppendError::WrongExpectedRevision { current }) => {
                        expected = current.map_or(NONE, ExpectedRevision::Exact);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
            won
        });
    }
    let mut won: Vec<u64> = writers.join_all().await.concat();
    won.sort_unstable();
    let all: Vec<u64> = (0..WRITERS as u64 * EACH).collect();
    assert_eq!(won, all, "each revision was won once");
    let stored = store.read_stream(&stream("contended"), 0, 1_000, With::EventsOnly).await;
    let stored: Vec<u64> = ok("read", stored).iter().map(|event| event.revision).collect();
    assert_eq!(stored, all);
}

pub(super) async fn many_streams_are_written_at_once(store: Arc<dyn EventStore>) {
    const STREAMS: usize = 64;
    const EACH: usize = 8;
    let mut writers = JoinSet::new();
    for number in 0..STREAMS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let name = stream(&format!("parallel-{number}"));
            let mut expected = NONE;
            for index in 0..EACH {
                let appended = store.append(&name, expected, vec![event(index)]).await;
                expected = ExpectedRevision::Exact(ok("append", appended).revision);
                // A refusal among the others disturbs none of them.
                let refused = store.append(&name, NONE, vec![event(index)]).await;
                assert!(matches!(refused, Err(AppendError::WrongExpectedRevision { .. })));
            }
        });
    }
    writers.join_all().await;
    let stored = ok("read", store.read_all(Position::START, 10_000, With::EventsOnly).await);
    assert_eq!(stored.len(), STREAMS * EACH);
    assert!(stored.is_sorted_by(|a, b| a.position < b.position));
}
