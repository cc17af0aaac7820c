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
mod import;
mod lock;
mod open;
mod place;
pub(crate) mod queue;
pub(crate) mod recent;
mod rows;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self as blocking, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_domain::{EventId, StreamName};
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::import::Importer;
pub use self::lock::WriterLock;
pub use self::open::{OpenError, assign_new_log_id};

use self::feed::{LiveFeed, StoredFeed};
use self::heads::Heads;
use self::queue::{QUEUE_MAX_APPENDS, QUEUE_MAX_BYTES, Writing, checked_size, closed, unplaced};
use self::recent::Recent;
use self::rows::Limit;
use self::writer::{Ending, Order, Waiting, Writer};
use crate::clock::{Clock, SystemClock};
use crate::port::{
    AppendError, Appended, ContentPlace, EventStore, ExpectedRevision, LogId, NewEvent, Position,
    Recorded, StoreError, Subscription, With,
};
use crate::readers::Readers;

/// How long an append waits for its answer, in seconds.
const ANSWER_WAIT_S: u64 = 30;
/// How long closing waits for the writer, in seconds.
const CLOSE_WAIT_S: u64 = 30;
/// Page cache of each connection that reads, in KiB: what leads to the events of some millions.
const READER_CACHE_KIB: i32 = 4 * 1024;
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

    /// The event of that id, with its texts; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`] where the log can't be read.
    pub async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError> {
        self.readers.read(move |connection| rows::of_id(connection, id)).await
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
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)
}

#[async_trait]
impl EventStore for SqliteStore {
    fn log_id(&self) -> &LogId {
        &self.log_id
    }

    async fn append_erasing(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
        erases: Vec<ContentPlace>,
    ) -> Result<Appended, AppendError> {
        let bytes = checked_size(&events, &erases)?;
        let (writing, orders) = self.writing()?;
        let (answer, answered) = oneshot::channel();
        let events = events.into_iter().map(|event| unplaced(stream, event)).collect();
        let stream = stream.clone();
        writing
            .enqueue(orders, bytes, |share| {
                Order::Append(Waiting { stream, expected, events, erases, bytes, answer, share })
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

    async fn scrub(&self) -> Result<bool, StoreError> {
        let (_, orders) = self.writing()?;
        let (answer, answered) = oneshot::channel();
        let wait = Duration::from_secs(ANSWER_WAIT_S);
        let sent = tokio::time::timeout(wait, orders.send(Order::Scrub(answer))).await;
        sent.map_err(|_| StoreError::TimedOut(ANSWER_WAIT_S))?.map_err(|_| closed())?;
        let answered = tokio::time::timeout(wait, answered).await;
        answered.map_err(|_| StoreError::TimedOut(ANSWER_WAIT_S))?.map_err(|_| closed())?
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
            .read(move |connection| rows::of_streams(connection, &streams, limit, with))
            .await
    }

    async fn read_at(
        &self,
        known: &[(StreamName, Vec<Position>)],
        with: With,
    ) -> Result<Vec<Vec<Recorded>>, StoreError> {
        let known = known.to_vec();
        self.readers.read(move |connection| rows::at(connection, &known, with)).await
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

    async fn read_stream_backwards(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        let stream = stream.clone();
        self.readers
            .read(move |connection| {
                rows::of_stream_backwards(connection, &stream, from_revision, limit, with)
            })
            .await
    }

    async fn read_all_backwards(
        &self,
        before: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        let limit = Limit { events: limit, bytes: READ_MAX_BYTES };
        self.readers.read(move |connection| rows::before(connection, before, limit, with)).await
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
