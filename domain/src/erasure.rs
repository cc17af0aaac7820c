//! Texts that were erased: the facts that tell of it. The text and its salt are gone; its digest and
//! length stand in the event that it lay beside, so every proof stands too.

use serde::{Deserialize, Serialize};

use crate::content::{ContentRef, Digest};
use crate::ids::EventId;

/// Why a text was erased: whose erasure it was part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum ErasureOf {
    /// This text alone.
    Content(Digest),
    /// All texts of an execution.
    Execution(String),
    /// All texts of a chat session.
    Session(String),
    /// All texts of a user.
    User(String),
}

/// A text was erased, with its salt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Erased {
    /// The stream of the event that it lay beside.
    pub stream: String,
    /// The event that it lay beside.
    pub event_id: EventId,
    /// What that event holds of it: its digest and its length, which stay.
    pub content: ContentRef,
    /// What was asked to be erased.
    pub of: ErasureOf,
    /// The reason, in a person's words.
    pub reason: ContentRef,
}

/// A fact of an erased text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErasureEvent {
    /// `content.erased`
    Erased(Box<Erased>),
}
