//! The `eventstore` crate against the open store.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use eventstore as client;
use eventstore::{
    AppendToStreamOptions, DeleteStreamOptions, ExpectedRevision, RecordedEvent, SubscriptionEvent,
};

mod story;

fn exact(revision: u64) -> ExpectedRevision {
    ExpectedRevision::Exact(revision)
}

fn appending(expected: ExpectedRevision) -> AppendToStreamOptions {
    AppendToStreamOptions::default().expected_revision(expected)
}

fn deleting(expected: ExpectedRevision) -> DeleteStreamOptions {
    DeleteStreamOptions::default().expected_revision(expected)
}

use ExpectedRevision as Expected;

fn is_caught_up(event: &SubscriptionEvent) -> bool {
    matches!(event, SubscriptionEvent::CaughtUp)
}

fn stream_of(event: &RecordedEvent) -> &str {
    &event.stream_id
}
