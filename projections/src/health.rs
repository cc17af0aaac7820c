//! How far the read models are, and whether they go on.

use execution_ledger_domain::EventId;
use execution_ledger_store::Position;
use serde::Serialize;

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Events that are in.
    pub done: u64,
    /// Events that were in the log when it began: its head's number, so an estimate where a store's
    /// positions have gaps.
    pub head: u64,
    /// Whether the events are in and the indexes are being made.
    pub indexing: bool,
}

/// An event at which the read models stopped: it can't be read, or a projection refused it. It is
/// never skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Position of the event.
    pub position: Position,
    /// Its id.
    pub event_id: EventId,
    /// Why.
    pub reason: String,
}

/// What the read models are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They are read from the log anew; no question is answered meanwhile.
    Rebuilding(Progress),
    /// They take in what was appended before the start; questions are answered.
    CatchingUp {
        /// The log's head at the start.
        head: Position,
    },
    /// They follow the log.
    Live,
    /// They wait and try again, for example because the disk is full; questions are answered.
    Waiting(String),
    /// They stopped before this event; questions are answered as of before it.
    Stopped(Poison),
    /// They can't go on; the reason.
    Failed(String),
    /// They were told to stop.
    Closed,
}

impl Health {
    /// Whether the read models have caught up and go on.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Live)
    }
}

/// They did not come that far in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read models have not seen this position yet")]
pub struct Behind {
    /// How far they have come.
    pub seen: Position,
    /// What was waited for.
    pub wanted: Position,
}
