//! What the interface tells of agents, as far as their pages are made of it.

#![expect(clippy::struct_field_names, reason = "the interface's own names")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// All agents.
#[derive(Deserialize)]
pub(super) struct Agents {
    pub agents: Vec<Agent>,
}

/// An agent with its settings.
#[derive(Deserialize)]
pub(super) struct Agent {
    pub name: String,
    pub status: String,
    pub runtime: String,
    pub command: Option<Vec<String>>,
    pub cwd: Option<String>,
    pub env: Option<BTreeMap<String, String>>,
    pub env_from: Option<BTreeMap<String, Value>>,
    pub env_allow: Option<Vec<String>>,
    pub run_as: Option<String>,
    pub prompt: Option<String>,
    pub models: Vec<String>,
    pub allowed_tools: Option<Vec<String>>,
    pub allow_system_prompt: bool,
    pub may_call: Vec<String>,
    pub max_parallel_tasks: u64,
    pub timeout_s: u64,
    pub queue_limit: u64,
    pub grace_s: u64,
    pub max_retries: u64,
    pub retry_backoff_s: u64,
    pub max_cost_usd: Option<f64>,
    pub max_turns: Option<u64>,
    pub memory_max_bytes: Option<u64>,
    pub registered_at: String,
    pub changed_at: String,
    pub running: u64,
    pub pending: u64,
}

impl Agent {
    /// Its page.
    pub fn address(&self) -> String {
        format!("/agents/{}", self.name)
    }

    /// Whether it takes tasks.
    pub fn takes_tasks(&self) -> bool {
        self.status != "retired"
    }
}

/// An agent's slots and queue.
#[derive(Deserialize)]
pub(super) struct Capacity {
    pub max_parallel_tasks: u64,
    pub slots: Vec<Slot>,
    pub chats: Vec<Slot>,
    pub pending: u64,
    pub queue: Vec<Queued>,
}

/// A slot that is taken, or a chat turn that runs.
#[derive(Deserialize)]
pub(super) struct Slot {
    pub execution_id: Option<String>,
    pub triggered_by: String,
    pub since: String,
    pub slot_until: String,
    pub cancelling: bool,
}

/// An execution that waits.
#[derive(Deserialize)]
pub(super) struct Queued {
    pub execution_id: Option<String>,
    pub place: u64,
    pub triggered_by: String,
    pub since: String,
    pub reason: Option<String>,
    pub until: Option<String>,
}

/// Executions divided into parts.
#[derive(Deserialize)]
pub(super) struct Timeline {
    pub buckets: Vec<Bucket>,
}

/// The executions of one day, or of one agent.
#[derive(Deserialize)]
pub(super) struct Bucket {
    pub bucket: Option<String>,
    pub total: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
}

impl Bucket {
    /// Those that ended.
    pub fn finished(&self) -> u64 {
        self.completed.saturating_add(self.failed).saturating_add(self.cancelled)
    }

    /// Which part of those that ended did so with success, as people read it.
    pub fn success(&self) -> Option<String> {
        let finished = self.finished();
        (finished > 0).then(|| format!("{:.0} %", self.completed as f64 / finished as f64 * 100.0))
    }
}

/// Costs by agent.
#[derive(Deserialize)]
pub(super) struct Costs {
    pub costs: Vec<Cost>,
}

/// What an agent's runs cost.
#[derive(Deserialize)]
pub(super) struct Cost {
    pub key: Option<String>,
    pub runs: u64,
    pub cost_usd: f64,
    pub unknown: u64,
}

/// An agent's schedules.
#[derive(Deserialize)]
pub(super) struct Schedules {
    pub schedules: Vec<Schedule>,
    pub next_cursor: Option<String>,
}

/// A schedule.
#[derive(Deserialize)]
pub(super) struct Schedule {
    pub schedule_id: String,
    pub name: String,
    pub enabled: bool,
    pub cron: String,
    pub description: String,
    pub next: Option<Tick>,
    pub last: Option<Decision>,
}

/// When a schedule comes next.
#[derive(Deserialize)]
pub(super) struct Tick {
    pub at: String,
}

/// What a schedule decided last.
#[derive(Deserialize)]
pub(super) struct Decision {
    pub decision: String,
    pub reason: String,
    pub execution_id: Option<String>,
    pub decided_at: String,
}

/// A task that was accepted, and where that was recorded.
#[derive(Deserialize)]
pub(super) struct Accepted {
    pub position: String,
}
