//! The loop: follows the log, looks at the clock, lets messages be sent.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use execution_ledger_domain::webhook::Kind;
use execution_ledger_store::{Batch, StoreError, Subscription};
use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Webhooks;
use super::book::{Work, later};

/// Messages that are on their way at once, over all webhooks.
const WORK_MAX: usize = 32;
/// Faults of the log in a row after which following it is given up.
const FAULTS_MAX: u32 = 20;
/// How long the first rest after such a fault is; later ones are longer.
const REST_AFTER_FAULT: Duration = Duration::from_millis(100);
/// How long a message rests after sending it panicked.
const REST_AFTER_PANIC: Duration = Duration::from_mins(1);
/// Longest sleep before looking at the clock again: clocks jump.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Shortest sleep before a message is due, so that a clock that stands still costs little.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// Why nothing is sent to webhooks any more.
#[derive(Debug, thiserror::Error)]
pub enum WebhooksError {
    /// The log can't be followed any more.
    #[error("the sender of webhooks can't follow the log")]
    Log(#[source] StoreError),
}

impl Webhooks {
    /// Sends messages until `stop` turns true or the log ends.
    ///
    /// # Errors
    /// [`WebhooksError`] where the log can't be followed: nothing is sent any more then.
    pub async fn run(
        self,
        mut log: Subscription,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), WebhooksError> {
        let mut work = JoinSet::new();
        let mut faults = 0;
        loop {
            self.begin_due(&mut work);
            tokio::select! {
                batch = log.next() => match batch {
                    Some(Ok(batch)) => {
                        faults = 0;
                        self.apply(&batch);
                    }
                    // The subscription stays where it was: the same events are asked for again.
                    Some(Err(error)) if faults < FAULTS_MAX => {
                        faults += 1;
                        tracing::error!(%error, faults, "the log can't be followed at the moment");
                        tokio::time::sleep(REST_AFTER_FAULT * faults).await;
                    }
                    Some(Err(error)) => return Err(WebhooksError::Log(error)),
                    None => return Ok(()),
                },
                Some(ended) = work.join_next(), if !work.is_empty() => {
                    if let Err(panic) = ended {
                        tracing::error!(%panic, "sending a message panicked");
                    }
                }
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(self.until_next()), if work.len() < WORK_MAX => {}
                () = told_to_stop(&mut stop) => break,
            }
        }
        // What is on its way is waited for: what was taken is recorded.
        while work.join_next().await.is_some() {}
        Ok(())
    }

    /// Sends everything that is due now, and waits until it was tried.
    pub async fn send_due(&self) {
        let mut work = JoinSet::new();
        loop {
            self.begin_due(&mut work);
            if work.join_next().await.is_none() {
                return;
            }
        }
    }

    fn begin_due(&self, work: &mut JoinSet<()>) {
        let room = WORK_MAX.saturating_sub(work.len());
        let due = self.book().take(self.now(), room);
        for one in due {
            let webhooks = self.clone();
            work.spawn(async move { webhooks.work_on(one).await });
        }
        let (held, down) = self.book().totals();
        metrics::gauge!("ledger_webhook_messages").set(held as f64);
        metrics::gauge!("ledger_webhooks_failing").set(down as f64);
    }

    /// Does something. Where that panics it is given back, to be done again after a rest.
    async fn work_on(&self, work: Work) {
        // What is shared stands behind the book's lock, and each change of it is whole.
        let done = AssertUnwindSafe(async {
            match work {
                Work::Load(load) => self.load(load).await,
                Work::Send(flight) => self.deliver(flight).await,
            }
        });
        if done.catch_unwind().await.is_ok() {
            return;
        }
        tracing::error!("sending a message panicked, and will be tried again");
        match work {
            Work::Load(load) => {
                tokio::time::sleep(REST_AFTER_PANIC).await;
                self.book().not_loaded(load);
            }
            Work::Send(flight) => {
                let due = later(self.now(), REST_AFTER_PANIC);
                self.book().put_back(flight, due);
            }
        }
    }

    fn until_next(&self) -> Duration {
        let now = self.now();
        let next = self.book().next_due();
        let wait = next.map_or(LOOK_AGAIN, |at| Duration::from_millis(at.ms_since(now) + 1));
        wait.clamp(SLEEP_MIN, LOOK_AGAIN)
    }

    /// Takes in a batch of the log: whether there is anything in it that webhooks may be told of.
    pub fn apply(&self, batch: &Batch) {
        let told = batch.iter().rev().find(|recorded| Kind::may_follow(&recorded.type_name));
        if let Some(recorded) = told {
            self.book().news(recorded.position);
        }
    }
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can stop it any more, which is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
}
