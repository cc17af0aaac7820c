//! The one thread that writes: it takes what is waiting, commits it at once, tells everybody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::{StreamName, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::fault::changed_nothing;
use super::heads::Heads;
use super::lock::WriterLock;
use super::open;
use super::place::{Place, Placed};
use super::recent::Recent;
use super::rows;
use crate::clock::Clock;
use crate::port::{
    AppendError, Appended, ContentPlace, ExpectedRevision, Position, Recorded, StoreError,
};

/// Appends that are committed together at most.
const GROUP_MAX_APPENDS: usize = 1_024;
/// A group takes no further append from this size on, in bytes.
const GROUP_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How long emptying the write-ahead log waits for readers that hold an old state.
const SCRUB_WAIT: Duration = Duration::from_secs(2);

/// The answer to an append.
pub(super) type Answer = Result<Appended, AppendError>;

/// What the writer is asked to do.
pub(super) enum Order {
    /// Append events to a stream.
    Append(Waiting),
    /// Overwrite what is left of erased texts; whether that was done.
    Scrub(oneshot::Sender<Result<bool, StoreError>>),
    /// Finish what is waiting, then end.
    Close,
}

/// An append that waits to be written.
pub(super) struct Waiting {
    /// To which stream.
    pub stream: StreamName,
    /// At which revision.
    pub expected: ExpectedRevision,
    /// What; positions, revisions and times are still to be filled in.
    pub events: Vec<Recorded>,
    /// Texts that are taken away with it.
    pub erases: Vec<ContentPlace>,
    /// What it counts, in bytes.
    pub bytes: usize,
    /// Whom to tell.
    pub answer: oneshot::Sender<Answer>,
    /// Its share of what may wait; given back when it is answered.
    #[expect(dead_code, reason = "held, never read")]
    pub share: OwnedSemaphorePermit,
}

/// The writer's side of an open log.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) recent: Arc<Recent>,
    /// Absent after a failure, until the truth was read again.
    pub(super) connection: Option<Connection>,
    pub(super) max_pages: Option<u32>,
    pub(super) heads: Heads,
    pub(super) last: Position,
    pub(super) last_recorded_at: Timestamp,
    /// Held as long as anything may be written.
    #[expect(dead_code, reason = "held, never read")]
    pub(super) lock: WriterLock,
}

impl Writer {
    /// Works until the store is closed or dropped; then lets go of the file.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut group = Vec::with_capacity(GROUP_MAX_APPENDS);
        while let Some(order) = orders.blocking_recv() {
            let mut bytes = 0;
            let mut scrub = None;
            let mut next = Some(order);
            while let Some(order) = next {
                match order {
                    Order::Append(waiting) => {
                        bytes += waiting.bytes;
                        group.push(waiting);
                    }
                    Order::Scrub(answer) => scrub = Some(answer),
                    Order::Close => orders.close(),
                }
                let full =
                    scrub.is_some() || group.len() >= GROUP_MAX_APPENDS || bytes >= GROUP_MAX_BYTES;
                next = if full { None } else { orders.try_recv().ok() };
            }
            self.write(&mut group);
            if let Some(answer) = scrub {
                // Whoever stopped waiting does not need to know.
                drop(answer.send(self.scrub()));
            }
        }
    }

    /// Empties the write-ahead log: what was erased is overwritten in the database itself already.
    fn scrub(&mut self) -> Result<bool, StoreError> {
        let connection = self.connected()?;
        connection.busy_timeout(SCRUB_WAIT)?;
        let emptied = open::empty_wal(connection);
        connection.busy_timeout(open::BUSY_TIMEOUT)?;
        Ok(emptied?)
    }

    fn connected(&mut self) -> Result<&Connection, StoreError> {
        if self.connection.is_none() {
            self.connection = Some(self.reopened()?);
        }
        let closed = || StoreError::Closed("its database can't be opened".to_owned());
        self.connection.as_ref().ok_or_else(closed)
    }

    /// Commits a group and answers all of it. Nobody is answered before the commit is durable, not
    /// even with a refusal: it may rest on what stands earlier in the same group.
    fn write(&mut self, group: &mut Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let answers = match self.commit(group) {
            Ok(answers) => answers,
            Err(fault) => {
                metrics::counter!("ledger_commit_failures_total").increment(1);
                for waiting in group.drain(..) {
                    tell(waiting.answer, Err(fault.clone().into()));
                }
                return;
            }
        };
        let mut committed = Vec::with_capacity(group.len());
        let mut told = Vec::with_capacity(group.len());
        let erased = group.iter().any(|waiting| !waiting.erases.is_empty());
        for (waiting, answer) in group.drain(..).zip(answers) {
            let answer = answer.map(|placed| match placed {
                Placed::Now(appended) => {
                    committed.extend(waiting.events);
                    appended
                }
                Placed::Before(appended) => appended,
            });
            told.push((waiting.answer, answer));
        }
        metrics::counter!("ledger_events_appended_total").increment(committed.len() as u64);
        metrics::counter!("ledger_commits_total").increment(1);
        // First the news, so that whoever is answered finds its own events.
        if erased {
            // What is at hand may hold an erased text: all is read from the database again.
            self.recent.jump(self.last);
        } else {
            self.recent.publish(committed);
        }
        for (to, answer) in told {
            tell(to, answer);
        }
    }

    fn commit(
        &mut self,
        group: &mut [Waiting],
    ) -> Result<Vec<Result<Placed, AppendError>>, StoreError> {
        self.connected()?;
        let Some(connection) = &self.connection else {
            return Err(StoreError::Closed("its database can't be opened".to_owned()));
        };
        let now = self.clock.now().max(self.last_recorded_at);
        match transact(connection, &mut self.heads, self.last, now, group) {
            Ok((answers, last)) => {
                if last > self.last {
                    (self.last, self.last_recorded_at) = (last, now);
                }
                Ok(answers)
            }
            Err(failure) => {
                self.heads.clear();
                let usable = changed_nothing(&failure.error) && connection.is_autocommit();
                if !usable {
                    let error = &failure.error;
                    tracing::error!(%error, "the event log failed; its end is read anew");
                    self.connection = None;
                }
                Err(failure.into())
            }
        }
    }

    /// Reads the truth after a failure: what the log's end is, and that it is durable.
    fn reopened(&mut self) -> Result<Connection, StoreError> {
        let connection = open::writing_connection(&self.path, self.max_pages)?;
        let (last, last_recorded_at) = rows::tail(&connection)?;
        if last != self.last {
            let busy: i64 =
                connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
            if busy != 0 {
                let problem = "its end is not known to be on the disk yet".to_owned();
                return Err(StoreError::Fault(problem));
            }
            self.recent.jump(last);
        }
        (self.last, self.last_recorded_at) = (last, last_recorded_at);
        Ok(connection)
    }
}

/// Where a transaction failed.
struct Failure {
    error: rusqlite::Error,
    in_commit: bool,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self { error, in_commit: false }
    }
}

impl From<Failure> for StoreError {
    fn from(Failure { error, in_commit }: Failure) -> Self {
        if in_commit && !changed_nothing(&error) {
            return Self::Fault(format!("{error}; whether the append was stored is not known"));
        }
        error.into()
    }
}

type Answers = Vec<Result<Placed, AppendError>>;

/// All of the group in one transaction: the answers, and the last position. Refused appends leave
/// no trace in it, so they disturb none of the others.
fn transact(
    connection: &Connection,
    heads: &mut Heads,
    last: Position,
    now: Timestamp,
    group: &mut [Waiting],
) -> Result<(Answers, Position), Failure> {
    let tx = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let mut place = Place { tx: &tx, heads, last, now };
    let mut answers = Vec::with_capacity(group.len());
    for waiting in group {
        let placed = place.append(&waiting.stream, waiting.expected, &mut waiting.events)?;
        if placed.is_ok() {
            // Also with a repeat, which is harmless.
            place.erase(&waiting.erases)?;
        }
        answers.push(placed);
    }
    let last = place.last;
    tx.commit().map_err(|error| Failure { error, in_commit: true })?;
    Ok((answers, last))
}

fn tell(to: oneshot::Sender<Answer>, answer: Answer) {
    // Whoever stopped waiting can find out by repeating the append with the same ids.
    drop(to.send(answer));
}

/// Ends all subscriptions after the writer, also where it panics: once it is dropped, whoever waits
/// for the end finds the file free.
pub(super) struct Ending(pub(super) Arc<Recent>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close();
    }
}
