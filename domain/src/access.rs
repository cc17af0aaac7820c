//! Who looked at what, who was turned away and who left: facts that no rule decides about.
//!
//! They stand in a stream for each day, which nobody folds: an append to it reads nothing before.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::ids::{BrowserId, ExecutionId, KeyId};

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadKind {
    /// What a run printed.
    Transcript,
    /// The log, or a part of it, as an export.
    Export,
}

/// Why callers were turned away.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RefusedFor {
    /// They showed no key that holds.
    Unauthorized,
    /// Their key holds, but not for what they asked.
    Forbidden,
}

/// Somebody read what a run printed, or took an export. At most one for each key, execution and hour; a
/// run that reads its own output is not told. Each export is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Read {
    /// Which execution's; absent where it was not one execution that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<ExecutionId>,
    /// What was read of it.
    pub kind: ReadKind,
}

/// Callers were turned away: the sum of one minute for one source, so that nobody can fill the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Refused {
    /// Their address, of IPv6 its first 64 bits; absent: the sum of all other sources of the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When the minute began.
    pub minute: Timestamp,
    /// Why.
    pub code: RefusedFor,
    /// How often.
    pub count: u64,
}

/// A browser was signed out before its session's end: its cookie is worth nothing from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SignedOut {
    /// Which session.
    pub browser_id: BrowserId,
    /// The key that it stood for; absent: the administrator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// When it would have ended by itself.
    pub expires_at: Timestamp,
}

/// A fact of a day's access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessEvent {
    /// `access.read`
    Read(Read),
    /// `access.refused`
    Refused(Refused),
    /// `access.signed_out`
    SignedOut(SignedOut),
}
