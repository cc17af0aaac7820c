//! What the notary tells of itself: facts that no rule decides about.

use serde::{Deserialize, Serialize};

/// Checkpoints are signed with another key from here on. The event is itself covered by a last
/// checkpoint under the key before and by the first under the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KeyRotated {
    /// The key before, as a C2SP verifier key: `name+hash+base64`.
    pub previous_key: String,
    /// The key from here on, in the same form.
    pub key: String,
    /// How many events stood in the log before this one. The last checkpoint under the key before covers
    /// one more: this one.
    pub tree_size: u64,
}

/// A fact of the notary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotaryEvent {
    /// `notary.key_rotated`
    KeyRotated(Box<KeyRotated>),
}
