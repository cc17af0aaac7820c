//! Checking a proof with nothing but the public key.

use execution_ledger_domain::content::ContentRef;
use execution_ledger_domain::{Content, Digest, ExecutionId, StreamName};
use serde::Serialize;

use super::keys::{led, recorded};
use super::{PROOF_EVENTS_MAX, PROOF_FORMAT, PROOF_MAX_BYTES, Proof, ProvenText};
use crate::notary::{NoteError, SignedCheckpoint, Verifier, leaf, root_from_path};

/// What a proof shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// Whose events.
    pub execution_id: ExecutionId,
    /// How many.
    pub events: u64,
    /// Texts that are there and are what the events recorded.
    pub texts: u64,
    /// Texts that the proof does not hold: they were erased, or left out by whoever made it.
    pub texts_absent: u64,
    /// Events that the checkpoint covers.
    pub tree_size: u64,
    /// The key that signed it.
    pub key: String,
    /// Whether that key was given by who checks. If not, it stands in the proof alone, where anybody
    /// can put one.
    pub key_was_given: bool,
    /// Changes of keys between the key that was given and the one that signed.
    pub rotations: u64,
}

/// Why a proof shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// It can't be read as a proof.
    #[error("it is no proof: {0}")]
    Malformed(String),
    /// It is of another format.
    #[error("its format is not {PROOF_FORMAT}")]
    Format,
    /// The key in it is none, or not the one that was given.
    #[error("the key in it is not the one that was given, or none at all")]
    Key,
    /// Its checkpoint can't be read.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// Nobody with the key has signed its checkpoint.
    #[error("its checkpoint is not signed by the key")]
    Signature,
    /// A change of keys in it is not what the key before has signed.
    #[error("the change of keys {0}: it is not what the key before has signed")]
    Rotation(u64),
    /// Two checkpoints don't belong together.
    #[error("{0}")]
    Consistency(&'static str),
    /// An event is not in the tree, or not where it should be.
    #[error("event {revision}: {problem}")]
    Event {
        /// Its place in the proof, from 0.
        revision: u64,
        /// What is wrong.
        problem: String,
    },
}

/// Checks a proof. With a `key` it must be by that key, or by one to which it leads: each key signs the
/// change to the next.
///
/// It shows that these events, with these times and texts, stood in the log when the checkpoint was
/// signed, in this order, the first ones of their stream. It does not show that there are no later ones.
///
/// # Errors
/// [`ProofError`] where it shows nothing.
pub fn check(text: &[u8], key: Option<&Verifier>) -> Result<Proven, ProofError> {
    if text.len() as u64 > PROOF_MAX_BYTES {
        return Err(ProofError::Malformed("it is too large".to_owned()));
    }
    let proof: Proof =
        serde_json::from_slice(text).map_err(|error| ProofError::Malformed(error.to_string()))?;
    if proof.format != PROOF_FORMAT {
        return Err(ProofError::Format);
    }
    let stated: Verifier = proof.key.parse().map_err(|_| ProofError::Key)?;
    let keys = led(key.unwrap_or(&stated), &stated, &proof.rotations)?;
    let signed = SignedCheckpoint::parse(&proof.checkpoint)?;
    if !signed.is_by(&stated) {
        return Err(ProofError::Signature);
    }
    if proof.events.is_empty() || proof.events.len() > PROOF_EVENTS_MAX {
        return Err(ProofError::Malformed("it holds no events, or too many".to_owned()));
    }
    let (size, root) = (signed.checkpoint.size, signed.checkpoint.root);
    let mut proven = Proven {
        execution_id: proof.execution_id,
        events: 0,
        texts: 0,
        texts_absent: 0,
        tree_size: size,
        key: stated.to_string(),
        key_was_given: key.is_some(),
        rotations: keys.len().saturating_sub(1) as u64,
    };
    let stream = StreamName::execution(proof.execution_id);
    let mut after = None;
    for event in proof.events {
        let revision = proven.events;
        let (index, path) = (event.index, event.path.clone());
        let wrong = |problem: String| ProofError::Event { revision, problem };
        if event.revision != revision || after.is_some_and(|after| index <= after) {
            return Err(wrong("it is out of order".to_owned()));
        }
        after = Some(index);
        let texts = event.texts.clone();
        let recorded = recorded(&stream, event);
        if root_from_path(leaf(&recorded), index, size, &path) != Some(root) {
            return Err(wrong("it is not in the tree that was signed".to_owned()));
        }
        let decoded = recorded.event().map_err(|error| wrong(error.to_string()))?;
        compare(&decoded.content_refs(), texts, &mut proven).map_err(wrong)?;
        proven.events += 1;
    }
    Ok(proven)
}

fn compare(
    references: &[ContentRef],
    texts: Vec<ProvenText>,
    proven: &mut Proven,
) -> Result<(), String> {
    let expected: Vec<Digest> = references.iter().map(|reference| reference.sha256).collect();
    let named: Vec<Digest> = texts.iter().map(|text| text.sha256).collect();
    if named != expected {
        return Err("its texts are not those that it speaks of".to_owned());
    }
    for (reference, text) in references.iter().zip(texts) {
        match text.content {
            None => proven.texts_absent += 1,
            Some(content) => {
                if Content::new(content.salt, content.text).reference() != *reference {
                    return Err("a text of it was changed".to_owned());
                }
                proven.texts += 1;
            }
        }
    }
    Ok(())
}
