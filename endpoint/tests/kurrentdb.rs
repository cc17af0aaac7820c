//! The `kurrentdb` crate against the open store.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use kurrentdb as client;
use kurrentdb::{
    AppendToStreamOptions, DeleteStreamOptions, RecordedEvent, StreamState, SubscriptionEvent,
};

mod story;

fn exact(revision: u64) -> StreamState {
    StreamState::StreamRevision(revision)
}

fn appending(expected: StreamState) -> AppendToStreamOptions {
    AppendToStreamOptions::default().stream_state(expected)
}

fn deleting(expected: StreamState) -> DeleteStreamOptions {
    DeleteStreamOptions::default().stream_state(expected)
}

use StreamState as Expected;

fn is_caught_up(event: &SubscriptionEvent) -> bool {
    matches!(event, SubscriptionEvent::CaughtUp(_))
}

fn stream_of(event: &RecordedEvent) -> &str {
    event.stream_id()
}
