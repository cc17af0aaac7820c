//! A small pool of read-only SQLite connections, each used by one blocking job at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::port::StoreError;

/// How long a reader waits for a lock of the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reader waits for a free connection, in seconds.
const CONNECTION_WAIT_S: u64 = 10;

/// Read-only connections to one database file. Cheap to clone.
#[derive(Clone)]
pub struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    prepare: fn(&Connection) -> rusqlite::Result<()>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// At most `connections` connections to the file at `path`, opened when first needed; `prepare`
    /// is run on each of them once.
    pub fn new(
        path: &Path,
        connections: usize,
        prepare: fn(&Connection) -> rusqlite::Result<()>,
    ) -> Self {
        let shared = Shared {
            path: path.to_owned(),
            prepare,
            idle: Mutex::new(Vec::with_capacity(connections)),
            permits: Arc::new(Semaphore::new(connections)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs a job on a connection, on a thread for blocking work.
    pub async fn read<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<rusqlite::Error> + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let wait = Duration::from_secs(CONNECTION_WAIT_S);
        let permit = tokio::time::timeout(wait, Arc::clone(&self.shared.permits).acquire_owned())
            .await
            .map_err(|_| StoreError::TimedOut(CONNECTION_WAIT_S))?
            .map_err(|_| StoreError::Closed("its readers are closed".to_owned()))?;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            // Held by the job itself: a caller that stops waiting frees no connection.
            let _permit = permit;
            let mut connection = shared.take()?;
            let result = job(&mut connection);
            shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        })
        .await
        .map_err(|panic| StoreError::Fault(format!("a read job panicked: {panic}")))?
    }
}

impl Shared {
    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        // Else SQLite plans a statement anew whenever its LIMIT, or another parameter that it looks
        // into, is bound: that takes longer than most of these statements.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        (self.prepare)(&connection)?;
        Ok(connection)
    }
}
