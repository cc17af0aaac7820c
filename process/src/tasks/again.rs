//! Another attempt at an execution, by a caller's wish; and moving one to the front of its queue.

use execution_ledger_domain::agent::AgentConfig;
use execution_ledger_domain::budget::Spend;
use execution_ledger_domain::execution::{
    Attempt, Command, Execution, Pending, Rejection, Requester, Trigger,
};
use execution_ledger_domain::policy::NotAdmitted;
use execution_ledger_domain::{Caller, Content, ExecutionId, StreamName};
use execution_ledger_store::{ExecuteError, Position, StoreError, With};
use serde_json::json;
use uuid::Uuid;

use super::submit::{Above, may_call};
use super::validate::{self, invalid, least};
use super::{Request, SubmitError, Submitted, Tasks, context, ownership};
use crate::accepted::{Accepted, Texts};

/// Why an execution is not tried again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// There is none of that id that the caller may see.
    #[error("there is no such execution")]
    NotFound,
    /// The caller may see it, but it belongs to another user.
    #[error("this execution belongs to another user")]
    OtherUser,
    /// It goes on.
    #[error("this execution has not ended yet")]
    NotEnded,
    /// It was a turn of a chat session, which has gone on since.
    #[error("this was a turn of the chat session {0}")]
    ChatTurn(execution_ledger_domain::SessionId),
    /// What was asked is not known any more.
    #[error("the message of this execution was erased")]
    Erased,
    /// The new attempt is not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl From<StoreError> for RetryError {
    fn from(error: StoreError) -> Self {
        Self::Submit(error.into())
    }
}

/// Why an execution was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// There is none of that id that the caller may see.
    #[error("there is no such execution")]
    NotFound,
    /// It does not wait.
    #[error("this execution is not waiting for a slot")]
    NotPending,
    /// It was moved as often as may be.
    #[error(transparent)]
    TooOften(Rejection),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
}

impl Tasks {
    /// Accepts another attempt at an execution that has ended, however it ended: the same task with
    /// the same settings, narrowed by what its agent allows today, for the same user.
    pub async fn retry(
        &self,
        caller: &Caller,
        of: ExecutionId,
        idempotency_key: Option<&str>,
        request: &Request,
    ) -> Result<Submitted, RetryError> {
        let stream = StreamName::execution(of);
        let state = self.load(of).await?;
        let pending = state.pending().filter(|pending| caller.sees(&ownership(pending)));
        let pending = pending.ok_or(RetryError::NotFound)?;
        if !caller.may_change(&ownership(pending)) {
            return Err(RetryError::OtherUser);
        }
        let agent = pending.agent.clone();
        may_call(caller, &agent)?;
        let mark = self.secret.mark(json!(["retry", of]).to_string().as_bytes());
        let id = match idempotency_key {
            None => ExecutionId(Uuid::now_v7()),
            Some(key) => ExecutionId::derived(&caller.actor.id, &agent, key),
        };
        if idempotency_key.is_some()
            && let Some(first) = self.submitted_before(id, mark).await?
        {
            return Ok(first);
        }
        let Execution::Ended { pending, .. } = state else { return Err(RetryError::NotEnded) };
        if let (Trigger::Chat, Some(session)) = (pending.triggered_by, pending.chat_session_id) {
            return Err(RetryError::ChatTurn(session));
        }
        let first = self.ledger.store().read_stream(&stream, 0, 1, With::Contents).await?;
        let accepted = Accepted::from_first(&first)?.ok_or(RetryError::NotFound)?;
        let texts = accepted.texts()?.ok_or(RetryError::Erased)?;
        let unknown = || SubmitError::from(NotAdmitted::UnknownAgent(agent.clone()));
        let config = self.desk.config(&agent).ok_or_else(unknown)?;
        validate::fits_argument(&config, &texts.message.text)?;
        let attempt = Attempt {
            of,
            message: texts.message.reference(),
            system_prompt: texts.system_prompt.as_ref().map(Content::reference),
            requested_by: Requester { kind: caller.actor.kind, id: caller.actor.id.clone() },
            request_sha256: mark,
            now: self.ledger.now(),
            not_before: None,
        };
        let pending = accepted.pending.again(attempt);
        let (pending, root) = self.under(caller, &config, pending, accepted.correlation_id).await?;
        let new = New { id, pending, texts, root, replayable: idempotency_key.is_some() };
        Ok(self.append_again(caller, new, request).await?)
    }

    /// Whatever the caller's run starts stands under it, so that calls don't go on for ever.
    async fn under(
        &self,
        caller: &Caller,
        config: &AgentConfig,
        mut pending: Pending,
        root: String,
    ) -> Result<(Pending, String), SubmitError> {
        narrow_again(&mut pending, config)?;
        if caller.run.is_none() {
            return Ok((pending, root));
        }
        let Above { execution, correlation, depth } = self.above(caller, None).await?;
        pending.parent_execution_id = execution;
        pending.depth = depth;
        pending.source_agent.clone_from(&caller.actor.agent);
        Ok((pending, correlation.unwrap_or(root)))
    }

    async fn append_again(
        &self,
        caller: &Caller,
        mut new: New,
        request: &Request,
    ) -> Result<Submitted, SubmitError> {
        let (id, mark) = (new.id, new.pending.request_sha256);
        let spend = Spend {
            now: self.ledger.now(),
            user: new.pending.user.clone(),
            max: new.pending.max_cost_nano_usd,
            named: false,
        };
        let reservation = match self.desk.reserve(&new.pending.agent, id, &spend) {
            Ok(reservation) => reservation,
            Err(refusal) => {
                // The place that is missing may be the one that the first of two equal requests took.
                if new.replayable
                    && let Some(first) = self.submitted_before(id, mark).await?
                {
                    return Ok(first);
                }
                let agent = &new.pending.agent;
                return Err(self.refused(caller, agent, &spend, refusal, request).await);
            }
        };
        new.pending.max_cost_nano_usd = reservation.max_cost();
        let redactions = new.pending.redactions;
        let context = context(caller, Some(new.root), request);
        let stream = StreamName::execution(id);
        let command = Command::Submit(Box::new(new.pending));
        let contents = new.texts.into_contents();
        match self.ledger.execute_new::<Execution>(&stream, command, &contents, &context).await {
            Ok(done) => {
                reservation.keep();
                let position = done.position;
                Ok(Submitted { execution_id: id, position, redactions, replayed: false })
            }
            Err(ExecuteError::Refused(Rejection::AlreadySubmitted)) => {
                let first = self.submitted_before(id, mark).await?;
                first.ok_or(SubmitError::Write(ExecuteError::Contended))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a waiting execution be the next of its agent's queue. Where it is that already, nothing is
    /// recorded, and the position is that of its last event.
    pub async fn move_to_front(
        &self,
        caller: &Caller,
        execution_id: ExecutionId,
        request: &Request,
    ) -> Result<Position, MoveError> {
        let stream = StreamName::execution(execution_id);
        let state = self.ledger.load::<Execution>(&stream).await?;
        if !state.pending().is_some_and(|pending| caller.may_change(&ownership(pending))) {
            return Err(MoveError::NotFound);
        }
        if !matches!(state, Execution::Pending(_)) {
            return Err(MoveError::NotPending);
        }
        let rank = self.desk.policy().front_rank(execution_id);
        let context = context(caller, None, request);
        let command = Command::MoveToFront { rank };
        match self.ledger.execute::<Execution>(&stream, command, &[], &context).await {
            Ok(done) => Ok(done.position),
            Err(ExecuteError::Refused(Rejection::NotPending)) => Err(MoveError::NotPending),
            Err(ExecuteError::Refused(refused @ Rejection::MovedTooOften)) => {
                Err(MoveError::TooOften(refused))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Another attempt that passed every check but the store's.
struct New {
    id: ExecutionId,
    pending: Pending,
    texts: Texts,
    /// The root of the story that it belongs to.
    root: String,
    /// Whether a repeated request is answered as the first one was.
    replayable: bool,
}

/// What was accepted under earlier settings gets no more than today's give.
fn narrow_again(pending: &mut Pending, config: &AgentConfig) -> Result<(), SubmitError> {
    if let Some(model) = &pending.model_requested
        && !config.models.contains(model)
    {
        let problem = format!("the agent does not list the model {model} any more");
        return invalid("model", "model_not_listed", problem);
    }
    if pending.system_prompt.is_some() && !config.allow_system_prompt {
        let problem = "the agent does not permit a system prompt any more (allow_system_prompt)";
        return invalid("system_prompt", "system_prompt_not_permitted", problem);
    }
    if let (Some(wanted), Some(own)) = (&mut pending.allowed_tools, &config.allowed_tools) {
        wanted.retain(|tool| own.contains(tool));
    }
    pending.timeout_s = pending.timeout_s.min(config.timeout_s);
    pending.max_turns = least(pending.max_turns, config.max_turns);
    pending.max_cost_nano_usd = least(pending.max_cost_nano_usd, config.max_cost_nano_usd);
    pending.max_retries = config.max_retries;
    Ok(())
}
