//! `eventstore-open`, hidden: an event store for tests, which KurrentDB clients can use.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use execution_ledger_endpoint::{OpenStore, serve_open};

use super::{Exit, Failure};
use crate::compose::shutdown::Shutdown;

/// Length of a node's key, in bytes.
const KEY_MAX_BYTES: usize = 4_096;

/// Serve an open event store over the EventStoreDB protocol: for tests only.
///
/// Whoever reaches it may read, append and delete. It has no TLS and no backups; it is no place for
/// anything that must last.
#[derive(Debug, Args)]
pub struct EventstoreOpen {
    /// The address to listen on; port 0 takes a free one, which is told.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2113")]
    listen: SocketAddr,
    /// The file that holds the store; without it, everything is gone at the end.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A file with the key of ledger nodes: only who sends it as a password appends to streams of a
    /// ledger, which begin with `ledger.`.
    #[arg(long, value_name = "FILE")]
    node_key_file: Option<PathBuf>,
}

impl EventstoreOpen {
    pub(super) fn execute(&self) -> Result<Exit, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| fault("the asynchronous runtime", &error))?;
        runtime.block_on(self.serve())
    }

    async fn serve(&self) -> Result<Exit, Failure> {
        let key = self.node_key()?;
        let store = match &self.file {
            Some(file) => OpenStore::open(file),
            None => OpenStore::in_memory(),
        };
        let store = store.map_err(|error| fault("the open store", &error))?;
        let shutdown = Shutdown::on_signals()?;
        let serving = serve_open(self.listen, store, key.as_deref())
            .await
            .map_err(|error| fault(&format!("listening on {}", self.listen), &error))?;
        // Tests wait for this line; nobody else need be there to read it.
        drop(writeln!(
            std::io::stdout(),
            "an open event store, for tests only, listens on {}",
            serving.address()
        ));
        shutdown.requested().await;
        serving.stop().await;
        Ok(Exit::Success)
    }

    fn node_key(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.node_key_file else { return Ok(None) };
        let what = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| fault(&what, &error))?;
        let key = text.trim();
        if key.is_empty() || key.len() > KEY_MAX_BYTES {
            let problem = format!("{what}: a node's key has 1 to {KEY_MAX_BYTES} bytes");
            return Err(Failure::Argument(problem));
        }
        Ok(Some(key.to_owned()))
    }
}

fn fault(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Fault(format!("{what}: {error}"))
}
