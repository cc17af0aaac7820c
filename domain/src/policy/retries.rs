//! New attempts that follow by themselves, and those that wait for their time.

use super::lines::Kind;
use super::{Effect, Policy};
use crate::execution::FailureCode;
use crate::ids::{AgentName, ExecutionId};
use crate::time::Timestamp;

impl Policy {
    /// Takes up a failed execution on which another attempt may have to follow: whether it did is for
    /// the effect to find out.
    pub fn load_retry(&mut self, failed: ExecutionId) {
        self.retries.insert(failed);
    }

    /// A rank above all that were given out; it counts as given out at once.
    pub fn next_rank(&mut self) -> u64 {
        self.highest_rank = self.highest_rank.saturating_add(1);
        self.highest_rank
    }

    /// The rank by which an execution is the next of its queue: its own where it is that already, or is
    /// being started; else the next one.
    pub fn front_rank(&mut self, id: ExecutionId) -> u64 {
        let place = self.why_each_waits(&[id]).get(&id).map(|(_, place)| *place);
        let line = self.agent_of.get(&id).and_then(|agent| self.lines.get(agent));
        let entry = line.and_then(|line| line.executions.get(&id));
        // Who waits for their time stands before others by rank alone once it has come.
        let in_line = entry.filter(|entry| entry.delayed_until.is_none());
        let own = in_line.filter(|_| matches!(place, Some(0 | 1))).map(|entry| entry.place.rank());
        own.unwrap_or_else(|| self.next_rank())
    }

    pub(super) fn want_retry(&mut self, id: ExecutionId, code: FailureCode) {
        let line = self.agent_of.get(&id).and_then(|agent| self.lines.get(agent));
        let entry = line.and_then(|line| line.executions.get(&id));
        if code.can_pass() && entry.is_some_and(|entry| entry.is_retried) {
            self.retries.insert(id);
            self.forget_old_retries();
        }
    }

    pub(super) fn begin_retries(&mut self, effects: &mut Vec<Effect>, most: usize) {
        while effects.len() < most
            && let Some(execution) = self.retries.pop_first()
        {
            effects.push(Effect::Retry { execution });
        }
    }

    /// Lets those join their lines whose time has come.
    pub(super) fn end_delays(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.delayed.first().copied()
            && at <= now
        {
            self.delayed.pop_first();
            let Some(agent) = self.agent_of.get(&id).cloned() else { continue };
            let Some(line) = self.lines.get_mut(&agent) else { continue };
            line.delayed.remove(&(at, id));
            let Some(entry) = line.executions.get_mut(&id) else { continue };
            entry.delayed_until = None;
            line.waiting.insert(entry.place, id);
            self.refresh(&agent);
        }
    }

    /// Puts an execution back whose start or expiry led to no event: in its old place, or aside where
    /// it has a time to wait for. That the time had come says nothing: the clock may have jumped back,
    /// and then it must not stand before those that could start.
    pub(super) fn queue_again(&mut self, agent: &AgentName, id: ExecutionId) {
        let Some(line) = self.lines.get_mut(agent) else { return };
        let Some(entry) = line.executions.get_mut(&id) else { return };
        entry.delayed_until = entry.not_before;
        match entry.not_before {
            Some(at) => {
                line.delayed.insert((at, id));
                self.delayed.insert((at, id));
            }
            None => {
                line.waiting.insert(entry.place, id);
            }
        }
        if let Kind::ChatTurn(_) = entry.kind
            && self.chat_waiting.insert((entry.place, id))
        {
            line.turns_waiting += 1;
        }
    }

    /// Takes an execution out of its line, also where it waits for its time.
    pub(super) fn unqueue(&mut self, execution: ExecutionId) {
        let Some(agent) = self.agent_of.get(&execution).cloned() else { return };
        let Some(line) = self.lines.get_mut(&agent) else { return };
        if let Some(entry) = line.executions.get_mut(&execution) {
            line.waiting.remove(&entry.place);
            if self.chat_waiting.remove(&(entry.place, execution)) {
                line.turns_waiting -= 1;
            }
            if let Some(at) = entry.delayed_until.take() {
                line.delayed.remove(&(at, execution));
                self.delayed.remove(&(at, execution));
            }
        }
        self.refresh(&agent);
    }
}
