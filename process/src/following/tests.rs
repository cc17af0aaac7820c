use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use execution_ledger_store::Feed;
use tokio::sync::Notify;

use super::*;

/// A feed that gives what it was filled with, and then nothing more, for ever.
struct Given(VecDeque<Result<Batch, StoreError>>);

#[async_trait]
impl Feed for Given {
    async fn next(&mut self) -> Option<Result<Batch, StoreError>> {
        match self.0.pop_front() {
            Some(given) => Some(given),
            None => std::future::pending().await,
        }
    }
}

fn log(given: Vec<Result<Batch, StoreError>>) -> Subscription {
    Subscription::new(Given(given.into()))
}

fn empty() -> Batch {
    Vec::new().into()
}

fn fault() -> Result<Batch, StoreError> {
    Err(StoreError::Fault("of the test".to_owned()))
}

/// Jobs that each wait for leave to end.
#[derive(Clone, Default)]
struct Jobs(Arc<State>);

#[derive(Default)]
struct State {
    left: AtomicUsize,
    begun: AtomicUsize,
    ended: AtomicUsize,
    batches: AtomicUsize,
    panics: AtomicUsize,
    told: Notify,
    leave: Notify,
}

impl Following for Jobs {
    const WORK_MAX: usize = 2;
    const LOOK_AGAIN: Duration = Duration::from_hours(1);
    const SLEEP_MIN: Duration = Duration::from_millis(1);
    const JOB: &'static str = "a test's job";
    type Error = StoreError;

    fn take_in(&self, _: &Batch) -> Result<(), StoreError> {
        self.0.batches.fetch_add(1, Ordering::SeqCst);
        self.0.told.notify_one();
        Ok(())
    }

    fn begin_due(&self, room: usize, work: &mut JoinSet<()>) {
        for _ in 0..room.min(self.0.left.load(Ordering::SeqCst)) {
            self.0.left.fetch_sub(1, Ordering::SeqCst);
            let jobs = self.clone();
            work.spawn(async move {
                jobs.0.begun.fetch_add(1, Ordering::SeqCst);
                jobs.0.told.notify_one();
                jobs.0.leave.notified().await;
                jobs.0.ended.fetch_add(1, Ordering::SeqCst);
                assert!(jobs.0.panics.load(Ordering::SeqCst) == 0, "on purpose");
            });
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        None
    }

    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    async fn woken(&self) {
        std::future::pending::<()>().await;
    }
}

impl Jobs {
    async fn until(&self, counter: &AtomicUsize, count: usize) {
        while counter.load(Ordering::SeqCst) < count {
            self.0.told.notified().await;
        }
    }
}

#[tokio::test]
async fn no_more_jobs_are_under_way_than_may_be_and_a_stop_waits_for_these() {
    let jobs = Jobs::default();
    jobs.0.left.store(3, Ordering::SeqCst);
    let (stop, stopped) = watch::channel(false);
    let running = {
        let jobs = jobs.clone();
        tokio::spawn(async move { follow(&jobs, log(vec![]), stopped).await })
    };
    jobs.until(&jobs.0.begun, 2).await;
    stop.send(true).expect("it listens");
    tokio::task::yield_now().await;
    assert!(!running.is_finished(), "two jobs are under way");
    jobs.0.leave.notify_one();
    jobs.0.leave.notify_waiters();
    running.await.expect("no panic").expect("no fault");
    assert_eq!((jobs.0.begun.load(Ordering::SeqCst), jobs.0.ended.load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test]
async fn a_job_that_panics_ends_nothing_else() {
    let jobs = Jobs::default();
    jobs.0.left.store(1, Ordering::SeqCst);
    jobs.0.panics.store(1, Ordering::SeqCst);
    let (stop, stopped) = watch::channel(false);
    let running = {
        let jobs = jobs.clone();
        tokio::spawn(async move { follow(&jobs, log(vec![Ok(empty())]), stopped).await })
    };
    jobs.until(&jobs.0.batches, 1).await;
    jobs.until(&jobs.0.begun, 1).await;
    jobs.0.leave.notify_one();
    stop.send(true).expect("it listens");
    running.await.expect("it did not panic itself").expect("no fault");
    assert_eq!(jobs.0.ended.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_fault_is_endured_and_what_comes_after_it_is_taken_in() {
    let jobs = Jobs::default();
    let (stop, stopped) = watch::channel(false);
    let running = {
        let jobs = jobs.clone();
        tokio::spawn(async move { follow(&jobs, log(vec![fault(), Ok(empty())]), stopped).await })
    };
    jobs.until(&jobs.0.batches, 1).await;
    stop.send(true).expect("it listens");
    running.await.expect("no panic").expect("no fault");
}

#[tokio::test]
async fn faults_in_a_row_end_it_and_a_batch_begins_the_count_anew() {
    let mut faults = Faults(FAULTS_MAX);
    assert!(faults.endured(fault()).await.is_err());
    assert!(faults.endured(Ok(empty())).await.is_ok_and(|batch| batch.is_some()));
    assert!(faults.endured(fault()).await.is_ok_and(|batch| batch.is_none()));
}

#[tokio::test]
async fn all_that_is_due_is_worked_off_in_turns() {
    let jobs = Jobs::default();
    jobs.0.left.store(5, Ordering::SeqCst);
    let working = work_off(&jobs);
    let leaving = async {
        for job in 1..=5 {
            jobs.until(&jobs.0.begun, job).await;
            jobs.0.leave.notify_one();
        }
    };
    tokio::join!(working, leaving);
    assert_eq!(jobs.0.ended.load(Ordering::SeqCst), 5);
}
