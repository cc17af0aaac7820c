//! The rules of a schedule's life.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{
    Cause, Changed, Created, Deleted, Disabled, Enabled, Fired, ScheduleEvent, Skip, Skipped,
};
use super::settings::{Settings, SettingsError};
use crate::Aggregate;
use crate::ids::{ExecutionId, ScheduleId, UserName};
use crate::limits::schedule as limit;
use crate::time::Timestamp;

/// The state of one schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// No event yet.
    #[default]
    Absent,
    /// Its ticks come, or would if it were enabled.
    Active(Box<Active>),
    /// No tick of it comes any more.
    Deleted(Box<Active>),
}

/// A schedule that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// What it is to do, and when.
    pub settings: Settings,
    /// The user that it belongs to.
    pub user: UserName,
    /// Whether its ticks fire.
    pub enabled: bool,
    /// All ticks up to this moment are decided, or are none of its own.
    pub decided: Timestamp,
    /// The executions that were asked for last, so that none is asked for twice.
    pub triggered: VecDeque<ExecutionId>,
}

impl Schedule {
    /// What was made, once something was.
    pub fn made(&self) -> Option<&Active> {
        match self {
            Self::Absent => None,
            Self::Active(active) | Self::Deleted(active) => Some(active),
        }
    }

    /// The schedule while it is not deleted.
    pub fn active(&self) -> Option<&Active> {
        match self {
            Self::Active(active) => Some(active),
            Self::Absent | Self::Deleted(_) => None,
        }
    }
}

impl ExecutionId {
    /// The execution of a schedule's tick: always the same one.
    pub fn of_tick(schedule: ScheduleId, tick: Timestamp) -> Self {
        Self(Uuid::new_v5(&schedule.0, format!("tick {}", tick.micros()).as_bytes()))
    }

    /// The execution that a caller's `Idempotency-Key` for triggering a schedule stands for.
    pub fn of_trigger(schedule: ScheduleId, caller: &str, idempotency_key: &str) -> Self {
        let name = format!("trigger {} {caller} {idempotency_key}", caller.len());
        Self(Uuid::new_v5(&schedule.0, name.as_bytes()))
    }
}

/// A wish about one schedule.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make it.
    Create(Box<Created>),
    /// Replace its settings and its switch, both or neither.
    Change {
        /// All of them.
        settings: Box<Settings>,
        /// Whether its ticks fire from now on.
        enabled: bool,
        /// Now.
        now: Timestamp,
    },
    /// Let its ticks fire.
    Enable {
        /// Now.
        now: Timestamp,
    },
    /// Let its ticks not fire.
    Disable {
        /// Now.
        now: Timestamp,
    },
    /// Let no tick of it come any more.
    Delete {
        /// Now.
        now: Timestamp,
    },
    /// Decide that a tick fires.
    Fire(Fired),
    /// Decide that ticks are skipped.
    Skip(Skipped),
}

/// Why a command about a schedule was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no schedule of that id.
    #[error("there is no such schedule")]
    NotFound,
    /// A schedule of that id was made before.
    #[error("this schedule was made before")]
    AlreadyCreated,
    /// It does not fire.
    #[error("this schedule is disabled")]
    Disabled,
    /// The tick is not the next one: somebody changed the schedule meanwhile.
    #[error("this is not the next tick of the schedule")]
    NotNext,
    /// More ticks are undecided than can be decided in passing.
    #[error("the schedule is behind; try again")]
    Behind,
    /// A setting breaks a rule.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Aggregate for Schedule {
    type Event = ScheduleEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(self, event: &ScheduleEvent) -> Self {
        use ScheduleEvent as E;
        match (self, event) {
            (Self::Absent, E::Created(created)) => Self::Active(Box::new(Active {
                settings: created.settings.clone(),
                user: created.user.clone(),
                enabled: created.enabled,
                decided: created.from,
                triggered: VecDeque::new(),
            })),
            (Self::Active(active), E::Deleted(_)) => Self::Deleted(active),
            (Self::Active(mut active), event) => {
                active.evolve(event);
                Self::Active(active)
            }
            (state, _) => state,
        }
    }

    fn decide(&self, command: Command) -> Result<Vec<ScheduleEvent>, Rejection> {
        use Command as C;
        use ScheduleEvent as E;
        match (self, command) {
            (Self::Absent, C::Create(created)) => {
                created.settings.check()?;
                Ok(vec![E::Created(created)])
            }
            (Self::Active(_) | Self::Deleted(_), C::Create(_)) => Err(Rejection::AlreadyCreated),

            (Self::Active(active), C::Change { settings, enabled, now }) => {
                active.change(*settings, enabled, now)
            }
            (Self::Active(active), C::Enable { now }) => active.switch(true, now),
            (Self::Active(active), C::Disable { now }) => active.switch(false, now),
            (Self::Deleted(_), C::Delete { .. }) => Ok(vec![]),
            (Self::Active(active), C::Delete { now }) => {
                active.ending(now, Skip::Deleted, E::Deleted(Deleted {}))
            }

            (Self::Active(active), C::Fire(fired)) if fired.cause == Cause::Triggered => {
                let asked_before = active.triggered.contains(&fired.execution_id);
                Ok(if asked_before { vec![] } else { vec![E::Fired(fired)] })
            }
            (Self::Active(active), C::Fire(fired)) => {
                active.decide_tick(fired.tick, E::Fired(fired))
            }
            (Self::Active(active), C::Skip(skipped)) => {
                active.decide_tick(skipped.tick, E::Skipped(skipped))
            }

            (
                Self::Absent | Self::Deleted(_),
                C::Change { .. }
                | C::Enable { .. }
                | C::Disable { .. }
                | C::Delete { .. }
                | C::Fire(_)
                | C::Skip(_),
            ) => Err(Rejection::NotFound),
        }
    }
}

impl Active {
    fn evolve(&mut self, event: &ScheduleEvent) {
        use ScheduleEvent as E;
        match event {
            E::Created(_) | E::Deleted(_) => {}
            E::Changed(changed) => {
                self.settings = changed.settings.clone();
                self.decided = self.decided.max(changed.from);
            }
            E::Enabled(enabled) => {
                self.enabled = true;
                self.decided = self.decided.max(enabled.from);
            }
            E::Disabled(_) => self.enabled = false,
            E::Fired(fired) if fired.cause == Cause::Triggered => {
                self.triggered.push_back(fired.execution_id);
                if self.triggered.len() > limit::TRIGGERED_KEPT {
                    self.triggered.pop_front();
                }
            }
            E::Fired(fired) => self.decided = self.decided.max(fired.tick),
            E::Skipped(skipped) => self.decided = self.decided.max(skipped.last()),
        }
    }

    /// A decision about the next tick; nothing where it was decided before.
    fn decide_tick(
        &self,
        tick: Timestamp,
        event: ScheduleEvent,
    ) -> Result<Vec<ScheduleEvent>, Rejection> {
        if tick <= self.decided {
            return Ok(vec![]);
        }
        if !self.enabled {
            return Err(Rejection::Disabled);
        }
        let next = self.settings.cron().and_then(|cron| cron.next_after(self.decided));
        if next == Some(tick) { Ok(vec![event]) } else { Err(Rejection::NotNext) }
    }

    /// Other settings, and then the switch on what they lead to.
    fn change(
        &self,
        settings: Settings,
        enabled: bool,
        now: Timestamp,
    ) -> Result<Vec<ScheduleEvent>, Rejection> {
        let mut events = self.replace(settings, now)?;
        let mut changed = self.clone();
        for event in &events {
            changed.evolve(event);
        }
        events.extend(changed.switch(enabled, now)?);
        Ok(events)
    }

    fn switch(&self, enabled: bool, now: Timestamp) -> Result<Vec<ScheduleEvent>, Rejection> {
        match (self.enabled, enabled) {
            (true, true) | (false, false) => Ok(vec![]),
            (false, true) => {
                Ok(vec![ScheduleEvent::Enabled(Enabled { from: self.decided.max(now) })])
            }
            (true, false) => self.ending(now, Skip::Disabled, ScheduleEvent::Disabled(Disabled {})),
        }
    }

    fn replace(&self, settings: Settings, now: Timestamp) -> Result<Vec<ScheduleEvent>, Rejection> {
        settings.check()?;
        if settings == self.settings {
            return Ok(vec![]);
        }
        if settings.same_ticks(&self.settings) {
            let changed = Changed { settings, from: self.decided };
            return Ok(vec![ScheduleEvent::Changed(Box::new(changed))]);
        }
        let changed = Changed { settings, from: self.decided.max(now) };
        self.ending(now, Skip::Changed, ScheduleEvent::Changed(Box::new(changed)))
    }

    /// An event after which ticks that are due can't be decided any more: they are skipped before it.
    fn ending(
        &self,
        now: Timestamp,
        reason: Skip,
        event: ScheduleEvent,
    ) -> Result<Vec<ScheduleEvent>, Rejection> {
        let overtaken = self.overtaken(now).map_err(|_| Rejection::Behind)?;
        let skipped = overtaken.map(|range| ScheduleEvent::Skipped(range.skipped(reason)));
        Ok(skipped.into_iter().chain([event]).collect())
    }
}
