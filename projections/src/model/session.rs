//! Chat sessions, as people read them.

use execution_ledger_domain::{AgentName, ExecutionId, SessionId, Timestamp, UserName};
use serde::Serialize;
use utoipa::ToSchema;

use super::record::ExecutionRecord;

/// Whether a session takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It does.
    Open,
    /// It takes neither messages nor results any more.
    Closed,
}

impl SessionStatus {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Open, Self::Closed];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// What a session goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Continues {
    /// The finished execution.
    #[schema(value_type = String, format = Uuid)]
    pub execution_id: ExecutionId,
    /// The agent's own session of that execution, which the first turn resumes.
    pub agent_session_id: String,
}

/// A chat session.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ChatSession {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub session_id: SessionId,
    /// The agent that answers in it.
    #[schema(value_type = String)]
    pub agent_name: AgentName,
    /// The user that it belongs to.
    #[schema(value_type = String)]
    pub user: UserName,
    /// Whether it takes messages.
    pub status: SessionStatus,
    /// The beginning of its first message; null before there is one, or once it was erased.
    pub title: Option<String>,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// When it was closed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// The execution that it continues, where it was opened from one.
    pub continues: Option<Continues>,
}

/// What kind of entry of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A message of the user's and the agent's answer.
    Turn,
    /// The result of a background task.
    BackgroundResult,
}

impl EntryKind {
    /// Its number in columns.
    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    /// The kind of a column's number.
    pub(crate) fn from_code(code: i64) -> Option<Self> {
        [Self::Turn, Self::BackgroundResult].into_iter().find(|kind| kind.code() == code)
    }
}

/// An entry of a session: a turn, or an injected result.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SessionEntry {
    /// What kind.
    pub kind: EntryKind,
    /// Whether the agent was told of the result with a turn; null of a turn.
    pub told: Option<bool>,
    /// The execution.
    #[serde(flatten)]
    pub execution: ExecutionRecord,
}

/// A session with a page of its entries.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SessionDetail {
    /// The session.
    #[serde(flatten)]
    pub session: ChatSession,
    /// The newest entries of the page's end, in the order in which they came. Long texts are cut.
    pub entries: Vec<SessionEntry>,
    /// What to ask for the entries before these with; null where there are none.
    pub next_cursor: Option<String>,
    /// Background tasks of the session that go on, or whose result is on its way; the oldest first.
    pub background: Vec<ExecutionRecord>,
}

/// A turn or background task of a session that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTask {
    /// Its execution.
    pub execution: ExecutionId,
    /// Whether it is a turn.
    pub is_turn: bool,
}
