//! What follows the log and does what falls due because of it: one loop for webhooks, payments and
//! schedules.

use std::future::Future;
use std::time::Duration;

use execution_ledger_domain::Timestamp;
use execution_ledger_store::{Batch, StoreError, Subscription};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Faults of the log in a row after which following it is given up.
const FAULTS_MAX: u32 = 20;
/// How long the first rest after such a fault is; later ones are longer.
const REST_AFTER_FAULT: Duration = Duration::from_millis(100);

/// Something that learns from the log what is to be done, and does it when it is due.
pub(crate) trait Following {
    /// Jobs that are under way at once: most.
    const WORK_MAX: usize;
    /// Longest sleep before the clock is looked at again: clocks jump.
    const LOOK_AGAIN: Duration;
    /// Shortest sleep before a job is due, so that a clock that stands still costs little.
    const SLEEP_MIN: Duration;
    /// What a job does, for the words "… panicked".
    const JOB: &'static str;
    /// Why it stops.
    type Error: From<StoreError>;

    /// Takes in a batch of the log.
    ///
    /// # Errors
    /// It can't go on without what the batch says.
    fn take_in(&self, batch: &Batch) -> Result<(), Self::Error>;

    /// Begins what is due by now; at most `room` jobs.
    fn begin_due(&self, room: usize, work: &mut JoinSet<()>);

    /// When the next job is due.
    fn next_due(&self) -> Option<Timestamp>;

    /// Now, by the clock that decides what is due.
    fn now(&self) -> Timestamp;

    /// Waits until something may be due that was not.
    fn woken(&self) -> impl Future<Output = ()> + Send;
}

/// Follows the log and does what falls due until `stop` turns true or the log ends. After a stop, what
/// is under way is finished.
///
/// # Errors
/// The log can't be followed, or a batch of it can't be taken in.
pub(crate) async fn follow<F: Following>(
    following: &F,
    mut log: Subscription,
    mut stop: watch::Receiver<bool>,
) -> Result<(), F::Error> {
    let mut work = JoinSet::new();
    let mut faults = Faults::default();
    loop {
        begin_due(following, &mut work);
        tokio::select! {
            batch = log.next() => match batch {
                Some(batch) => {
                    if let Some(batch) = faults.endured(batch).await? {
                        following.take_in(&batch)?;
                    }
                }
                None => return Ok(()),
            },
            Some(ended) = work.join_next(), if !work.is_empty() => {
                if let Err(panic) = ended {
                    tracing::error!(%panic, "{} panicked", F::JOB);
                }
            }
            () = following.woken() => {}
            () = tokio::time::sleep(until_next(following)), if work.len() < F::WORK_MAX => {}
            () = told_to_stop(&mut stop) => break,
        }
    }
    while work.join_next().await.is_some() {}
    Ok(())
}

/// Does everything that is due, and waits until it is done.
#[cfg(test)]
pub(crate) async fn work_off<F: Following>(following: &F) {
    let mut work = JoinSet::new();
    loop {
        begin_due(following, &mut work);
        if work.join_next().await.is_none() {
            return;
        }
    }
}

fn begin_due<F: Following>(following: &F, work: &mut JoinSet<()>) {
    following.begin_due(F::WORK_MAX.saturating_sub(work.len()), work);
}

fn until_next<F: Following>(following: &F) -> Duration {
    let (now, next) = (following.now(), following.next_due());
    let wait = next.map_or(F::LOOK_AGAIN, |at| Duration::from_millis(at.ms_since(now) + 1));
    wait.clamp(F::SLEEP_MIN, F::LOOK_AGAIN)
}

/// Faults of the log in a row.
#[derive(Debug, Default)]
pub(crate) struct Faults(u32);

impl Faults {
    /// What a subscription gave. After a fault it rests and gives nothing: the subscription stays where
    /// it was, and the same events are asked for again.
    ///
    /// # Errors
    /// There were too many faults in a row: the last of them.
    pub async fn endured(
        &mut self,
        given: Result<Batch, StoreError>,
    ) -> Result<Option<Batch>, StoreError> {
        match given {
            Ok(batch) => {
                self.0 = 0;
                Ok(Some(batch))
            }
            Err(error) if self.0 < FAULTS_MAX => {
                self.0 += 1;
                tracing::error!(%error, faults = self.0, "the log can't be followed at the moment");
                tokio::time::sleep(REST_AFTER_FAULT * self.0).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Waits until `stop` turns true.
pub(crate) async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can stop it any more, which is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
}

#[cfg(test)]
mod tests;
