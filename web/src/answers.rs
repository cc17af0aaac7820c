//! The interface's answers, as far as pages are made of them.

#![expect(clippy::struct_field_names, reason = "the interface's own names")]

use serde::Deserialize;
use serde_json::Value;

/// A page of executions.
#[derive(Deserialize)]
pub(crate) struct ExecutionList {
    pub executions: Vec<Execution>,
    pub next_cursor: Option<String>,
}

/// One execution, in lists and alone.
#[derive(Deserialize)]
pub(crate) struct Execution {
    pub execution_id: String,
    pub agent_name: String,
    pub status: String,
    pub triggered_by: String,
    pub message: Option<String>,
    pub response: Option<String>,
    pub error: Option<Failure>,
    pub created_at: String,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub duration_ms: Option<u64>,
    pub queue_ms: Option<u64>,
    pub cost_usd: Option<f64>,
    pub cost_basis: Option<String>,
    pub price_book: Option<String>,
    pub usage: Option<Usage>,
    #[serde(default)]
    pub usage_by_model: Vec<UsageOfModel>,
    pub model_requested: Option<String>,
    pub model_used: Option<String>,
    pub agent_session_id: Option<String>,
    pub num_turns: Option<u32>,
    pub exit: Option<Value>,
    pub requested_by: Requester,
    pub source_agent: Option<String>,
    pub chat_session_id: Option<String>,
    pub parent_execution_id: Option<String>,
    pub retry_of: Option<String>,
    pub attempt: u32,
    pub payment: Option<PaidWith>,
    pub timeout_s: u64,
    pub max_cost_usd: Option<f64>,
    pub transcript: Option<Transcript>,
    pub cancellation_requested_at: Option<String>,
    pub redactions: u32,
    pub response_cut: bool,
    pub killed_processes: u32,
    pub not_before: Option<String>,
    #[serde(default)]
    pub erased: Vec<String>,
    #[serde(default)]
    pub waiting: Option<Value>,
}

impl Execution {
    /// Whether it can still be stopped.
    pub fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "running")
    }

    /// Its page.
    pub fn address(&self) -> String {
        format!("/agents/{}/executions/{}", self.agent_name, self.execution_id)
    }
}

/// The payment that paid for an execution.
#[derive(Deserialize)]
pub(crate) struct PaidWith {
    pub payment_id: String,
}

/// Why an execution failed.
#[derive(Deserialize)]
pub(crate) struct Failure {
    pub code: String,
    pub message: Option<String>,
}

/// Tokens by class.
#[derive(Deserialize)]
pub(crate) struct Usage {
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
}

/// What one model used in a run.
#[derive(Deserialize)]
pub(crate) struct UsageOfModel {
    pub model: String,
    pub usage: Usage,
    pub cost_usd: Option<f64>,
}

/// Who asked.
#[derive(Deserialize)]
pub(crate) struct Requester {
    pub kind: String,
    pub id: String,
}

/// What a run printed, as it was when it ended.
#[derive(Deserialize)]
pub(crate) struct Transcript {
    pub lines: u64,
    pub bytes: u64,
    pub sha256: String,
}

/// One execution with what happened to it.
#[derive(Deserialize)]
pub(crate) struct Detail {
    #[serde(flatten)]
    pub record: Execution,
    #[serde(default)]
    pub retries: Vec<String>,
    #[serde(default)]
    pub children: Vec<Child>,
    pub events: Vec<Event>,
}

/// An execution that another one's run asked for.
#[derive(Deserialize)]
pub(crate) struct Child {
    pub execution_id: String,
    pub agent_name: String,
}

/// One event.
#[derive(Deserialize)]
pub(crate) struct Event {
    pub position: String,
    pub revision: u64,
    #[serde(rename = "type")]
    pub kind: String,
    pub event_id: String,
    pub recorded_at: String,
    pub actor: Actor,
    pub data: Value,
}

/// Who did it.
#[derive(Deserialize)]
pub(crate) struct Actor {
    pub kind: String,
    pub id: String,
    pub user: String,
}

/// Counts and sums.
#[derive(Deserialize)]
pub(crate) struct Stats {
    pub total: u64,
    pub pending: u64,
    pub running: u64,
    pub success_rate: Option<f64>,
    pub cost_usd: f64,
    pub cost_unknown: u64,
    pub duration_ms_p50: Option<u64>,
    pub duration_ms_p95: Option<u64>,
}

/// The agents that there are.
#[derive(Deserialize)]
pub(crate) struct AgentList {
    pub agents: Vec<Agent>,
}

/// One agent.
#[derive(Deserialize)]
pub(crate) struct Agent {
    pub name: String,
    pub status: String,
}

/// A part of a transcript.
#[derive(Deserialize)]
pub(crate) struct Lines {
    pub lines: Vec<Line>,
    pub next_after_seq: Option<u64>,
}

/// One line that a run printed.
#[derive(Deserialize)]
pub(crate) struct Line {
    pub seq: u64,
    pub at: String,
    pub stream: String,
    pub line: String,
}

/// A task that was accepted.
#[derive(Deserialize)]
pub(crate) struct Accepted {
    pub execution_id: String,
}
