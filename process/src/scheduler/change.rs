//! Making and changing schedules.

use execution_ledger_domain::limits::schedule as limit;
use execution_ledger_domain::schedule::{Command, Created, Schedule};
use execution_ledger_domain::{Caller, ScheduleId, StreamName};
use execution_ledger_store::{Context, ExecuteError, Position};
use uuid::Uuid;

use super::draft::Written;
use super::{Draft, ScheduleError, Schedules, story};
use crate::tasks::{Request, SubmitError};

impl Schedules {
    /// Makes a schedule, of the caller's user.
    ///
    /// # Errors
    /// [`ScheduleError`] says which field can't be, or why the agent would not take the task.
    pub async fn create(
        &self,
        caller: &Caller,
        draft: Draft,
        request: &Request,
    ) -> Result<(ScheduleId, Position), ScheduleError> {
        if self.book().count() >= limit::SCHEDULES_MAX {
            return Err(ScheduleError::TooMany(limit::SCHEDULES_MAX));
        }
        let enabled = draft.enabled;
        let written = draft.write(None)?;
        self.check(caller, &written)?;
        let contents = written.contents();
        let id = ScheduleId(Uuid::now_v7());
        let created = Created {
            settings: written.settings,
            user: caller.actor.user.clone(),
            enabled,
            from: self.0.ledger.now(),
        };
        let command = Command::Create(Box::new(created));
        let stream = StreamName::schedule(id);
        let context = context(caller, id, request);
        let done =
            self.0.ledger.execute_new::<Schedule>(&stream, command, &contents, &context).await;
        let done = done.map_err(refused)?;
        self.learn(id, &done);
        Ok((id, done.position))
    }

    /// Replaces a schedule's settings, and whether it is enabled, in one append.
    ///
    /// # Errors
    /// As [`Schedules::create`], and [`ScheduleError::NotFound`].
    pub async fn change(
        &self,
        caller: &Caller,
        id: ScheduleId,
        draft: Draft,
        request: &Request,
    ) -> Result<Position, ScheduleError> {
        let (before, _) = self.written(caller, id).await?;
        let enabled = draft.enabled;
        let written = draft.write(Some(&before))?;
        self.check(caller, &written)?;
        let contents = written.contents();
        let now = self.0.ledger.now();
        let change = Command::Change { settings: Box::new(written.settings), enabled, now };
        let entry = self.entry_for(caller, id)?;
        let context = context(caller, id, request);
        let done = self.command(id, &entry, change, &contents, &context).await.map_err(refused)?;
        Ok(done.position)
    }

    /// Lets a schedule's ticks fire, or not.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`].
    pub async fn set_enabled(
        &self,
        caller: &Caller,
        id: ScheduleId,
        enabled: bool,
        request: &Request,
    ) -> Result<Position, ScheduleError> {
        let now = self.0.ledger.now();
        let command = if enabled { Command::Enable { now } } else { Command::Disable { now } };
        self.give(caller, id, command, request).await
    }

    /// Lets no tick of a schedule come any more.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`].
    pub async fn delete(
        &self,
        caller: &Caller,
        id: ScheduleId,
        request: &Request,
    ) -> Result<Position, ScheduleError> {
        let now = self.0.ledger.now();
        self.give(caller, id, Command::Delete { now }, request).await
    }

    async fn give(
        &self,
        caller: &Caller,
        id: ScheduleId,
        command: Command,
        request: &Request,
    ) -> Result<Position, ScheduleError> {
        let entry = self.entry_for(caller, id)?;
        let context = context(caller, id, request);
        let done = self.command(id, &entry, command, &[], &context).await.map_err(refused)?;
        Ok(done.position)
    }

    /// What the domain can't check: whether the agent would take the task from this caller.
    fn check(&self, caller: &Caller, written: &Written) -> Result<(), ScheduleError> {
        let Written { settings, message, system_prompt } = written;
        settings.check()?;
        if caller.may_call.as_ref().is_some_and(|agents| !agents.contains(&settings.agent)) {
            return Err(SubmitError::NotCallable(settings.agent.clone()).into());
        }
        let prompt = system_prompt.as_ref().map(|content| content.text.as_str());
        self.0.tasks.prepare_scheduled(settings, &message.text, prompt)?;
        Ok(())
    }
}

/// What a caller does with a schedule.
fn context(caller: &Caller, id: ScheduleId, request: &Request) -> Context {
    Context {
        actor: caller.actor.clone(),
        correlation_id: Some(story(id)),
        causation_id: Some(request.id.clone()),
        traceparent: request.traceparent.clone(),
    }
}

fn refused(error: ExecuteError<execution_ledger_domain::schedule::Rejection>) -> ScheduleError {
    use execution_ledger_domain::schedule::Rejection;
    match error {
        ExecuteError::Refused(Rejection::NotFound) => ScheduleError::NotFound,
        ExecuteError::Refused(Rejection::Settings(broken)) => broken.into(),
        other => other.into(),
    }
}
