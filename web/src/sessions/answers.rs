//! The interface's answers about chat sessions, as far as pages are made of them.

use serde::Deserialize;

use crate::answers::Execution;

/// A page of sessions.
#[derive(Deserialize)]
pub(super) struct SessionList {
    pub sessions: Vec<ChatSession>,
    pub next_cursor: Option<String>,
}

/// One session, without what was said in it.
#[derive(Deserialize)]
pub(super) struct ChatSession {
    pub session_id: String,
    pub agent_name: String,
    pub user: String,
    pub status: String,
    pub title: Option<String>,
    pub opened_at: String,
    pub closed_at: Option<String>,
    pub continues: Option<Continues>,
}

impl ChatSession {
    /// Its page.
    pub fn address(&self) -> String {
        format!("/sessions/{}", self.session_id)
    }

    /// Whether it takes messages.
    pub fn is_open(&self) -> bool {
        self.status == "open"
    }
}

/// What a session goes on from.
#[derive(Deserialize)]
pub(super) struct Continues {
    pub execution_id: String,
}

/// A session with a page of what was said in it.
#[derive(Deserialize)]
pub(super) struct SessionDetail {
    #[serde(flatten)]
    pub session: ChatSession,
    pub entries: Vec<Entry>,
    pub next_cursor: Option<String>,
    pub background: Vec<Execution>,
}

/// A turn, or the result of a background task.
#[derive(Deserialize)]
pub(super) struct Entry {
    pub kind: String,
    pub told: Option<bool>,
    #[serde(default)]
    pub texts_cut: bool,
    #[serde(flatten)]
    pub record: Execution,
}

/// A session that was opened.
#[derive(Deserialize)]
pub(super) struct Opened {
    pub session_id: String,
}

/// A message or a task that was accepted.
#[derive(Deserialize)]
pub(super) struct Said {
    pub position: String,
}

/// Why an execution waits.
#[derive(Deserialize)]
pub(super) struct WaitingRecord {
    pub execution_id: String,
    pub waiting: Option<Waiting>,
}

/// A reason, and the place in the queue.
#[derive(Deserialize)]
pub(super) struct Waiting {
    pub reason: String,
    pub place: u64,
}
