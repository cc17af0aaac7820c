//! Following the log for what payments lead to: executions to accept, refunds to owe, doubts to resolve.

use std::time::Duration;

use execution_ledger_domain::{PaymentId, Timestamp};
use execution_ledger_store::{Batch, StoreError, Subscription};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Payments;
use super::book::Next;
use crate::following::{Following, follow};

/// Payments that are looked at at once.
const WORK_MAX: usize = 16;
/// How long a payment rests that could not be looked at, in milliseconds.
const REST_MS: u64 = 2_000;
/// Longest sleep before the clock is looked at again: clocks jump.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Shortest sleep, so that a clock that stands still costs nothing.
const SLEEP_MIN: Duration = Duration::from_millis(5);

/// Why payments are not looked after any more.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The log can't be followed any more.
    #[error("payments can't follow the log")]
    Log(#[from] StoreError),
}

impl Payments {
    /// Looks after open payments until `stop` turns true or the log ends.
    ///
    /// # Errors
    /// [`FollowError`] where the log can't be followed.
    pub async fn run(
        self,
        log: Subscription,
        stop: watch::Receiver<bool>,
    ) -> Result<(), FollowError> {
        follow(&self, log, stop).await
    }
}

impl Following for Payments {
    const WORK_MAX: usize = WORK_MAX;
    const LOOK_AGAIN: Duration = LOOK_AGAIN;
    const SLEEP_MIN: Duration = SLEEP_MIN;
    const JOB: &'static str = "looking at a payment";
    type Error = FollowError;

    /// Only which payments and executions the batch speaks of.
    fn take_in(&self, batch: &Batch) -> Result<(), FollowError> {
        let now = self.now();
        for recorded in batch.iter() {
            match recorded.stream.category() {
                "payment" => {
                    if let Some(id) = recorded.stream.payment_id() {
                        self.0.book.look_now(id, now);
                    }
                }
                "execution" if is_ending(&recorded.type_name) => {
                    if let Some(id) = recorded.stream.execution_id() {
                        self.0.book.ended(id, now);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn begin_due(&self, room: usize, work: &mut JoinSet<()>) {
        for (id, looks) in self.0.book.take_due(self.now(), room) {
            work.spawn(look(Looking { payments: self.clone(), id, next: None }, looks));
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.0.book.next_due()
    }

    fn now(&self) -> Timestamp {
        self.0.ledger.now()
    }

    async fn woken(&self) {
        self.0.book.woken().await;
    }
}

fn is_ending(type_name: &str) -> bool {
    matches!(type_name, "execution.completed" | "execution.failed" | "execution.cancelled")
}

async fn look(mut looking: Looking, looks: u32) {
    let id = looking.id;
    match looking.payments.work_on(id, looks).await {
        Ok(next) => looking.next = Some(next),
        Err(error) => tracing::error!(payment = %id, %error, "a payment can't be looked at"),
    }
}

/// Somebody looks at a payment; gives it back however that ends.
struct Looking {
    payments: Payments,
    id: PaymentId,
    next: Option<Next>,
}

impl Drop for Looking {
    fn drop(&mut self) {
        let now = self.payments.0.ledger.now();
        let next = self.next.unwrap_or(Next::At(now.plus_ms(REST_MS)));
        self.payments.0.book.looked(self.id, next, now);
    }
}
