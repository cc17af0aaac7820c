//! The interface's answers about schedules, as far as pages are made of them.

#![expect(clippy::struct_field_names, reason = "the interface's own names")]

use serde::Deserialize;

/// A page of schedules.
#[derive(Deserialize)]
pub(super) struct ScheduleList {
    pub schedules: Vec<Schedule>,
    pub next_cursor: Option<String>,
}

/// One schedule.
#[derive(Deserialize)]
pub(super) struct Schedule {
    pub schedule_id: String,
    pub name: String,
    pub agent_name: String,
    pub enabled: bool,
    pub cron: String,
    pub timezone: String,
    pub description: String,
    pub next: Option<Moment>,
    pub last: Option<Tick>,
    pub message: Option<String>,
    pub redactions: u32,
    pub overlap: String,
    pub catch_up: String,
    pub model: Option<String>,
    pub timeout_s: Option<u64>,
    pub max_cost_usd: Option<f64>,
    pub max_turns: Option<u32>,
    pub user: String,
    pub created_at: String,
    pub changed_at: String,
}

impl Schedule {
    /// Its page.
    pub fn address(&self) -> String {
        format!("/schedules/{}", self.schedule_id)
    }
}

/// A time at which a schedule comes.
#[derive(Deserialize)]
pub(super) struct Moment {
    pub at: String,
    pub local: String,
}

/// What a schedule decided about one time, or about several together.
#[derive(Deserialize)]
pub(super) struct Tick {
    pub tick: String,
    pub until: Option<String>,
    pub count: u64,
    pub decision: String,
    pub reason: String,
    pub code: Option<String>,
    pub execution_id: Option<String>,
}

/// A schedule with the times at which it comes next.
#[derive(Deserialize)]
pub(super) struct ScheduleDetail {
    #[serde(flatten)]
    pub schedule: Schedule,
    pub upcoming: Vec<Moment>,
}

/// The times at which a schedule comes.
#[derive(Deserialize)]
pub(super) struct Upcoming {
    pub upcoming: Vec<Moment>,
}

/// A page of decisions.
#[derive(Deserialize)]
pub(super) struct TickList {
    pub ticks: Vec<Tick>,
    pub next_cursor: Option<String>,
}

/// What an expression means.
#[derive(Deserialize)]
pub(super) struct Preview {
    pub description: String,
    pub next: Vec<Moment>,
}

/// A schedule that was made or changed.
#[derive(Deserialize)]
pub(super) struct Saved {
    pub schedule_id: String,
}
