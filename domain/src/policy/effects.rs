//! What is to be done now.

use super::lines::{AgentStatus, Fence, Stage};
use super::{Place, Policy};
use crate::execution::CancelCause;
use crate::ids::{AgentName, ClaimId, ExecutionId, SessionId};
use crate::time::Timestamp;

/// Something for the process manager to do. Each is safe to do again after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Take a slot and start the agent's process.
    Start {
        /// Which execution.
        execution: ExecutionId,
        /// Which agent.
        agent: AgentName,
    },
    /// Tell the run's supervisor to stop it.
    Stop {
        /// Which execution.
        execution: ExecutionId,
        /// Which start of it.
        claim: ClaimId,
    },
    /// The slot has lapsed: have the tree killed.
    Lapse {
        /// Which execution.
        execution: ExecutionId,
        /// Which start of it.
        claim: ClaimId,
    },
    /// It has waited for too long.
    Expire {
        /// Which execution.
        execution: ExecutionId,
    },
    /// It waits for an agent that takes no more tasks, or in a session that was closed.
    CancelWaiting {
        /// Which execution.
        execution: ExecutionId,
        /// Why.
        cause: CancelCause,
    },
    /// It failed for a reason that can pass: have another attempt follow.
    Retry {
        /// Which execution failed.
        execution: ExecutionId,
    },
    /// It has ended: put its result into its chat session, or say why that can't be.
    Inject {
        /// Which execution.
        execution: ExecutionId,
        /// Which session.
        session: SessionId,
    },
}

impl Effect {
    /// The execution that it is about.
    pub fn execution(&self) -> ExecutionId {
        match self {
            Self::Start { execution, .. }
            | Self::Stop { execution, .. }
            | Self::Lapse { execution, .. }
            | Self::Expire { execution }
            | Self::Retry { execution }
            | Self::Inject { execution, .. }
            | Self::CancelWaiting { execution, .. } => *execution,
        }
    }
}

impl Policy {
    /// What is to be done now, at most `most` effects, each counted as begun. An effect that did not
    /// lead to an event is given back by [`Policy::give_back`].
    pub fn begin(&mut self, now: Timestamp, most: usize) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.begin_stops(&mut effects, most);
        self.begin_lapses(now, &mut effects, most);
        if self.does_what_is_done_once() {
            self.begin_expiries(now, &mut effects, most);
            self.begin_orphans(&mut effects, most);
            self.begin_retries(&mut effects, most);
            self.begin_injections(&mut effects, most);
        }
        self.end_delays(now);
        if self.may_start() && !self.draining && !self.disk_nearly_full {
            self.begin_taken(&mut effects, most);
            self.begin_chat_turns(&mut effects, most);
            self.begin_tasks(&mut effects, most);
        }
        effects
    }

    /// An effect that was carried out, also where it found that nothing was left to do. What follows
    /// from it is told by its events; only an injection, whose execution is forgotten already, has to
    /// be forgotten here.
    pub fn done(&mut self, effect: &Effect) {
        if let Effect::Inject { execution, .. } = effect {
            self.injecting.remove(execution);
        }
    }

    /// An effect that led to no event: it may be begun again.
    pub fn give_back(&mut self, effect: &Effect) {
        let id = effect.execution();
        if let Effect::Retry { .. } = effect {
            // It has ended: nothing else is known of it here.
            self.retries.insert(id);
            return;
        }
        if let Effect::Inject { .. } = effect {
            self.give_back_injection(id);
            return;
        }
        self.busy.remove(&id);
        let Some(agent) = self.agent_of.get(&id).cloned() else { return };
        let Some(line) = self.lines.get_mut(&agent) else { return };
        let Some(entry) = line.executions.get_mut(&id) else { return };
        let stage = entry.stage;
        match (effect, stage) {
            (Effect::Start { .. }, Stage::Starting) => {
                let fence = entry.fence;
                entry.given_back = entry.given_back.saturating_add(1);
                // Its time to wait may have passed, or its agent been retired, while it was begun.
                self.expiries.insert((entry.expires_at, id));
                if line.status == AgentStatus::Retired {
                    self.orphans.insert(id, CancelCause::AgentRetired);
                }
                if fence > Fence::None {
                    self.restage(&agent, id, Stage::Taken);
                } else {
                    self.restage(&agent, id, Stage::Waiting);
                    self.queue_again(&agent, id);
                }
            }
            (Effect::Stop { .. }, Stage::Running(_)) => {
                self.stops.insert(id);
            }
            (Effect::Lapse { .. }, Stage::Running(slot)) => {
                self.lapses.insert((slot.slot_until, id));
            }
            (Effect::CancelWaiting { cause, .. }, Stage::Waiting | Stage::Taken) => {
                self.orphans.insert(id, *cause);
            }
            (Effect::Expire { .. }, Stage::Waiting | Stage::Taken) => {
                self.expiries.insert((entry.expires_at, id));
                if let Stage::Waiting = stage {
                    self.queue_again(&agent, id);
                }
            }
            _ => {}
        }
        self.refresh(&agent);
    }

    /// When something will be to do although nothing happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let expiry = expiry.filter(|_| self.does_what_is_done_once());
        let lapse = self.lapses.first().map(|(at, _)| *at);
        let delay = self.delayed.first().map(|(at, _)| *at);
        expiry.into_iter().chain(lapse).chain(delay).min()
    }

    fn begin_stops(&mut self, effects: &mut Vec<Effect>, most: usize) {
        while effects.len() < most
            && let Some(execution) = self.stops.pop_first()
        {
            if let Some(claim) = self.claim_here(execution) {
                effects.push(Effect::Stop { execution, claim });
            }
        }
    }

    fn begin_lapses(&mut self, now: Timestamp, effects: &mut Vec<Effect>, most: usize) {
        while effects.len() < most
            && let Some((at, execution)) = self.lapses.first().copied()
            && at <= now
        {
            self.lapses.pop_first();
            if let Some(claim) = self.claim_here(execution) {
                effects.push(Effect::Lapse { execution, claim });
            }
        }
    }

    fn begin_expiries(&mut self, now: Timestamp, effects: &mut Vec<Effect>, most: usize) {
        while effects.len() < most
            && let Some((at, execution)) = self.expiries.first().copied()
            && at <= now
        {
            // What is being started is not taken here; it comes back with its time if it is given back.
            self.expiries.pop_first();
            if self.busy.insert(execution) {
                self.unqueue(execution);
                effects.push(Effect::Expire { execution });
            }
        }
    }

    fn begin_orphans(&mut self, effects: &mut Vec<Effect>, most: usize) {
        while effects.len() < most
            && let Some((execution, cause)) = self.orphans.pop_first()
        {
            if self.busy.insert(execution) {
                effects.push(Effect::CancelWaiting { execution, cause });
            }
        }
    }

    fn begin_tasks(&mut self, effects: &mut Vec<Effect>, most: usize) {
        let places = self.ceiling.max_parallel_total.saturating_sub(self.ceiling.kept_for_chat);
        while effects.len() < most
            && self.tasks_held < places
            && self.all_held() < self.ceiling.max_parallel_total
            && let Some((place, agent)) = self.candidates.first().cloned()
        {
            let execution = self.lines.get(&agent).and_then(|line| line.waiting.get(&place));
            let Some(execution) = execution.copied() else {
                self.candidates.remove(&(place, agent));
                continue;
            };
            self.take(execution, &agent, place, effects);
        }
    }

    /// Counts a start as begun: the execution waits no longer and its slot is taken.
    pub(super) fn take(
        &mut self,
        execution: ExecutionId,
        agent: &AgentName,
        place: Place,
        effects: &mut Vec<Effect>,
    ) {
        let Some(line) = self.lines.get_mut(agent) else { return };
        line.waiting.remove(&place);
        self.restage(agent, execution, Stage::Starting);
        self.busy.insert(execution);
        self.refresh(agent);
        effects.push(Effect::Start { execution, agent: agent.clone() });
    }

    pub(super) fn all_held(&self) -> u32 {
        self.tasks_held.saturating_add(self.chats_held)
    }

    /// The claim of a run of this node: what runs elsewhere is stopped there.
    fn claim_here(&self, execution: ExecutionId) -> Option<ClaimId> {
        let line = self.agent_of.get(&execution).and_then(|agent| self.lines.get(agent))?;
        let slot = line.executions.get(&execution)?.slot()?;
        self.runs_here(&slot).then_some(slot.claim)
    }
}
