//! Chooses the adapters and wires the parts into a server.

pub mod admin_key;
pub mod data_dir;
mod duties;
mod engine;
mod eventstore;
mod first_start;
mod front;
pub mod log;
mod metrics;
pub mod nodes;
mod notary;
mod open_work;
pub mod paid;
mod read_models;
mod schedules;
pub mod secret;
mod serve;
pub mod server_file;
pub mod shutdown;
mod sweeping;
mod webhooks;
pub mod witnesses;

pub use serve::serve;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use data_dir::DataDir;
use execution_ledger_process::pricing::{BookError, PriceBook};
use execution_ledger_store::kurrentdb;

use crate::config::{Settings, StoreKind};
use crate::telemetry::{self, Telemetry};

/// Why the server can't start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file or folder of the data directory can't be used.
    #[error("{what} {path}: {source}")]
    File {
        /// What it is.
        what: &'static str,
        /// Where it lies.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder is as it must not be.
    #[error("{path}: {problem}")]
    Unsafe {
        /// Which one.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// Nobody can listen on the address.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Certificate or key can't be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// The price book can't be used.
    #[error("setting price_book: {0}")]
    PriceBook(#[from] BookError),
    /// The log of what goes on can't be set up.
    #[error("telemetry: {0}")]
    Telemetry(#[from] telemetry::TelemetryError),
    /// A part failed.
    #[error("{0}")]
    Part(String),
}

impl ServeError {
    /// What to do next, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
                "something listens there already: another execution-ledger? choose another address \
                 with --listen, for example --listen 127.0.0.1:0"
                    .to_owned(),
            ),
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("choose a directory of your own with --data-dir".to_owned())
            }
            _ => None,
        }
    }
}

/// What must be there before any part of the server is started.
pub struct Foundation {
    /// The server's settings.
    pub settings: Settings,
    /// The data directory, made and closed to others.
    pub data_dir: DataDir,
    /// What tokens cost that nobody else has priced.
    pub price_book: Arc<PriceBook>,
    /// The administrator's key.
    pub admin_key: admin_key::AdminKey,
    /// The secret that several nodes share; none where the ledger is alone with its log.
    pub cluster: Option<nodes::ClusterSecret>,
    /// Signs run tokens; lives as long as the data directory.
    pub ledger_secret: [u8; secret::SECRET_BYTES],
    /// Keeps log and traces going; ends them when dropped.
    _telemetry: Telemetry,
}

impl Foundation {
    /// Makes what is missing and checks what is there. Must be called outside of any asynchronous
    /// runtime: the sender of traces has one of its own.
    pub fn lay(settings: Settings) -> Result<Self, ServeError> {
        install_crypto_for(&settings);
        let telemetry = telemetry::start(&settings)?;
        let price_book = match &settings.price_book {
            Some(path) => Arc::new(PriceBook::load(path)?),
            None => PriceBook::built_in(),
        };
        let data_dir = DataDir::open(&settings.data_dir)?;
        let cluster = nodes::ClusterSecret::load(&settings)?;
        if let Some(cluster) = &cluster {
            cluster.settle(&data_dir)?;
        }
        let admin_key = admin_key::AdminKey::load_or_make(&data_dir)?;
        let ledger_secret = match &cluster {
            Some(cluster) => cluster.ledger_secret(),
            None => secret::load_or_make(&data_dir.ledger_secret())?,
        };
        Ok(Self {
            settings,
            data_dir,
            price_book,
            admin_key,
            cluster,
            ledger_secret,
            _telemetry: telemetry,
        })
    }
}

/// Chooses the cryptography of TLS for a process with these settings: the client of KurrentDB must
/// be asked first where it is used.
pub fn install_crypto_for(settings: &Settings) {
    if settings.store == StoreKind::Kurrentdb
        && let Err(problem) = kurrentdb::claim_cryptography()
    {
        // Opening the log says it again, to whom it concerns.
        tracing::debug!(%problem, "cryptography");
    }
    install_crypto();
}

/// Chooses the cryptography of TLS for the whole process, once.
pub fn install_crypto() {
    // An error means that it was chosen already, which is just as well.
    drop(rustls::crypto::ring::default_provider().install_default());
}
