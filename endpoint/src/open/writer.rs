//! The one thread that writes: everything that waits goes into one transaction and one sync.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use execution_ledger_store::Clock;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use uuid::Uuid;

use super::place::Place;
use crate::log::{Expected, LogError, Proposed, Removal, WriteError, Written};

/// Orders of one transaction at most.
const GROUP_MAX_ORDERS: usize = 1_024;
/// The stream and the type of the first event.
const FIRST_STREAM: &str = "$open-store";
const FIRST_TYPE: &str = "$opened";
/// Ticks of 100 ns in a microsecond.
const TICKS_PER_MICRO: i64 = 10;

/// What is asked of the writer.
pub(super) enum Work {
    Append { expected: Expected, events: Vec<Proposed> },
    Remove { expected: Expected, removal: Removal },
}

/// Something to write, and who waits for it.
pub(super) struct Order {
    pub stream: String,
    pub work: Work,
    pub answer: oneshot::Sender<Result<Written, WriteError>>,
    /// Its share of what may wait.
    pub share: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    pub connection: Arc<Mutex<Connection>>,
    pub clock: Arc<dyn Clock>,
    /// Position of the last event.
    pub last: i64,
    /// When it was taken, in ticks.
    pub last_created: i64,
    pub head: watch::Sender<u64>,
}

impl Writer {
    /// Writes the first event of a new store: like KurrentDB's its log is never empty.
    pub fn begin(&mut self) -> rusqlite::Result<()> {
        let event = Proposed {
            id: Uuid::now_v7(),
            type_name: FIRST_TYPE.to_owned(),
            json: true,
            metadata: Bytes::new(),
            data: Bytes::from_static(b"{}"),
        };
        let now = self.clock.now().micros() * TICKS_PER_MICRO;
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        let mut place = Place { connection: &tx, last: self.last, now };
        // Nothing is refused where nothing is.
        drop(place.append(FIRST_STREAM, Expected::Any, &[event])?);
        self.last = place.last;
        tx.commit()?;
        self.head.send_replace(self.last.unsigned_abs());
        Ok(())
    }

    /// Works until nobody can order any more.
    pub fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(first) = orders.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX_ORDERS
                && let Ok(order) = orders.try_recv()
            {
                group.push(order);
            }
            self.write(group);
        }
    }

    fn write(&mut self, group: Vec<Order>) {
        let now = (self.clock.now().micros() * TICKS_PER_MICRO).max(self.last_created);
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = transact(&connection, self.last, now, &group);
        drop(connection);
        match outcome {
            Ok((answers, last)) => {
                if last != self.last {
                    (self.last, self.last_created) = (last, now);
                    self.head.send_replace(last.unsigned_abs());
                }
                for (order, answer) in group.into_iter().zip(answers) {
                    tell(order, answer);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the open store could not write");
                let fault = LogError::Fault(format!("{error}; it is not known what was stored"));
                for order in group {
                    tell(order, Err(fault.clone().into()));
                }
                // A disk that refuses is not asked again at once.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

type Answers = Vec<Result<Written, WriteError>>;

fn transact(
    connection: &Connection,
    last: i64,
    now: i64,
    group: &[Order],
) -> rusqlite::Result<(Answers, i64)> {
    let tx = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let mut place = Place { connection: &tx, last, now };
    let mut answers = Vec::with_capacity(group.len());
    for order in group {
        answers.push(match &order.work {
            Work::Append { expected, events } => place.append(&order.stream, *expected, events)?,
            Work::Remove { expected, removal } => {
                place.remove(&order.stream, *expected, *removal)?
            }
        });
    }
    let last = place.last;
    tx.commit()?;
    Ok((answers, last))
}

fn tell(order: Order, answer: Result<Written, WriteError>) {
    drop(order.share);
    // Whoever stopped waiting finds out by repeating the append with the same ids.
    drop(order.answer.send(answer));
}
