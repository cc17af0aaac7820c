//! What people ask of the queue: who holds the slots, and why does this one wait?

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Policy;
use super::lines::{AgentStatus, Entry, Kind, Line, Place, Stage};
use crate::ids::{AgentName, ExecutionId, SessionId};
use crate::lease::LeaseName;
use crate::time::Timestamp;

/// Deepest chain of parents that is walked.
const ANCESTORS_MAX: usize = 64;

/// Who holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotHolder {
    /// Which execution.
    pub execution: ExecutionId,
    /// When its slot lapses; absent while it is being started.
    pub slot_until: Option<Timestamp>,
}

/// The slots and the queue of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Whether the agent takes and starts tasks.
    pub status: AgentStatus,
    /// How many slots it has.
    pub slots: u32,
    /// Who holds them, in the order of their ids.
    pub holders: Vec<SlotHolder>,
    /// How many executions wait.
    pub waiting: u32,
    /// How many may.
    pub queue_limit: u32,
    /// The first of those that wait, in order.
    pub queue: Vec<ExecutionId>,
}

/// What keeps an execution waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// Nothing: it is being started.
    Starting,
    /// Its agent is paused.
    AgentPaused,
    /// Its agent was retired; it is about to be cancelled.
    AgentRetired,
    /// All of its agent's slots are taken.
    SlotsTaken,
    /// As much runs as may in all.
    CeilingReached,
    /// Another turn of its session runs.
    SessionBusy,
    /// Nothing starts at the moment: there is too little room on the disk.
    DiskNearlyFull,
    /// Nothing starts any more: the ledger is about to stop. It starts after the next start.
    Draining,
    /// Others are before it.
    BehindOthers,
    /// No node hosts its agent at the moment: another takes it over shortly.
    NoNode,
    /// It is a new attempt and waits for its time.
    RetryBackoff {
        /// Until when.
        until: Timestamp,
    },
}

impl Blocker {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::AgentPaused => "agent_paused",
            Self::AgentRetired => "agent_retired",
            Self::SlotsTaken => "slots_taken",
            Self::CeilingReached => "max_parallel_total_reached",
            Self::SessionBusy => "session_busy",
            Self::DiskNearlyFull => "disk_nearly_full",
            Self::Draining => "server_stopping",
            Self::BehindOthers => "behind_others",
            Self::NoNode => "no_node",
            Self::RetryBackoff { .. } => "retry_backoff",
        }
    }

    /// Until when it keeps the execution, where that is known.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::RetryBackoff { until } => Some(until),
            _ => None,
        }
    }
}

/// Where an execution stands that waits, in the order of its agent's queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// In the line.
    InLine(Place),
    /// Behind the line, until its time.
    Aside(Timestamp, ExecutionId),
}

/// Why an execution waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What keeps it.
    pub blocker: Blocker,
    /// Its place in its agent's queue, from 1; 0 while it is being started. Those that wait for
    /// their time stand behind all others.
    pub place: u32,
    /// Who holds the agent's slots.
    pub holders: Vec<SlotHolder>,
}

impl Policy {
    /// The slots and the queue of an agent; of the queue at most `most`.
    pub fn capacity(&self, agent: &AgentName, most: usize) -> Option<Capacity> {
        let line = self.lines.get(agent)?;
        let config = line.config.as_ref()?;
        Some(Capacity {
            status: line.status,
            slots: config.max_parallel_tasks,
            holders: self.holders(agent),
            waiting: line.queued(),
            queue_limit: config.queue_limit,
            queue: line.in_order().filter(|id| line.is_task(*id)).take(most).collect(),
        })
    }

    /// Why an execution waits; `None` where it does not.
    pub fn why_waiting(&self, execution: ExecutionId) -> Option<Waiting> {
        let (blocker, place) = self.why_each_waits(&[execution]).remove(&execution)?;
        let holders = self.holders(self.agent_of.get(&execution)?);
        Some(Waiting { blocker, place, holders })
    }

    /// What keeps each of these executions waiting, and its place in its agent's queue, from 1; 0 while
    /// it is being started. Chat turns stand in no queue of tasks: theirs is the place among the turns
    /// of their session. Those that do not wait are left out. Each queue is walked once, up to the last
    /// of them.
    pub fn why_each_waits(
        &self,
        executions: &[ExecutionId],
    ) -> HashMap<ExecutionId, (Blocker, u32)> {
        let mut found = HashMap::new();
        let mut turns: HashMap<SessionId, BTreeSet<(Place, ExecutionId)>> = HashMap::new();
        let mut queued: HashMap<&AgentName, BTreeMap<Standing, ExecutionId>> = HashMap::new();
        for id in executions {
            let Some(agent) = self.agent_of.get(id) else { continue };
            let Some(entry) = self.lines.get(agent).and_then(|line| line.executions.get(id)) else {
                continue;
            };
            match entry.stage {
                Stage::Running(_) => {}
                Stage::Starting | Stage::Taken => {
                    found.insert(*id, (Blocker::Starting, 0));
                }
                Stage::Waiting => {
                    found.insert(*id, (self.blocker(agent, entry), 0));
                    if let Kind::ChatTurn(session) = entry.kind {
                        turns.entry(session).or_default().insert((entry.place, *id));
                        continue;
                    }
                    let standing = match entry.delayed_until {
                        None => Standing::InLine(entry.place),
                        Some(at) => Standing::Aside(at, *id),
                    };
                    queued.entry(agent).or_default().insert(standing, *id);
                }
            }
        }
        if !turns.is_empty() {
            self.place_turns(&turns, &mut found);
        }
        for (agent, wanted) in queued {
            let Some(line) = self.lines.get(agent) else { continue };
            let tasks = line.waiting.iter().filter(|(_, id)| line.is_task(**id));
            let in_line = tasks.map(|(place, _)| Standing::InLine(*place));
            let aside = line.delayed.iter().map(|(at, id)| Standing::Aside(*at, *id));
            let mut all = (1..).zip(in_line.chain(aside));
            // Both are in the same order.
            for (standing, id) in wanted {
                let number = all.find(|(_, other)| *other == standing).map(|(number, _)| number);
                if let (Some(number), Some(waiting)) = (number, found.get_mut(&id)) {
                    waiting.1 = number;
                }
            }
        }
        found
    }

    /// Says of waiting turns which place they have in their session; all waiting turns are walked once.
    fn place_turns(
        &self,
        wanted: &HashMap<SessionId, BTreeSet<(Place, ExecutionId)>>,
        found: &mut HashMap<ExecutionId, (Blocker, u32)>,
    ) {
        let mut before: HashMap<SessionId, u32> = HashMap::new();
        for (place, id) in &self.chat_waiting {
            let Some(session) = self.turn_of(*id) else { continue };
            let Some(of_session) = wanted.get(&session) else { continue };
            let number = before.entry(session).or_default();
            *number += 1;
            if of_session.contains(&(*place, *id))
                && let Some(waiting) = found.get_mut(id)
            {
                waiting.1 = *number;
            }
        }
    }

    /// Whether a run that waited for a new execution of `agent` would wait for itself: every slot of
    /// the agent, or every place for tasks of the node that hosts it, is held by the caller or one of
    /// those that wait for the caller. Of several nodes each is taken to have as many places as this one.
    pub fn would_deadlock(&self, agent: &AgentName, caller: ExecutionId) -> bool {
        let Some(line) = self.lines.get(agent) else { return false };
        let mut own = Vec::new();
        let mut next = Some(caller);
        while let Some(id) = next
            && own.len() < ANCESTORS_MAX
        {
            own.push(id);
            let entry =
                self.agent_of.get(&id).and_then(|of| self.lines.get(of)?.executions.get(&id));
            next = entry.and_then(|entry| entry.parent);
        }
        let holds_slot = |line: &Line, id: &ExecutionId| {
            line.executions
                .get(id)
                .is_some_and(|entry| entry.slot().is_some() && entry.kind == Kind::Task)
        };
        let in_its_place = |id: &&ExecutionId| {
            let of = self.agent_of.get(*id).and_then(|of| self.lines.get(of));
            of.is_some_and(|of| holds_slot(of, id) && self.has_place_where(agent, of, **id))
        };
        let of_agent = own.iter().filter(|id| holds_slot(line, id)).count();
        let of_all = own.iter().filter(in_its_place).count();
        let places = self.ceiling.max_parallel_total.saturating_sub(self.ceiling.kept_for_chat);
        (of_agent > 0 && of_agent >= line.slots() as usize) || of_all >= places as usize
    }

    /// Whether an execution has its place on the node that starts the agent's runs.
    fn has_place_where(&self, agent: &AgentName, line: &Line, execution: ExecutionId) -> bool {
        if self.nodes.is_none() {
            return true;
        }
        let host = self.lease(&LeaseName::Agent(agent.clone())).holder;
        let slot = line.executions.get(&execution).and_then(Entry::slot);
        host.is_some() && slot.is_some_and(|slot| slot.node == host)
    }

    /// The execution's agent, while it has not ended.
    pub fn agent_of(&self, execution: ExecutionId) -> Option<&AgentName> {
        self.agent_of.get(&execution)
    }

    /// Every execution that runs on this node, with its claim: what a restarted manager takes up.
    pub fn holding(&self) -> Vec<(ExecutionId, AgentName, crate::ids::ClaimId)> {
        let of_line = |(agent, line): (&AgentName, &Line)| {
            let agent = agent.clone();
            let held = line.executions.iter();
            held.filter_map(|(id, entry)| Some((*id, entry.slot()?)))
                .filter(|(_, slot)| self.runs_here(slot))
                .map(|(id, slot)| (id, slot.claim))
                .map(|(id, claim)| (id, agent.clone(), claim))
                .collect::<Vec<_>>()
        };
        self.lines.iter().flat_map(of_line).collect()
    }

    /// The claim by which an execution holds its slot.
    pub fn holds(&self, execution: ExecutionId) -> Option<crate::ids::ClaimId> {
        let agent = self.agent_of.get(&execution)?;
        self.lines.get(agent)?.executions.get(&execution)?.slot().map(|slot| slot.claim)
    }

    /// Executions that run or are being started, and executions that wait, over all agents.
    pub fn totals(&self) -> (u32, u32) {
        let waiting: usize =
            self.lines.values().map(|line| line.waiting.len() + line.delayed.len()).sum();
        (self.tasks_held + self.chats_held, u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    fn blocker(&self, agent: &AgentName, entry: &Entry) -> Blocker {
        let (kind, place) = (entry.kind, entry.place);
        let Some(line) = self.lines.get(agent) else { return Blocker::AgentRetired };
        match (line.status, entry.delayed_until) {
            (AgentStatus::Retired, _) => return Blocker::AgentRetired,
            (_, Some(until)) => return Blocker::RetryBackoff { until },
            (AgentStatus::Paused, None) => return Blocker::AgentPaused,
            (AgentStatus::Active, None) => {}
        }
        if self.draining {
            return Blocker::Draining;
        }
        if self.disk_nearly_full {
            return Blocker::DiskNearlyFull;
        }
        if self.has_no_host(agent) {
            return Blocker::NoNode;
        }
        let elsewhere = self.nodes.is_some() && line.hosted.is_none();
        let all = self.tasks_held + self.chats_held;
        match kind {
            Kind::ChatTurn(session) if self.chat_sessions_running.contains_key(&session) => {
                Blocker::SessionBusy
            }
            Kind::ChatTurn(_) if elsewhere => Blocker::Starting,
            Kind::ChatTurn(_) if all >= self.ceiling.max_parallel_total => Blocker::CeilingReached,
            Kind::ChatTurn(_) => Blocker::Starting,
            Kind::Task if line.taken >= line.slots() => Blocker::SlotsTaken,
            Kind::Task if line.waiting.range(..place).any(|(_, id)| line.is_task(*id)) => {
                Blocker::BehindOthers
            }
            Kind::Task if elsewhere => Blocker::Starting,
            Kind::Task => Blocker::CeilingReached,
        }
    }

    fn holders(&self, agent: &AgentName) -> Vec<SlotHolder> {
        let Some(line) = self.lines.get(agent) else { return Vec::new() };
        let held = line.executions.iter().filter(|(_, entry)| entry.kind == Kind::Task);
        let mut holders: Vec<_> = held
            .filter_map(|(id, entry)| match entry.stage {
                Stage::Waiting => None,
                Stage::Starting | Stage::Taken => {
                    Some(SlotHolder { execution: *id, slot_until: None })
                }
                Stage::Running(slot) => {
                    Some(SlotHolder { execution: *id, slot_until: Some(slot.slot_until) })
                }
            })
            .collect();
        holders.sort_by_key(|holder| holder.execution);
        holders
    }
}
