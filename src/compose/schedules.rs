//! From the read models to what the scheduler needs of them.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_process::scheduler::{LoadedRun, LoadedSchedule, SchedulerError, Schedules};
use execution_ledger_process::tasks::Tasks;
use execution_ledger_projections::Views;
use execution_ledger_store::{EventStore, Ledger};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use super::ServeError;

/// How long decisions that are under way may take at the end.
const SCHEDULER_STOP: Duration = Duration::from_secs(10);

/// The scheduler at work.
pub struct Scheduler {
    /// What callers can do with schedules.
    pub schedules: Schedules,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), SchedulerError>>,
}

impl Scheduler {
    /// Goes on with the schedules where the read models are; decides nothing where another node does.
    pub async fn start(
        views: &Views,
        store: &Arc<dyn EventStore>,
        ledger: Ledger,
        tasks: Tasks,
        decides: bool,
    ) -> Result<Self, ServeError> {
        let failed =
            |error: &dyn std::fmt::Display| ServeError::Part(format!("the schedules: {error}"));
        let read = views.schedule_work().await.map_err(|error| failed(&error))?;
        let (position, heads, runs) = read;
        let loaded = heads.into_iter().map(|head| LoadedSchedule {
            id: head.id,
            state: head.state,
            head: head.head,
            settings_revision: head.settings_revision,
        });
        let runs = runs.into_iter().map(|run| LoadedRun {
            execution: run.execution_id,
            schedule: run.schedule_id,
            owed: run.owed,
        });
        let schedules = Schedules::new(ledger, tasks, loaded.collect(), runs.collect());
        let log = store.subscribe(position).await.map_err(|error| failed(&error))?;
        let (stop, stopped) = watch::channel(false);
        let running = schedules.clone();
        let task =
            tokio::spawn(
                async move { if decides { running.run(log, stopped).await } else { Ok(()) } },
            );
        Ok(Self { schedules, stop, task })
    }

    /// Waits until it ends although nobody stopped it: then no tick would be decided any more, and a
    /// supervising system should know.
    pub async fn ended(&mut self) -> ServeError {
        let ended: Result<Result<(), SchedulerError>, JoinError> = (&mut self.task).await;
        let why = match ended {
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
            Ok(Ok(())) => "the event log has ended".to_owned(),
        };
        ServeError::Part(format!("the scheduler: {why}"))
    }

    /// Stops it once what is being decided is decided.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(SCHEDULER_STOP, self.task).await.is_err() {
            tracing::warn!("some ticks were still being decided; the next start goes on with them");
        }
    }
}
