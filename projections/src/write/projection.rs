//! What a projection is.

use execution_ledger_domain::wire::Event;
use execution_ledger_store::{Batch, Recorded};
use rusqlite::Connection;

use super::row::Row;
use crate::model::Status;

/// An event, and what it did to the execution that it is about.
pub(crate) struct Change<'a> {
    /// The event as it is stored.
    pub recorded: &'a Recorded,
    /// The events that came with it, and its place among them: what a projection needs of their texts
    /// when it writes, it can keep without copying them.
    pub batch: (&'a Batch, usize),
    /// The event as it is read.
    pub event: &'a Event,
    /// The execution after it, where it is about one and fits it.
    pub execution: Option<Transition<'a>>,
}

/// What an event did to an execution.
pub(crate) struct Transition<'a> {
    /// Its status before; none where the event is its first.
    pub before: Option<Status>,
    /// The execution after the event.
    pub row: &'a Row,
}

impl Transition<'_> {
    /// Whether the event ended the execution.
    pub fn is_ending(&self) -> bool {
        self.row.status.is_terminal() && self.before != Some(self.row.status)
    }
}

/// Why an event was not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectionError {
    /// The event itself is the reason; it will be the same next time.
    #[error("{0}")]
    Poison(String),
    /// The file is the reason.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// A fold of events into rows of its own tables.
///
/// `apply` may keep what it folds in memory; `flush` writes it, in the same transaction in which the
/// position is written. What no index of its own needs while rows are written stands in `indexes`, so
/// that a rebuild can make it last.
pub(crate) trait Projection: Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Raised whenever the same events would lead to other rows: then they are made anew.
    fn version(&self) -> u32;

    /// SQL that makes its tables.
    fn tables(&self) -> &'static str;

    /// SQL that makes the indexes that only reading needs.
    fn indexes(&self) -> &'static str;

    /// Takes in one event.
    fn apply(
        &mut self,
        connection: &Connection,
        change: &Change<'_>,
    ) -> Result<(), ProjectionError>;

    /// Writes what was taken in.
    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()>;

    /// Forgets what is in memory: the transaction was rolled back.
    fn forget(&mut self);
}
