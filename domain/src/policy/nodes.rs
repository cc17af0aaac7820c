//! Several nodes over one log: what this one does, and what counts although others do it.
//!
//! Every node folds all of the log, so each knows all queues and slots. It starts runs only of the agents
//! whose leases it holds, and does what is done once only where it holds the leader's. A slot counts from
//! the moment that the log says that it was taken, whoever took it: a claim that follows may still be on
//! its way from a node that has lost its lease since.

use std::collections::{BTreeSet, HashMap};

use super::lines::{AgentStatus, Fence, HeldSlot, Kind, Stage};
use super::{Effect, Policy};
use crate::ids::{AgentName, ClaimId, ExecutionId, NodeId};
use crate::lease::{Lease, LeaseAcquired, LeaseEvent, LeaseName, LeaseReleased};

/// Failures that a node remembers which is not the leader, should it become that: most. What is older is
/// left to whoever leads.
const RETRIES_REMEMBERED_MAX: usize = 10_000;

/// What a node knows of itself and the others.
#[derive(Debug)]
pub(super) struct Nodes {
    me: NodeId,
    /// Whether it holds the leader's lease.
    leads: bool,
    /// Whether it was heard of lately enough to start anything.
    acts: bool,
    /// Who holds which lease, as the log says.
    leases: HashMap<LeaseName, Lease>,
    /// Those for which a slot was taken and of whose start nothing is known.
    taken: BTreeSet<ExecutionId>,
}

/// A run of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunElsewhere {
    /// Which execution.
    pub execution: ExecutionId,
    /// Of which agent.
    pub agent: AgentName,
    /// Which start of it.
    pub claim: ClaimId,
    /// Where, as far as its event says.
    pub node: Option<NodeId>,
}

impl Policy {
    /// One of several nodes: it starts nothing before it holds leases.
    pub fn share(&mut self, me: NodeId) {
        self.nodes = Some(Nodes {
            me,
            leads: false,
            acts: false,
            leases: HashMap::new(),
            taken: BTreeSet::new(),
        });
    }

    /// Takes up a lease as a read model knows it. Whoever held it for an earlier process of this node
    /// has to be asked for again.
    pub fn load_lease(&mut self, name: LeaseName, lease: Lease) {
        if let Some(nodes) = &mut self.nodes {
            nodes.leases.insert(name, lease);
        }
    }

    /// Takes up that a slot was taken for an execution that waits or runs, as a read model knows it.
    pub fn load_taken(&mut self, execution: ExecutionId) {
        self.slot_taken(execution, Fence::Taken);
    }

    /// One more event of a lease.
    pub fn apply_lease(&mut self, name: &LeaseName, event: &LeaseEvent) {
        let Some(nodes) = &mut self.nodes else { return };
        let lease = nodes.leases.entry(name.clone()).or_default();
        *lease = crate::Aggregate::evolve(*lease, event);
        let held = match event {
            LeaseEvent::LeaseAcquired(LeaseAcquired { node, epoch }) if *node == nodes.me => {
                Some(*epoch)
            }
            LeaseEvent::LeaseAcquired(_) | LeaseEvent::LeaseReleased(LeaseReleased { .. }) => None,
            LeaseEvent::SlotTaken(taken) => {
                return self.slot_taken(taken.execution, Fence::Taken);
            }
        };
        match name {
            LeaseName::Leader => nodes.leads = held.is_some(),
            LeaseName::Agent(agent) => {
                self.lines.entry(agent.clone()).or_default().hosted = held;
                self.refresh(agent);
            }
        }
    }

    /// Whether this node was heard of lately enough to start anything; it matters only among several.
    pub fn may_act(&mut self, acts: bool) {
        if let Some(nodes) = &mut self.nodes {
            nodes.acts = acts;
        }
    }

    /// This node was not heard of for too long: others may have taken over what it held, whether it knows
    /// of it or not. What it holds from here on it has to ask for anew.
    pub fn hold_nothing(&mut self) {
        let Some(nodes) = &mut self.nodes else { return };
        (nodes.leads, nodes.acts) = (false, false);
        let hosted = self.lines.iter().filter(|(_, line)| line.hosted.is_some());
        let hosted: Vec<AgentName> = hosted.map(|(agent, _)| agent.clone()).collect();
        for agent in hosted {
            self.stop_hosting(&agent);
        }
    }

    /// This node was told that it holds the lease of an agent no more.
    pub fn stop_hosting(&mut self, agent: &AgentName) {
        if let Some(line) = self.lines.get_mut(agent) {
            line.hosted = None;
            self.refresh(agent);
        }
    }

    /// The agents that are not retired, each with its lease and how many of its executions are open.
    pub fn hosting(&self) -> Vec<(AgentName, Lease, usize)> {
        let Some(nodes) = &self.nodes else { return Vec::new() };
        let active = |line: &super::Line| {
            line.config.is_some()
                && (line.status != AgentStatus::Retired || !line.executions.is_empty())
        };
        let agents = self.lines.iter().filter(|(_, line)| active(line));
        let with_lease = agents.map(|(agent, line)| {
            let lease = nodes.leases.get(&LeaseName::Agent(agent.clone())).copied();
            (agent.clone(), lease.unwrap_or_default(), line.executions.len())
        });
        with_lease.collect()
    }

    /// A lease as the log says.
    pub fn lease(&self, name: &LeaseName) -> Lease {
        let nodes = self.nodes.as_ref();
        nodes.and_then(|nodes| nodes.leases.get(name)).copied().unwrap_or_default()
    }

    /// In which epoch this node hosts an agent.
    pub fn hosted(&self, agent: &AgentName) -> Option<u64> {
        self.lines.get(agent).and_then(|line| line.hosted)
    }

    /// In which epoch of its agent's lease the start of an execution was begun: what counted then was what
    /// had been seen by then, so that a slot may be taken in that epoch and in no later one.
    pub fn start_epoch(&self, execution: ExecutionId) -> Option<u64> {
        let line = self.agent_of.get(&execution).and_then(|agent| self.lines.get(agent))?;
        line.executions.get(&execution)?.epoch
    }

    /// Whether this node does what is done once: it is alone, or leads and was heard of.
    pub fn does_what_is_done_once(&self) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.leads && nodes.acts)
    }

    /// What runs on other nodes.
    pub fn held_elsewhere(&self) -> Vec<RunElsewhere> {
        let mut found = Vec::new();
        for (agent, line) in &self.lines {
            for (execution, entry) in &line.executions {
                if let Some(slot) = entry.slot().filter(|slot| !self.runs_here(slot)) {
                    let (execution, claim, node) = (*execution, slot.claim, slot.node);
                    found.push(RunElsewhere { execution, agent: agent.clone(), claim, node });
                }
            }
        }
        found
    }

    /// Whether a run is one of this node's.
    pub(super) fn runs_here(&self, slot: &HeldSlot) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| slot.node == Some(nodes.me))
    }

    pub(super) fn may_start(&self) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.acts)
    }

    pub(super) fn has_no_host(&self, agent: &AgentName) -> bool {
        self.nodes.is_some() && self.lease(&LeaseName::Agent(agent.clone())).holder.is_none()
    }

    /// What a slot was taken for comes first: a claim of it may be on its way, and then ours conflicts
    /// with it instead of filling a slot beside it.
    pub(super) fn begin_taken(&mut self, effects: &mut Vec<Effect>, most: usize) {
        let Some(nodes) = &self.nodes else { return };
        let idle = nodes.taken.iter().filter(|id| !self.busy.contains(id));
        let idle = idle.filter_map(|id| Some((*id, self.agent_of.get(id)?.clone())));
        let startable = |agent: &AgentName| {
            let line = self.lines.get(agent);
            line.is_some_and(|line| line.hosted.is_some() && line.status == AgentStatus::Active)
        };
        let first: Vec<_> = idle.filter(|(_, agent)| startable(agent)).take(most).collect();
        for (execution, agent) in first {
            if effects.len() >= most || self.all_held() >= self.ceiling.max_parallel_total {
                return;
            }
            if !self.lines.get(&agent).is_some_and(|line| line.takes_its_slot(execution)) {
                continue;
            }
            self.restage(&agent, execution, Stage::Starting);
            self.busy.insert(execution);
            effects.push(Effect::Start { execution, agent });
        }
    }

    /// This node took a slot: it counts from here on, also where the start comes to nothing before the log
    /// tells of it.
    pub fn took_slot(&mut self, execution: ExecutionId) {
        self.slot_taken(execution, Fence::Taken);
    }

    /// Whether the log took that a slot is taken is not known: it counts as if it had.
    pub fn slot_may_be_taken(&mut self, execution: ExecutionId) {
        self.slot_taken(execution, Fence::Perhaps);
    }

    fn slot_taken(&mut self, execution: ExecutionId, fence: Fence) {
        if self.nodes.is_none() {
            return;
        }
        let Some(agent) = self.agent_of.get(&execution).cloned() else { return };
        let entry = self.lines.get_mut(&agent).and_then(|line| line.executions.get_mut(&execution));
        let Some(entry) = entry else { return };
        entry.fence = entry.fence.max(fence);
        if let Stage::Waiting = entry.stage {
            self.unqueue(execution);
            self.restage(&agent, execution, Stage::Taken);
            self.refresh(&agent);
        }
    }

    /// Keeps what a follower remembers of failures within bounds.
    pub(super) fn forget_old_retries(&mut self) {
        while !self.does_what_is_done_once() && self.retries.len() > RETRIES_REMEMBERED_MAX {
            self.retries.pop_first();
        }
    }

    /// Puts an open execution into another stage.
    pub(super) fn restage(&mut self, agent: &AgentName, id: ExecutionId, stage: Stage) {
        let Some(line) = self.lines.get_mut(agent) else { return };
        let hosted = line.hosted;
        let Some(entry) = line.executions.get_mut(&id) else { return };
        let before = std::mem::replace(&mut entry.stage, stage);
        let kind = entry.kind;
        if let Stage::Starting = stage {
            entry.epoch = hosted;
        }
        self.count(agent, kind, id, (before, stage));
    }

    /// Counts slots, which are the agent's, and places, which are this node's, when an execution goes
    /// from one stage to another.
    pub(super) fn count(
        &mut self,
        agent: &AgentName,
        kind: Kind,
        id: ExecutionId,
        (before, after): (Stage, Stage),
    ) {
        if let Some(nodes) = &mut self.nodes {
            match after {
                Stage::Taken => nodes.taken.insert(id),
                _ => nodes.taken.remove(&id),
            };
        }
        let slot = |stage| !matches!(stage, Stage::Waiting);
        let here = |stage| match stage {
            Stage::Waiting | Stage::Taken => false,
            Stage::Starting => true,
            Stage::Running(held) => self.runs_here(&held),
        };
        let (had_slot, has_slot) = (slot(before), slot(after));
        let (had_place, has_place) = (here(before), here(after));
        match kind {
            Kind::Task => {
                if let Some(line) = self.lines.get_mut(agent) {
                    change(&mut line.taken, had_slot, has_slot);
                }
                change(&mut self.tasks_held, had_place, has_place);
            }
            Kind::ChatTurn(session) => {
                if has_slot {
                    self.chat_sessions_running.insert(session, id);
                } else if had_slot {
                    self.chat_sessions_running.remove(&session);
                }
                change(&mut self.chats_held, had_place, has_place);
            }
        }
    }
}

fn change(count: &mut u32, before: bool, after: bool) {
    match (before, after) {
        (false, true) => *count = count.saturating_add(1),
        (true, false) => *count = count.saturating_sub(1),
        (true, true) | (false, false) => {}
    }
}
