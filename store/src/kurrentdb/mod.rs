//! The log on a KurrentDB (EventStoreDB) server or cluster, through the `eventstore` crate.
//!
//! The crate is the thin part; most of what is here keeps its promises for it: connections that are
//! replaced ([`session`]), appends that are certain ([`delivery`]), a subscription that can be left
//! ([`ended`], [`following`]). Everything that is waited for has a limit.

mod appending;
mod backwards;
mod board;
mod cryptography;
mod delivery;
mod ended;
mod erasing;
mod feeds;
mod following;
pub mod form;
mod identity;
mod import;
mod known;
mod line;
mod marks;
mod memory;
mod pages;
mod reading;
mod session;
mod settings;
mod texts;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_domain::{StreamName, Timestamp};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

pub use self::cryptography::claim_cryptography;
pub use self::form::{Prefix, PrefixError};
pub use self::import::KurrentImport;
pub use self::settings::{ConnectionError, ConnectionString, KurrentOptions, UserPassword, Waits};

use self::feeds::{LiveFeed, StoredFeed};
use self::known::Known;
use self::line::Line;
use self::marks::Marks;
use self::memory::{Erased, Places, Stamps};
use self::pages::{PAGES_WAITING, PageOrder};
use self::reading::From;
use self::session::Sessions;
use crate::clock::Clock;
use crate::port::{
    AppendError, Appended, ContentPlace, EventStore, ExpectedRevision, LogId, NewEvent, Position,
    Recorded, StoreError, Subscription, Unreachable, With,
};
use crate::sqlite::queue::{QUEUE_MAX_APPENDS, QUEUE_MAX_BYTES, checked_size, closed};
use crate::sqlite::recent::Recent;

/// How long an append waits for its turn, in seconds.
const QUEUE_WAIT_S: u64 = 5;
/// How long closing waits for what is under way, in seconds.
const CLOSE_WAIT_S: u64 = 30;
/// Longest rest between two looks whether the store is closed.
const REST_LOOK: Duration = Duration::from_millis(20);

/// Why the log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The place, the credentials or a file can't be used.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The server can't be reached, or what it holds can't be used.
    #[error("{place}: {problem}")]
    Server {
        /// Where it is.
        place: String,
        /// Why.
        problem: String,
    },
}

/// What the store's callers, followers and threads have in common.
struct Shared {
    prefix: Prefix,
    clock: Arc<dyn Clock>,
    sessions: Sessions,
    /// Where the log was begun: nothing of it stands before.
    birth: Position,
    /// Position of the last fact that was seen or appended.
    head: AtomicU64,
    /// Whether the follower has caught up, so that `head` is where the log ends.
    live: AtomicBool,
    recent: Recent,
    stamps: Stamps,
    places: Places,
    known: Known,
    marks: Marks,
    erased: Erased,
    pages: mpsc::Sender<PageOrder>,
    closed: watch::Sender<bool>,
}

impl Shared {
    /// Of nothing yet but the way to the server; with what the reader of pages waits for.
    fn new(options: KurrentOptions) -> Result<(Self, mpsc::Receiver<PageOrder>), OpenError> {
        let (pages, orders) = mpsc::channel(PAGES_WAITING);
        let line = Arc::new(Line::new(&options)?);
        let shared = Self {
            prefix: options.prefix,
            clock: options.clock,
            sessions: Sessions::new(line),
            birth: Position::START,
            head: AtomicU64::new(0),
            live: AtomicBool::new(false),
            recent: Recent::new(Position::START),
            stamps: Stamps::default(),
            places: Places::default(),
            known: Known::default(),
            marks: Marks::default(),
            erased: Erased::default(),
            pages,
            closed: watch::channel(false).0,
        };
        Ok((shared, orders))
    }

    fn line(&self) -> &Line {
        &self.sessions.line
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    fn known_head(&self) -> Position {
        Position::new(self.head.load(Ordering::Acquire))
    }

    /// A fact stands at this position; answers the last one that is known.
    fn saw(&self, position: Position) -> Position {
        let before = self.head.fetch_max(position.number(), Ordering::AcqRel);
        Position::new(before).max(position)
    }

    fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::Release);
    }

    /// Rests on a thread of the store's own, not longer than until it is closed.
    fn rest(&self, pause: Duration) {
        let until = std::time::Instant::now() + pause;
        while !self.is_closed() && std::time::Instant::now() < until {
            std::thread::sleep(REST_LOOK.min(pause));
        }
    }
}

/// The log on a KurrentDB.
pub struct KurrentStore {
    shared: Arc<Shared>,
    log_id: LogId,
    read_only: bool,
    /// Appends that may be under way.
    turns: Semaphore,
    /// What they may hold, in bytes.
    room: Semaphore,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What was seen of other nodes.
    board: tokio::sync::Mutex<board::BoardSeen>,
}

impl KurrentStore {
    /// Opens the log for appending; begins it where there is none of that prefix. Finishes erasures
    /// that were cut off.
    ///
    /// # Errors
    /// [`OpenError`]: the place or a file is wrong, the server can't be reached within
    /// [`Waits::answer`], or refuses us.
    pub async fn open(options: KurrentOptions) -> Result<Arc<Self>, OpenError> {
        Self::opened(options, false).await
    }

    /// Opens the log for reading only, for tools. Appends are refused, and subscriptions end where
    /// the log ends.
    ///
    /// # Errors
    /// [`OpenError`]: as [`KurrentStore::open`]; and where there is no log of that prefix.
    pub async fn open_read_only(options: KurrentOptions) -> Result<Arc<Self>, OpenError> {
        Self::opened(options, true).await
    }

    async fn opened(options: KurrentOptions, read_only: bool) -> Result<Arc<Self>, OpenError> {
        let place = options.connection.to_string();
        let (shared, orders) = Shared::new(options)?;
        let identity = shared.identity(read_only).await;
        let identity = identity.map_err(|error| OpenError::Server {
            place: place.clone(),
            problem: error.to_string(),
        })?;
        Self::begun(place, (shared, orders), identity, read_only).await
    }

    /// The store over a log that is known and begins there.
    async fn begun(
        place: String,
        (mut shared, orders): (Shared, mpsc::Receiver<PageOrder>),
        (log_id, birth): (LogId, Position),
        read_only: bool,
    ) -> Result<Arc<Self>, OpenError> {
        let server = |problem: String| OpenError::Server { place: place.clone(), problem };
        shared.birth = birth;
        let head = shared.end_of_log().await.map_err(|error| server(error.to_string()))?;
        shared.recent = Recent::new(head);
        shared.known.passed(head);
        let shared = Arc::new(shared);
        let threads = following::start(&shared, orders, read_only)
            .map_err(|error| server(format!("its threads can't be started: {error}")))?;
        let store = Arc::new(Self {
            shared,
            log_id,
            read_only,
            turns: Semaphore::new(QUEUE_MAX_APPENDS),
            room: Semaphore::new(QUEUE_MAX_BYTES),
            threads: Mutex::new(threads),
            board: tokio::sync::Mutex::default(),
        });
        if !read_only {
            let shared = Arc::clone(&store.shared);
            tokio::spawn(async move { shared.mark_or_tell(true).await });
            let finished = store.shared.finish_erasures().await;
            match finished.map_err(|error| server(error.to_string()))? {
                0 => {}
                erased => tracing::info!(erased, "erasures that were cut off are finished"),
            }
        }
        Ok(store)
    }

    /// Connections that were made in the place of others since the log was opened.
    pub fn reconnects(&self) -> u64 {
        self.shared.line().reconnects()
    }

    /// What the names of its streams begin with.
    pub fn prefix(&self) -> &Prefix {
        &self.shared.prefix
    }

    fn writable(&self) -> Result<(), StoreError> {
        if self.read_only {
            return Err(StoreError::Closed("it was opened for reading only".to_owned()));
        }
        if self.shared.is_closed() { Err(closed()) } else { Ok(()) }
    }
}

impl Drop for KurrentStore {
    /// Ends the threads. They are not waited for: they hold nothing that anybody else needs.
    fn drop(&mut self) {
        self.shared.closed.send_replace(true);
        self.shared.recent.close();
    }
}

#[async_trait]
impl EventStore for KurrentStore {
    fn log_id(&self) -> &LogId {
        &self.log_id
    }

    async fn append(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        self.append_erasing(stream, expected, events, Vec::new()).await
    }

    async fn append_erasing(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
        places: Vec<ContentPlace>,
    ) -> Result<Appended, AppendError> {
        let bytes = checked_size(&events, &places)?;
        self.writable()?;
        let share = u32::try_from(bytes).unwrap_or(u32::MAX);
        let turn = async { (self.turns.acquire().await, self.room.acquire_many(share).await) };
        let busy = || StoreError::Busy(QUEUE_MAX_APPENDS - self.turns.available_permits());
        let turn = timeout(Duration::from_secs(QUEUE_WAIT_S), turn).await;
        let (Ok(_turn), Ok(_room)) = turn.map_err(|_| busy())? else {
            return Err(closed().into());
        };
        self.writable()?;
        let appended = if places.is_empty() {
            self.shared.append_events(stream, expected, &events).await?
        } else {
            self.shared.append_events_erasing(stream, expected, &events, &places).await?
        };
        if self.shared.marks.is_due(events.len()) {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move { shared.mark_or_tell(false).await });
        }
        Ok(appended)
    }

    /// Finishes what was cut off between an erasure and the deletion of its texts, so that nobody is told
    /// that a text is gone which is not. What the server still keeps of deleted streams in its files goes
    /// with its next scavenge, which is its administrator's.
    async fn scrub(&self) -> Result<bool, StoreError> {
        self.writable()?;
        self.shared.finish_erasures().await.map(|_| true)
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.shared.facts_of(stream, From::Revision(from_revision), limit, with).await
    }

    async fn read_streams(
        &self,
        streams: &[StreamName],
        limit: usize,
        with: With,
    ) -> Result<Vec<Vec<Recorded>>, StoreError> {
        self.shared.firsts_of(streams, limit, with).await
    }

    async fn read_all(
        &self,
        after: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.shared.after(after, limit, with).await
    }

    async fn read_stream_backwards(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.shared.facts_back_from(stream, from_revision, limit, with).await
    }

    async fn read_all_backwards(
        &self,
        before: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.shared.before(before, limit, with).await
    }

    async fn position_at(
        &self,
        time: Timestamp,
        until: Position,
    ) -> Result<Position, StoreError> {
        self.shared.at_time(time, until).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        if self.shared.live.load(Ordering::Acquire) {
            return Ok(self.shared.known_head());
        }
        self.shared.end_of_log().await
    }

    async fn subscribe(&self, after: Position) -> Result<Subscription, StoreError> {
        let shared = Arc::clone(&self.shared);
        if self.read_only {
            let until = self.shared.end_of_log().await?;
            return Ok(Subscription::new(StoredFeed { after, until, shared }));
        }
        Ok(Subscription::new(LiveFeed::new(after, shared)))
    }

    fn unreachable(&self) -> Option<Unreachable> {
        self.shared.line().trouble()
    }

    async fn close(&self) {
        let all = u32::try_from(QUEUE_MAX_APPENDS).unwrap_or(u32::MAX);
        // New appends are refused from here on; those that have their turn are waited for.
        self.shared.closed.send_replace(true);
        let under_way = timeout(Duration::from_secs(CLOSE_WAIT_S), self.turns.acquire_many(all));
        if under_way.await.is_err() {
            tracing::error!("appends to the event log did not end within {CLOSE_WAIT_S} s");
        }
        self.shared.recent.close();
        self.shared.sessions.close().await;
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        drop(threads);
    }
}
