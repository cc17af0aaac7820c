//! Keys as the interface answers them.

#![expect(clippy::struct_field_names, reason = "the interface's own names")]

use serde::Deserialize;

/// A page of keys.
#[derive(Deserialize)]
pub(super) struct KeyList {
    pub keys: Vec<Key>,
    pub next_cursor: Option<String>,
}

/// A key, without its text.
#[derive(Deserialize)]
pub(super) struct Key {
    pub key_id: String,
    pub name: String,
    pub role: String,
    pub user: String,
    pub agent: Option<String>,
    /// Absent: all agents; of an agent's key none but its own.
    pub may_call: Option<Vec<String>>,
    pub issued_at: String,
    pub revoked_at: Option<String>,
}

/// A key that was issued, with its text.
#[derive(Deserialize)]
pub(super) struct Issued {
    pub key: String,
    pub name: String,
    pub role: String,
    pub user: String,
    pub position: String,
}

/// What a change of a key led to.
#[derive(Deserialize)]
pub(super) struct Changed {
    pub position: String,
}
