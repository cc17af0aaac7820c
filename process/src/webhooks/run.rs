//! The loop: follows the log, looks at the clock, lets messages be sent.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::webhook::Kind;
use execution_ledger_store::{Batch, StoreError, Subscription};
use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Webhooks;
use super::book::{Work, later};
use crate::following::{Following, follow};

/// Messages that are on their way at once, over all webhooks.
const WORK_MAX: usize = 32;
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
    Log(#[from] StoreError),
}

impl Webhooks {
    /// Sends messages until `stop` turns true or the log ends.
    ///
    /// # Errors
    /// [`WebhooksError`] where the log can't be followed: nothing is sent any more then.
    pub async fn run(
        self,
        log: Subscription,
        stop: watch::Receiver<bool>,
    ) -> Result<(), WebhooksError> {
        follow(&self, log, stop).await
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
}

impl Following for Webhooks {
    const WORK_MAX: usize = WORK_MAX;
    const LOOK_AGAIN: Duration = LOOK_AGAIN;
    const SLEEP_MIN: Duration = SLEEP_MIN;
    const JOB: &'static str = "sending a message";
    type Error = WebhooksError;

    /// Whether there is anything in the batch that webhooks may be told of.
    fn take_in(&self, batch: &Batch) -> Result<(), WebhooksError> {
        let told = batch.iter().rev().find(|recorded| Kind::may_follow(&recorded.type_name));
        if let Some(recorded) = told {
            self.book().news(recorded.position);
        }
        Ok(())
    }

    fn begin_due(&self, room: usize, work: &mut JoinSet<()>) {
        let due = self.book().take(self.now(), room);
        for one in due {
            let webhooks = self.clone();
            work.spawn(async move { webhooks.work_on(one).await });
        }
        let (held, down) = self.book().totals();
        metrics::gauge!("ledger_webhook_messages").set(held as f64);
        metrics::gauge!("ledger_webhooks_failing").set(down as f64);
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.book().next_due()
    }

    fn now(&self) -> Timestamp {
        self.0.ledger.now()
    }

    async fn woken(&self) {
        self.0.wake.notified().await;
    }
}
