//! The embedded event store: one SQLite file, one writer, many readers.
//!
//! One thread writes. It takes every append that is waiting, stores them in one transaction, and
//! answers when that is on the disk, so the cost of a sync is shared by all who wait for it.
//! Followers are served from the memory of the last groups, and from the file where they are
//! further behind.

mod backup;
mod fault;
mod feed;
mod heads;
mod lock;
mod open;
mod place;
mod recent;
mod rows;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self as blocking, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_domain::StreamName;
use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::open::{OpenError, assign_new_log_id};

use self::feed::{LiveFeed, StoredFeed};
use self::heads::Heads;
use self::recent::Recent;
use self::rows::{CONTENTS_PER_EVENT_MAX, Limit};
use self::writer::{Ending, Order, Waiting, Writer};
use crate::clock::{Clock, SystemClock};
use crate::port::{
    AppendError, Appended, EventStore, ExpectedRevision, LogId, NewEvent, Position, Recorded,
    StoreError, StoredContent, Subscription, With,
};
use crate::readers::Readers;

/// Appends that wait for the writer at most.
const QUEUE_MAX_APPENDS: usize = 4_096;
/// What may wait for the writer, in bytes.
const QUEUE_MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long an append waits for a place in the queue, in seconds.
const QUEUE_WAIT_S: u64 = 5;
/// How long an append waits for its answer, in seconds.
const ANSWER_WAIT_S: u64 = 30;
/// How long closing waits for the writer, in seconds.
const CLOSE_WAIT_S: u64 = 30;
/// Events of one append at most.
const APPEND_MAX_EVENTS: usize = 1_024;
/// Size after which a read of the whole log takes no further event, in bytes.
const READ_MAX_BYTES: usize = 32 * 1024 * 1024;

/// How a log is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// Where the times of events come from.
    pub clock: Arc<dyn Clock>,
    /// Connections for readers, each opened when first needed.
    pub readers: usize,
    /// Largest size of the database in pages of 4 KiB; without it, what the disk holds.
    pub max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), readers: 4, max_pages: None }
    }
}

/// The log in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    log_id: LogId,
    readers: Readers,
    /// Absent where the log was opened for reading only.
    writing: Option<Writing>,
}

/// The callers' side of the writer.
struct Writing {
    /// Absent once the store is being dropped.
    orders: Option<mpsc::Sender<Order>>,
    room: Arc<Semaphore>,
    recent: Arc<Recent>,
    /// Disconnected when the writer has ended and everything it held is free.
    ended: Mutex<blocking::Receiver<()>>,
}

impl SqliteStore {
    /// Opens the log at `path` for writing; creates it, readable for its owner alone, if there is
    /// none. Blocks for the disk.
    ///
    /// # Errors
    /// [`OpenError`]: another process writes it, a later version wrote it, it is something else,
    /// or the system refuses. Nothing was changed then.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Arc<Self>, OpenError> {
        let opened = open::for_writing(path, options.clock.now(), options.max_pages)?;
        let path = opened.path;
        let failed = |error: &rusqlite::Error| OpenError::Database {
            path: path.clone(),
            problem: error.to_string(),
        };
        let (last, last_recorded_at) = rows::tail(&opened.connection).map_err(|e| failed(&e))?;
        let recent = Arc::new(Recent::new(last));
        let writer = Writer {
            path: path.clone(),
            clock: options.clock,
            recent: Arc::clone(&recent),
            connection: Some(opened.connection),
            max_pages: options.max_pages,
            heads: Heads::default(),
            last,
            last_recorded_at,
            lock: opened.lock,
        };
        let (orders, waiting) = mpsc::channel(QUEUE_MAX_APPENDS);
        let (gone, ended) = blocking::channel::<()>();
        let ending = (Ending(Arc::clone(&recent)), gone);
        thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || {
                let _closing = ending;
                writer.run(waiting);
            })
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let room = Arc::new(Semaphore::new(QUEUE_MAX_BYTES));
        let writing = Writing { orders: Some(orders), room, recent, ended: Mutex::new(ended) };
        let readers = Readers::new(&path, options.readers, prepare_reader);
        Ok(Arc::new(Self { path, log_id: opened.log_id, readers, writing: Some(writing) }))
    }

    /// Opens the log at `path` for reading only, for tools; a server may have it open. Appends are
    /// refused, and subscriptions end where the log ends.
    ///
    /// # Errors
    /// [`OpenError`]: there is no log, a later or earlier version wrote it, or the system refuses.
    pub fn open_read_only(path: &Path) -> Result<Arc<Self>, OpenError> {
        let (path, log_id) = open::for_reading(path)?;
        let readers = Readers::new(&path, SqliteOptions::default().readers, prepare_reader);
        Ok(Arc::new(Self { path, log_id, readers, writing: None }))
    }

    /// The database file, with symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits since the log was opened: each made one group of appends durable.
    pub fn commits(&self) -> u64 {
        self.writing.as_ref().map_or(0, |writing| writing.recent.published())
    }

    /// Copies the log as it is at one moment into a new file, while the log is in use. The copy is
    /// complete and on the disk when this returns; before that there is no file of that name.
    ///
    /// # Errors
    /// [`StoreError`] where there is such a file already, or it can't be written.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let (from, to) = (self.path.clone(), to.to_owned());
        tokio::task::spawn_blocking(move || backup::copy(&from, &to))
            .await
            .map_err(|panic| StoreError::Fault(format!("the backup panicked: {panic}")))?
    }

    fn writing(&self) -> Result<(&Writing, &mpsc::Sender<Order>), StoreError> {
        let writing = self
            .writing
            .as_ref()
            .ok_or_else(|| StoreError::Closed("it was opened for reading only".to_owned()))?;
        let orders = writing.orders.as_ref().ok_or_else(closed)?;
        Ok((writing, orders))
    }
}

impl Drop for SqliteStore {
    /// Lets the writer finish what is waiting, so that the file is free when the store is gone.
    fn drop(&mut self) {
        if let Some(writing) = &mut self.writing {
            writing.orders = None;
            let ended = writing.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            if ended.recv_timeout(Duration::from_secs(CLOSE_WAIT_S))
                == Err(RecvTimeoutError::Timeout)
            {
                tracing::error!("the event log did not end within {CLOSE_WAIT_S} s");
            }
        }
    }
}

fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "query_only", true)
}

fn closed() -> StoreError {
    StoreError::Closed("it is closed".to_owned())
}

impl Writing {
    /// Puts an order into the queue, within a bounded time.
    async fn enqueue(
        &self,
        orders: &mpsc::Sender<Order>,
        bytes: usize,
        order: impl FnOnce(tokio::sync::OwnedSemaphorePermit) -> Order,
    ) -> Result<(), StoreError> {
        let share = u32::try_from(bytes).unwrap_or(u32::MAX);
        let at_once = Arc::clone(&self.room).try_acquire_many_owned(share);
        if let (Ok(permit), Ok(place)) = (at_once, orders.try_reserve()) {
            place.send(order(permit));
            return Ok(());
        }
        let room = Arc::clone(&self.room);
        let in_turn = async {
            let permit = room.acquire_many_owned(share).await.map_err(|_| closed())?;
            let place = orders.reserve().await.map_err(|_| closed())?;
            place.send(order(permit));
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(QUEUE_WAIT_S), in_turn)
            .await
            .unwrap_or_else(|_| Err(StoreError::Busy(QUEUE_MAX_APPENDS - orders.capacity())))
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    fn log_id(&self) -> &LogId {
        &self.log_id
    }

    async fn append(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        let bytes = checked_size(&events)?;
        let (writing, orders) = self.writing()?;
        let (answer, answered) = oneshot::channel();
        let events = events.into_iter().map(|event| unplaced(stream, event)).collect();
        let stream = stream.clone();
        writing
            .enqueue(orders, bytes, |share| {
                Order::Append(Waiting { stream, expected, events, bytes, answer, share })
            })
            .await?;
        match tokio::time::timeout(Duration::from_secs(ANSWER_WAIT_S), answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                let problem = "its writer ended; whether the append was stored is not known";
                Err(StoreError::Closed(problem.to_owned()).into())
            }
            Err(_) => Err(StoreError::TimedOut(ANSWER_WAIT_S).into()),
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        let stream = stream.clone();
        self.readers
            .read(move |connection| {
                rows::of_stream(connection, &stream, from_revision, limit, with)
            })
            .await
    }

    async fn read_streams(
        &self,
        streams: &[StreamName],
        limit: usize,
        with: With,
    ) -> Result<Vec<Vec<Recorded>>, StoreError> {
        let streams = streams.to_vec();
        self.readers
            .read(move |connection| {
                let first = |stream| rows::of_stream(connection, stream, 0, limit, with);
                streams.iter().map(first).collect()
            })
            .await
    }

    async fn read_all(
        &self,
        after: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        let limit = Limit { events: limit, bytes: READ_MAX_BYTES };
        self.readers.read(move |connection| rows::after(connection, after, limit, with)).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        match &self.writing {
            Some(writing) => Ok(writing.recent.head()),
            None => {
                self.readers
                    .read(|connection| {
                        rows::tail(connection).map(|(last, _)| last).map_err(StoreError::from)
                    })
                    .await
            }
        }
    }

    async fn subscribe(&self, after: Position) -> Result<Subscription, StoreError> {
        let readers = self.readers.clone();
        Ok(match &self.writing {
            Some(writing) => {
                Subscription::new(LiveFeed::new(after, readers, Arc::clone(&writing.recent)))
            }
            None => Subscription::new(StoredFeed { after, readers }),
        })
    }

    async fn close(&self) {
        let Ok((writing, orders)) = self.writing() else { return };
        let mut news = writing.recent.news();
        let ended = async {
            // A queue that takes nothing any more belongs to a writer that is ending already.
            drop(orders.send(Order::Close).await);
            drop(news.wait_for(|news| news.closed).await);
        };
        if tokio::time::timeout(Duration::from_secs(CLOSE_WAIT_S), ended).await.is_err() {
            tracing::error!("the event log did not close within {CLOSE_WAIT_S} s");
        }
    }
}

fn checked_size(events: &[NewEvent]) -> Result<usize, AppendError> {
    if events.is_empty() {
        return Err(AppendError::Malformed("an append holds at least one event"));
    }
    if events.len() > APPEND_MAX_EVENTS {
        return Err(AppendError::Malformed("an append holds at most 1024 events"));
    }
    if events.iter().any(|event| event.contents.len() > CONTENTS_PER_EVENT_MAX) {
        return Err(AppendError::Malformed("an event has at most 16 texts beside it"));
    }
    let bytes = events.iter().map(NewEvent::bytes).sum();
    if bytes > APPEND_MAX_BYTES {
        return Err(AppendError::TooLarge { bytes, max: APPEND_MAX_BYTES });
    }
    Ok(bytes)
}

/// An event in the form in which it is read back, but for its place. The digests are computed here,
/// on the caller's thread.
fn unplaced(stream: &StreamName, event: NewEvent) -> Recorded {
    let contents = event.contents.into_iter().map(|content| StoredContent {
        sha256: content.reference().sha256,
        content: Some(content),
    });
    Recorded {
        position: Position::START,
        stream: stream.clone(),
        revision: 0,
        id: event.id,
        type_name: event.type_name,
        version: event.version,
        recorded_at: execution_ledger_domain::Timestamp::EPOCH,
        metadata: event.metadata,
        data: event.data,
        contents: contents.collect(),
    }
}
