//! Following the log for what payments lead to: executions to accept, refunds to owe, doubts to resolve.

use std::time::Duration;

use execution_ledger_domain::PaymentId;
use execution_ledger_store::{Batch, StoreError, Subscription};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Payments;
use super::book::Next;

/// Payments that are looked at at once.
const WORK_MAX: usize = 16;
/// Faults of the log in a row after which following it is given up.
const FAULTS_MAX: u32 = 20;
/// How long the first rest after such a fault is; later ones are longer.
const REST_AFTER_FAULT: Duration = Duration::from_millis(100);
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
    Log(#[source] StoreError),
}

impl Payments {
    /// Looks after open payments until `stop` turns true or the log ends.
    ///
    /// # Errors
    /// [`FollowError`] where the log can't be followed.
    pub async fn run(
        self,
        mut log: Subscription,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), FollowError> {
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
                    Some(Err(error)) => return Err(FollowError::Log(error)),
                    None => return Ok(()),
                },
                Some(ended) = work.join_next(), if !work.is_empty() => {
                    if let Err(panic) = ended {
                        tracing::error!(%panic, "looking at a payment panicked");
                    }
                }
                () = self.0.book.woken() => {}
                () = tokio::time::sleep(self.until_next()), if work.len() < WORK_MAX => {}
                () = told_to_stop(&mut stop) => break,
            }
        }
        while work.join_next().await.is_some() {}
        Ok(())
    }

    /// Does all that is due now, and waits until it is done.
    pub async fn work_off(&self) {
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
        for (id, looks) in self.0.book.take_due(self.0.ledger.now(), room) {
            work.spawn(look(Looking { payments: self.clone(), id, next: None }, looks));
        }
    }

    fn until_next(&self) -> Duration {
        let now = self.0.ledger.now();
        let next = self.0.book.next_due();
        let wait = next.map_or(LOOK_AGAIN, |at| Duration::from_millis(at.ms_since(now) + 1));
        wait.clamp(SLEEP_MIN, LOOK_AGAIN)
    }

    /// Takes in a batch of the log: only which payments and executions it speaks of.
    pub fn apply(&self, batch: &Batch) {
        let now = self.0.ledger.now();
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

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can stop it any more, which is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
}
