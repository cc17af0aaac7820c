//! Schedules as they are told.

use execution_ledger_domain::schedule::{Schedule, Settings};
use execution_ledger_domain::{ExecutionId, ScheduleId, Timestamp, UserName};
use execution_ledger_store::{Position, StreamHead};

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its id.
    pub id: ScheduleId,
    /// What people call it: the name that it was given, or the beginning of its message as it is now.
    pub name: String,
    /// What it is to do, and when.
    pub settings: Settings,
    /// The task's text; absent once it was erased.
    pub message: Option<String>,
    /// The system prompt, where it has one that was not erased.
    pub system_prompt: Option<String>,
    /// The user that it belongs to.
    pub user: UserName,
    /// Whether its ticks fire.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings were last changed, or it was last enabled or disabled.
    pub changed_at: Timestamp,
    /// Position of that change.
    pub position: Position,
    /// What it decided last.
    pub last: Option<TickRow>,
}

/// What a schedule decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickRow {
    /// The moment that was scheduled; the first, where several were skipped.
    pub tick: Timestamp,
    /// The last of them, where several were skipped.
    pub until: Option<Timestamp>,
    /// How many they are.
    pub count: u64,
    /// Whether it fired; else it was skipped.
    pub fired: bool,
    /// Why: on_time, catch_up or triggered of one that fired, else the reason for skipping.
    pub reason: String,
    /// Which rule of the agent's refused the task, where one did.
    pub code: Option<String>,
    /// The execution that it led to.
    pub execution_id: Option<ExecutionId>,
    /// When that was decided.
    pub decided_at: Timestamp,
    /// Position of the decision.
    pub position: Position,
}

/// Where the scheduler goes on with a schedule.
#[derive(Clone, Debug)]
pub struct ScheduleHead {
    /// The schedule.
    pub id: ScheduleId,
    /// Its state after the last event of its stream.
    pub state: Schedule,
    /// That event.
    pub head: StreamHead,
    /// Revision of the event that holds its settings.
    pub settings_revision: u64,
}

/// An execution that a schedule fired, or a new attempt at one, that has not ended.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleRun {
    /// The execution.
    pub execution_id: ExecutionId,
    /// Its schedule.
    pub schedule_id: ScheduleId,
    /// Revision of the event by which it was fired, while it is not submitted.
    pub owed: Option<u64>,
}
