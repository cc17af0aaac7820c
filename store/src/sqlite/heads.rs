//! What the writer remembers of the ends of streams, so that most appends need no look-up.

use std::collections::HashMap;

use execution_ledger_domain::StreamName;

/// Streams of a generation. Two generations are kept, of together about 20 MB when full.
const GENERATION_MAX: usize = 65_536;

/// The last revisions of recently used streams, bounded: when the young generation is full, it
/// becomes the old one, and what was old and unused is forgotten.
#[derive(Default)]
pub(super) struct Heads {
    young: HashMap<StreamName, u64>,
    old: HashMap<StreamName, u64>,
}

impl Heads {
    /// The last revision of a stream, if it is remembered.
    pub(super) fn get(&self, stream: &StreamName) -> Option<u64> {
        self.young.get(stream).or_else(|| self.old.get(stream)).copied()
    }

    /// Remembers a stream's last revision.
    pub(super) fn set(&mut self, stream: &StreamName, revision: u64) {
        if let Some(known) = self.young.get_mut(stream) {
            *known = revision;
            return;
        }
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stream.clone(), revision);
    }

    /// Forgets everything: after a failure nothing that was remembered is certain.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(number: usize) -> StreamName {
        format!("test-{number}").parse().unwrap()
    }

    #[test]
    fn a_recently_used_stream_is_remembered_and_the_memory_stays_bounded() {
        let mut heads = Heads::default();
        for number in 0..3 * GENERATION_MAX {
            heads.set(&stream(number), 7);
        }
        assert_eq!(heads.get(&stream(3 * GENERATION_MAX - 1)), Some(7));
        assert_eq!(heads.get(&stream(0)), None);
        assert!(heads.young.len() + heads.old.len() <= 2 * GENERATION_MAX);
    }

    #[test]
    fn the_newest_revision_wins_over_the_one_of_the_old_generation() {
        let mut heads = Heads::default();
        for number in 0..=GENERATION_MAX {
            heads.set(&stream(number), 1);
        }
        heads.set(&stream(0), 2);
        assert_eq!(heads.get(&stream(0)), Some(2));
    }
}
