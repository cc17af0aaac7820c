//! Filling an empty log with the events of another one, just as they were stored there.
//!
//! This is the one writer beside [`crate::Ledger`]: it decides nothing, and it can write nothing but
//! a log that never held an event. Times, ids and revisions are those of the events; positions are
//! counted anew, without gaps.

use std::path::Path;

use execution_ledger_domain::{EventId, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::fault::is_constraint;
use super::heads::Heads;
use super::lock::WriterLock;
use super::place::{insert, last_revision};
use super::rows::CONTENTS_PER_EVENT_MAX;
use super::{OpenError, open, rows};
use crate::port::{LogId, Position, Recorded, StoreError};

/// Why events can't be taken into an empty log.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The log can't be made or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log holds events already.
    #[error("the log holds events already: events are imported into an empty one only")]
    NotEmpty,
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
    #[error("an event has {0} texts: more than {CONTENTS_PER_EVENT_MAX}")]
    TooManyContents(usize),
    /// An event's id stands twice.
    #[error("the event id {0} stands twice")]
    DuplicateEventId(EventId),
    /// The log can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A log that is being filled. Nothing else may write it meanwhile.
pub struct Importer {
    connection: Connection,
    log_id: LogId,
    heads: Heads,
    last: Position,
    last_recorded_at: Timestamp,
    /// Held as long as anything may be written.
    #[expect(dead_code, reason = "held, never read")]
    lock: WriterLock,
}

impl Importer {
    /// Makes a log at `path`, or takes one that never held an event. It has an id of its own, since
    /// `now`. Blocks for the disk, as everything here.
    ///
    /// # Errors
    /// [`ImportError::NotEmpty`], or that the log can't be opened.
    pub fn create(path: &Path, now: Timestamp) -> Result<Self, ImportError> {
        let opened = open::for_writing(path, now, None)?;
        let (last, last_recorded_at) = rows::tail(&opened.connection)?;
        if last != Position::START {
            return Err(ImportError::NotEmpty);
        }
        Ok(Self {
            connection: opened.connection,
            log_id: opened.log_id,
            heads: Heads::default(),
            last,
            last_recorded_at,
            lock: opened.lock,
        })
    }

    /// The new log's id.
    pub fn log_id(&self) -> &LogId {
        &self.log_id
    }

    /// Takes the next events of the log, all of them or none; answers the position of the last.
    ///
    /// # Errors
    /// [`ImportError`]: an event does not go on where its stream or the log ends, or the disk fails.
    pub fn push(&mut self, events: &mut [Recorded]) -> Result<Position, ImportError> {
        let pushed = self.transact(events);
        if pushed.is_err() {
            // Of what was rolled back, nothing is true.
            self.heads.clear();
        }
        pushed
    }

    fn transact(&mut self, events: &mut [Recorded]) -> Result<Position, ImportError> {
        let tx = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let (mut last, mut before) = (self.last, self.last_recorded_at);
        for event in events {
            if event.recorded_at < before {
                return Err(ImportError::Time { found: event.recorded_at, before });
            }
            if event.contents.len() > CONTENTS_PER_EVENT_MAX {
                return Err(ImportError::TooManyContents(event.contents.len()));
            }
            let expected = last_revision(&tx, &self.heads, &event.stream)?.map_or(0, |r| r + 1);
            if event.revision != expected {
                let (stream, found) = (event.stream.to_string(), event.revision);
                return Err(ImportError::Revision { stream, found, expected });
            }
            event.position = Position::new(last.number() + 1);
            match insert(&tx, event) {
                Err(error) if is_constraint(&error) => {
                    return Err(ImportError::DuplicateEventId(event.id));
                }
                inserted => inserted?,
            }
            self.heads.set(&event.stream, event.revision);
            (last, before) = (event.position, event.recorded_at);
        }
        tx.commit()?;
        (self.last, self.last_recorded_at) = (last, before);
        Ok(last)
    }

    /// Ends the import: everything is in the one file, and on the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn finish(self) -> Result<(LogId, Position), ImportError> {
        let busy: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            let problem = "somebody reads the log that is being imported; try again".to_owned();
            return Err(StoreError::Fault(problem).into());
        }
        self.connection.close().map_err(|(_, error)| error)?;
        Ok((self.log_id, self.last))
    }
}
