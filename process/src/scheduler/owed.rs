//! Submitting what was fired and is not there: the ledger died between, or the store failed.

use execution_ledger_domain::schedule::{Fired, ScheduleEvent};
use execution_ledger_domain::{Event, ExecutionId, ScheduleId, StreamName};
use execution_ledger_store::{Metadata, Recorded, StoreError, With};

use super::Schedules;
use super::decide::{Undecided, overlap_of};
use crate::tasks::FiredTask;

impl Schedules {
    /// Submits all that the schedule owes.
    pub(super) async fn submit_owed(&self, id: ScheduleId) -> Result<(), Undecided> {
        let owed = self.book().owed(id);
        for (execution, revision) in owed {
            if self.0.tasks.is_there(execution).await? {
                if self.0.tasks.is_open(execution).await? {
                    self.book().submitted(execution);
                } else {
                    self.book().ended(execution);
                }
                continue;
            }
            self.submit_one(id, execution, revision).await?;
        }
        Ok(())
    }

    async fn submit_one(
        &self,
        id: ScheduleId,
        execution: ExecutionId,
        revision: u64,
    ) -> Result<(), Undecided> {
        let Some(entry) = self.book().entry(id).cloned() else { return Ok(()) };
        let Some(made) = entry.state.made() else { return Ok(()) };
        let Some(words) = self.words(id, &entry, made).await? else {
            // Nobody knows any more what it was to do. It is told again at the next start.
            tracing::error!(%execution, "a fired execution can't be submitted: its text is erased");
            self.book().ended(execution);
            return Ok(());
        };
        let prepared =
            self.0.tasks.hold_scheduled(&made.settings, &made.user).map_err(Undecided::Task)?;
        // Whoever fired it is who asked for it, as if nothing had come between.
        let (recorded, fired, metadata) = self.fired_event(id, revision).await?;
        let overlap = overlap_of(&made.settings, fired.cause);
        self.supersede(&self.replaced(id, execution, overlap), &metadata.actor).await?;
        let task = FiredTask {
            id: execution,
            schedule: id,
            settings: &made.settings,
            actor: &metadata.actor,
            user: &made.user,
            cause: recorded.id.to_string(),
            traceparent: metadata.traceparent,
        };
        self.0.tasks.submit_fired(task, prepared, words.texts()?).await?;
        tracing::warn!(schedule = %id, %execution, "an execution that was fired is submitted");
        self.book().submitted(execution);
        Ok(())
    }

    /// The event by which an execution was fired.
    async fn fired_event(
        &self,
        id: ScheduleId,
        revision: u64,
    ) -> Result<(Recorded, Fired, Metadata), StoreError> {
        let stream = StreamName::schedule(id);
        let fault = |problem: String| StoreError::Fault(format!("{stream}@{revision}: {problem}"));
        let store = self.0.ledger.store();
        let read = store.read_stream(&stream, revision, 1, With::EventsOnly).await?;
        let recorded = read.into_iter().next().ok_or_else(|| fault("no event".to_owned()))?;
        let event = recorded.event().map_err(|error| fault(error.to_string()))?;
        let Event::Schedule(ScheduleEvent::Fired(fired)) = event else {
            return Err(fault("nothing was fired by it".to_owned()));
        };
        let metadata = recorded.parsed_metadata().map_err(|error| fault(error.to_string()))?;
        Ok((recorded, fired, metadata))
    }
}
