//! Chooses the event log: a file in the data directory, or a KurrentDB.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_store::kurrentdb::{
    ConnectionError, KurrentOptions, KurrentStore, OpenError as KurrentOpenError, UserPassword,
    Waits,
};
use execution_ledger_store::sqlite::{OpenError, SqliteOptions, SqliteStore, WriterLock};
use execution_ledger_store::{EventStore, NodeBoard, SystemClock};

use super::data_dir::DataDir;
use crate::config::{Settings, StoreKind};

/// Why the log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file can't be used, or another process has it.
    #[error(transparent)]
    Sqlite(#[from] OpenError),
    /// The server can't be used.
    #[error(transparent)]
    Kurrent(#[from] KurrentOpenError),
}

/// The log, open for writing. As long as this lives, no other ledger starts on the data directory.
pub struct Writable {
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// The same, where it lies in the data directory.
    pub embedded: Option<Arc<SqliteStore>>,
    /// Where nodes that share it tell each other that they live, where it can be shared.
    pub board: Option<Arc<dyn NodeBoard>>,
    /// What a file has within itself.
    _lock: Option<WriterLock>,
}

/// Opens the log for writing. Waits for a server no longer than the settings say.
pub async fn open(settings: &Settings, data_dir: &DataDir) -> Result<Writable, LogError> {
    match settings.store {
        StoreKind::Sqlite => {
            let options =
                SqliteOptions { clock: Arc::new(SystemClock), ..SqliteOptions::default() };
            let store = SqliteStore::open(&data_dir.events(), options)?;
            let embedded = Some(Arc::clone(&store));
            Ok(Writable { store, embedded, board: None, _lock: None })
        }
        StoreKind::Kurrentdb => {
            let lock = WriterLock::acquire(&data_dir.events())?;
            let store = KurrentStore::open(kurrent_options(settings)?).await?;
            let board: Arc<dyn NodeBoard> = Arc::<KurrentStore>::clone(&store);
            Ok(Writable { store, embedded: None, board: Some(board), _lock: Some(lock) })
        }
    }
}

/// Opens the log for reading only, for tools; a server may have it open.
pub async fn open_read_only(
    settings: &Settings,
    data_dir: &DataDir,
) -> Result<Arc<dyn EventStore>, LogError> {
    Ok(match settings.store {
        StoreKind::Sqlite => SqliteStore::open_read_only(&data_dir.events())?,
        StoreKind::Kurrentdb => KurrentStore::open_read_only(kurrent_options(settings)?).await?,
    })
}

/// Whether anything can be there: a log that was never begun has no file.
pub fn may_exist(settings: &Settings, data_dir: &DataDir) -> bool {
    settings.store == StoreKind::Kurrentdb || data_dir.events().exists()
}

/// How the KurrentDB of the settings is opened.
pub fn kurrent_options(settings: &Settings) -> Result<KurrentOptions, KurrentOpenError> {
    let Some(place) = &settings.kurrentdb else {
        let problem = "the setting kurrentdb does not say where it is".to_owned();
        return Err(ConnectionError::Malformed(problem).into());
    };
    let credentials = settings.kurrentdb_credentials_file.as_deref();
    let seconds = Duration::from_secs;
    Ok(KurrentOptions {
        connection: place.get().clone(),
        credentials: credentials.map(UserPassword::from_file).transpose()?,
        prefix: settings.kurrentdb_prefix.get().clone(),
        clock: Arc::new(SystemClock),
        waits: Waits {
            connect: seconds(settings.kurrentdb_connect_timeout_s.get()),
            attempt: seconds(settings.kurrentdb_attempt_timeout_s.get()),
            answer: seconds(settings.kurrentdb_timeout_s.get()),
        },
    })
}
