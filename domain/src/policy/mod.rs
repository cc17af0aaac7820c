//! What the process manager does next, as plain data: events in, effects out.
//!
//! The policy holds who waits and who runs. It is itself a fold of the log; effects follow from its
//! state, not from single events, so they can be worked out again after a restart. What the manager
//! has begun counts at once, before its event comes back from the log, so no slot is given twice.

mod effects;
mod lines;
mod nodes;
mod questions;
mod retries;
mod sessions;
mod turns;

pub use effects::Effect;
pub use lines::{AgentStatus, HeldSlot, OpenExecution, Place};
pub use nodes::RunElsewhere;
pub use questions::{Blocker, Capacity, SlotHolder, Waiting};

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::agent::{AgentConfig, AgentEvent};
use crate::budget::{Budgets, OverBudget};
use crate::execution::{CancelCause, ExecutionEvent};
use crate::ids::{AgentName, ExecutionId, SessionId};
use crate::time::Timestamp;
use lines::{Line, Stage};
use nodes::Nodes;

/// How much may run at once, over all agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Executions that run at once.
    pub max_parallel_total: u32,
    /// How many of these places only chat turns may take.
    pub kept_for_chat: u32,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self { max_parallel_total: 16, kept_for_chat: 1 }
    }
}

/// Why a task is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// No agent of that name.
    #[error("there is no agent {0}")]
    UnknownAgent(AgentName),
    /// It was retired.
    #[error("the agent {0} was retired and takes no more tasks")]
    Retired(AgentName),
    /// As many wait as may.
    #[error("{waiting} executions of {agent} wait already, and its queue_limit is {limit}")]
    QueueFull {
        /// The agent.
        agent: AgentName,
        /// How many wait.
        waiting: u32,
        /// How many may.
        limit: u32,
    },
    /// A budget does not allow it.
    #[error(transparent)]
    OverBudget(#[from] Box<OverBudget>),
}

/// Who waits, who runs, and what follows from that.
#[derive(Debug, Default)]
pub struct Policy {
    ceiling: Ceiling,
    lines: HashMap<AgentName, Line>,
    agent_of: HashMap<ExecutionId, AgentName>,
    /// The first that could start of each agent that could start one, oldest first.
    candidates: BTreeSet<(Place, AgentName)>,
    /// Chat turns that wait, in order.
    chat_waiting: BTreeSet<(Place, ExecutionId)>,
    chat_sessions_running: HashMap<SessionId, ExecutionId>,
    expiries: BTreeSet<(Timestamp, ExecutionId)>,
    lapses: BTreeSet<(Timestamp, ExecutionId)>,
    /// Those that wait for their time.
    delayed: BTreeSet<(Timestamp, ExecutionId)>,
    /// Failed executions on which another attempt is to follow.
    retries: BTreeSet<ExecutionId>,
    /// The highest rank that was given out.
    highest_rank: u64,
    /// Cancellations that are to reach a supervisor.
    stops: BTreeSet<ExecutionId>,
    /// Waiting executions that are never to start, and why: of retired agents and closed sessions.
    orphans: BTreeMap<ExecutionId, CancelCause>,
    /// Results that are owed to their chat sessions.
    injections: BTreeMap<ExecutionId, SessionId>,
    /// Those of them that an effect is under way for.
    injecting: HashMap<ExecutionId, SessionId>,
    /// What an effect is under way for.
    busy: HashSet<ExecutionId>,
    tasks_held: u32,
    chats_held: u32,
    draining: bool,
    disk_nearly_full: bool,
    /// What may be spent, and what is: asked at admission, with the places in queues.
    budgets: Budgets,
    /// What other nodes do; nothing where this one is alone.
    nodes: Option<Nodes>,
}

impl Policy {
    /// Empty, with this ceiling.
    pub fn new(ceiling: Ceiling) -> Self {
        Self { ceiling, ..Self::default() }
    }

    /// Takes up an agent as a read model knows it, before events are applied.
    pub fn load_agent(&mut self, name: &AgentName, config: AgentConfig, status: AgentStatus) {
        let line = self.lines.entry(name.clone()).or_default();
        line.config = Some(config);
        line.status = status;
        self.refresh(name);
    }

    /// Takes up an execution that has not ended as a read model knows it.
    pub fn load_execution(&mut self, open: &OpenExecution) {
        self.wait(open);
        if let Some(held) = open.held {
            self.hold(open.id, &open.agent, held);
        }
    }

    /// The agent's settings, where it is known.
    pub fn config(&self, agent: &AgentName) -> Option<&AgentConfig> {
        self.lines.get(agent).and_then(|line| line.config.as_ref())
    }

    /// Keeps a place in the agent's queue for an execution that is about to be appended. Its
    /// `execution.pending` takes the place over; [`Policy::release`] gives it back.
    pub fn reserve(&mut self, agent: &AgentName, id: ExecutionId) -> Result<(), NotAdmitted> {
        self.reserve_instead_of(&[], agent, id)
    }

    /// The same for one that comes in the place of others: as they are about to be cancelled, those of
    /// them that wait in this queue are not counted.
    pub fn reserve_instead_of(
        &mut self,
        others: &[ExecutionId],
        agent: &AgentName,
        id: ExecutionId,
    ) -> Result<(), NotAdmitted> {
        let unknown = || NotAdmitted::UnknownAgent(agent.clone());
        let line = self.lines.get_mut(agent).ok_or_else(unknown)?;
        let limit = line.config.as_ref().ok_or_else(unknown)?.queue_limit;
        if line.status == AgentStatus::Retired {
            return Err(NotAdmitted::Retired(agent.clone()));
        }
        let leaving = others.iter().filter(|other| line.is_waiting_task(**other)).count();
        let leaving = u32::try_from(leaving).unwrap_or(u32::MAX);
        let waiting = line.queued().saturating_sub(leaving);
        // What other nodes have room for is not known here.
        let held = if self.nodes.is_none() { self.tasks_held } else { 0 };
        if waiting >= limit.saturating_add(line.free_slots(self.ceiling, held)) {
            return Err(NotAdmitted::QueueFull { agent: agent.clone(), waiting, limit });
        }
        line.reserved.insert(id);
        Ok(())
    }

    /// Gives back a place whose execution was not appended.
    pub fn release(&mut self, agent: &AgentName, id: ExecutionId) {
        if let Some(line) = self.lines.get_mut(agent) {
            line.reserved.remove(&id);
            line.reserved_turns.remove(&id);
        }
    }

    /// What may be spent, and what is.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// The same, to be changed: whoever keeps a place in a queue keeps room in the budgets with it.
    pub fn budgets_mut(&mut self) -> &mut Budgets {
        &mut self.budgets
    }

    /// Whether starts are held back because too little room is left for what a run writes.
    pub fn hold_back_for_disk(&mut self, nearly_full: bool) {
        self.disk_nearly_full = nearly_full;
    }

    /// Starts nothing more: the ledger is about to stop. What runs goes on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// One more event of an agent.
    pub fn apply_agent(&mut self, name: &AgentName, event: &AgentEvent) {
        let line = self.lines.entry(name.clone()).or_default();
        match event {
            AgentEvent::Registered(registered) => {
                line.config = Some(registered.config.clone());
                line.status = AgentStatus::Active;
            }
            AgentEvent::Configured(configured) => line.config = Some(configured.config.clone()),
            AgentEvent::Paused(_) => line.status = AgentStatus::Paused,
            AgentEvent::Resumed(_) => line.status = AgentStatus::Active,
            AgentEvent::Retired(_) => {
                line.status = AgentStatus::Retired;
                let waiting = line.in_order().chain(line.only_taken());
                self.orphans.extend(waiting.map(|id| (id, CancelCause::AgentRetired)));
            }
        }
        self.refresh(name);
    }

    /// One more event of an execution; `number` is its place in the log.
    pub fn apply_execution(&mut self, number: u64, id: ExecutionId, event: &ExecutionEvent) {
        match event {
            ExecutionEvent::Pending(pending) => {
                self.wait(&OpenExecution::waiting(number, id, pending));
            }
            ExecutionEvent::QueueMoved(moved) => self.move_to(id, moved.rank),
            ExecutionEvent::Running(running) => {
                if let Some(agent) = self.agent_of.get(&id).cloned() {
                    let held = HeldSlot::new(running.claim, running.slot_until);
                    self.hold(id, &agent, HeldSlot { node: running.node, ..held });
                }
            }
            ExecutionEvent::CancellationRequested(requested) => self.want_stop(id, requested.cause),
            ExecutionEvent::Failed(failed) => {
                self.want_retry(id, failed.code);
                self.forget(id);
            }
            ExecutionEvent::Completed(_) | ExecutionEvent::Cancelled(_) => self.forget(id),
            ExecutionEvent::ResultInjected(_) | ExecutionEvent::InjectionRefused(_) => {
                self.settle(id);
            }
            ExecutionEvent::SignalSent(_) | ExecutionEvent::CostCorrected(_) => {}
        }
    }

    fn wait(&mut self, open: &OpenExecution) {
        if self.agent_of.contains_key(&open.id) {
            return;
        }
        self.agent_of.insert(open.id, open.agent.clone());
        let line = self.lines.entry(open.agent.clone()).or_default();
        line.reserved.remove(&open.id);
        line.reserved_turns.remove(&open.id);
        // What runs has no time to wait for any more.
        let delayed_until = open.not_before.filter(|_| open.held.is_none());
        line.enqueue(open, delayed_until);
        if let Some(at) = delayed_until {
            self.delayed.insert((at, open.id));
        }
        self.highest_rank = self.highest_rank.max(open.place.rank());
        if line.status == AgentStatus::Retired {
            self.orphans.insert(open.id, CancelCause::AgentRetired);
        }
        if open.chat_session.is_some() && self.chat_waiting.insert((open.place, open.id)) {
            line.turns_waiting += 1;
        }
        self.expiries.insert((open.expires_at, open.id));
        self.refresh(&open.agent);
    }

    fn hold(&mut self, id: ExecutionId, agent: &AgentName, held: HeldSlot) {
        let Some(line) = self.lines.get_mut(agent) else { return };
        let Some(entry) = line.executions.get_mut(&id) else { return };
        if let Stage::Running(old) = entry.stage {
            self.lapses.remove(&(old.slot_until, id));
        }
        let (place, expires_at) = (entry.place, entry.expires_at);
        line.waiting.remove(&place);
        if let Some(at) = entry.delayed_until.take() {
            line.delayed.remove(&(at, id));
            self.delayed.remove(&(at, id));
        }
        if self.chat_waiting.remove(&(place, id)) {
            line.turns_waiting -= 1;
        }
        self.restage(agent, id, Stage::Running(held));
        self.orphans.remove(&id);
        self.expiries.remove(&(expires_at, id));
        self.lapses.insert((held.slot_until, id));
        if held.cancellation.is_some() {
            self.stops.insert(id);
        }
        self.busy.remove(&id);
        self.refresh(agent);
    }

    fn move_to(&mut self, id: ExecutionId, rank: u64) {
        self.highest_rank = self.highest_rank.max(rank);
        let Some(agent) = self.agent_of.get(&id).cloned() else { return };
        let Some(line) = self.lines.get_mut(&agent) else { return };
        let Some(entry) = line.executions.get_mut(&id) else { return };
        let (old, new) = (entry.place, entry.place.moved_to(rank));
        entry.place = new;
        if line.waiting.remove(&old).is_some() {
            line.waiting.insert(new, id);
        }
        if self.chat_waiting.remove(&(old, id)) {
            self.chat_waiting.insert((new, id));
        }
        self.refresh(&agent);
    }

    fn want_stop(&mut self, id: ExecutionId, cause: CancelCause) {
        let Some(line) = self.agent_of.get(&id).and_then(|agent| self.lines.get_mut(agent)) else {
            return;
        };
        let stage = line.executions.get_mut(&id).map(|entry| &mut entry.stage);
        if let Some(Stage::Running(slot)) = stage {
            slot.cancellation = Some(cause);
            self.stops.insert(id);
        }
    }

    fn forget(&mut self, id: ExecutionId) {
        let Some(agent) = self.agent_of.remove(&id) else { return };
        let Some(line) = self.lines.get_mut(&agent) else { return };
        let Some(entry) = line.executions.remove(&id) else { return };
        line.waiting.remove(&entry.place);
        line.reserved.remove(&id);
        if self.chat_waiting.remove(&(entry.place, id)) {
            line.turns_waiting -= 1;
        }
        if let Some(at) = entry.delayed_until {
            line.delayed.remove(&(at, id));
            self.delayed.remove(&(at, id));
        }
        if let Stage::Running(slot) = entry.stage {
            self.lapses.remove(&(slot.slot_until, id));
        }
        self.count(&agent, entry.kind, id, (entry.stage, Stage::Waiting));
        self.expiries.remove(&(entry.expires_at, id));
        self.stops.remove(&id);
        self.orphans.remove(&id);
        self.busy.remove(&id);
        self.owe(id, entry.inject_into);
        self.refresh(&agent);
    }

    /// Works out anew whether the agent could start something.
    fn refresh(&mut self, agent: &AgentName) {
        let Some(line) = self.lines.get_mut(agent) else { return };
        if let Some(place) = line.candidate.take() {
            self.candidates.remove(&(place, agent.clone()));
        }
        let starts_here = self.nodes.is_none() || line.hosted.is_some();
        line.candidate = line.first_startable().filter(|_| starts_here);
        if let Some(place) = line.candidate {
            self.candidates.insert((place, agent.clone()));
        }
    }
}

#[cfg(test)]
mod node_tests;
#[cfg(test)]
mod retry_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;
