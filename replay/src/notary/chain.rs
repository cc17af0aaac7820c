//! The keys that a ledger has signed with, one after the other.

use std::path::Path;
use std::sync::Arc;

use execution_ledger_domain::notary::{KeyRotated, NotaryEvent};
use execution_ledger_domain::{Event, StreamName};
use execution_ledger_store::{EventStore, Recorded, With};

use super::{NotaryError, SignedCheckpoint, Verifier, read_verifier};

/// Changes of keys that are read, at most.
pub const ROTATIONS_MAX: usize = 1_000;

/// A change of keys, as the log tells it.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The key before. The last checkpoint that counts under it covers the change and nothing after it.
    pub previous: Verifier,
    /// The key from then on.
    pub key: Verifier,
    /// The leaf that tells of it, from 0.
    pub leaf: u64,
    /// The event that tells of it.
    pub recorded: Recorded,
}

impl Rotation {
    /// Events that the last checkpoint under the key before covers: all up to the change.
    pub fn covered(&self) -> u64 {
        self.leaf.saturating_add(1)
    }
}

/// The key that a notary's folder has, and those before it. What the log says of keys of another name
/// is of the ledger that it was imported from.
#[derive(Clone, Debug)]
pub struct KeyChain {
    own: Verifier,
    rotations: Vec<Rotation>,
}

impl KeyChain {
    /// Only this key.
    pub fn of(own: Verifier) -> Self {
        Self { own, rotations: Vec::new() }
    }

    /// That of a notary's folder; `None` where it has no key yet.
    ///
    /// # Errors
    /// Where folder or log can't be read, or what the log tells does not lead from key to key.
    pub async fn read(
        store: &Arc<dyn EventStore>,
        folder: &Path,
    ) -> Result<Option<Self>, NotaryError> {
        let Some(own) = read_verifier(folder)? else { return Ok(None) };
        Ok(Some(Self::of_log(store, own).await?))
    }

    /// That which the log tells of a key's name.
    ///
    /// # Errors
    /// As [`KeyChain::read`].
    pub async fn of_log(store: &Arc<dyn EventStore>, own: Verifier) -> Result<Self, NotaryError> {
        let stream = StreamName::notary();
        let events = store.read_stream(&stream, 0, ROTATIONS_MAX + 1, With::EventsOnly).await?;
        if events.len() > ROTATIONS_MAX {
            let problem = format!("the log tells of more than {ROTATIONS_MAX} changes of keys");
            return Err(NotaryError::Missing(problem));
        }
        let mut rotations: Vec<Rotation> = Vec::with_capacity(events.len());
        for recorded in events {
            let rotation = Rotation::of(recorded)?;
            if rotation.key.name() != own.name() {
                continue;
            }
            if let Some(before) = rotations.last()
                && (before.key != rotation.previous || before.leaf >= rotation.leaf)
            {
                let problem = "the changes of keys in the log don't lead from one to the next";
                return Err(NotaryError::Missing(problem.to_owned()));
            }
            rotations.push(rotation);
        }
        Ok(Self { own, rotations })
    }

    /// The changes, the first one first.
    pub fn rotations(&self) -> &[Rotation] {
        &self.rotations
    }

    /// All keys, the first one first.
    pub fn keys(&self) -> Vec<&Verifier> {
        let first = self.rotations.first().map_or(&self.own, |first| &first.previous);
        std::iter::once(first).chain(self.rotations.iter().map(|rotation| &rotation.key)).collect()
    }

    /// The key that the log told of last.
    pub fn current(&self) -> &Verifier {
        self.rotations.last().map_or(&self.own, |last| &last.key)
    }

    /// The change that the log tells of and that the folder's key has not seen: it was cut off.
    pub fn unfinished(&self) -> Option<&Rotation> {
        self.rotations.last().filter(|last| last.previous == self.own)
    }

    /// The key that has signed a checkpoint, of those that may sign one of its size: a key counts from
    /// the change that it came with up to the one that it went with.
    pub fn signer_of(&self, signed: &SignedCheckpoint) -> Option<&Verifier> {
        let size = signed.checkpoint.size;
        let keys = self.keys();
        let counts = |at: &usize| {
            let from = at.checked_sub(1).and_then(|before| self.rotations.get(before));
            let until = self.rotations.get(*at);
            from.is_none_or(|from| size >= from.covered())
                && until.is_none_or(|until| size <= until.covered())
        };
        (0..keys.len()).rev().filter(counts).map(|at| keys[at]).find(|key| signed.is_by(key))
    }
}

impl Rotation {
    fn of(recorded: Recorded) -> Result<Self, NotaryError> {
        let place = recorded.position.number();
        let unreadable = |why: &dyn std::fmt::Display| {
            NotaryError::Missing(format!("the change of keys of event {place}: {why}"))
        };
        let event = recorded.event().map_err(|error| unreadable(&error))?;
        let Event::Notary(NotaryEvent::KeyRotated(told)) = event else {
            return Err(unreadable(&"it is none"));
        };
        let KeyRotated { previous_key, key, tree_size: leaf } = *told;
        let previous: Verifier = previous_key.parse().map_err(|error| unreadable(&error))?;
        let key: Verifier = key.parse().map_err(|error| unreadable(&error))?;
        if previous.name() != key.name() || previous == key {
            return Err(unreadable(&"it leads from one ledger's key to another's"));
        }
        Ok(Self { previous, key, leaf, recorded })
    }
}
