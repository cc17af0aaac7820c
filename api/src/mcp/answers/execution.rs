//! Executions, as the tools answer them.

use execution_ledger_domain::execution::{CostBasis, Trigger, Usage};
use execution_ledger_domain::{NanoUsd, Timestamp};
use execution_ledger_projections::ExecutionRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Failure, Status, cut};

/// A message is shown up to here, in characters: whoever asks wrote it, or knows it.
const MESSAGE_MAX_CHARS: usize = 1_000;
/// In lists texts are shown up to here, in characters.
const PREVIEW_MAX_CHARS: usize = 300;

/// What became of a call of an agent.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct ChatAnswer {
    /// The execution: every other tool takes it.
    pub execution_id: String,
    /// The agent that was called.
    pub agent_name: String,
    /// Where the execution is in its life.
    pub status: Status,
    /// An equal call came before: this is its execution, and nothing was started now.
    pub replayed: bool,
    /// Where the log recorded the call.
    pub position: String,
    /// How many secrets were redacted in the message.
    pub redactions: u32,
    /// The agent's answer.
    pub response: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// What it cost, in dollars.
    pub cost_usd: Option<f64>,
    /// How long it ran, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The agent's own id of its session.
    pub agent_session_id: Option<String>,
    /// What to do next, where there is something to do.
    pub next: Option<String>,
}

/// One execution of a list. Texts are cut; get_execution_result has them whole.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Listed {
    /// The execution.
    pub execution_id: String,
    /// The agent that runs it.
    pub agent_name: String,
    /// Where it is in its life.
    pub status: Status,
    /// How it came to be.
    #[schemars(with = "String")]
    pub triggered_by: Trigger,
    /// The beginning of the message.
    pub message: Option<String>,
    /// The beginning of the agent's answer.
    pub response: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// How long it ran, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What it cost, in dollars.
    pub cost_usd: Option<f64>,
    /// The execution whose run asked for it.
    pub parent_execution_id: Option<String>,
}

impl From<ExecutionRecord> for Listed {
    fn from(record: ExecutionRecord) -> Self {
        Self {
            execution_id: record.execution_id.to_string(),
            agent_name: record.agent_name.to_string(),
            status: record.status.into(),
            triggered_by: record.triggered_by,
            message: record.message.map(|text| cut(text, PREVIEW_MAX_CHARS)),
            response: record.response.map(|text| cut(text, PREVIEW_MAX_CHARS)),
            error: record.error.map(|error| Failure {
                code: error.code,
                message: error.message.map(|text| cut(text, PREVIEW_MAX_CHARS)),
            }),
            created_at: record.created_at,
            completed_at: record.completed_at,
            duration_ms: record.duration_ms,
            cost_usd: record.cost.map(NanoUsd::to_usd),
            parent_execution_id: record.parent_execution_id.map(|id| id.to_string()),
        }
    }
}

/// Recent executions, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct ExecutionList {
    /// The executions that the caller may see.
    pub executions: Vec<Listed>,
    /// Whether there are older ones that fit.
    pub more: bool,
}

/// Why an execution waits.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Waiting {
    /// What keeps it.
    pub reason: String,
    /// Its place in the agent's queue, from 1; 0 while it is being started.
    pub place: u32,
}

/// One line that the agent's program printed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LogLine {
    /// Its number in the run, from 1.
    pub seq: u64,
    /// When it was printed.
    pub at: Timestamp,
    /// stdout or stderr.
    pub stream: String,
    /// Its text; long lines are cut.
    pub line: String,
}

/// The end of what the agent's program printed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Log {
    /// The last lines, in order.
    pub lines: Vec<LogLine>,
    /// How many lines stand before them.
    pub lines_before: u64,
}

/// One execution.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct ExecutionResult {
    /// The execution.
    pub execution_id: String,
    /// The agent that runs it.
    pub agent_name: String,
    /// Where it is in its life.
    pub status: Status,
    /// How it came to be.
    #[schemars(with = "String")]
    pub triggered_by: Trigger,
    /// The message; long ones are cut.
    pub message: Option<String>,
    /// The agent's answer, whole.
    pub response: Option<String>,
    /// Whether the answer was cut when it was recorded; the transcript has it whole.
    pub response_cut: bool,
    /// Why it failed.
    pub error: Option<Failure>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// How long it ran, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How long it waited for a slot, in milliseconds.
    pub queue_ms: Option<u64>,
    /// What it cost, in dollars.
    pub cost_usd: Option<f64>,
    /// Where the cost comes from.
    #[schemars(with = "Option<String>")]
    pub cost_basis: Option<CostBasis>,
    /// Its tokens.
    pub usage: Option<Usage>,
    /// The model that answered.
    pub model_used: Option<String>,
    /// How many turns it took.
    pub num_turns: Option<u32>,
    /// The agent's own id of its session.
    pub agent_session_id: Option<String>,
    /// The chat session that it belongs to.
    pub chat_session_id: Option<String>,
    /// Whether its result stands in that session.
    pub result_injected: bool,
    /// The execution whose run asked for it.
    pub parent_execution_id: Option<String>,
    /// When somebody asked for it to be stopped.
    pub cancellation_requested_at: Option<Timestamp>,
    /// Why it waits, while it does.
    pub waiting: Option<Waiting>,
    /// The end of its transcript, where it was asked for.
    pub log: Option<Log>,
    /// What to do next, where there is something to do.
    pub next: Option<String>,
}

impl From<ExecutionRecord> for ExecutionResult {
    fn from(record: ExecutionRecord) -> Self {
        Self {
            execution_id: record.execution_id.to_string(),
            agent_name: record.agent_name.to_string(),
            status: record.status.into(),
            triggered_by: record.triggered_by,
            message: record.message.map(|text| cut(text, MESSAGE_MAX_CHARS)),
            response: record.response,
            response_cut: record.response_cut,
            error: record.error.map(|error| Failure { code: error.code, message: error.message }),
            created_at: record.created_at,
            started_at: record.started_at,
            completed_at: record.completed_at,
            duration_ms: record.duration_ms,
            queue_ms: record.queue_ms,
            cost_usd: record.cost.map(NanoUsd::to_usd),
            cost_basis: record.cost_basis,
            usage: record.usage,
            model_used: record.model_used,
            num_turns: record.num_turns,
            agent_session_id: record.agent_session_id,
            chat_session_id: record.chat_session_id.map(|id| id.to_string()),
            result_injected: record.result_injected,
            parent_execution_id: record.parent_execution_id.map(|id| id.to_string()),
            cancellation_requested_at: record.cancellation_requested_at,
            waiting: None,
            log: None,
            next: None,
        }
    }
}
