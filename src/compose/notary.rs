//! The notary beside the server: its key, its start and its end.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_replay::notary::{KEY_FILE, NEXT_KEY_FILE, Notary, finish};
use execution_ledger_store::{EventStore, SystemClock};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::data_dir::DataDir;
use super::witnesses::{self, Http};
use super::{ServeError, secret};
use crate::config::Settings;

/// How long the last checkpoint may take.
const STOP: Duration = Duration::from_secs(5);

/// A notary that follows the log.
pub struct Signing {
    notary: Notary,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    /// Has witnesses sign, where there are any.
    witnessing: Option<JoinHandle<()>>,
}

impl Signing {
    /// With the key of the data directory, made where there is none yet. Nothing waits for it: it
    /// catches up while the server answers. A change of keys that was cut off is finished before.
    pub async fn start(
        data_dir: &DataDir,
        store: &Arc<dyn EventStore>,
        settings: &Settings,
    ) -> Result<Self, ServeError> {
        let folder = data_dir.notary();
        let key = folder.join(KEY_FILE);
        let mut seed = secret::load_or_make(&key)?;
        let next_path = folder.join(NEXT_KEY_FILE);
        let next = match secret::read(&next_path)? {
            Some(_) => Some(secret::load_or_make(&next_path)?),
            None => None,
        };
        let failed = |error| ServeError::Part(format!("the notary: {error}"));
        let finished = finish(store, &folder, &seed, next.as_ref(), &|_| {}).await;
        if let Some(rotated) = finished.map_err(failed)? {
            tracing::info!(key = %rotated.key, "a change of the notary's keys was finished");
            seed = secret::load_or_make(&key)?;
        }
        let notary = Notary::open(folder, &seed, Arc::clone(store), Arc::new(SystemClock))
            .map_err(failed)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = notary.clone();
        let task = tokio::spawn(async move {
            // An error means that nobody can stop it any more, which is a stop as well.
            running.run(async { drop(stopped.await) }).await;
        });
        let witnesses = witnesses::named(settings)?;
        let witnessing = if witnesses.is_empty() {
            None
        } else {
            let (notary, http) = (notary.clone(), Arc::new(Http::new()?));
            let quorum = settings.notary_quorum.narrow::<usize>();
            Some(tokio::spawn(async move {
                notary.have_witnessed(witnesses, quorum, http).await;
            }))
        };
        Ok(Self { notary, stop, task, witnessing })
    }

    /// The notary itself.
    pub fn notary(&self) -> Notary {
        self.notary.clone()
    }

    /// Has it sign what there is, and waits for that.
    pub async fn stop(self) {
        if let Some(witnessing) = &self.witnessing {
            witnessing.abort();
        }
        if self.stop.send(()).is_err() {
            tracing::debug!("the notary had ended by itself");
        }
        if tokio::time::timeout(STOP, self.task).await.is_err() {
            tracing::warn!("the last events were not signed in time; the next start does it");
        }
    }
}
