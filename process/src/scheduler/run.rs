//! The scheduler's loop: follows the log, looks at the clock, lets due schedules be decided.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::{Event, ExecutionId, Timestamp};
use execution_ledger_store::{Batch, Recorded, StoreError, Subscription};
use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Schedules;
use crate::following::{Following, follow};

/// Schedules that are worked on at once.
const WORK_MAX: usize = 64;
/// How long a schedule rests after deciding a tick of it panicked.
const REST_AFTER_PANIC: Duration = Duration::from_secs(1);
/// Longest that the scheduler sleeps before it looks at the clock again: clocks jump.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Shortest sleep before a tick, so that a clock that stands still costs nothing.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// Why the scheduler stopped.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The log can't be followed any more.
    #[error("the scheduler can't follow the log")]
    Log(#[from] StoreError),
    /// A stored event can't be read; deciding without it could fire a tick twice.
    #[error("the scheduler stopped before event {position}: {reason}")]
    Unreadable {
        /// Its number in the log.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl Schedules {
    /// Decides ticks until `stop` turns true or the log ends.
    ///
    /// # Errors
    /// [`SchedulerError`] where the log can't be followed: no tick is decided any more then.
    pub async fn run(
        self,
        log: Subscription,
        stop: watch::Receiver<bool>,
    ) -> Result<(), SchedulerError> {
        follow(&self, log, stop).await
    }

    fn take_in_execution(&self, id: ExecutionId, event: &ExecutionEvent) {
        match event {
            ExecutionEvent::Pending(pending) => match (pending.schedule_id, pending.retry_of) {
                (Some(schedule), Some(_)) => self.book().tried_again(schedule, id),
                _ => self.book().submitted(id),
            },
            ended if ended.outcome().is_some() => self.book().ended(id),
            _ => {}
        }
    }
}

impl Following for Schedules {
    const WORK_MAX: usize = WORK_MAX;
    const LOOK_AGAIN: Duration = LOOK_AGAIN;
    const SLEEP_MIN: Duration = SLEEP_MIN;
    const JOB: &'static str = "deciding a tick";
    type Error = SchedulerError;

    fn take_in(&self, batch: &Batch) -> Result<(), SchedulerError> {
        for recorded in batch.iter() {
            let unreadable = |reason: String| SchedulerError::Unreadable {
                position: recorded.position.number(),
                reason,
            };
            // Most events are about executions of nobody's schedule: they are not read at all.
            match recorded.stream.category() {
                "schedule" => {
                    let event = recorded.event().map_err(|error| unreadable(error.to_string()))?;
                    if let (Event::Schedule(event), Some(id)) =
                        (event, recorded.stream.schedule_id())
                    {
                        self.book().apply(id, recorded, &event);
                    }
                }
                "execution" => {
                    let Some(id) = recorded.stream.execution_id() else { continue };
                    if !self.book().knows(id) && !may_be_attempt(recorded) {
                        continue;
                    }
                    let event = recorded.event().map_err(|error| unreadable(error.to_string()))?;
                    if let Event::Execution(event) = event {
                        self.take_in_execution(id, &event);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn begin_due(&self, room: usize, work: &mut JoinSet<()>) {
        let (now, _) = self.look();
        let due = self.book().take_due(now, room);
        for id in due {
            let busy = Busy { schedules: self.clone(), id };
            work.spawn(async move { rest_after_panic(busy.schedules.work_on(busy.id)).await });
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.next_tick()
    }

    fn now(&self) -> Timestamp {
        self.0.ledger.now()
    }

    async fn woken(&self) {
        self.0.wake.notified().await;
    }
}

/// Whether an event may be the first one of a new attempt: these are read, as the overlap of a schedule
/// counts them as it counts the first.
fn may_be_attempt(recorded: &Recorded) -> bool {
    recorded.revision == 0 && recorded.data.contains("\"retry_of\"")
}

/// Lets a schedule be worked on; rests after a panic, which would otherwise come again at once.
async fn rest_after_panic(work: impl Future<Output = ()>) {
    // What is shared stands behind the book's lock, and each change of it is whole.
    if AssertUnwindSafe(work).catch_unwind().await.is_err() {
        tracing::error!("deciding a tick panicked, and will be tried again");
        tokio::time::sleep(REST_AFTER_PANIC).await;
    }
}

/// Somebody works on a schedule; gives it back however that ends.
struct Busy {
    schedules: Schedules,
    id: execution_ledger_domain::ScheduleId,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.schedules.book().give_back(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_followed_by_a_rest_and_nothing_else_is() {
        let mut panicking = pin!(rest_after_panic(async { panic!("on purpose") }));
        assert!(futures::poll!(&mut panicking).is_pending(), "it rests");
        let mut calm = pin!(rest_after_panic(async {}));
        assert!(futures::poll!(&mut calm).is_ready());
    }
}
