//! The handle by which the read models are run and asked.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use execution_ledger_domain::Timestamp;
use execution_ledger_store::readers::Readers;
use execution_ledger_store::{EventStore, LogId, Position};
use rusqlite::Connection;
use tokio::sync::watch;

use crate::columns;
use crate::health::{Behind, Health, Progress};
use crate::query::{At, QueryError, Seen};
use crate::write;

/// How the read models are kept.
#[derive(Clone, Copy, Debug)]
pub struct ViewsOptions {
    /// Connections that read at once.
    pub readers: usize,
}

impl Default for ViewsOptions {
    fn default() -> Self {
        Self { readers: 4 }
    }
}

/// Why the read models can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("the folder of the read models can't be used: {0}")]
pub struct OpenError(#[from] std::io::Error);

/// What the runner and the readers share.
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) store: Arc<dyn EventStore>,
    options: ViewsOptions,
    /// Absent while the file is made anew.
    readers: RwLock<Option<Readers>>,
    position: watch::Sender<Position>,
    health: watch::Sender<Health>,
    /// Whether what is left of erased texts in the file is still to be overwritten.
    scrubbing: watch::Sender<bool>,
    /// Why the file has to be made anew although it looks whole.
    damage: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn set_position(&self, position: Position) {
        self.position.send_replace(position);
        metrics::gauge!("ledger_projection_position").set(position.number() as f64);
    }

    pub(crate) fn set_scrubbing(&self, scrubbing: bool) {
        self.scrubbing.send_replace(scrubbing);
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.send_if_modified(|now| {
            let changed = *now != health;
            if changed {
                metrics::gauge!("ledger_projection_ready")
                    .set(f64::from(u8::from(health.is_ready())));
                *now = health;
            }
            changed
        });
    }

    pub(crate) fn open_readers(&self, position: Position) {
        let readers = Readers::new(&self.path, self.options.readers.max(1), write::prepare_reader);
        *self.readers.write().unwrap_or_else(PoisonError::into_inner) = Some(readers);
        self.set_position(position);
    }

    pub(crate) fn damaged(&self, reason: String) {
        *self.readers.write().unwrap_or_else(PoisonError::into_inner) = None;
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    pub(crate) fn take_damage(&self) -> Option<String> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The read models. Cheap to clone.
#[derive(Clone)]
pub struct Views {
    shared: Arc<Shared>,
}

impl Views {
    /// Over the file at `path`, which [`Views::run`] makes, or makes anew, as needed. Only one
    /// process may use it; the lock of the event log sees to that.
    pub fn open(
        path: &Path,
        store: Arc<dyn EventStore>,
        options: ViewsOptions,
    ) -> Result<Self, OpenError> {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        std::fs::metadata(folder.unwrap_or(Path::new(".")))?;
        let shared = Shared {
            path: path.to_owned(),
            store,
            options,
            readers: RwLock::new(None),
            position: watch::Sender::new(Position::START),
            health: watch::Sender::new(Health::Rebuilding(Progress::default())),
            scrubbing: watch::Sender::new(false),
            damage: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Follows the log until `shutdown` is done: first a rebuild where one is needed, then what was
    /// missed, then live. Returns early only where the read models can't go on; [`Views::health`]
    /// says why. To be called once.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        tokio::select! {
            () = write::run(Arc::clone(&self.shared)) => {
                if matches!(self.health(), Health::Live | Health::CatchingUp { .. }) {
                    self.shared.set_health(Health::Closed);
                }
            }
            () = shutdown => self.shared.set_health(Health::Closed),
        }
    }

    /// Which log.
    pub fn log_id(&self) -> &LogId {
        self.shared.store.log_id()
    }

    /// The log.
    pub(crate) fn store(&self) -> &Arc<dyn EventStore> {
        &self.shared.store
    }

    /// Position of the last event that the read models have seen; all of them move together.
    pub fn position(&self) -> Position {
        *self.shared.position.borrow()
    }

    /// The same, to be watched.
    pub fn positions(&self) -> watch::Receiver<Position> {
        self.shared.position.subscribe()
    }

    /// What the read models are doing.
    pub fn health(&self) -> Health {
        self.shared.health.borrow().clone()
    }

    /// The same, to be watched; also how far a rebuild is.
    pub fn health_changes(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Waits until the read models have seen `position`.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Behind> {
        let mut positions = self.positions();
        let seen = positions.wait_for(|seen| *seen >= position);
        match tokio::time::timeout(timeout, seen).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Behind { seen: self.position(), wanted: position }),
        }
    }

    /// Waits until nothing is left in the file of the texts whose erasure is told up to `position`:
    /// false where that takes longer, because there is much to overwrite, or readers hold an old state.
    pub async fn forgotten(&self, position: Position, timeout: Duration) -> bool {
        let mut scrubbing = self.shared.scrubbing.subscribe();
        let done = async {
            self.wait_for(position, timeout).await.is_ok()
                && scrubbing.wait_for(|scrubbing| !scrubbing).await.is_ok()
        };
        tokio::time::timeout(timeout, done).await.unwrap_or(false)
    }

    /// Position of the last event that was recorded at `time` or before: what `as_of=TIME` means.
    /// At most what the read models have seen.
    pub async fn position_at(&self, time: Timestamp) -> Result<Position, QueryError> {
        Ok(self.store().position_at(time, self.position()).await?)
    }

    /// Asks the rows, all as of one position. `at` is absent in the question where it is beyond
    /// what was seen: then it means now.
    pub(crate) async fn ask<T, F>(&self, at: At, question: F) -> Result<Seen<T>, QueryError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, Option<Position>) -> Result<T, QueryError> + Send + 'static,
    {
        self.readers()?
            .read(move |connection| {
                let transaction = connection.transaction()?;
                let seen = Position::new(transaction.query_row(
                    "SELECT position FROM projections WHERE name = 'executions'",
                    [],
                    |row| columns::unsigned(row, 0),
                )?);
                let at = match at {
                    At::Position(position) if position < seen => Some(position),
                    At::Position(_) | At::Now => None,
                };
                let value = question(&transaction, at)?;
                transaction.finish()?;
                Ok(Seen { position: at.unwrap_or(seen), value })
            })
            .await
    }

    /// The position as of which an answer from the log alone is to be given.
    pub(crate) fn position_for(&self, at: At) -> Result<Position, QueryError> {
        self.readers()?;
        let seen = self.position();
        Ok(match at {
            At::Position(position) => position.min(seen),
            At::Now => seen,
        })
    }

    fn readers(&self) -> Result<Readers, QueryError> {
        let readers = self.shared.readers.read().unwrap_or_else(PoisonError::into_inner);
        readers.clone().ok_or_else(|| self.not_ready())
    }

    fn not_ready(&self) -> QueryError {
        let progress = match self.health() {
            Health::Rebuilding(progress) => progress,
            _ => Progress::default(),
        };
        QueryError::NotReady { done: progress.done, head: progress.head }
    }
}
