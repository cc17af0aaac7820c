//! One schedule as the scheduler knows it.

use std::collections::HashMap;

use execution_ledger_domain::schedule::{Cron, Schedule, ScheduleEvent};
use execution_ledger_domain::{Aggregate, ExecutionId, ScheduleId, Timestamp};
use execution_ledger_store::StreamHead;

/// A schedule as the read models know it.
#[derive(Clone, Debug)]
pub struct LoadedSchedule {
    /// Its id.
    pub id: ScheduleId,
    /// Its state after the last event of its stream.
    pub state: Schedule,
    /// That event.
    pub head: StreamHead,
    /// Revision of the event that holds its settings, with its texts.
    pub settings_revision: u64,
}

/// An execution of a schedule, or a new attempt at one, that has not ended, as the read models know it.
#[derive(Clone, Copy, Debug)]
pub struct LoadedRun {
    /// The execution.
    pub execution: ExecutionId,
    /// Its schedule.
    pub schedule: ScheduleId,
    /// Revision of the event by which it was fired, while it is not submitted.
    pub owed: Option<u64>,
}

/// An execution that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// It was fired and is not submitted yet.
    Owed {
        /// Revision of the event by which it was fired.
        revision: u64,
    },
    /// It waits or runs.
    Submitted,
}

/// A schedule.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub state: Schedule,
    pub head: StreamHead,
    pub settings_revision: u64,
    /// Its expression; absent where an earlier version took one that this one does not.
    pub cron: Option<Cron>,
    /// A revision of its stream that is known to be there. Until the log has told it, the state is an
    /// old one, by which no tick is decided.
    pub awaited: Option<u64>,
    /// Its next tick that is not decided, while it has one.
    pub next: Option<Timestamp>,
    /// Whether somebody decides its ticks at the moment.
    pub busy: bool,
    /// Its executions that have not ended.
    pub runs: HashMap<ExecutionId, Run>,
}

impl Entry {
    /// As it was loaded, with no executions yet.
    pub fn new(loaded: &LoadedSchedule) -> Self {
        Self {
            cron: loaded.state.made().and_then(|made| made.settings.cron()),
            state: loaded.state.clone(),
            head: loaded.head,
            settings_revision: loaded.settings_revision,
            awaited: None,
            next: None,
            busy: false,
            runs: HashMap::new(),
        }
    }

    /// Learns where its settings stand now.
    pub fn took(&mut self, event: &ScheduleEvent, revision: u64) {
        if let ScheduleEvent::Created(_) | ScheduleEvent::Changed(_) = event {
            self.settings_revision = revision;
            self.cron = self.state.made().and_then(|made| made.settings.cron());
        }
    }

    /// Its next tick that is to be decided, as far as its state can tell.
    pub fn next_tick(&self) -> Option<Timestamp> {
        if self.awaited.is_some() {
            return None;
        }
        self.state.active()?.next_tick(self.cron.as_ref()?)
    }
}

/// One more event on a state that somebody else holds.
pub(super) fn after(state: &Schedule, event: &ScheduleEvent) -> Schedule {
    state.clone().evolve(event)
}
