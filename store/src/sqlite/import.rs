//! Filling a log in a file with the events of another one. Positions are counted anew, without gaps.

use std::path::Path;

use async_trait::async_trait;
use execution_ledger_domain::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::fault::is_constraint;
use super::heads::Heads;
use super::lock::WriterLock;
use super::place::{insert, last_revision};
use super::rows::{CONTENTS_PER_EVENT_MAX, Limit};
use super::{OpenError, READ_MAX_BYTES, open, rows};
use crate::import::{ImportError, NewLog};
use crate::port::{LogId, Position, Recorded, StoreError, With};

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
    /// Makes a log at `path`, with an id of its own since `now`, or goes on with one that was not filled
    /// to its end. Blocks for the disk, as everything here.
    ///
    /// # Errors
    /// The log can't be opened, or another process writes it.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let opened = open::for_writing(path, now, None)?;
        let (last, last_recorded_at) = rows::tail(&opened.connection).map_err(|error| {
            OpenError::Database { path: opened.path.clone(), problem: error.to_string() }
        })?;
        Ok(Self {
            connection: opened.connection,
            log_id: opened.log_id,
            heads: Heads::default(),
            last,
            last_recorded_at,
            lock: opened.lock,
        })
    }

    fn transact(&mut self, events: &mut [Recorded]) -> Result<(), ImportError> {
        let tx = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let (mut last, mut before) = (self.last, self.last_recorded_at);
        for event in events {
            if event.recorded_at < before {
                return Err(ImportError::Time { found: event.recorded_at, before });
            }
            if event.contents.len() > CONTENTS_PER_EVENT_MAX {
                return Err(ImportError::TooManyContents {
                    found: event.contents.len(),
                    max: CONTENTS_PER_EVENT_MAX,
                });
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
        Ok(())
    }
}

#[async_trait]
impl NewLog for Importer {
    async fn held(&mut self, after: Position, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        let limit = Limit { events: limit, bytes: READ_MAX_BYTES };
        rows::after(&mut self.connection, after, limit, With::Contents)
    }

    /// All of them or none.
    async fn push(&mut self, mut events: Vec<Recorded>) -> Result<(), ImportError> {
        let pushed = self.transact(&mut events);
        if pushed.is_err() {
            // Of what was rolled back, nothing is true.
            self.heads.clear();
        }
        pushed
    }

    /// Everything is in the one file then.
    async fn finish(self: Box<Self>) -> Result<LogId, ImportError> {
        let busy: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            let problem = "somebody reads the log that is being imported; try again".to_owned();
            return Err(StoreError::Fault(problem).into());
        }
        self.connection.close().map_err(|(_, error)| error)?;
        Ok(self.log_id)
    }
}
