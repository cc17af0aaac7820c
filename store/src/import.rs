//! Filling a log with the events of another one, just as they were stored there.
//!
//! What fills a log is the one writer beside [`crate::Ledger`]: it decides nothing. Times, ids and
//! revisions are those of the events; positions are the new log's own.

use async_trait::async_trait;
use execution_ledger_domain::{EventId, Timestamp};

use crate::port::{LogId, Position, Recorded, StoreError};

/// Why a log can't take an event of another one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImportError {
    /// An event does not stand behind the one before it in its stream.
    #[error("{stream} goes on with revision {found}, but {expected} comes next")]
    Revision {
        /// The stream.
        stream: String,
        /// The event's revision.
        found: u64,
        /// The revision that comes next.
        expected: u64,
    },
    /// An event is older than the one before it.
    #[error("an event of {found} stands behind one of {before}")]
    Time {
        /// Its time.
        found: Timestamp,
        /// The time of the event before.
        before: Timestamp,
    },
    /// An event has more texts than a log can hold.
    #[error("an event has {found} texts: more than {max}")]
    TooManyContents {
        /// How many.
        found: usize,
        /// The most that this log holds beside an event.
        max: usize,
    },
    /// An event's id stands twice.
    #[error("the event id {0} stands twice")]
    DuplicateEventId(EventId),
    /// The log can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A log that is being filled. Nothing else may write it meanwhile, and nobody may use it before
/// [`NewLog::finish`] has answered.
///
/// It can be cut off at any point: whoever opens it again finds, in the order of the log, the first of
/// the events that were given, and goes on behind them.
#[async_trait]
pub trait NewLog: Send {
    /// The events that are there already, after a position, in the order of the log and with their
    /// texts, at most `limit`; none after the last.
    async fn held(&mut self, after: Position, limit: usize) -> Result<Vec<Recorded>, StoreError>;

    /// Takes the next events in this order. Where that fails, the first of them may be there.
    async fn push(&mut self, events: Vec<Recorded>) -> Result<(), ImportError>;

    /// Ends it: everything is durable, and the log can be used, under this id.
    async fn finish(self: Box<Self>) -> Result<LogId, ImportError>;
}
