//! What the interface answers about the log and its evidence.

use serde::Deserialize;
use serde_json::Value;

use crate::answers::Actor;

/// A page of the log.
#[derive(Deserialize)]
pub(super) struct EventList {
    pub events: Vec<Logged>,
    pub next_cursor: Option<String>,
}

/// An event of the log.
#[derive(Deserialize)]
pub(super) struct Logged {
    pub position: String,
    pub stream: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub recorded_at: String,
    pub actor: Actor,
    pub data: Value,
}

/// What a check of the history found.
#[derive(Deserialize)]
pub(super) struct Report {
    pub sound: bool,
    pub events: u64,
    pub streams: u64,
    pub clocks_apart: u64,
    pub clocks_apart_ms: u64,
    pub contents: u64,
    pub contents_erased: u64,
    pub tiles: u64,
    pub tiles_missing: u64,
    pub checkpoints: u64,
    pub signed_events: u64,
    pub cosignatures: u64,
    pub witnessed_events: u64,
    pub transcripts: u64,
    pub transcripts_absent: u64,
    pub transcripts_erased: u64,
    pub key: Option<String>,
    pub keys_before: Vec<String>,
    pub root: String,
    pub problems: Vec<Finding>,
    pub problems_untold: u64,
}

/// Something that is not as it should be.
#[derive(Deserialize)]
pub(super) struct Finding {
    pub check: String,
    pub place: String,
    pub problem: String,
}
