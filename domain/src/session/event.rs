//! The facts of a chat session.

use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, ExecutionId, UserName};

/// What a session goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Continued {
    /// The finished execution.
    pub execution_id: ExecutionId,
    /// The agent's own session of that execution, which the first turn resumes.
    pub agent_session_id: String,
}

/// A chat was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Opened {
    /// The agent that answers in it.
    pub agent: AgentName,
    /// The user that it belongs to.
    pub user: UserName,
    /// The execution that it continues, where it was opened from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continued>,
}

/// A message was posted. Its text is the execution's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MessagePosted {
    /// The execution that answers it.
    pub execution_id: ExecutionId,
}

/// No more messages are taken: turns that waited are cancelled, and no result is injected any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Closed {}

/// A fact of a chat session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// `session.opened`
    Opened(Box<Opened>),
    /// `session.message_posted`
    MessagePosted(MessagePosted),
    /// `session.closed`
    Closed(Closed),
}
