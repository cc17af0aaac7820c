//! Calls that come again without naming a key: models repeat a tool call that timed out, and mean
//! the first one.
//!
//! Equal tasks of one caller are numbered. The number is part of the id that is derived for the
//! execution, so the log itself says which one is the newest, whatever is restarted meanwhile, and
//! the first append to a stream decides between calls that come at the same time.

use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::{
    AgentName, Caller, Digest, Event, ExecutionId, StreamName, Timestamp,
};
use execution_ledger_store::{ExecuteError, StoreError, With};

use super::{NewTask, Request, SubmitError, Submitted, Tasks};

/// How long after its end an execution still answers an equal call, in seconds.
pub const ANSWERS_AFTER_END_S: u64 = 60;
/// Equal tasks of one caller: more than any log can hold, so that searching ends.
const NUMBER_MAX: u64 = 1 << 40;
/// How many numbers a wanted repetition tries while others take them: as many may come at once.
const REPETITIONS_TRIED_MAX: u32 = 32;
/// Events of an execution's stream that are looked at for its ending. It is among the first.
const EVENTS_MAX: usize = 1_000;

impl Tasks {
    /// Accepts a task unless an equal one of the same caller goes on, or ended less than
    /// [`ANSWERS_AFTER_END_S`] ago: then that one is answered, as replayed. With `repeat` another
    /// one is started in any case. The task's own `idempotency_key` is not looked at.
    pub async fn submit_unless_retried(
        &self,
        caller: &Caller,
        agent: &AgentName,
        task: NewTask,
        repeat: bool,
        request: &Request,
    ) -> Result<Submitted, SubmitError> {
        let equal =
            Equal { tasks: self, caller: &caller.actor.id, agent, mark: self.mark(agent, &task) };
        let mut number = match equal.newest().await? {
            None => 0,
            Some(newest) if repeat || !equal.still_answers(newest).await? => newest + 1,
            Some(newest) => newest,
        };
        for _ in 0..REPETITIONS_TRIED_MAX {
            let task = NewTask { idempotency_key: Some(equal.key(number)), ..task.clone() };
            let submitted = self.submit(caller, agent, task, request).await?;
            if !(repeat && submitted.replayed) {
                return Ok(submitted);
            }
            // Somebody else was first to repeat it; this one is to be another.
            number += 1;
        }
        Err(SubmitError::Write(ExecuteError::Contended))
    }
}

/// All equal tasks that one caller gave one agent.
struct Equal<'a> {
    tasks: &'a Tasks,
    caller: &'a str,
    agent: &'a AgentName,
    mark: Digest,
}

impl Equal<'_> {
    fn key(&self, number: u64) -> String {
        format!("retried:{}:{number}", self.mark)
    }

    fn stream(&self, number: u64) -> StreamName {
        let id = ExecutionId::derived(self.caller, self.agent, &self.key(number));
        StreamName::execution(id)
    }

    async fn exists(&self, number: u64) -> Result<bool, StoreError> {
        let store = self.tasks.ledger.store();
        let first = store.read_stream(&self.stream(number), 0, 1, With::EventsOnly).await?;
        Ok(!first.is_empty())
    }

    /// The highest number that was given. They are given one after the other, so doubling and then
    /// halving finds it with few reads: one where there is none, two where there is one.
    async fn newest(&self) -> Result<Option<u64>, StoreError> {
        if !self.exists(0).await? {
            return Ok(None);
        }
        let (mut taken, mut free) = (0, 1);
        while free < NUMBER_MAX && self.exists(free).await? {
            (taken, free) = (free, free * 2);
        }
        while free - taken > 1 {
            let middle = taken + (free - taken) / 2;
            if self.exists(middle).await? {
                taken = middle;
            } else {
                free = middle;
            }
        }
        Ok(Some(taken))
    }

    /// Whether it goes on, or ended only just now.
    async fn still_answers(&self, number: u64) -> Result<bool, StoreError> {
        let ended = self.ended_at(number).await?;
        let now = self.tasks.ledger.now();
        Ok(ended.is_none_or(|ended| now < ended.plus_s(ANSWERS_AFTER_END_S)))
    }

    async fn ended_at(&self, number: u64) -> Result<Option<Timestamp>, StoreError> {
        let stream = self.stream(number);
        let store = self.tasks.ledger.store();
        let events = store.read_stream(&stream, 0, EVENTS_MAX, With::EventsOnly).await?;
        for recorded in &events {
            let event = recorded
                .event()
                .map_err(|error| StoreError::Fault(format!("{stream}: {error}")))?;
            if let Event::Execution(event) = event
                && is_ending(&event)
            {
                return Ok(Some(recorded.recorded_at));
            }
        }
        Ok(None)
    }
}

fn is_ending(event: &ExecutionEvent) -> bool {
    event.outcome().is_some()
}

#[cfg(test)]
mod tests;
