//! The record of one execution.

use execution_ledger_domain::erasure::TextPart;
use execution_ledger_domain::execution::{
    CostBasis, Exit, FailureCode, InjectionRefusal, Requester, TranscriptRef, Trigger, Usage,
};
use execution_ledger_domain::{
    AgentName, ExecutionId, NanoUsd, ScheduleId, SessionId, Timestamp, UserName,
};
use execution_ledger_store::Position;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Where an execution is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for a slot.
    Pending,
    /// It holds a slot.
    Running,
    /// It ended with evidence of success.
    Completed,
    /// It ended without.
    Failed,
    /// It was stopped by somebody's wish.
    Cancelled,
}

impl Status {
    /// All of them, in the order of an execution's life.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Its number in columns.
    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    /// The status of a column's number.
    pub(crate) fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

/// A trigger's number in columns: its place in [`Trigger::ALL`], which only ever grows at its end.
pub(crate) fn trigger_code(trigger: Trigger) -> i64 {
    Trigger::ALL.iter().position(|other| *other == trigger).map_or(-1, |index| index as i64)
}

/// The trigger of a column's number.
pub(crate) fn trigger_from_code(code: i64) -> Option<Trigger> {
    usize::try_from(code).ok().and_then(|index| Trigger::ALL.get(index).copied())
}

/// Why an execution failed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ErrorInfo {
    /// A stable code for programs.
    #[schema(value_type = String, example = "timeout")]
    pub code: FailureCode,
    /// The same in words; null where there are none or where they were erased.
    pub message: Option<String>,
}

/// The payment that an execution was paid with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaidWith {
    /// Its id, as `/api/payments/{id}` takes it.
    pub payment_id: String,
}

/// What one model used in a run.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct UsageOfModel {
    /// The model; where the agent never says which one answered, the one that it was told to use.
    pub model: String,
    /// Its tokens.
    #[schema(value_type = Object)]
    pub usage: Usage,
    /// What they cost, in dollars; null where nobody knows.
    #[serde(rename = "cost_usd", serialize_with = "usd")]
    #[schema(value_type = Option<f64>)]
    pub cost: Option<NanoUsd>,
}

/// All that is known of one execution. Fields that are not known, or not yet, are null.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ExecutionRecord {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub execution_id: ExecutionId,
    /// The agent that runs it.
    #[schema(value_type = String)]
    pub agent_name: AgentName,
    /// Where it is in its life.
    pub status: Status,
    /// How it came to be.
    #[schema(value_type = String, example = "manual")]
    pub triggered_by: Trigger,
    /// The task's text after redaction; null once it was erased.
    pub message: Option<String>,
    /// The agent's answer; null where there is none, or once it was erased.
    pub response: Option<String>,
    /// Why it failed.
    pub error: Option<ErrorInfo>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its process was started: the claim's time while it runs, the observed one afterwards.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When its process had ended, as observed; when its ending was recorded, where it had none.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// How long its process ran, in milliseconds, by a clock that does not jump.
    pub duration_ms: Option<u64>,
    /// How long it waited for a slot, in milliseconds; null while it waits.
    pub queue_ms: Option<u64>,
    /// What it cost, in dollars with at most nine decimal places; null where nobody knows.
    #[serde(rename = "cost_usd", serialize_with = "usd")]
    #[schema(value_type = Option<f64>)]
    pub cost: Option<NanoUsd>,
    /// Where the cost comes from; null until it has ended.
    #[schema(value_type = Option<String>)]
    pub cost_basis: Option<CostBasis>,
    /// The version of the price book that it was computed with; null where none was.
    pub price_book: Option<String>,
    /// Tokens of this run alone.
    #[schema(value_type = Option<Object>)]
    pub usage: Option<Usage>,
    /// The same for each model, where that is known; a correction of the cost leaves it as it was.
    pub usage_by_model: Vec<UsageOfModel>,
    /// The model that was asked for.
    pub model_requested: Option<String>,
    /// The model that answered.
    pub model_used: Option<String>,
    /// The agent's own id of its session, by which it can be resumed.
    pub agent_session_id: Option<String>,
    /// The same value under the name that readers of Claude Code's fields look for.
    pub claude_session_id: Option<String>,
    /// How many turns it took.
    pub num_turns: Option<u32>,
    /// How its first process ended: `{"code": 0}` or `{"signal": 9}`.
    #[schema(value_type = Option<Object>)]
    pub exit: Option<Exit>,
    /// Who asked for it.
    #[schema(value_type = Object)]
    pub requested_by: Requester,
    /// The agent whose run asked for it.
    #[schema(value_type = Option<String>)]
    pub source_agent: Option<AgentName>,
    /// The chat session that it belongs to.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub chat_session_id: Option<SessionId>,
    /// Whether its result was asked to be injected into that session.
    pub inject_result: bool,
    /// Whether its result was injected.
    pub result_injected: bool,
    /// When its result was injected.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub injected_at: Option<Timestamp>,
    /// Why its result was not injected.
    #[schema(value_type = Option<String>)]
    pub injection_refused: Option<InjectionRefusal>,
    /// The execution whose run asked for it.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub parent_execution_id: Option<ExecutionId>,
    /// The execution that it is a new attempt at.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub retry_of: Option<ExecutionId>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// When it starts at the earliest, where it is to wait for a while.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
    /// The schedule whose tick it is.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub schedule_id: Option<ScheduleId>,
    /// The payment that it was paid with.
    pub payment: Option<PaidWith>,
    /// How long its run may take, in seconds.
    pub timeout_s: u64,
    /// What its run may cost, in dollars.
    #[serde(serialize_with = "usd", rename = "max_cost_usd")]
    #[schema(value_type = Option<f64>)]
    pub max_cost: Option<NanoUsd>,
    /// Its transcript, once it has ended.
    #[schema(value_type = Option<Object>)]
    pub transcript: Option<TranscriptRef>,
    /// When somebody asked for it to be stopped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cancellation_requested_at: Option<Timestamp>,
    /// How many secrets were redacted in its message.
    pub redactions: u32,
    /// Whether the response was cut at the limit; it is whole in the transcript.
    pub response_cut: bool,
    /// Processes that were still alive after it and were killed.
    pub killed_processes: u32,
    /// Which of its texts were erased: message, system_prompt, response, error. They are null here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub erased: Vec<TextPart>,
    /// Whether message, response or error are shortened here, as lists do; the execution itself
    /// shows them whole.
    pub texts_cut: bool,
    /// The user that it belongs to.
    #[serde(skip)]
    pub user: UserName,
    /// Position of its first event: its number among all executions.
    #[serde(skip)]
    pub no: Position,
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn usd<S: Serializer>(amount: &Option<NanoUsd>, serializer: S) -> Result<S::Ok, S::Error> {
    amount.map(NanoUsd::to_usd).serialize(serializer)
}
