//! The queue and the slots of one agent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Ceiling;
use crate::agent::AgentConfig;
use crate::execution::{CancelCause, Pending, Trigger};
use crate::ids::{AgentName, ClaimId, ExecutionId, NodeId, SessionId};
use crate::time::Timestamp;

/// Whether an agent takes and starts tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AgentStatus {
    /// It does both.
    #[default]
    Active,
    /// It takes tasks and starts none.
    Paused,
    /// It does neither.
    Retired,
}

/// A place in a queue: first the moved ones, the last moved first; then by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    rank: Reverse<u64>,
    number: u64,
}

impl Place {
    /// The place of the execution whose `execution.pending` stands at `number` in the log.
    pub fn new(number: u64, rank: u64) -> Self {
        Self { rank: Reverse(rank), number }
    }

    pub(super) fn moved_to(self, rank: u64) -> Self {
        Self { rank: Reverse(rank), ..self }
    }

    /// How far it was moved to the front; 0 where it never was.
    pub fn rank(self) -> u64 {
        self.rank.0
    }
}

/// A slot that an execution holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldSlot {
    /// Which start of the execution holds it.
    pub claim: ClaimId,
    /// When it lapses.
    pub slot_until: Timestamp,
    /// Why the run is to stop, once somebody wants that.
    pub cancellation: Option<CancelCause>,
    /// Where it runs, where several nodes share the log.
    pub node: Option<NodeId>,
}

impl HeldSlot {
    /// A slot of a run that nobody wants to stop.
    pub fn new(claim: ClaimId, slot_until: Timestamp) -> Self {
        Self { claim, slot_until, cancellation: None, node: None }
    }
}

/// An execution that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenExecution {
    /// Its id.
    pub id: ExecutionId,
    /// Its agent.
    pub agent: AgentName,
    /// Its place in the queue.
    pub place: Place,
    /// When it stops waiting.
    pub expires_at: Timestamp,
    /// The execution that asked for it.
    pub parent: Option<ExecutionId>,
    /// The session whose turn it is, where it is a chat turn.
    pub chat_session: Option<SessionId>,
    /// The session that its result is to be put into.
    pub inject_into: Option<SessionId>,
    /// When it starts at the earliest, where it is to wait for a while.
    pub not_before: Option<Timestamp>,
    /// Whether another attempt follows should it fail for a reason that can pass.
    pub is_retried: bool,
    /// The slot that it holds, once it runs.
    pub held: Option<HeldSlot>,
}

impl OpenExecution {
    /// As its first event says.
    pub fn waiting(number: u64, id: ExecutionId, pending: &Pending) -> Self {
        Self {
            id,
            agent: pending.agent.clone(),
            place: Place::new(number, 0),
            expires_at: pending.expires_at,
            parent: pending.parent_execution_id,
            chat_session: pending.chat_session_id.filter(|_| pending.triggered_by == Trigger::Chat),
            inject_into: pending.chat_session_id.filter(|_| pending.inject_result),
            not_before: pending.not_before,
            is_retried: pending.is_retried(),
            held: None,
        }
    }
}

/// What an execution takes to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A slot of its agent.
    Task,
    /// No slot: one turn of a session at a time.
    ChatTurn(SessionId),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub kind: Kind,
    pub place: Place,
    pub expires_at: Timestamp,
    pub parent: Option<ExecutionId>,
    /// The session that its result is to be put into.
    pub inject_into: Option<SessionId>,
    /// When it starts at the earliest, whether or not that has come: clocks jump back.
    pub not_before: Option<Timestamp>,
    /// Until when it stands aside, while it does.
    pub delayed_until: Option<Timestamp>,
    pub is_retried: bool,
    /// How often its start led to no event.
    pub given_back: u32,
    /// Whether a slot was taken for it: then it counts as holding one until it ends.
    pub fence: Fence,
    /// In which epoch of its agent's lease its start was begun.
    pub epoch: Option<u64>,
    pub stage: Stage,
}

/// Whether a slot was taken for an execution in its agent's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fence {
    /// None was.
    None,
    /// The answer was lost: it counts as if one had been, and is no reason to start it before others.
    Perhaps,
    /// The log says so.
    Taken,
}

/// How far an open execution has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// It waits.
    Waiting,
    /// A slot was taken for it, and nobody knows of its start yet.
    Taken,
    /// A start was begun; its event has not come back from the log yet.
    Starting,
    /// It holds a slot by its event.
    Running(HeldSlot),
}

impl Entry {
    /// The slot that it holds by its event.
    pub fn slot(&self) -> Option<HeldSlot> {
        match self.stage {
            Stage::Waiting | Stage::Taken | Stage::Starting => None,
            Stage::Running(slot) => Some(slot),
        }
    }
}

/// One agent's queue and slots.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub config: Option<AgentConfig>,
    pub status: AgentStatus,
    /// All open executions of the agent.
    pub executions: HashMap<ExecutionId, Entry>,
    /// Those that wait and are not being started, in order; chat turns stand here too.
    pub waiting: BTreeMap<Place, ExecutionId>,
    /// Those that wait for their time, by time; they stand in no line until then.
    pub delayed: BTreeSet<(Timestamp, ExecutionId)>,
    /// Places kept for executions that are being appended.
    pub reserved: HashSet<ExecutionId>,
    /// Places kept for chat turns that are being appended.
    pub reserved_turns: HashSet<ExecutionId>,
    /// How many of those that wait are chat turns.
    pub turns_waiting: u32,
    /// Slots taken by tasks that run or are being started.
    pub taken: u32,
    /// What stands in the policy's candidates for this agent.
    pub candidate: Option<Place>,
    /// In which epoch this node hosts the agent, where it is one of several.
    pub hosted: Option<u64>,
}

impl Line {
    /// Takes up an execution that waits; `delayed_until` is when it may join the line.
    pub fn enqueue(&mut self, open: &OpenExecution, delayed_until: Option<Timestamp>) {
        let kind = open.chat_session.map_or(Kind::Task, Kind::ChatTurn);
        let entry = Entry {
            kind,
            place: open.place,
            expires_at: open.expires_at,
            parent: open.parent,
            inject_into: open.inject_into,
            not_before: open.not_before,
            delayed_until,
            is_retried: open.is_retried,
            given_back: 0,
            fence: Fence::None,
            epoch: None,
            stage: Stage::Waiting,
        };
        self.executions.insert(open.id, entry);
        match delayed_until {
            Some(at) => {
                self.delayed.insert((at, open.id));
            }
            None => {
                self.waiting.insert(open.place, open.id);
            }
        }
    }

    /// Those that wait, in the order in which they start: first the line, then those that wait for
    /// their time.
    pub fn in_order(&self) -> impl Iterator<Item = ExecutionId> {
        self.waiting.values().copied().chain(self.delayed.iter().map(|(_, id)| *id))
    }

    /// Those for which a slot was taken and of whose start nothing is known.
    pub fn only_taken(&self) -> impl Iterator<Item = ExecutionId> {
        let taken = self.executions.iter().filter(|(_, entry)| matches!(entry.stage, Stage::Taken));
        taken.map(|(id, _)| *id)
    }

    /// Slots of those of whose start something is known.
    pub fn taken_and_begun(&self) -> u32 {
        let only_taken = self.only_taken().filter(|id| self.is_task(*id)).count();
        self.taken.saturating_sub(u32::try_from(only_taken).unwrap_or(u32::MAX))
    }

    /// Whether one for which a slot was taken may start. A claim of it may be on its way in any case where
    /// the log says so, and then more can be taken than there are slots where their number was lowered. Where
    /// that is not known a slot is taken by the start, so that it has to fit beside all others.
    pub fn takes_its_slot(&self, id: ExecutionId) -> bool {
        let Some(entry) = self.executions.get(&id) else { return false };
        let fits = entry.fence == Fence::Taken || self.taken <= self.slots();
        entry.kind != Kind::Task || fits && self.taken_and_begun() < self.slots()
    }

    /// Whether an open execution is a task of the queue, and no chat turn.
    pub fn is_task(&self, id: ExecutionId) -> bool {
        self.executions.get(&id).is_some_and(|entry| entry.kind == Kind::Task)
    }

    /// Whether an execution is a task that waits, in the line or for its time.
    pub fn is_waiting_task(&self, id: ExecutionId) -> bool {
        let waits = |entry: &Entry| matches!(entry.stage, Stage::Waiting);
        self.is_task(id) && self.executions.get(&id).is_some_and(waits)
    }

    pub fn slots(&self) -> u32 {
        self.config.as_ref().map_or(0, |config| config.max_parallel_tasks)
    }

    /// Tasks that wait or are about to; chat turns have a queue of their own.
    pub fn queued(&self) -> u32 {
        let all = self.waiting.len() + self.delayed.len() + self.reserved.len();
        u32::try_from(all).unwrap_or(u32::MAX).saturating_sub(self.turns_waiting)
    }

    /// How many more tasks would start at once: these do not count towards the queue's limit.
    pub fn free_slots(&self, ceiling: Ceiling, tasks_held: u32) -> u32 {
        if self.status != AgentStatus::Active {
            return 0;
        }
        let places = ceiling.max_parallel_total.saturating_sub(ceiling.kept_for_chat);
        self.slots().saturating_sub(self.taken).min(places.saturating_sub(tasks_held))
    }

    /// The first waiting task, if the agent may start one more.
    pub fn first_startable(&self) -> Option<Place> {
        if self.status != AgentStatus::Active || self.taken >= self.slots() {
            return None;
        }
        self.waiting.iter().find(|(_, id)| self.is_task(**id)).map(|(place, _)| *place)
    }
}
