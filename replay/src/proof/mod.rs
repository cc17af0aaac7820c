//! One execution's events with the evidence that they stand in the log, in a file of its own: whoever
//! has the public key can check it without the ledger.

mod check;
mod consistency;
mod keys;
mod make;
#[cfg(test)]
mod tests;

use execution_ledger_domain::{Digest, EventId, ExecutionId, Timestamp};
use serde::{Deserialize, Serialize};

pub use check::{ProofError, Proven, check};
pub use consistency::{
    CONSISTENCY_FORMAT, Consistency, Extended, check_consistency, prove_consistency,
};
pub use keys::ProvenRotation;
pub use make::{ProveError, prove};

/// The format of proofs.
pub const PROOF_FORMAT: &str = "execution-ledger-proof/1";
/// The largest proof that is read, in bytes.
pub const PROOF_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Events of one execution that a proof holds at most.
pub const PROOF_EVENTS_MAX: usize = 10_000;

/// A proof as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// [`PROOF_FORMAT`]
    pub format: String,
    /// Whose events.
    pub execution_id: ExecutionId,
    /// The public key that signed the checkpoint, as whoever made the proof says.
    pub key: String,
    /// The checkpoint that covers all of the events: a C2SP signed note.
    pub checkpoint: String,
    /// The changes of keys that the checkpoint covers, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<ProvenRotation>,
    /// The events, in the order of their stream.
    pub events: Vec<ProvenEvent>,
}

/// An event as it is stored, and its place in the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenEvent {
    /// Its leaf in the tree, from 0.
    pub index: u64,
    /// Its place in the execution's stream, from 0.
    pub revision: u64,
    /// Its id.
    pub event_id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The schema version of its data.
    pub version: u32,
    /// When the ledger took it.
    pub recorded_at: Timestamp,
    /// Its metadata, byte for byte as stored.
    pub metadata: String,
    /// Its data, byte for byte as stored.
    pub data: String,
    /// The texts that the data refers to.
    pub texts: Vec<ProvenText>,
    /// The hashes beside the way from its leaf to the tree's hash, the lowest first.
    pub path: Vec<Digest>,
}

/// A text beside an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenText {
    /// The SHA-256 of salt and text that the event holds.
    pub sha256: Digest,
    /// Salt and text; absent where they were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<SaltedText>,
}

/// A text with its salt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaltedText {
    /// The salt.
    pub salt: [u8; 16],
    /// The text.
    pub text: String,
}
