//! The facts of a schedule's life.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::ids::{ExecutionId, UserName};
use crate::time::Timestamp;

/// A schedule was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Created {
    /// What it is to do, and when.
    pub settings: Settings,
    /// The user that it and its executions belong to.
    pub user: UserName,
    /// Whether its ticks fire.
    pub enabled: bool,
    /// The ticks after this moment are its own.
    pub from: Timestamp,
}

/// Its settings are others from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Changed {
    /// All of its settings, not only the changed ones.
    pub settings: Settings,
    /// The ticks after this moment are its own.
    pub from: Timestamp,
}

/// Its ticks fire again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Enabled {
    /// The ticks after this moment are its own.
    pub from: Timestamp,
}

/// Its ticks do not fire and are not missed until it is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Disabled {}

/// It is gone: no tick of it comes any more. What it started goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Deleted {}

/// Why a schedule fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The tick came.
    OnTime,
    /// The tick had been missed and was caught up with.
    CatchUp,
    /// Somebody asked for it; no tick was decided by it.
    Triggered,
}

impl Cause {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnTime => "on_time",
            Self::CatchUp => "catch_up",
            Self::Triggered => "triggered",
        }
    }
}

/// A tick was decided: it leads to this execution. Should the ledger die before the execution is
/// there, it is submitted at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fired {
    /// The moment that was scheduled; of a triggered one, the moment of the request.
    pub tick: Timestamp,
    /// The execution, whose id is derived from the schedule and the tick.
    pub execution_id: ExecutionId,
    /// Why it fired.
    pub cause: Cause,
}

/// Why ticks were skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// An earlier execution of the schedule was still open.
    Overlap,
    /// They came while nothing could decide them, and were not to be caught up with.
    Missed,
    /// The agent's queue was full.
    QueueFull,
    /// There was no agent of that name.
    AgentUnknown,
    /// The agent had been retired.
    AgentRetired,
    /// The agent's own settings do not allow the task any more; `code` says which of them.
    Refused,
    /// The task's text had been erased.
    MessageErased,
    /// The schedule's times were changed before they could be decided.
    Changed,
    /// The schedule was disabled before they could be decided.
    Disabled,
    /// The schedule was deleted before they could be decided.
    Deleted,
}

impl Skip {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Missed => "missed",
            Self::QueueFull => "queue_full",
            Self::AgentUnknown => "agent_unknown",
            Self::AgentRetired => "agent_retired",
            Self::Refused => "refused",
            Self::MessageErased => "message_erased",
            Self::Changed => "changed",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }
}

/// Ticks were decided: they lead to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Skipped {
    /// The first of them.
    pub tick: Timestamp,
    /// The last of them, where they are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many they are.
    pub count: u64,
    /// Why.
    pub reason: Skip,
    /// Which rule of the agent's refused the task, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Skipped {
    /// One tick.
    pub fn one(tick: Timestamp, reason: Skip) -> Self {
        Self { tick, until: None, count: 1, reason, code: None }
    }

    /// The last of the ticks.
    pub fn last(&self) -> Timestamp {
        self.until.unwrap_or(self.tick)
    }
}

/// A fact of a schedule's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleEvent {
    /// `schedule.created`
    Created(Box<Created>),
    /// `schedule.changed`
    Changed(Box<Changed>),
    /// `schedule.enabled`
    Enabled(Enabled),
    /// `schedule.disabled`
    Disabled(Disabled),
    /// `schedule.fired`
    Fired(Fired),
    /// `schedule.skipped`
    Skipped(Skipped),
    /// `schedule.deleted`
    Deleted(Deleted),
}
