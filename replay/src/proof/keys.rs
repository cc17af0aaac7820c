//! From a key that somebody has to the one that signs today.

use execution_ledger_domain::notary::NotaryEvent;
use execution_ledger_domain::{Event, StreamName};
use execution_ledger_store::{Position, Recorded};
use serde::{Deserialize, Serialize};

use super::{ProofError, ProvenEvent};
use crate::notary::{ROTATIONS_MAX, SignedCheckpoint, Verifier, leaf, root_from_path};

/// A change of keys as the key before has signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenRotation {
    /// The last checkpoint under the key before: the change is the last event that it covers.
    pub checkpoint: String,
    /// The event of the stream `notary`.
    pub event: ProvenEvent,
}

impl ProvenRotation {
    /// The key to which a key has signed that it leads; none where it is another key's change.
    fn from(&self, key: &Verifier, number: u64) -> Result<Option<Verifier>, ProofError> {
        let wrong = || ProofError::Rotation(number);
        let recorded = recorded(&StreamName::notary(), self.event.clone());
        let Ok(Event::Notary(NotaryEvent::KeyRotated(told))) = recorded.event() else {
            return Err(wrong());
        };
        if told.previous_key != key.to_string() {
            return Ok(None);
        }
        let signed = SignedCheckpoint::parse(&self.checkpoint)?;
        let (size, root) = (signed.checkpoint.size, signed.checkpoint.root);
        let index = self.event.index;
        let shown = signed.is_by(key)
            && told.tree_size == index
            && index.checked_add(1) == Some(size)
            && root_from_path(leaf(&recorded), index, size, &self.event.path) == Some(root);
        let next: Verifier = told.key.parse().map_err(|_| wrong())?;
        let fits = shown && next.name() == key.name();
        fits.then_some(Some(next)).ok_or_else(wrong)
    }
}

/// The keys from the one that was given to the one that is stated, both among them.
pub(super) fn led(
    given: &Verifier,
    stated: &Verifier,
    rotations: &[ProvenRotation],
) -> Result<Vec<Verifier>, ProofError> {
    let mut keys = vec![given.clone()];
    if rotations.len() > ROTATIONS_MAX {
        return Err(ProofError::Malformed("it tells of too many changes of keys".to_owned()));
    }
    for (rotation, number) in rotations.iter().zip(1..) {
        let Some(key) = keys.last().filter(|key| *key != stated) else { break };
        keys.extend(rotation.from(key, number)?);
    }
    if keys.last() == Some(stated) { Ok(keys) } else { Err(ProofError::Key) }
}

/// An event of a proof as the log had it.
pub(super) fn recorded(stream: &StreamName, event: ProvenEvent) -> Recorded {
    Recorded {
        position: Position::START,
        stream: stream.clone(),
        revision: event.revision,
        id: event.event_id,
        type_name: event.type_name,
        version: event.version,
        recorded_at: event.recorded_at,
        metadata: event.metadata,
        data: event.data,
        contents: Vec::new(),
    }
}
