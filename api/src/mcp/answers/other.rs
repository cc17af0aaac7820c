//! Sums, stops and events, as the tools answer them.

use execution_ledger_domain::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::execution::Listed;

/// Executions of one trigger.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct OfTrigger {
    /// How they came to be; null where that is not known.
    pub trigger: Option<String>,
    /// All of them.
    pub total: u64,
    /// Those that ended with success.
    pub completed: u64,
    /// Those that ended without.
    pub failed: u64,
    /// Those that were stopped.
    pub cancelled: u64,
    /// What they cost as far as is known, in dollars.
    pub cost_usd: f64,
}

/// What agents did of late.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct ActivitySummary {
    /// The agent; null for all that the caller may see.
    pub agent_name: Option<String>,
    /// Executions that were accepted at this moment or later count.
    pub since: Timestamp,
    /// All of them.
    pub total: u64,
    /// Those that wait.
    pub pending: u64,
    /// Those that run.
    pub running: u64,
    /// Those that ended with success.
    pub completed: u64,
    /// Those that ended without.
    pub failed: u64,
    /// Those that were stopped.
    pub cancelled: u64,
    /// Completed among the finished, 0 to 1.
    pub success_rate: Option<f64>,
    /// What they cost as far as is known, in dollars.
    pub cost_usd: f64,
    /// Runs whose cost nobody knows.
    pub cost_unknown: u64,
    /// Half of the runs took at most this long, in milliseconds.
    pub duration_ms_p50: Option<u64>,
    /// 95 of 100 runs took at most this long, in milliseconds.
    pub duration_ms_p95: Option<u64>,
    /// The same by the way in which they came to be.
    pub by_trigger: Vec<OfTrigger>,
    /// The last that failed, the newest first.
    pub recent_failures: Vec<Listed>,
}

/// What the wish to stop an execution led to.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct StopAnswer {
    /// The execution.
    pub execution_id: String,
    /// cancelling: it runs and is being stopped; cancelled: it waited and never starts;
    /// already_finished: it had ended before.
    pub status: String,
    /// Position of the execution's last event.
    pub position: String,
}

/// One event of an execution's stream.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct EventAnswer {
    /// Its place in the log.
    pub position: String,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// What kind of event, such as execution.completed.
    #[serde(rename = "type")]
    pub type_name: String,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// Who caused it.
    pub actor: Map<String, Value>,
    /// What happened. Texts are not inside events, only their digests.
    pub data: Map<String, Value>,
}

/// What happened to an execution, in order.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct EventList {
    /// The execution.
    pub execution_id: String,
    /// The events.
    pub events: Vec<EventAnswer>,
    /// after_revision of the next page; null where nothing more is there.
    pub next_after_revision: Option<u64>,
}
