//! What the tools answer, as structures with schemas.
//!
//! Ids, positions and times are texts, amounts dollars. Fields that are not known, or not yet, are
//! null: every field is always there. Names that later versions may add to (codes, triggers) are
//! texts in the schemas, because clients hold on to the schemas that they once read.

use execution_ledger_domain::execution::{CostBasis, FailureCode, Trigger, Usage};
use execution_ledger_domain::{NanoUsd, Timestamp};
use execution_ledger_projections::{ExecutionRecord, Status as RecordStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A message is shown up to here, in characters: whoever asks wrote it, or knows it.
const MESSAGE_MAX_CHARS: usize = 1_000;
/// In lists texts are shown up to here, in characters.
const PREVIEW_MAX_CHARS: usize = 300;

/// Where an execution is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// It waits for a slot.
    Pending,
    /// It runs.
    Running,
    /// It ended with success.
    Completed,
    /// It ended without.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl From<RecordStatus> for Status {
    fn from(status: RecordStatus) -> Self {
        match status {
            RecordStatus::Pending => Self::Pending,
            RecordStatus::Running => Self::Running,
            RecordStatus::Completed => Self::Completed,
            RecordStatus::Failed => Self::Failed,
            RecordStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Status> for RecordStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Running => Self::Running,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// Why an execution failed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Failure {
    /// A stable code.
    #[schemars(with = "String")]
    pub code: FailureCode,
    /// The same in words.
    pub message: Option<String>,
}

/// What became of a call of an agent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChatAnswer {
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
pub(super) struct Listed {
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
pub(super) struct ExecutionList {
    /// The executions that the caller may see.
    pub executions: Vec<Listed>,
    /// Whether there are older ones that fit.
    pub more: bool,
}

/// Why an execution waits.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Waiting {
    /// What keeps it.
    pub reason: String,
    /// Its place in the agent's queue, from 1; 0 while it is being started.
    pub place: u32,
}

/// One line that the agent's program printed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LogLine {
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
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Log {
    /// The last lines, in order.
    pub lines: Vec<LogLine>,
    /// How many lines stand before them.
    pub lines_before: u64,
}

/// One execution.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ExecutionResult {
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

/// Executions of one trigger.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OfTrigger {
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
pub(super) struct ActivitySummary {
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
pub(super) struct StopAnswer {
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
pub(super) struct EventAnswer {
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
pub(super) struct EventList {
    /// The execution.
    pub execution_id: String,
    /// The events.
    pub events: Vec<EventAnswer>,
    /// after_revision of the next page; null where nothing more is there.
    pub next_after_revision: Option<u64>,
}

/// A text up to so many characters.
pub(super) fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("äöü".to_owned(), 3), "äöü");
        assert_eq!(cut("äöü".to_owned(), 2), "äö…");
    }
}
