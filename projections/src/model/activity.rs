//! The activity panel and the messages about it.

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::scope::Ownership;
use execution_ledger_domain::{AgentName, NanoUsd, SessionId, Timestamp, UserName};
use execution_ledger_store::Position;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What kind of activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivityType {
    /// An agent works on a task that it gave itself.
    SelfTask,
    /// An agent works on a task.
    Task,
    /// An agent answers in a chat.
    Chat,
    /// An agent works on a schedule's tick.
    Schedule,
    /// An agent works on a paid request.
    Paid,
    /// An agent works for another agent.
    AgentCollaboration,
    /// Somebody stops an execution.
    Cancellation,
}

impl ActivityType {
    /// All of them; a column's number is the place in this list, which only ever grows at its end.
    pub const ALL: [Self; 7] = [
        Self::SelfTask,
        Self::Task,
        Self::Chat,
        Self::Schedule,
        Self::Paid,
        Self::AgentCollaboration,
        Self::Cancellation,
    ];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfTask => "self_task",
            Self::Task => "task",
            Self::Chat => "chat",
            Self::Schedule => "schedule",
            Self::Paid => "paid",
            Self::AgentCollaboration => "agent_collaboration",
            Self::Cancellation => "cancellation",
        }
    }

    /// The type of a run, by how it came to be and whether an agent's run asked for it.
    pub fn of_run(trigger: Trigger, source_agent: Option<&AgentName>) -> Self {
        match trigger {
            Trigger::SelfTask => Self::SelfTask,
            Trigger::Chat => Self::Chat,
            Trigger::Schedule => Self::Schedule,
            Trigger::Paid => Self::Paid,
            Trigger::Agent => Self::AgentCollaboration,
            Trigger::Mcp if source_agent.is_some() => Self::AgentCollaboration,
            Trigger::Mcp | Trigger::Retry | Trigger::Manual => Self::Task,
        }
    }

    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|index| Self::ALL.get(index).copied())
    }
}

/// Where an activity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivityState {
    /// It goes on.
    Started,
    /// It ended with success; a cancellation: the execution ended as cancelled.
    Completed,
    /// It ended without success; a cancellation: the execution ended otherwise.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl ActivityState {
    /// All of them; a column's number is the place in this list, which only ever grows at its end.
    pub const ALL: [Self; 4] = [Self::Started, Self::Completed, Self::Failed, Self::Cancelled];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|index| Self::ALL.get(index).copied())
    }
}

/// A row of the activity panel.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Activity {
    /// The execution's id; of a cancellation the id of the event that asked for it.
    pub activity_id: uuid::Uuid,
    /// What kind of activity.
    #[serde(rename = "type")]
    pub activity_type: ActivityType,
    /// Where it is.
    pub state: ActivityState,
    /// The agent that acts.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// What it does, in a few words.
    pub action: String,
    /// When it started; null where an execution ended without ever having started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// `execution_id` and what else there is to say: of a start `inject_result`, of an end
    /// `cost_usd`, `execution_time_ms`, `result_injected`, `chat_session_id`, `response_preview`, and of a
    /// failure `error` with its `code` and `message`.
    #[schema(value_type = Object)]
    pub details: Value,
}

/// A message about an activity, for those who watch.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ActivityEvent {
    /// Always `agent_activity`.
    #[serde(rename = "type")]
    pub message_type: &'static str,
    /// What kind of activity.
    pub activity_type: ActivityType,
    /// Where it is.
    pub activity_state: ActivityState,
    /// What the agent does, in a few words.
    pub action: String,
    /// The agent that acts.
    #[schema(value_type = String)]
    pub agent_name: AgentName,
    /// The execution's id; of a cancellation the id of the event that asked for it.
    pub activity_id: uuid::Uuid,
    /// When the event was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// Where to resume, with the log's id: the position of the event, or before it where another message
    /// about the same event follows.
    pub position: String,
    /// As in [`Activity::details`].
    #[schema(value_type = Object)]
    pub details: Value,
}

/// The messages that an event leads to and whose they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// Position of the event.
    pub position: Position,
    /// The messages: mostly one. Two where an execution was cancelled before it started: the wish was
    /// fulfilled, and the execution has ended. The first then names the position before this one, so
    /// that who resumes after it is told the second.
    pub events: Vec<ActivityEvent>,
    /// The agent of the execution.
    pub agent: AgentName,
    /// The user that the execution belongs to.
    pub user: UserName,
    /// The agent whose run asked for the execution.
    pub source_agent: Option<AgentName>,
}

impl Announcement {
    /// Whose it is: what a watcher's scope is checked against.
    pub fn ownership(&self) -> Ownership<'_> {
        Ownership { agent: &self.agent, user: &self.user, source_agent: self.source_agent.as_ref() }
    }
}

/// The details of an ended run, in the order in which they are read.
pub(crate) fn ending_details(
    execution_id: uuid::Uuid,
    cost: Option<NanoUsd>,
    duration_ms: Option<u64>,
    injected: bool,
    session: Option<SessionId>,
    preview: Option<&str>,
) -> Value {
    serde_json::json!({
        "execution_id": execution_id,
        "cost_usd": cost.map(NanoUsd::to_usd),
        "execution_time_ms": duration_ms,
        "result_injected": injected,
        "chat_session_id": session,
        "response_preview": preview,
    })
}
