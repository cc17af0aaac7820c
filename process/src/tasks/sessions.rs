//! Chat sessions: opening, posting messages, closing.

use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::policy::NotAdmitted;
use execution_ledger_domain::scope::Ownership;
use execution_ledger_domain::session::{Command, Continued, Opened, Rejection, Session};
use execution_ledger_domain::{
    AgentName, Caller, Event, ExecutionId, Scope, SessionId, StreamName, Timestamp,
};
use execution_ledger_store::{ExecuteError, Position, StoreError, With};
use uuid::Uuid;

use super::submit::may_call;
use super::validate::invalid;
use super::{NewTask, Request, SubmitError, Submitted, Tasks, Via, context};
use crate::failpoint;

/// Events of an execution that are read for its agent's session: far more than it has.
const EVENTS_MAX: usize = 1_000;

/// Why a chat session was not opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is none of that id that the caller may see.
    #[error("there is no such chat session")]
    NotFound,
    /// The caller may not give that agent tasks, or it takes none.
    #[error(transparent)]
    Agent(#[from] SubmitError),
    /// The execution that it was to continue can't be continued; says why.
    #[error("{0}")]
    NotContinued(&'static str),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session that was opened.
#[derive(Clone, Debug)]
pub struct OpenedSession {
    /// Its id.
    pub id: SessionId,
    /// As it was recorded.
    pub opened: Opened,
    /// When it was recorded.
    pub at: Timestamp,
    /// Position of that event.
    pub position: Position,
}

impl Tasks {
    /// Opens a chat session with an agent for the caller's user; from a finished execution of that
    /// agent, it goes on where that one ended.
    pub async fn open_session(
        &self,
        caller: &Caller,
        agent: &AgentName,
        continues: Option<ExecutionId>,
        request: &Request,
    ) -> Result<OpenedSession, SessionError> {
        may_call(caller, agent)?;
        self.desk.takes_tasks(agent).map_err(SubmitError::from)?;
        let continues = match continues {
            Some(execution) => Some(self.continued(caller, agent, execution).await?),
            None => None,
        };
        let user = caller.actor.user.clone();
        let opened = Opened { agent: agent.clone(), user, continues };
        let id = SessionId(Uuid::now_v7());
        let context = context(caller, Some(request.id.clone()), request);
        let (stream, command) = (StreamName::session(id), Command::Open(Box::new(opened.clone())));
        let done = self.ledger.execute_new::<Session>(&stream, command, &[], &context).await?;
        Ok(OpenedSession { id, opened, at: done.recorded_at, position: done.position })
    }

    /// Posts a message: a turn of the session, answered by an execution of its agent. The task's
    /// fields are those of the turn; its session is the one that is named here.
    ///
    /// Answers the agent too. That a message was posted is recorded first, and the execution after
    /// it; only then is anything answered, so a message without an execution is nobody's.
    pub async fn post_message(
        &self,
        caller: &Caller,
        session: SessionId,
        task: NewTask,
        request: &Request,
    ) -> Result<(AgentName, Submitted), SubmitError> {
        let Some(opened) = self.session_in(&caller.scope, session).await? else {
            return no_session("id");
        };
        let agent = opened.opened().map(|opened| opened.agent.clone());
        let Some(agent) = agent else { return no_session("id") };
        let task = NewTask {
            via: Via::Chat,
            chat_session_id: Some(session),
            inject_result: false,
            ..task
        };
        let submitted = self.submit(caller, &agent, task, request).await?;
        Ok((agent, submitted))
    }

    /// Closes a session: it takes no more messages and no more results. Closed already, it stays so.
    pub async fn close_session(
        &self,
        caller: &Caller,
        session: SessionId,
        request: &Request,
    ) -> Result<Position, SessionError> {
        if self.session_in(&caller.scope, session).await?.is_none() {
            return Err(SessionError::NotFound);
        }
        let context = context(caller, None, request);
        let stream = StreamName::session(session);
        let done = self.ledger.execute::<Session>(&stream, Command::Close, &[], &context).await?;
        Ok(done.position)
    }

    /// A session as the log has it now; nothing where there is none that the scope covers.
    pub async fn session_in(
        &self,
        scope: &Scope,
        session: SessionId,
    ) -> Result<Option<Session>, StoreError> {
        let state = self.load_session(session).await?;
        let covered = match (scope, state.opened()) {
            (_, None) | (Scope::Agent(_) | Scope::AgentFor { .. }, _) => false,
            (Scope::All, Some(_)) => true,
            (Scope::User(user), Some(opened)) => opened.user == *user,
        };
        Ok(covered.then_some(state))
    }

    /// Checks that a task may refer to a session: it is open, and of the caller's user.
    pub(super) async fn check_session(
        &self,
        caller: &Caller,
        session: SessionId,
        field: &'static str,
    ) -> Result<(), SubmitError> {
        match self.load_session(session).await? {
            Session::Absent => no_session(field),
            Session::Open { opened, .. } | Session::Closed { opened, .. }
                if opened.user != caller.actor.user =>
            {
                let problem = "this chat session belongs to another user";
                invalid(field, "session_not_owned", problem)
            }
            Session::Closed { .. } => closed(field),
            Session::Open { .. } => Ok(()),
        }
    }

    /// The session that a calling run belongs to: where its results go if it names none.
    pub(super) async fn own_session(
        &self,
        caller: &Caller,
    ) -> Result<Option<SessionId>, StoreError> {
        let Some(run) = &caller.run else { return Ok(None) };
        let state = self.load(run.execution_id).await?;
        Ok(state.pending().and_then(|pending| pending.chat_session_id))
    }

    /// Records that a message was posted, answered by this execution.
    pub(super) async fn note_message(
        &self,
        caller: &Caller,
        session: SessionId,
        execution_id: ExecutionId,
        request: &Request,
    ) -> Result<(), SubmitError> {
        let context = context(caller, Some(execution_id.to_string()), request);
        let stream = StreamName::session(session);
        let command = Command::Post { execution_id };
        let done = self.ledger.execute::<Session>(&stream, command, &[], &context).await;
        failpoint::reach("tasks.message_posted");
        match done {
            Ok(_) => Ok(()),
            Err(ExecuteError::Refused(Rejection::Closed)) => closed("id"),
            Err(ExecuteError::Refused(refused @ Rejection::Full)) => {
                invalid("id", "session_full", refused.to_string())
            }
            Err(ExecuteError::Refused(Rejection::NotFound | Rejection::AlreadyOpened)) => {
                no_session("id")
            }
            Err(ExecuteError::Store(fault)) => Err(fault.into()),
            Err(ExecuteError::Contended) => Err(SubmitError::Write(ExecuteError::Contended)),
            Err(other) => Err(StoreError::Fault(other.to_string()).into()),
        }
    }

    /// What a session goes on from: the agent's own session of a finished execution.
    async fn continued(
        &self,
        caller: &Caller,
        agent: &AgentName,
        execution_id: ExecutionId,
    ) -> Result<Continued, SessionError> {
        const UNKNOWN: &str = "no execution of this agent that this key may read has that id";
        let state = self.load(execution_id).await?;
        let pending = state.pending().filter(|pending| pending.agent == *agent);
        let pending = pending.ok_or(SessionError::NotContinued(UNKNOWN))?;
        let ownership = Ownership {
            agent: &pending.agent,
            user: &pending.user,
            source_agent: pending.source_agent.as_ref(),
        };
        if !caller.scope.covers(&ownership) {
            return Err(SessionError::NotContinued(UNKNOWN));
        }
        let Execution::Ended { .. } = state else {
            return Err(SessionError::NotContinued("that execution has not ended yet"));
        };
        let stream = StreamName::execution(execution_id);
        let with = With::EventsOnly;
        let events = self.ledger.store().read_stream(&stream, 0, EVENTS_MAX, with).await?;
        let agent_session = events.iter().rev().find_map(|recorded| match recorded.event() {
            Ok(Event::Execution(event)) => event.report()?.agent_session_id.clone(),
            Ok(_) | Err(_) => None,
        });
        let agent_session_id = agent_session.ok_or(SessionError::NotContinued(
            "the agent of that execution said in no session of its own that it was, so there is nothing to go on with",
        ))?;
        Ok(Continued { execution_id, agent_session_id })
    }

    async fn load_session(&self, session: SessionId) -> Result<Session, StoreError> {
        let stream = StreamName::session(session);
        self.ledger.load::<Session>(&stream).await.map_err(|error| match error {
            ExecuteError::Store(fault) => fault,
            other => StoreError::Fault(other.to_string()),
        })
    }
}

fn no_session<T>(field: &'static str) -> Result<T, SubmitError> {
    invalid(field, "session_not_found", "there is no such chat session that this key may see")
}

fn closed<T>(field: &'static str) -> Result<T, SubmitError> {
    invalid(field, "session_closed", "this chat session was closed: open another")
}

impl From<NotAdmitted> for SessionError {
    fn from(refused: NotAdmitted) -> Self {
        Self::Agent(refused.into())
    }
}
