//! That a log only grew between two checkpoints, for somebody who has the earlier one alone.

use std::path::Path;
use std::sync::Arc;

use execution_ledger_domain::Digest;
use execution_ledger_store::EventStore;
use serde::{Deserialize, Serialize};

use super::keys::{ProvenRotation, led};
use super::make::{Grown, grown};
use super::{PROOF_MAX_BYTES, ProofError, ProveError};
use crate::notary::{Checkpoint, SignedCheckpoint, Verifier, is_consistent};

/// The format of these proofs.
pub const CONSISTENCY_FORMAT: &str = "execution-ledger-consistency/1";

/// A proof that a log began as an earlier checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// [`CONSISTENCY_FORMAT`]
    pub format: String,
    /// The public key that signed the later checkpoint, as whoever made the proof says.
    pub key: String,
    /// The earlier checkpoint: a C2SP signed note.
    pub older: String,
    /// The later checkpoint.
    pub newer: String,
    /// The hashes of RFC 6962 that lead from one to the other.
    pub path: Vec<Digest>,
    /// The changes of keys that the later checkpoint covers, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<ProvenRotation>,
}

/// What such a proof shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Extended {
    /// Events that the earlier checkpoint covers: all of them stand unchanged in the later one.
    pub older_size: u64,
    /// Events that the later checkpoint covers.
    pub newer_size: u64,
    /// The key that signed the later checkpoint.
    pub key: String,
    /// Whether a key was given by who checks.
    pub key_was_given: bool,
    /// Whether who checks gave the earlier checkpoint, so that it is known to be his.
    pub checkpoint_was_given: bool,
    /// Changes of keys between the key that was given and the one that signed.
    pub rotations: u64,
}

/// The proof that the log grew from a checkpoint to the last one in the notary's folder.
///
/// # Errors
/// [`ProveError`] where there is none, above all where the log did not grow from that checkpoint.
pub async fn prove_consistency(
    store: &Arc<dyn EventStore>,
    folder: &Path,
    older: &SignedCheckpoint,
) -> Result<Consistency, ProveError> {
    let Grown { tree, chain, last, rotations } = grown(store, folder).await?;
    let key = chain.signer_of(&last).ok_or(ProveError::Disagreement)?;
    if chain.signer_of(older).is_none() {
        return Err(ProveError::Checkpoint("the checkpoint is not signed by a key of this ledger"));
    }
    let (old, size) = (older.checkpoint.size, last.checkpoint.size);
    if old > size {
        return Err(ProveError::Checkpoint(
            "the checkpoint covers more events than the last one that this ledger signed: events are \
             missing, or this is an older copy",
        ));
    }
    if tree.root_at(old)? != older.checkpoint.root {
        return Err(ProveError::Checkpoint(
            "the log did not begin as the checkpoint says: run `execution-ledger verify` with it",
        ));
    }
    Ok(Consistency {
        format: CONSISTENCY_FORMAT.to_owned(),
        key: key.to_string(),
        older: older.as_str().to_owned(),
        newer: last.as_str().to_owned(),
        path: tree.consistency(old, size)?,
        rotations,
    })
}

/// Checks such a proof: nothing that the earlier checkpoint covers was changed, removed, put in or moved
/// until the later one was signed. With a `kept` checkpoint the earlier one must state the same.
///
/// # Errors
/// [`ProofError`] where it shows nothing.
pub fn check_consistency(
    text: &[u8],
    key: Option<&Verifier>,
    kept: Option<&Checkpoint>,
) -> Result<Extended, ProofError> {
    if text.len() as u64 > PROOF_MAX_BYTES {
        return Err(ProofError::Malformed("it is too large".to_owned()));
    }
    let proof: Consistency =
        serde_json::from_slice(text).map_err(|error| ProofError::Malformed(error.to_string()))?;
    if proof.format != CONSISTENCY_FORMAT {
        return Err(ProofError::Format);
    }
    let stated: Verifier = proof.key.parse().map_err(|_| ProofError::Key)?;
    let keys = led(key.unwrap_or(&stated), &stated, &proof.rotations)?;
    let older = SignedCheckpoint::parse(&proof.older)?;
    let newer = SignedCheckpoint::parse(&proof.newer)?;
    if !newer.is_by(&stated) {
        return Err(ProofError::Signature);
    }
    // One that who checks has kept himself needs no signature.
    let is_kept = kept.is_some_and(|kept| *kept == older.checkpoint);
    if kept.is_some() && !is_kept {
        return Err(ProofError::Consistency(
            "its earlier checkpoint is not the one that was given",
        ));
    }
    if !is_kept && !keys.iter().any(|key| older.is_by(key)) {
        return Err(ProofError::Signature);
    }
    let tree = |stated: &Checkpoint| (stated.size, stated.root);
    if !is_consistent(tree(&older.checkpoint), tree(&newer.checkpoint), &proof.path) {
        return Err(ProofError::Consistency(
            "it does not show that the later checkpoint holds what the earlier one covers",
        ));
    }
    Ok(Extended {
        older_size: older.checkpoint.size,
        newer_size: newer.checkpoint.size,
        key: stated.to_string(),
        key_was_given: key.is_some(),
        checkpoint_was_given: is_kept,
        rotations: keys.len().saturating_sub(1) as u64,
    })
}
