//! The read models at work: opened, caught up with, held still for a moment, stopped.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_projections::{Health, Views, ViewsOptions};
use execution_ledger_store::EventStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::serve::part;
use super::shutdown::Shutdown;
use super::{Foundation, ServeError};

/// How long they may take to notice that they are to stop.
const STOP: Duration = Duration::from_secs(5);

/// The read models, and the task that keeps them up to date.
pub struct ReadModels {
    /// What is asked.
    pub views: Views,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ReadModels {
    /// Begins to follow the log.
    pub fn open(foundation: &Foundation, store: &Arc<dyn EventStore>) -> Result<Self, ServeError> {
        let readers = foundation.settings.view_readers.narrow::<usize>();
        let path = foundation.data_dir.views();
        let views = Views::open(&path, Arc::clone(store), ViewsOptions { readers })
            .map_err(|error| part("the read models", &error))?;
        Ok(Self::follow(views))
    }

    fn follow(views: Views) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let running = views.clone();
        let task = tokio::spawn(async move {
            let stop = async {
                // An error means that nobody can stop it any more, which is a stop as well.
                drop(stopped.wait_for(|stop| *stop).await);
            };
            running.run(stop).await;
        });
        Self { views, stop, task }
    }

    /// Waits until they have seen the log as it was at the start: the policy is made from them. False
    /// where the server is to stop before.
    pub async fn caught_up(
        &self,
        store: &Arc<dyn EventStore>,
        shutdown: &Shutdown,
    ) -> Result<bool, ServeError> {
        let head = store.head().await.map_err(|error| part("the event log", &error))?;
        let mut health = self.views.health_changes();
        let mut position = self.views.positions();
        let mut told = 0;
        loop {
            let seen = *position.borrow_and_update();
            match &*health.borrow_and_update() {
                Health::Stopped(poison) => {
                    let problem = format!(
                        "event {} can't be read: {}; was it written by a later version of this program?",
                        poison.position.number(),
                        poison.reason
                    );
                    return Err(part("the read models", &problem));
                }
                Health::Failed(reason) => return Err(part("the read models", reason)),
                Health::Rebuilding(progress) if progress.head > 0 => {
                    let percent = progress.done.saturating_mul(100) / progress.head;
                    if percent / 10 > told {
                        told = percent / 10;
                        tracing::info!(
                            percent,
                            done = progress.done,
                            "the read models are rebuilt"
                        );
                    }
                }
                Health::Live | Health::CatchingUp { .. } if seen >= head => return Ok(true),
                _ => {}
            }
            tokio::select! {
                changed = health.changed() => changed.map_err(|error| part("the read models", &error))?,
                changed = position.changed() => changed.map_err(|error| part("the read models", &error))?,
                () = shutdown.requested() => return Ok(false),
            }
        }
    }

    /// Stops them where they are, so that they can be asked at one moment.
    pub async fn hold(self) -> Held {
        let views = self.views.clone();
        self.stop().await;
        Held(views)
    }

    /// Stops them; what they have not seen they see at the next start.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP, self.task).await.is_err() {
            let position = self.views.position();
            tracing::warn!(
                ?position,
                "the read models did not stop in time; they go on where they were"
            );
        }
    }
}

/// Read models that stand still.
pub struct Held(Views);

impl Held {
    /// What is asked.
    pub fn views(&self) -> &Views {
        &self.0
    }

    /// Has them go on.
    pub fn go_on(self) -> ReadModels {
        ReadModels::follow(self.0)
    }
}
