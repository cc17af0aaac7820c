//! The interface's answers about activities, as far as the panel is made of them.

use serde::Deserialize;

/// A page of activities, the newest first.
#[derive(Deserialize)]
pub(super) struct ActivityList {
    pub activities: Vec<Activity>,
    pub next_cursor: Option<String>,
}

/// What somebody does.
#[derive(Deserialize)]
pub(super) struct Activity {
    #[serde(rename = "activity_id")]
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub state: String,
    pub agent: String,
    pub action: String,
    pub started_at: Option<String>,
    pub completed_at: Option<String>,
    pub details: Details,
}

/// What else there is to say.
#[derive(Deserialize)]
pub(super) struct Details {
    pub execution_id: Option<String>,
    pub chat_session_id: Option<String>,
    pub cost_usd: Option<f64>,
    pub execution_time_ms: Option<u64>,
    #[serde(default)]
    pub result_injected: bool,
    pub error: Option<Failure>,
}

/// Why it failed.
#[derive(Deserialize)]
pub(super) struct Failure {
    pub code: Option<String>,
}
