//! What callers can do: submit a task, stop an execution, wait for its end, look after agents.

mod again;
mod agents;
mod costs;
mod paid;
mod retried;
mod scheduled;
mod sessions;
mod submit;
mod validate;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_domain::execution::{
    CancelCause, Command, Execution, ExecutionEvent, Pending, Rejection,
};
use execution_ledger_domain::policy::{Blocker, Capacity, NotAdmitted, Waiting};
use execution_ledger_domain::scope::Ownership;
use execution_ledger_domain::{
    Actor, ActorKind, AgentName, Caller, CallerRun, ExecutionId, NanoUsd, Role, Scope, SessionId,
    StreamName,
};
use execution_ledger_store::{Context, ExecuteError, Ledger, Position, StoreError};

use crate::budgets::BudgetBook;
use crate::desk::Desk;
use crate::pricing::PriceBook;
use crate::run_token::LedgerSecret;
pub use again::{MoveError, RetryError};
pub use agents::AgentError;
pub use costs::{COST_REASON_MAX_BYTES, CorrectError, Corrected, Correction};
pub use paid::PaidTask;
pub(crate) use paid::{PreparedPaid, payer};
pub use retried::ANSWERS_AFTER_END_S;
pub(crate) use scheduled::{FiredTask, Prepared, ToReserve, scheduler};
pub use sessions::{OpenedSession, SessionError};

/// What submitting asks of the read models.
#[async_trait]
pub trait SessionIndex: Send + Sync + 'static {
    /// Whether an execution of this agent within that scope had this session of the agent's own.
    async fn is_resumable(
        &self,
        agent: &AgentName,
        agent_session_id: &str,
        scope: &Scope,
    ) -> Result<bool, StoreError>;

    /// The executions whose results were put into a chat session and that no turn was told of, the
    /// oldest first, at most `most`; as of `seen` or later.
    ///
    /// # Errors
    /// Where the read models have not seen `seen` in time.
    async fn untold_results(
        &self,
        session: SessionId,
        seen: Position,
        most: usize,
    ) -> Result<Vec<ExecutionId>, StoreError>;
}

/// By which way a task came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// REST, or the command line over it.
    Rest,
    /// An MCP call.
    Mcp,
    /// A message in a chat session.
    Chat,
}

/// The request that a command came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id, the cause of what it leads to.
    pub id: String,
    /// W3C trace context, where the caller sent one.
    pub traceparent: Option<String>,
}

/// A task to be submitted, as a caller gave it: nothing is checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// By which way it came.
    pub via: Via,
    /// Whether the caller waits for its end.
    pub waits: bool,
    /// What the agent is to do.
    pub message: String,
    /// Whether the result is to be injected into a chat session.
    pub inject_result: bool,
    /// That session.
    pub chat_session_id: Option<SessionId>,
    /// The model, from the agent's list.
    pub model: Option<String>,
    /// How long the run may take, in seconds.
    pub timeout_s: Option<u64>,
    /// What the run may cost.
    pub max_cost: Option<NanoUsd>,
    /// The tools that the run may use, of the agent's.
    pub allowed_tools: Option<Vec<String>>,
    /// A system prompt, where the agent permits it.
    pub system_prompt: Option<String>,
    /// How many turns the run may take.
    pub max_turns: Option<u32>,
    /// The agent's own session that the run continues.
    pub resume_session_id: Option<String>,
    /// The execution that it belongs under.
    pub parent_execution_id: Option<ExecutionId>,
    /// The caller's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// An accepted task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its execution.
    pub execution_id: ExecutionId,
    /// Position of its first event.
    pub position: Position,
    /// How many secrets were redacted in the message.
    pub redactions: u32,
    /// Whether an earlier request with the same key was answered again.
    pub replayed: bool,
}

/// Why a task was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// A field breaks a rule.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// A stable code for programs.
        code: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The caller may not give this agent tasks.
    #[error("this key may not give tasks to the agent {0}")]
    NotCallable(AgentName),
    /// No such agent, or it takes no (more) tasks.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// The same idempotency key came with another request before.
    #[error("this Idempotency-Key was used for another request; the first one started {0}")]
    KeyReused(ExecutionId),
    /// The caller would wait for a slot that only its own end frees.
    #[error(
        "every slot of {0} is held by this run or by those that wait for it: call it with async_mode"
    )]
    WouldDeadlock(AgentName),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a request to stop an execution led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It runs, and is being stopped.
    Cancelling,
    /// It waited, and never starts.
    Cancelled,
    /// It had ended before.
    AlreadyFinished,
}

/// Why an execution was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// There is none of that id that the caller may see.
    #[error("there is no such execution")]
    NotFound,
    /// The caller may see it, but it belongs to another user.
    #[error("this execution belongs to another user")]
    OtherUser,
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
}

/// How waiting for an end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It has ended; this is the position of its ending, or of its last event.
    Ended(Position),
    /// The wait is over and it has not.
    StillOpen,
    /// Too many wait already.
    TooManyWait,
}

/// What callers can do. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    ledger: Ledger,
    desk: Arc<Desk>,
    sessions: Arc<dyn SessionIndex>,
    secret: LedgerSecret,
    /// Where no agent may work.
    data_dir: Option<PathBuf>,
    /// What tokens cost that nobody else has priced.
    price_book: Arc<PriceBook>,
}

impl Tasks {
    /// Over the one write path, the policy's state and the read models.
    pub fn new(
        ledger: Ledger,
        desk: Arc<Desk>,
        sessions: Arc<dyn SessionIndex>,
        secret: LedgerSecret,
    ) -> Self {
        let price_book = PriceBook::built_in();
        Self { ledger, desk, sessions, secret, data_dir: None, price_book }
    }

    /// With another price book than the built-in one.
    #[must_use]
    pub fn pricing_by(self, price_book: Arc<PriceBook>) -> Self {
        Self { price_book, ..self }
    }

    /// The price book in use.
    pub fn price_book(&self) -> &PriceBook {
        &self.price_book
    }

    /// Refuses agents that would work inside this directory, the ledger's own.
    #[must_use]
    pub fn keeping_out_of(self, data_dir: PathBuf) -> Self {
        Self { data_dir: Some(data_dir), ..self }
    }

    /// What can be done about budgets.
    pub fn budgets(&self) -> BudgetBook {
        BudgetBook::new(self.ledger.clone(), Arc::clone(&self.desk))
    }

    /// An agent's slots and queue; of the queue at most `most`. `None` where there is no such agent.
    pub fn capacity(&self, agent: &AgentName, most: usize) -> Option<Capacity> {
        self.desk.capacity(agent, most)
    }

    /// Waits until slots and queues follow the log up to `position`; false where that takes too long.
    pub async fn caught_up(&self, position: Position, most: Duration) -> bool {
        self.desk.wait_applied(position, most).await
    }

    /// Why an execution waits; `None` where it does not.
    pub fn why_waiting(&self, execution: ExecutionId) -> Option<Waiting> {
        self.desk.why_waiting(execution)
    }

    /// What keeps each of these waiting, and its place in its queue; those that do not wait are left out.
    pub fn why_each_waits(
        &self,
        executions: &[ExecutionId],
    ) -> HashMap<ExecutionId, (Blocker, u32)> {
        self.desk.why_each_waits(executions)
    }

    /// Executions that run, and executions that wait.
    pub fn totals(&self) -> (u32, u32) {
        self.desk.totals()
    }

    /// The caller that a run token stands for, while its run lasts.
    pub async fn caller_by_run_token(&self, token: &str) -> Result<Option<Caller>, StoreError> {
        let Some((execution_id, claim)) = self.secret.verify(token) else { return Ok(None) };
        if self.desk.holds(execution_id) != Some(claim) {
            return Ok(None);
        }
        let state = self.load(execution_id).await?;
        let Some(pending) = state.pending() else { return Ok(None) };
        let agent = pending.agent.clone();
        let mut may_call =
            self.desk.config(&agent).map(|config| config.may_call).unwrap_or_default();
        may_call.insert(agent.clone());
        let actor = Actor {
            kind: ActorKind::Run,
            id: execution_id.to_string(),
            user: pending.user.clone(),
            agent: Some(agent.clone()),
        };
        Ok(Some(Caller {
            actor,
            role: Role::Agent,
            // What it does for one user must not tell of what it did for others.
            scope: Scope::AgentFor { agent: agent.clone(), user: pending.user.clone() },
            run: Some(CallerRun { execution_id, agent }),
            may_call: Some(may_call),
        }))
    }

    /// Stops an execution, or lets it never start.
    pub async fn stop(
        &self,
        caller: &Caller,
        execution_id: ExecutionId,
        request: &Request,
    ) -> Result<(Stopped, Position), StopError> {
        let stream = StreamName::execution(execution_id);
        let state = self.ledger.load::<Execution>(&stream).await?;
        let pending = state.pending().ok_or(StopError::NotFound)?;
        let owned = ownership(pending);
        if !caller.sees(&owned) {
            return Err(StopError::NotFound);
        }
        if !caller.may_change(&owned) {
            return Err(StopError::OtherUser);
        }
        let context = context(caller, None, request);
        let command = Command::Cancel { cause: CancelCause::Requested };
        let done = self.ledger.execute::<Execution>(&stream, command, &[], &context).await?;
        let stopped = match (done.events.first(), &done.state) {
            (Some(ExecutionEvent::Cancelled(_)), _) => Stopped::Cancelled,
            (_, Execution::Ended { .. }) => Stopped::AlreadyFinished,
            _ => Stopped::Cancelling,
        };
        Ok((stopped, done.position))
    }

    /// Waits for the end of an execution.
    pub async fn wait_for_end(
        &self,
        execution_id: ExecutionId,
        most: Duration,
    ) -> Result<Waited, StoreError> {
        let Some(ended) = self.desk.await_end(execution_id) else { return Ok(Waited::TooManyWait) };
        let stream = StreamName::execution(execution_id);
        if let Execution::Ended { .. } = self.load(execution_id).await? {
            let last = self.last_position(&stream).await?;
            return Ok(Waited::Ended(last));
        }
        Ok(match tokio::time::timeout(most, ended).await {
            Ok(Ok(position)) => Waited::Ended(position),
            Ok(Err(_)) | Err(_) => Waited::StillOpen,
        })
    }

    async fn last_position(&self, stream: &StreamName) -> Result<Position, StoreError> {
        let with = execution_ledger_store::With::EventsOnly;
        let events = self.ledger.store().read_stream(stream, 0, 1_000, with).await?;
        Ok(events.last().map_or(Position::START, |recorded| recorded.position))
    }

    async fn load(&self, execution_id: ExecutionId) -> Result<Execution, StoreError> {
        let stream = StreamName::execution(execution_id);
        self.ledger.load::<Execution>(&stream).await.map_err(|error| match error {
            ExecuteError::Store(fault) => fault,
            other => StoreError::Fault(other.to_string()),
        })
    }
}

/// Whose an execution is.
fn ownership(pending: &Pending) -> Ownership<'_> {
    Ownership {
        agent: &pending.agent,
        user: &pending.user,
        source_agent: pending.source_agent.as_ref(),
    }
}

/// The context of what a caller does in a story.
fn context(caller: &Caller, correlation_id: Option<String>, request: &Request) -> Context {
    Context {
        actor: caller.actor.clone(),
        correlation_id,
        causation_id: Some(request.id.clone()),
        traceparent: request.traceparent.clone(),
    }
}
