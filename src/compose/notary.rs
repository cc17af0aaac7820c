//! The notary beside the server: its key, its start and its end.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_replay::notary::{KEY_FILE, Notary};
use execution_ledger_store::{EventStore, SystemClock};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::data_dir::DataDir;
use super::{ServeError, secret};

/// How long the last checkpoint may take.
const STOP: Duration = Duration::from_secs(5);

/// A notary that follows the log.
pub struct Signing {
    notary: Notary,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Signing {
    /// With the key of the data directory, made where there is none yet. Nothing waits for it: it
    /// catches up while the server answers.
    pub fn start(data_dir: &DataDir, store: &Arc<dyn EventStore>) -> Result<Self, ServeError> {
        let folder = data_dir.notary();
        let seed = secret::load_or_make(&folder.join(KEY_FILE))?;
        let notary = Notary::open(folder, &seed, Arc::clone(store), Arc::new(SystemClock))
            .map_err(|error| ServeError::Part(format!("the notary: {error}")))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = notary.clone();
        let task = tokio::spawn(async move {
            // An error means that nobody can stop it any more, which is a stop as well.
            running.run(async { drop(stopped.await) }).await;
        });
        Ok(Self { notary, stop, task })
    }

    /// The notary itself.
    pub fn notary(&self) -> Notary {
        self.notary.clone()
    }

    /// Has it sign what there is, and waits for that.
    pub async fn stop(self) {
        if self.stop.send(()).is_err() {
            tracing::debug!("the notary had ended by itself");
        }
        if tokio::time::timeout(STOP, self.task).await.is_err() {
            tracing::warn!("the last events were not signed in time; the next start does it");
        }
    }
}
