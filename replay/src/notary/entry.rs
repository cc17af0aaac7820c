//! What of an event is hashed: one encoding, the same in every store.

use execution_ledger_domain::Digest;
use execution_ledger_store::Recorded;

use super::tree::leaf_hash;

/// The first byte of every entry: which encoding follows.
const ENCODING: u8 = 1;
/// Bytes of an entry beside its stream's and its type's name.
const FIXED_BYTES: usize = 1 + 4 + 8 + 16 + 4 + 4 + 8 + 32 + 32;

/// The entry of the tree that stands for an event: its stored bytes, without its position. Metadata
/// and data stand in it by their SHA-256, so that an entry is short however large the event is.
///
/// Numbers are big-endian; a name is preceded by its length in bytes as 32 bits:
/// `1, stream, revision (64 bits), event id (16 bytes), type, version (32 bits), recorded_at (signed 64
/// bits, microseconds since 1970), SHA-256 of the metadata, SHA-256 of the data`.
pub fn encode(recorded: &Recorded) -> Vec<u8> {
    let (stream, kind) = (recorded.stream.as_str(), recorded.type_name.as_str());
    let mut entry = Vec::with_capacity(FIXED_BYTES + stream.len() + kind.len());
    entry.push(ENCODING);
    name(&mut entry, stream);
    entry.extend_from_slice(&recorded.revision.to_be_bytes());
    entry.extend_from_slice(recorded.id.0.as_bytes());
    name(&mut entry, kind);
    entry.extend_from_slice(&recorded.version.to_be_bytes());
    entry.extend_from_slice(&recorded.recorded_at.micros().to_be_bytes());
    entry.extend_from_slice(&Digest::of(recorded.metadata.as_bytes()).0);
    entry.extend_from_slice(&Digest::of(recorded.data.as_bytes()).0);
    entry
}

/// The leaf of the tree that stands for an event.
pub fn leaf(recorded: &Recorded) -> Digest {
    leaf_hash(&encode(recorded))
}

fn name(entry: &mut Vec<u8>, text: &str) {
    // No store holds a text of 4 GiB; the largest length would stand for all of them.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    entry.extend_from_slice(&length.to_be_bytes());
    entry.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::{EventId, Timestamp};
    use execution_ledger_store::Position;

    use super::*;

    fn event() -> Recorded {
        Recorded {
            position: Position::new(7),
            stream: "agent-demo".parse().unwrap(),
            revision: 2,
            id: EventId("0193f6f0-a1b2-7c3d-8e9f-001122334455".parse().unwrap()),
            type_name: "agent.paused".to_owned(),
            version: 1,
            recorded_at: Timestamp::from_micros(1_795_254_825_000_250),
            metadata: "{\"a\":1}".to_owned(),
            data: "{}".to_owned(),
            contents: Vec::new(),
        }
    }

    #[test]
    fn the_encoding_is_as_documented_and_never_changes() {
        let mut expected = vec![1, 0, 0, 0, 10];
        expected.extend(b"agent-demo");
        expected.extend([0, 0, 0, 0, 0, 0, 0, 2]);
        expected.extend(b"\x01\x93\xf6\xf0\xa1\xb2\x7c\x3d\x8e\x9f\x00\x11\x22\x33\x44\x55");
        expected.extend([0, 0, 0, 12]);
        expected.extend(b"agent.paused");
        expected.extend([0, 0, 0, 1]);
        expected.extend(1_795_254_825_000_250_i64.to_be_bytes());
        expected.extend(Digest::of(b"{\"a\":1}").0);
        expected.extend(Digest::of(b"{}").0);
        assert_eq!(encode(&event()), expected);
    }

    #[test]
    fn every_field_but_the_position_counts() {
        let original = leaf(&event());
        let moved = Recorded { position: Position::new(8), ..event() };
        assert_eq!(leaf(&moved), original);
        let changed = [
            Recorded { stream: "agent-demp".parse().unwrap(), ..event() },
            Recorded { revision: 3, ..event() },
            Recorded { id: EventId(uuid::Uuid::nil()), ..event() },
            Recorded { type_name: "agent.pausee".to_owned(), ..event() },
            Recorded { version: 2, ..event() },
            Recorded { recorded_at: Timestamp::from_micros(0), ..event() },
            Recorded { metadata: "{\"a\":2}".to_owned(), ..event() },
            Recorded { data: "[]".to_owned(), ..event() },
        ];
        for other in changed {
            assert_ne!(leaf(&other), original, "{other:?}");
        }
    }
}
