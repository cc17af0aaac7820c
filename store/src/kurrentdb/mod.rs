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
mod store;
mod texts;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

pub use self::cryptography::claim_cryptography;
pub use self::form::{Prefix, PrefixError};
pub use self::import::KurrentImport;
pub use self::settings::{ConnectionError, ConnectionString, KurrentOptions, UserPassword, Waits};

use self::known::Known;
use self::line::Line;
use self::marks::Marks;
use self::memory::{Erased, Places, Stamps};
use self::pages::{PAGES_WAITING, PageOrder};
use self::session::Sessions;
use crate::clock::Clock;
use crate::port::{LogId, Position, StoreError};
use crate::sqlite::queue::{QUEUE_MAX_APPENDS, QUEUE_MAX_BYTES, closed};
use crate::sqlite::recent::Recent;

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
