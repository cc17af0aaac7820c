//! Accepting a task.

use std::borrow::Cow;

use execution_ledger_domain::agent::AgentConfig;
use execution_ledger_domain::budget::Spend;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{
    Command, Execution, Pending, Rejection, Requester, Trigger,
};
use execution_ledger_domain::policy::NotAdmitted;
use execution_ledger_domain::{
    AgentName, Caller, Content, Event, ExecutionId, Role, StreamName, limits,
};
use execution_ledger_store::{ExecuteError, StoreError, With};
use serde_json::json;
use uuid::Uuid;

use super::validate::{self, Narrowed, invalid};
use super::{NewTask, Request, SubmitError, Submitted, Tasks, Via, context, ownership};
use crate::budgets::{self, Asked};
use crate::desk::Reservation;
use crate::redact::Redactor;
use crate::salt;

/// What a new execution takes from the one above it.
pub(super) struct Above {
    pub execution: Option<ExecutionId>,
    pub correlation: Option<String>,
    pub depth: u32,
}

impl Tasks {
    /// Accepts a task: checks it, keeps a place in the queue, and makes it durable.
    pub async fn submit(
        &self,
        caller: &Caller,
        agent: &AgentName,
        mut task: NewTask,
        request: &Request,
    ) -> Result<Submitted, SubmitError> {
        may_call(caller, agent)?;
        let mark = self.mark(agent, &task);
        let id = match &task.idempotency_key {
            None => ExecutionId(Uuid::now_v7()),
            Some(key) => ExecutionId::derived(&caller.actor.id, agent, key),
        };
        // A repeated request is answered as the first one was, whatever has been changed since.
        if task.idempotency_key.is_some()
            && let Some(first) = self.submitted_before(id, mark).await?
        {
            return Ok(first);
        }
        let config =
            self.desk.config(agent).ok_or_else(|| NotAdmitted::UnknownAgent(agent.clone()))?;
        if task.inject_result && task.chat_session_id.is_none() {
            task.chat_session_id = self.own_session(caller).await?;
        }
        self.check(caller, agent, &config, &task).await?;
        let narrowed = validate::narrow(&config, &task)?;
        let above = self.above(caller, task.parent_execution_id).await?;
        if let Some(run) = &caller.run
            && task.waits
            && self.desk.policy().would_deadlock(agent, run.execution_id)
        {
            return Err(SubmitError::WouldDeadlock(agent.clone()));
        }

        let spend = Spend {
            now: self.ledger.now(),
            user: caller.actor.user.clone(),
            max: narrowed.max_cost,
            named: task.max_cost.is_some(),
        };
        let reserved = match task.via {
            Via::Chat => self.desk.reserve_turn(agent, id, &spend),
            Via::Rest | Via::Mcp => self.desk.reserve(agent, id, &spend),
        };
        let reservation = match reserved {
            Ok(reservation) => reservation,
            Err(refusal) => {
                // The place that is missing may be the one that the first of two equal requests took.
                if task.idempotency_key.is_some()
                    && let Some(first) = self.submitted_before(id, mark).await?
                {
                    return Ok(first);
                }
                return Err(self.refused(caller, agent, &spend, refusal, request).await);
            }
        };
        let narrowed = Narrowed { max_cost: reservation.max_cost(), ..narrowed };
        let accepted = Accepted { id, agent, config: &config, task, narrowed, above, mark };
        self.append(caller, accepted, reservation, request).await
    }

    /// A task is not admitted: records it where a budget refused it.
    pub(super) async fn refused(
        &self,
        caller: &Caller,
        agent: &AgentName,
        spend: &Spend,
        refusal: NotAdmitted,
        request: &Request,
    ) -> SubmitError {
        let asked = Asked::by(caller, agent, &spend.user, request);
        let refusal = budgets::record(&self.ledger, &self.desk, &asked, refusal).await;
        budgets::for_caller(caller, refusal).into()
    }

    async fn append(
        &self,
        caller: &Caller,
        accepted: Accepted<'_>,
        reservation: Reservation<'_>,
        request: &Request,
    ) -> Result<Submitted, SubmitError> {
        let (id, mark) = (accepted.id, accepted.mark);
        let turn_of = accepted.task.chat_session_id.filter(|_| accepted.task.via == Via::Chat);
        let root = accepted.above.correlation.clone().unwrap_or_else(|| id.to_string());
        let (pending, contents) = self.pending(caller, accepted)?;
        let redactions = pending.redactions;
        let context = context(caller, Some(root), request);
        let stream = StreamName::execution(id);
        let command = Command::Submit(Box::new(pending));
        if let Some(session) = turn_of {
            self.note_message(caller, session, id, request).await?;
        }
        match self.ledger.execute_new::<Execution>(&stream, command, &contents, &context).await {
            Ok(done) => {
                reservation.keep();
                Ok(Submitted {
                    execution_id: id,
                    position: done.position,
                    redactions,
                    replayed: false,
                })
            }
            // The same key came twice at once, and the other one was first.
            Err(ExecuteError::Refused(Rejection::AlreadySubmitted)) => {
                let first = self.submitted_before(id, mark).await?;
                first.ok_or(SubmitError::Write(ExecuteError::Contended))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn check(
        &self,
        caller: &Caller,
        agent: &AgentName,
        config: &AgentConfig,
        task: &NewTask,
    ) -> Result<(), SubmitError> {
        validate::message(config, &task.message)?;
        if let Some(text) = &task.system_prompt {
            validate::system_prompt(config, text)?;
        }
        match task.chat_session_id {
            Some(session) => {
                let field = if task.via == Via::Chat { "id" } else { "chat_session_id" };
                self.check_session(caller, session, field).await?;
            }
            None if task.inject_result => {
                let problem = "a result can only be injected into a session: give chat_session_id";
                return invalid("inject_result", "session_required", problem);
            }
            None => {}
        }
        let Some(session) = &task.resume_session_id else { return Ok(()) };
        validate::resume_session_id(session)?;
        if self.sessions.is_resumable(agent, session, &caller.scope).await? {
            return Ok(());
        }
        let problem = "no execution of this agent that this key may read had that agent_session_id";
        invalid("resume_session_id", "unknown_agent_session", problem)
    }

    /// The execution above the new one: the calling run, or the one that the caller names.
    pub(super) async fn above(
        &self,
        caller: &Caller,
        named: Option<ExecutionId>,
    ) -> Result<Above, SubmitError> {
        let own = caller.run.as_ref().map(|run| run.execution_id);
        if let (Some(own), Some(named)) = (own, named)
            && own != named
        {
            let problem = "a run's own execution is the parent of what it starts";
            return invalid("parent_execution_id", "foreign_parent", problem);
        }
        let Some(execution) = own.or(named) else {
            return Ok(Above { execution: None, correlation: None, depth: 0 });
        };
        let stream = StreamName::execution(execution);
        let first = self.ledger.store().read_stream(&stream, 0, 1, With::EventsOnly).await?;
        let fault = |error: &dyn std::fmt::Display| StoreError::Fault(format!("{stream}: {error}"));
        let Some(recorded) = first.first() else { return unknown_parent() };
        let event = recorded.event().map_err(|error| fault(&error))?;
        let Event::Execution(execution_ledger_domain::execution::ExecutionEvent::Pending(parent)) =
            event
        else {
            return unknown_parent();
        };
        if !caller.sees(&ownership(&parent)) {
            return unknown_parent();
        }
        let depth = parent.depth + 1;
        if depth > limits::CALL_DEPTH_MAX {
            let problem = format!("calls go at most {} deep", limits::CALL_DEPTH_MAX);
            return invalid("parent_execution_id", "call_depth_exceeded", problem);
        }
        let metadata = recorded.parsed_metadata().map_err(|error| fault(&error))?;
        Ok(Above { execution: Some(execution), correlation: Some(metadata.correlation_id), depth })
    }

    /// The answer to an earlier request with the same derived id, if there was one.
    pub(super) async fn submitted_before(
        &self,
        id: ExecutionId,
        mark: Digest,
    ) -> Result<Option<Submitted>, SubmitError> {
        let state = self.load(id).await?;
        let Some(pending) = state.pending() else { return Ok(None) };
        if pending.request_sha256 != mark {
            return Err(SubmitError::KeyReused(id));
        }
        let stream = StreamName::execution(id);
        let first = self.ledger.store().read_stream(&stream, 0, 1, With::EventsOnly).await?;
        let position = first.first().map(|recorded| recorded.position).unwrap_or_default();
        let redactions = pending.redactions;
        Ok(Some(Submitted { execution_id: id, position, redactions, replayed: true }))
    }

    /// What an equal request is known again by.
    pub(super) fn mark(&self, agent: &AgentName, task: &NewTask) -> Digest {
        let mut request = json!([
            agent,
            task.message,
            task.inject_result,
            task.chat_session_id,
            task.model,
            task.timeout_s,
            task.max_cost,
            task.allowed_tools,
            task.system_prompt,
            task.max_turns,
            task.resume_session_id,
            task.parent_execution_id,
        ]);
        if let (Via::Chat, Some(fields)) = (task.via, request.as_array_mut()) {
            // A message in a session is no task that refers to it.
            fields.push(json!("message"));
        }
        self.secret.mark(request.to_string().as_bytes())
    }

    pub(super) fn pending(
        &self,
        caller: &Caller,
        accepted: Accepted<'_>,
    ) -> Result<(Pending, Vec<Content>), SubmitError> {
        let Accepted { agent, config, task, narrowed, above, mark, .. } = accepted;
        let (message, redacted) = redact(&task.message);
        validate::fits_argument(config, &message)?;
        let message = Content::new(salt()?, message);
        let mut redactions = redacted;
        let mut system_prompt = None;
        if let Some(text) = &task.system_prompt {
            let (text, redacted) = redact(text);
            redactions = redactions.saturating_add(redacted);
            system_prompt = Some(Content::new(salt()?, text));
        }
        let pending = Pending {
            agent: agent.clone(),
            triggered_by: trigger(caller, agent, task.via),
            message: message.reference(),
            redactions,
            requested_by: Requester { kind: caller.actor.kind, id: caller.actor.id.clone() },
            user: caller.actor.user.clone(),
            expires_at: self.ledger.now().plus_s(limits::QUEUE_MAX_S),
            request_sha256: mark,
            source_agent: caller.actor.agent.clone(),
            parent_execution_id: above.execution,
            depth: above.depth,
            chat_session_id: task.chat_session_id,
            inject_result: task.inject_result,
            retry_of: None,
            attempt: 1,
            max_retries: config.max_retries,
            not_before: None,
            schedule_id: None,
            payment_id: None,
            model_requested: narrowed.model,
            timeout_s: narrowed.timeout_s,
            max_cost_nano_usd: narrowed.max_cost,
            allowed_tools: narrowed.allowed_tools,
            system_prompt: system_prompt.as_ref().map(Content::reference),
            max_turns: narrowed.max_turns,
            resume_session_id: task.resume_session_id,
        };
        Ok((pending, std::iter::once(message).chain(system_prompt).collect()))
    }
}

/// A task that passed every check but the store's.
pub(super) struct Accepted<'a> {
    pub id: ExecutionId,
    pub agent: &'a AgentName,
    pub config: &'a AgentConfig,
    pub task: NewTask,
    pub narrowed: Narrowed,
    pub above: Above,
    pub mark: Digest,
}

fn unknown_parent<T>() -> Result<T, SubmitError> {
    let problem = "there is no such execution that this key may read";
    invalid("parent_execution_id", "unknown_parent", problem)
}

pub(super) fn may_call(caller: &Caller, agent: &AgentName) -> Result<(), SubmitError> {
    match &caller.may_call {
        Some(agents) if !agents.contains(agent) => Err(SubmitError::NotCallable(agent.clone())),
        _ => Ok(()),
    }
}

/// From the caller's identity and the way it came, never from what the body claims.
fn trigger(caller: &Caller, agent: &AgentName, via: Via) -> Trigger {
    match (caller.role, &caller.actor.agent, via) {
        (_, _, Via::Chat) => Trigger::Chat,
        (Role::Agent, Some(own), _) if own == agent => Trigger::SelfTask,
        (_, _, Via::Mcp) => Trigger::Mcp,
        (Role::Agent, _, Via::Rest) => Trigger::Agent,
        (_, _, Via::Rest) => Trigger::Manual,
    }
}

fn redact(text: &str) -> (String, u32) {
    let (redacted, count): (Cow<'_, str>, u32) = Redactor::global().redact(text);
    (redacted.into_owned(), count)
}
