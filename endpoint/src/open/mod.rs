//! The open store: any stream, any event, in one SQLite file or in memory.
//!
//! For tests, for benches, and for what clients keep beside a ledger. It is no event log of a ledger:
//! it knows no contents, no notary, and lets streams be deleted, as the protocol does.

mod metadata;
mod place;
mod rows;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_store::readers::Readers;
use execution_ledger_store::{Clock, StoreError, SystemClock};
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use self::schema::SchemaError;
use self::writer::{Order, Work, Writer};
use crate::log::{
    AllFrom, AllPage, Expected, Log, LogError, Proposed, Removal, StreamFrom, StreamPage,
    WriteError, Written,
};

/// What one append holds at most, in bytes: KurrentDB's default.
pub const APPEND_MAX_BYTES: usize = 1024 * 1024;
/// Events of one append at most.
pub const APPEND_MAX_EVENTS: usize = 10_000;
/// Length of a stream's name or an event's type, in bytes.
const NAME_MAX_BYTES: usize = 1_024;
/// Orders that wait for the writer at most.
const QUEUE_MAX_ORDERS: usize = 4_096;
/// What may wait for the writer, in bytes.
const QUEUE_MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long an append waits for its turn and its answer, in seconds.
const ANSWER_WAIT_S: u64 = 30;
/// Connections for reading.
const READERS: usize = 4;
/// How long a connection waits for a lock of the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 64;

/// Why an open store can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("can't open the store {}: {source}", path.display())]
pub struct OpenStoreError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: SchemaError,
}

/// A general event store.
pub struct OpenStore {
    reading: Reading,
    orders: mpsc::Sender<Order>,
    room: Arc<Semaphore>,
    head: watch::Receiver<u64>,
    clock: Arc<dyn Clock>,
}

enum Reading {
    File(Readers),
    /// One connection for all, the writer's too.
    Memory(Arc<Mutex<Connection>>),
}

impl OpenStore {
    /// The store in a file, made if there is none: durable. Blocks for the disk.
    pub fn open(path: &Path) -> Result<Arc<Self>, OpenStoreError> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            let connection = Arc::new(Mutex::new(connection));
            let prepare = |reader: &Connection| reader.pragma_update(None, "query_only", true);
            let reading = Reading::File(Readers::new(path, READERS, prepare));
            Self::start(connection, reading)
        };
        open().map_err(|source| OpenStoreError { path: path.to_owned(), source })
    }

    /// A store in memory: gone with the process.
    pub fn in_memory() -> Result<Arc<Self>, OpenStoreError> {
        let open = || {
            let connection = Arc::new(Mutex::new(Connection::open_in_memory()?));
            Self::start(Arc::clone(&connection), Reading::Memory(connection))
        };
        open().map_err(|source| OpenStoreError { path: ":memory:".into(), source })
    }

    fn start(
        connection: Arc<Mutex<Connection>>,
        reading: Reading,
    ) -> Result<Arc<Self>, SchemaError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (new, (last, last_created)) = {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            (schema::prepare(&mut connection)?, rows::tail(&connection)?)
        };
        let (published, head) = watch::channel(last.unsigned_abs());
        let clock_of_writer = Arc::clone(&clock);
        let mut writer =
            Writer { connection, clock: clock_of_writer, last, last_created, head: published };
        if new {
            writer.begin()?;
        }
        let (orders, waiting) = mpsc::channel(QUEUE_MAX_ORDERS);
        thread::Builder::new()
            .name("open-store".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let room = Arc::new(Semaphore::new(QUEUE_MAX_BYTES));
        Ok(Arc::new(Self { reading, orders, room, head, clock }))
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        match &self.reading {
            Reading::File(readers) => {
                readers.read(move |connection| job(connection).map_err(Unread::from)).await
            }
            Reading::Memory(connection) => {
                let connection = Arc::clone(connection);
                tokio::task::spawn_blocking(move || {
                    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                    job(&connection).map_err(Unread::from)
                })
                .await
                .unwrap_or_else(|panic| Err(Unread(LogError::Fault(panic.to_string()))))
            }
        }
        .map_err(|unread| unread.0)
    }

    async fn order(&self, stream: String, bytes: usize, work: Work) -> Result<Written, WriteError> {
        let share = u32::try_from(bytes.min(QUEUE_MAX_BYTES)).unwrap_or(u32::MAX);
        let closed = || LogError::Unavailable("it is closed".to_owned());
        let (answer, answered) = oneshot::channel();
        let written = async {
            let room = Arc::clone(&self.room);
            let share = room.acquire_many_owned(share).await.map_err(|_| closed())?;
            let order = Order { stream, work, answer, share };
            self.orders.send(order).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        };
        tokio::time::timeout(Duration::from_secs(ANSWER_WAIT_S), written).await.unwrap_or_else(
            |_| Err(LogError::Unavailable(format!("no answer within {ANSWER_WAIT_S} s")).into()),
        )
    }
}

/// An error on the way out of a pool of connections.
struct Unread(LogError);

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        Self(LogError::Fault(error.to_string()))
    }
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self(LogError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl Log for OpenStore {
    async fn read_all(&self, from: AllFrom, limit: usize) -> Result<AllPage, LogError> {
        self.read(move |connection| rows::of_all(connection, from, limit)).await
    }

    /// As on a KurrentDB, where a position is the place of a record in its files.
    async fn is_place(&self, position: u64) -> Result<bool, LogError> {
        if position == 0 || position > *self.head.borrow() {
            return Ok(true);
        }
        self.read(move |connection| rows::stands_at(connection, position)).await
    }

    async fn read_stream(
        &self,
        stream: &str,
        from: StreamFrom,
        limit: usize,
    ) -> Result<StreamPage, LogError> {
        let (stream, now) = (stream.to_owned(), self.clock.now().micros() * 10);
        self.read(move |connection| rows::of_stream(connection, &stream, from, limit, now)).await
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    fn changes(&self, _stream: &str) -> watch::Receiver<u64> {
        self.head.clone()
    }

    async fn append(
        &self,
        stream: String,
        expected: Expected,
        events: Vec<Proposed>,
    ) -> Result<Written, WriteError> {
        check_name(&stream)?;
        let bytes = checked_size(&events)?;
        self.order(stream, bytes, Work::Append { expected, events }).await
    }

    async fn remove(
        &self,
        stream: String,
        expected: Expected,
        removal: Removal,
    ) -> Result<Written, WriteError> {
        check_name(&stream)?;
        if stream.starts_with('$') {
            return Err(reserved(&stream));
        }
        self.order(stream, 1, Work::Remove { expected, removal }).await
    }
}

/// Names are clients' own, but for those that begin with `$`: only metadata of streams are written
/// under such names.
fn check_name(stream: &str) -> Result<(), WriteError> {
    if stream.is_empty() || stream.len() > NAME_MAX_BYTES {
        let problem = format!("the name of a stream has 1 to {NAME_MAX_BYTES} bytes");
        return Err(WriteError::Malformed(problem));
    }
    let named = stream.strip_prefix("$$").unwrap_or(stream);
    if named.is_empty() || named.starts_with('$') { Err(reserved(stream)) } else { Ok(()) }
}

fn reserved(stream: &str) -> WriteError {
    WriteError::Denied(format!("names that begin with $ are reserved: {stream:.40}"))
}

fn checked_size(events: &[Proposed]) -> Result<usize, WriteError> {
    if events
        .iter()
        .any(|event| event.type_name.is_empty() || event.type_name.len() > NAME_MAX_BYTES)
    {
        let problem = format!("the type of an event has 1 to {NAME_MAX_BYTES} bytes");
        return Err(WriteError::Malformed(problem));
    }
    let bytes = events
        .iter()
        .map(|event| event.type_name.len() + event.metadata.len() + event.data.len())
        .sum();
    if bytes > APPEND_MAX_BYTES || events.len() > APPEND_MAX_EVENTS {
        return Err(WriteError::TooLarge { max: APPEND_MAX_BYTES });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
