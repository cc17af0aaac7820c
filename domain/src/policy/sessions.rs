//! What chat sessions ask of the policy: results that are owed to them, and what their closing ends.

use super::lines::Kind;
use super::{AgentStatus, Effect, NotAdmitted, Place, Policy};
use crate::execution::CancelCause;
use crate::ids::{AgentName, ExecutionId, SessionId};
use crate::session::SessionEvent;

impl Policy {
    /// Takes up an ended execution whose result is still owed to its session, as a read model knows it.
    pub fn load_injection(&mut self, execution: ExecutionId, session: SessionId) {
        self.injections.insert(execution, session);
    }

    /// Refuses an agent that is not there, or takes no more tasks.
    pub fn takes_tasks(&self, agent: &AgentName) -> Result<(), NotAdmitted> {
        match self.lines.get(agent).filter(|line| line.config.is_some()) {
            None => Err(NotAdmitted::UnknownAgent(agent.clone())),
            Some(line) if line.status == AgentStatus::Retired => {
                Err(NotAdmitted::Retired(agent.clone()))
            }
            Some(_) => Ok(()),
        }
    }

    /// Keeps a place for a turn of a chat session that is about to be appended, as
    /// [`Policy::reserve`] does for a task. Turns take no slot and no place of tasks: as many of an
    /// agent may wait as its `queue_limit` says, however many tasks do.
    pub fn reserve_turn(&mut self, agent: &AgentName, id: ExecutionId) -> Result<(), NotAdmitted> {
        let unknown = || NotAdmitted::UnknownAgent(agent.clone());
        let line = self.lines.get_mut(agent).ok_or_else(unknown)?;
        let limit = line.config.as_ref().ok_or_else(unknown)?.queue_limit;
        if line.status == AgentStatus::Retired {
            return Err(NotAdmitted::Retired(agent.clone()));
        }
        let reserved = u32::try_from(line.reserved_turns.len()).unwrap_or(u32::MAX);
        let waiting = line.turns_waiting.saturating_add(reserved);
        // One more than may wait: it may be the one that starts at once.
        if waiting > limit {
            return Err(NotAdmitted::QueueFull { agent: agent.clone(), waiting, limit });
        }
        line.reserved_turns.insert(id);
        Ok(())
    }

    /// The session whose turn an open execution is; nothing where it is none.
    pub fn turn_of(&self, execution: ExecutionId) -> Option<SessionId> {
        let line = self.lines.get(self.agent_of.get(&execution)?)?;
        match line.executions.get(&execution)?.kind {
            Kind::ChatTurn(session) => Some(session),
            Kind::Task => None,
        }
    }

    /// One more event of a chat session.
    pub fn apply_session(&mut self, session: SessionId, event: &SessionEvent) {
        match event {
            SessionEvent::Opened(_) | SessionEvent::MessagePosted(_) => {}
            SessionEvent::Closed(_) => self.close_session(session),
        }
    }

    /// Ends the waiting turns of a session that is closed. A turn that comes later all the same is
    /// found when it is to be started.
    pub fn close_session(&mut self, session: SessionId) {
        for (_, id) in &self.chat_waiting {
            let line = self.agent_of.get(id).and_then(|agent| self.lines.get(agent));
            let kind = line.and_then(|line| line.executions.get(id)).map(|entry| entry.kind);
            if kind == Some(Kind::ChatTurn(session)) {
                self.orphans.insert(*id, CancelCause::SessionClosed);
            }
        }
    }

    /// The execution has ended: its result is owed to the session that it was to be put into.
    pub(super) fn owe(&mut self, execution: ExecutionId, session: Option<SessionId>) {
        if let Some(session) = session {
            self.injections.insert(execution, session);
        }
    }

    /// The turn is being started, or is not to be started any more.
    pub(super) fn turn_waits_no_more(&mut self, agent: &AgentName, place: Place, id: ExecutionId) {
        if self.chat_waiting.remove(&(place, id))
            && let Some(line) = self.lines.get_mut(agent)
        {
            line.turns_waiting -= 1;
        }
    }

    /// Its session has the result, or never gets it.
    pub(super) fn settle(&mut self, execution: ExecutionId) {
        self.injections.remove(&execution);
        self.injecting.remove(&execution);
    }

    pub(super) fn begin_injections(&mut self, effects: &mut Vec<Effect>, most: usize) {
        while effects.len() < most
            && let Some((execution, session)) = self.injections.pop_first()
        {
            self.injecting.insert(execution, session);
            effects.push(Effect::Inject { execution, session });
        }
    }

    /// An injection that led to no event is owed as before, unless its event came by another way.
    pub(super) fn give_back_injection(&mut self, execution: ExecutionId) {
        if let Some(session) = self.injecting.remove(&execution) {
            self.injections.insert(execution, session);
        }
    }
}
