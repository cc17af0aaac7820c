//! Firing a schedule now, because somebody asks for it.

use execution_ledger_domain::schedule::{Cause, Fired};
use execution_ledger_domain::{AgentName, Caller, ExecutionId, ScheduleId, StreamName};
use execution_ledger_store::{ExecuteError, Position, With};
use uuid::Uuid;

use super::decide::{Order, Undecided};
use super::{ScheduleError, Schedules};
use crate::budgets;
use crate::tasks::{Request, SubmitError, ToReserve};

/// What triggering a schedule led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triggered {
    /// The execution.
    pub execution_id: ExecutionId,
    /// Its agent.
    pub agent: AgentName,
    /// Position of its first event.
    pub position: Position,
    /// How many secrets were redacted in the message.
    pub redactions: u32,
    /// Whether an earlier request with the same key was answered again.
    pub replayed: bool,
}

impl From<Undecided> for ScheduleError {
    fn from(error: Undecided) -> Self {
        match error {
            Undecided::Store(error) => error.into(),
            Undecided::Write(error) => error.into(),
            Undecided::Task(error) => error.into(),
            Undecided::TooLate => Self::Write(ExecuteError::Contended),
        }
    }
}

impl Schedules {
    /// Fires a schedule now, also a disabled one, whatever of it is still open. No tick is decided.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`], or why the agent does not take the task.
    pub async fn trigger(
        &self,
        caller: &Caller,
        id: ScheduleId,
        idempotency_key: Option<&str>,
        request: &Request,
    ) -> Result<Triggered, ScheduleError> {
        let entry = self.entry_for(caller, id)?;
        let active = entry.state.active().ok_or(ScheduleError::NotFound)?;
        let agent = active.settings.agent.clone();
        let redactions = active.settings.redactions;
        let execution_id = match idempotency_key {
            None => ExecutionId(Uuid::now_v7()),
            Some(key) => ExecutionId::of_trigger(id, &caller.actor.id, key),
        };
        if idempotency_key.is_some()
            && let Some(position) = self.first_position(execution_id).await?
        {
            return Ok(Triggered { execution_id, agent, position, redactions, replayed: true });
        }
        if caller.may_call.as_ref().is_some_and(|agents| !agents.contains(&agent)) {
            return Err(SubmitError::NotCallable(agent).into());
        }
        let words = self.words(id, &entry, active).await?.ok_or(ScheduleError::Erased)?;
        let prompt = words.system_prompt.as_deref();
        let tasks = &self.0.tasks;
        let mut prepared = tasks.prepare_scheduled(&active.settings, &words.message, prompt)?;
        let to_reserve = ToReserve {
            id: execution_id,
            settings: &active.settings,
            actor: &caller.actor,
            user: &active.user,
        };
        let reserved = tasks.reserve_scheduled(&[], &to_reserve, &mut prepared).await;
        let reservation =
            reserved.map_err(|refusal| SubmitError::from(budgets::for_caller(caller, refusal)))?;
        let fired = Fired { tick: self.0.ledger.now(), execution_id, cause: Cause::Triggered };
        let (actor, request) = (caller.actor.clone(), Some(request.clone()));
        let replaced = Vec::new();
        let order = Order { id, entry: &entry, active, fired, replaced, actor, request };
        if let Some(position) = self.carry_out(order, prepared, words, reservation).await? {
            return Ok(Triggered { execution_id, agent, position, redactions, replayed: false });
        }
        // The same request came twice at once, and the other one was first.
        let position = self.first_position(execution_id).await?.unwrap_or(entry.head.position);
        Ok(Triggered { execution_id, agent, position, redactions, replayed: true })
    }

    async fn first_position(&self, id: ExecutionId) -> Result<Option<Position>, ScheduleError> {
        let stream = StreamName::execution(id);
        let first = self.0.ledger.store().read_stream(&stream, 0, 1, With::EventsOnly).await?;
        Ok(first.first().map(|recorded| recorded.position))
    }
}
