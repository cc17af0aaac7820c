//! The schedules as the scheduler knows them: a fold of the log that is kept in memory.

use std::collections::{BTreeSet, HashMap, HashSet};

use execution_ledger_domain::schedule::{Schedule, ScheduleEvent};
use execution_ledger_domain::{ExecutionId, ScheduleId, Timestamp};
use execution_ledger_store::{Recorded, StreamHead};

use super::entry::{Entry, LoadedRun, LoadedSchedule, Run, after};

/// All schedules that are not deleted, and those that still have executions to submit.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<ScheduleId, Entry>,
    /// Their next ticks, of those that nobody is busy with.
    ticks: BTreeSet<(Timestamp, ScheduleId)>,
    /// Those with executions that are to be submitted, and that nobody is busy with.
    owing: BTreeSet<ScheduleId>,
    schedule_of: HashMap<ExecutionId, ScheduleId>,
    /// Executions that somebody fires and submits at the moment.
    in_flight: HashSet<ExecutionId>,
}

impl Book {
    /// Takes up what the read models know.
    pub fn load(schedules: Vec<LoadedSchedule>, runs: Vec<LoadedRun>) -> Self {
        let mut book = Self::default();
        for loaded in schedules {
            book.entries.insert(loaded.id, Entry::new(&loaded));
        }
        for run in runs {
            let known = run.owed.map_or(Run::Submitted, |revision| Run::Owed { revision });
            book.enter(run.schedule, run.execution, known);
        }
        let ids: Vec<_> = book.entries.keys().copied().collect();
        for id in ids {
            book.settle(id);
        }
        book
    }

    /// Takes in an event of a schedule's stream. Its own events the scheduler has learned before.
    pub fn apply(&mut self, id: ScheduleId, recorded: &Recorded, event: &ScheduleEvent) {
        if let ScheduleEvent::Fired(fired) = event {
            self.enter(id, fired.execution_id, Run::Owed { revision: recorded.revision });
        }
        let head = StreamHead::of(recorded);
        match self.entries.get_mut(&id) {
            None if recorded.revision == 0 => {
                let state = after(&Schedule::default(), event);
                let loaded = LoadedSchedule { id, state, head, settings_revision: 0 };
                self.entries.insert(id, Entry::new(&loaded));
            }
            Some(entry) if recorded.revision == entry.head.revision + 1 => {
                entry.state = after(&entry.state, event);
                entry.head = head;
                entry.took(event, recorded.revision);
                entry.awaited = entry.awaited.filter(|awaited| *awaited > head.revision);
            }
            // Learned before; or of a schedule that was deleted.
            None | Some(_) => {}
        }
        self.settle(id);
    }

    /// Learns what a command of our own led to, before it comes back from the log. Where somebody else
    /// has appended between, nothing more is decided of the schedule until the log has told what.
    pub fn learn(
        &mut self,
        id: ScheduleId,
        state: &Schedule,
        head: StreamHead,
        events: &[ScheduleEvent],
    ) {
        let first = (head.revision + 1).saturating_sub(events.len() as u64);
        for (revision, event) in (first..).zip(events) {
            if let ScheduleEvent::Fired(fired) = event {
                self.enter(id, fired.execution_id, Run::Owed { revision });
            }
        }
        let settings_revision = (first..).zip(events).fold(None, |found, (revision, event)| {
            let settings = matches!(event, ScheduleEvent::Created(_) | ScheduleEvent::Changed(_));
            if settings { Some(revision) } else { found }
        });
        match self.entries.get_mut(&id) {
            None if first == 0 => {
                let settings_revision = settings_revision.unwrap_or(0);
                let loaded = LoadedSchedule { id, state: state.clone(), head, settings_revision };
                self.entries.insert(id, Entry::new(&loaded));
            }
            Some(entry) if first == entry.head.revision + 1 => {
                entry.state = state.clone();
                entry.head = head;
                for (revision, event) in (first..).zip(events) {
                    entry.took(event, revision);
                }
            }
            Some(entry) if head.revision > entry.head.revision => {
                entry.awaited = entry.awaited.max(Some(head.revision));
            }
            None | Some(_) => {}
        }
        self.settle(id);
    }

    fn enter(&mut self, id: ScheduleId, execution: ExecutionId, run: Run) {
        if self.schedule_of.contains_key(&execution) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            self.schedule_of.insert(execution, id);
            entry.runs.insert(execution, run);
        }
    }

    /// A new attempt at an execution of the schedule was submitted.
    pub fn tried_again(&mut self, id: ScheduleId, execution: ExecutionId) {
        self.enter(id, execution, Run::Submitted);
        self.settle(id);
    }

    /// A fired execution was submitted.
    pub fn submitted(&mut self, execution: ExecutionId) {
        let Some(id) = self.schedule_of.get(&execution).copied() else { return };
        if let Some(run) = self.entries.get_mut(&id).and_then(|e| e.runs.get_mut(&execution)) {
            *run = Run::Submitted;
        }
        self.settle(id);
    }

    /// An execution has ended.
    pub fn ended(&mut self, execution: ExecutionId) {
        let Some(id) = self.schedule_of.remove(&execution) else { return };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.runs.remove(&execution);
        }
        self.settle(id);
    }

    /// Somebody is about to fire an execution of the schedule and to submit it.
    pub fn take_off(&mut self, execution: ExecutionId) {
        self.in_flight.insert(execution);
    }

    /// Whoever was about to submit an execution of the schedule has done so or failed.
    pub fn land(&mut self, id: ScheduleId, execution: ExecutionId) {
        self.in_flight.remove(&execution);
        self.settle(id);
    }

    /// The executions that the schedule fired and that nobody submits, with the revisions of the events
    /// by which it did.
    pub fn owed(&self, id: ScheduleId) -> Vec<(ExecutionId, u64)> {
        let owed = |(execution, run)| match run {
            Run::Owed { revision } if !self.in_flight.contains(&execution) => {
                Some((execution, revision))
            }
            Run::Owed { .. } | Run::Submitted => None,
        };
        self.runs(id).into_iter().filter_map(owed).collect()
    }

    /// Brings what is to be done in line with the schedule's state.
    fn settle(&mut self, id: ScheduleId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(next) = entry.next.take() {
            self.ticks.remove(&(next, id));
        }
        self.owing.remove(&id);
        if entry.state.active().is_none() && entry.runs.is_empty() && !entry.busy {
            self.entries.remove(&id);
            return;
        }
        if entry.busy {
            return;
        }
        let owed = |(execution, run): (&ExecutionId, &Run)| {
            *run != Run::Submitted && !self.in_flight.contains(execution)
        };
        if entry.runs.iter().any(owed) {
            self.owing.insert(id);
        }
        entry.next = entry.next_tick();
        if let Some(next) = entry.next {
            self.ticks.insert((next, id));
        }
    }

    /// Takes schedules of which something is to be done by `now`, at most `room`: nobody else is given
    /// them until [`Book::give_back`].
    pub fn take_due(&mut self, now: Timestamp, room: usize) -> Vec<ScheduleId> {
        let owing = self.owing.iter().copied();
        let due = self.ticks.iter().take_while(|(tick, _)| *tick <= now).map(|(_, id)| *id);
        let ids: BTreeSet<_> = owing.chain(due).take(room).collect();
        for id in &ids {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.busy = true;
            }
            self.settle(*id);
        }
        ids.into_iter().collect()
    }

    /// Nobody is busy with the schedule any more.
    pub fn give_back(&mut self, id: ScheduleId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.busy = false;
        }
        self.settle(id);
    }

    /// When the next tick comes.
    pub fn next_tick(&self) -> Option<Timestamp> {
        self.ticks.first().map(|(tick, _)| *tick)
    }

    /// Whether it is an execution of a schedule that has not ended.
    pub fn knows(&self, execution: ExecutionId) -> bool {
        self.schedule_of.contains_key(&execution)
    }

    /// A schedule.
    pub fn entry(&self, id: ScheduleId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The executions of a schedule that have not ended, as far as is known.
    pub fn runs(&self, id: ScheduleId) -> Vec<(ExecutionId, Run)> {
        let entry = self.entries.get(&id);
        entry.into_iter().flat_map(|entry| entry.runs.iter().map(|(id, run)| (*id, *run))).collect()
    }

    /// The same without one of them.
    pub fn others(&self, id: ScheduleId, execution: ExecutionId) -> Vec<(ExecutionId, Run)> {
        let mut runs = self.runs(id);
        runs.retain(|(other, _)| *other != execution);
        runs
    }

    /// Schedules that are not deleted.
    pub fn count(&self) -> usize {
        self.entries.values().filter(|entry| entry.state.active().is_some()).count()
    }
}
