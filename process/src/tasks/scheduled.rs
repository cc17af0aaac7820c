//! Tasks that come by a schedule: checked like those of callers, and accepted in the schedule's name.

use execution_ledger_domain::agent::AgentConfig;
use execution_ledger_domain::budget::Spend;
use execution_ledger_domain::execution::{
    CancelCause, Command, Execution, Pending, Rejection, Requester, Trigger,
};
use execution_ledger_domain::policy::NotAdmitted;
use execution_ledger_domain::schedule::Settings;
use execution_ledger_domain::{
    Actor, ActorKind, AgentName, Content, ExecutionId, ScheduleId, StreamName, UserName, limits,
};
use execution_ledger_store::{Context, ExecuteError, Position, StoreError};
use serde_json::json;

use super::validate::{self, Narrowed};
use super::{NewTask, SubmitError, Tasks, Via};
use crate::accepted::Texts;
use crate::budgets::{self, Asked};
use crate::desk::Reservation;

/// A scheduled task that its agent would take as it is now.
pub(crate) struct Prepared {
    narrowed: Narrowed,
    max_retries: u32,
}

/// An execution that a schedule fired.
pub(crate) struct FiredTask<'a> {
    /// Its id.
    pub id: ExecutionId,
    /// The schedule.
    pub schedule: ScheduleId,
    /// What the schedule is to do.
    pub settings: &'a Settings,
    /// Who fired it: the scheduler or a caller, for the schedule's user.
    pub actor: &'a Actor,
    /// The schedule's user.
    pub user: &'a UserName,
    /// The event by which it was fired.
    pub cause: String,
    /// W3C trace context of the request, where a caller sent one.
    pub traceparent: Option<String>,
}

/// What a place is kept for.
pub(crate) struct ToReserve<'a> {
    /// The execution that is about to be fired.
    pub id: ExecutionId,
    /// What its schedule is to do.
    pub settings: &'a Settings,
    /// Who fires it.
    pub actor: &'a Actor,
    /// The schedule's user.
    pub user: &'a UserName,
}

impl Tasks {
    /// Checks what a schedule is to do against its agent's settings.
    ///
    /// # Errors
    /// As submitting the task would be refused now.
    pub(crate) fn prepare_scheduled(
        &self,
        settings: &Settings,
        message: &str,
        system_prompt: Option<&str>,
    ) -> Result<Prepared, SubmitError> {
        self.desk.takes_tasks(&settings.agent)?;
        let config = self.config_of(&settings.agent)?;
        validate::message(&config, message)?;
        if let Some(text) = system_prompt {
            validate::system_prompt(&config, text)?;
        }
        let narrowed = validate::narrow(&config, &wishes(settings))?;
        Ok(Prepared { narrowed, max_retries: config.max_retries })
    }

    /// The same for a task that was fired already: each wish is held to what its agent allows today, so
    /// that what was recorded as fired is submitted and may do no more than its schedule says.
    pub(crate) fn hold_scheduled(
        &self,
        settings: &Settings,
        user: &UserName,
    ) -> Result<Prepared, SubmitError> {
        let config = self.config_of(&settings.agent)?;
        let mut narrowed = validate::hold(&config, &wishes(settings));
        narrowed.max_cost = self.desk.most(&settings.agent, user, narrowed.max_cost);
        Ok(Prepared { narrowed, max_retries: config.max_retries })
    }

    /// Keeps a place in the agent's queue, where `others` are about to be cancelled, and room in the
    /// budgets; the task may cost no more than these allow. What a budget refuses is recorded.
    pub(crate) async fn reserve_scheduled(
        &self,
        others: &[ExecutionId],
        task: &ToReserve<'_>,
        prepared: &mut Prepared,
    ) -> Result<Reservation<'_>, NotAdmitted> {
        let agent = &task.settings.agent;
        let spend = Spend {
            now: self.ledger.now(),
            user: task.user.clone(),
            max: prepared.narrowed.max_cost,
            named: false,
        };
        match self.desk.reserve_instead_of(others, agent, task.id, &spend) {
            Ok(reservation) => {
                prepared.narrowed.max_cost = reservation.max_cost();
                Ok(reservation)
            }
            Err(refusal) => {
                let (actor, user) = (task.actor, task.user);
                let asked = Asked { agent, user, actor, cause: None, traceparent: None };
                Err(budgets::record(&self.ledger, &self.desk, &asked, refusal).await)
            }
        }
    }

    /// Makes a fired execution durable; answers the position of its event, or nothing where it was
    /// there before.
    pub(crate) async fn submit_fired(
        &self,
        task: FiredTask<'_>,
        prepared: Prepared,
        texts: Texts,
    ) -> Result<Option<Position>, StoreError> {
        let Prepared { narrowed, max_retries } = prepared;
        let FiredTask { id, schedule, settings, .. } = task;
        let mark = json!(["schedule", schedule, id]).to_string();
        let pending = Pending {
            agent: settings.agent.clone(),
            triggered_by: Trigger::Schedule,
            message: texts.message.reference(),
            redactions: settings.redactions,
            requested_by: Requester { kind: task.actor.kind, id: task.actor.id.clone() },
            user: task.user.clone(),
            expires_at: self.ledger.now().plus_s(limits::QUEUE_MAX_S),
            request_sha256: self.secret.mark(mark.as_bytes()),
            source_agent: None,
            parent_execution_id: None,
            depth: 0,
            chat_session_id: None,
            inject_result: false,
            retry_of: None,
            attempt: 1,
            max_retries,
            not_before: None,
            schedule_id: Some(schedule),
            payment_id: None,
            model_requested: narrowed.model,
            timeout_s: narrowed.timeout_s,
            max_cost_nano_usd: narrowed.max_cost,
            allowed_tools: narrowed.allowed_tools,
            system_prompt: texts.system_prompt.as_ref().map(Content::reference),
            max_turns: narrowed.max_turns,
            resume_session_id: None,
        };
        let context = Context {
            actor: task.actor.clone(),
            correlation_id: Some(id.to_string()),
            causation_id: Some(task.cause),
            traceparent: task.traceparent,
        };
        let stream = StreamName::execution(id);
        let command = Command::Submit(Box::new(pending));
        let contents = texts.into_contents();
        match self.ledger.execute_new::<Execution>(&stream, command, &contents, &context).await {
            Ok(done) => Ok(Some(done.position)),
            Err(ExecuteError::Refused(Rejection::AlreadySubmitted)) => Ok(None),
            Err(ExecuteError::Store(fault)) => Err(fault),
            Err(other) => Err(StoreError::Fault(other.to_string())),
        }
    }

    /// Whether an execution has not ended, as the log has it now.
    pub(crate) async fn is_open(&self, id: ExecutionId) -> Result<bool, StoreError> {
        Ok(!matches!(self.load(id).await?, Execution::Ended { .. }))
    }

    /// Whether an execution is there, as the log has it now.
    pub(crate) async fn is_there(&self, id: ExecutionId) -> Result<bool, StoreError> {
        Ok(!matches!(self.load(id).await?, Execution::Absent))
    }

    /// Stops an execution of a schedule, or lets it never start, because the next tick takes its place.
    pub(crate) async fn supersede(&self, id: ExecutionId, actor: &Actor) -> Result<(), StoreError> {
        let context = Context {
            actor: actor.clone(),
            correlation_id: None,
            causation_id: None,
            traceparent: None,
        };
        let command = Command::Cancel { cause: CancelCause::Superseded };
        let stream = StreamName::execution(id);
        match self.ledger.execute::<Execution>(&stream, command, &[], &context).await {
            // A refusal means that there is nothing to stop.
            Ok(_) | Err(ExecuteError::Refused(_)) => Ok(()),
            Err(ExecuteError::Store(fault)) => Err(fault),
            Err(other) => Err(StoreError::Fault(other.to_string())),
        }
    }

    fn config_of(&self, agent: &AgentName) -> Result<AgentConfig, SubmitError> {
        let unknown = || NotAdmitted::UnknownAgent(agent.clone());
        Ok(self.desk.config(agent).ok_or_else(unknown)?)
    }
}

/// The scheduler, on behalf of a schedule's user.
pub(crate) fn scheduler(user: &UserName) -> Actor {
    Actor { kind: ActorKind::System, id: "scheduler".to_owned(), user: user.clone(), agent: None }
}

/// What narrows the agent's settings, without the texts.
fn wishes(settings: &Settings) -> NewTask {
    NewTask {
        via: Via::Rest,
        waits: false,
        message: String::new(),
        inject_result: false,
        chat_session_id: None,
        model: settings.model.clone(),
        timeout_s: settings.timeout_s,
        max_cost: settings.max_cost_nano_usd,
        allowed_tools: settings.allowed_tools.clone(),
        system_prompt: None,
        max_turns: settings.max_turns,
        resume_session_id: None,
        parent_execution_id: None,
        idempotency_key: None,
    }
}
