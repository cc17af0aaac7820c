//! What the notary makes, checked by the crates `tlog_tiles` and `signed_note`, which are ports of Go's
//! own implementation and share nothing with ours.

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash,
};

use super::{SEED, all, append, notary, open, run};
use crate::notary::{Asked, LogTree, Notary, SignedCheckpoint, Signer, State, TileDir, encode};

/// Tiles as a client would fetch them, by path.
struct Fetched<'a>(&'a Notary);

impl TileReader for Fetched<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let fetch = |tile: &Tile| {
            let path = tile.path();
            let path = path.strip_prefix("tile/8/").or(path.strip_prefix("tile/"));
            let asked = Asked::parse(path.unwrap()).unwrap_or_else(|| panic!("{tile:?}"));
            let handle = tokio::runtime::Handle::current();
            let bytes = handle.block_on(self.0.tile(asked)).unwrap();
            bytes.ok_or_else(|| Error::InvalidInput(format!("no {tile:?}")))
        };
        tiles.iter().map(fetch).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn verified(note: &SignedCheckpoint, key: &str) -> Checkpoint {
    let parsed = Note::from_bytes(note.as_str().as_bytes()).unwrap();
    let keys = VerifierList::new(vec![Box::new(StandardVerifier::new(key).unwrap())]);
    let (by_us, by_others) = parsed.verify(&keys).unwrap();
    assert_eq!((by_us.len(), by_others.len()), (1, 0));
    Checkpoint::from_bytes(parsed.text()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_tiles_and_entries_verify_with_another_implementation() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let notary = notary(folder.path(), &store);
    append(&store, 300).await;
    assert_eq!(run(&notary).await, State::Live);
    let older = verified(&notary.checkpoint().unwrap(), &notary.verifier().to_string());
    append(&store, 500).await;
    assert_eq!(run(&notary).await, State::Live);
    let newer = verified(&notary.checkpoint().unwrap(), &notary.verifier().to_string());
    assert_eq!((older.size(), newer.size()), (300, 800));
    assert_eq!(newer.origin(), notary.verifier().name());

    let entries = entries(&notary, 800).await;
    let events = all(&store).await;
    let ours = {
        let tiles = TileDir::in_folder(&folder.path().join("notary"), store.log_id());
        let mut tree = LogTree::resume(tiles, u64::MAX, false).unwrap();
        let position = tree.position();
        for event in events.iter().filter(|event| event.position.number() > position) {
            tree.push(event).unwrap();
        }
        tree
    };
    tokio::task::spawn_blocking(move || {
        let fetched = Fetched(&notary);
        let reader = TileHashReader::new(newer.size(), *newer.hash(), &fetched);
        for (index, entry) in entries.iter().enumerate().step_by(37) {
            assert_eq!(*entry, encode(&events[index]));
            let (index, hash) = (index as u64, record_hash(entry));
            let theirs = prove_record(newer.size(), index, &reader).unwrap();
            check_record(&theirs, newer.size(), *newer.hash(), index, hash).unwrap();
            let shown: Vec<_> =
                ours.path(index, 800).unwrap().into_iter().map(|hash| Hash(hash.0)).collect();
            check_record(&shown, newer.size(), *newer.hash(), index, hash).unwrap();
        }
        let grown = prove_tree(newer.size(), older.size(), &reader).unwrap();
        check_tree(&grown, newer.size(), *newer.hash(), older.size(), *older.hash()).unwrap();
        for (old, size) in [(300, 800), (256, 800), (1, 800), (799, 800), (512, 513), (257, 700)] {
            let root = |size| Hash(ours.root_at(size).unwrap().0);
            let (older, newer) = (root(old), root(size));
            let shown = ours.consistency(old, size).unwrap();
            let shown: Vec<_> = shown.into_iter().map(|hash| Hash(hash.0)).collect();
            check_tree(&shown, size, newer, old, older).unwrap();
        }
    })
    .await
    .unwrap();
}

/// All entries, from the bundles.
async fn entries(notary: &Notary, size: u64) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while (entries.len() as u64) < size {
        let index = entries.len() as u64 / 256;
        let width = (size - index * 256).min(256);
        let bundle = notary.tile(Asked::Entries(index, width)).await.unwrap().unwrap();
        let mut rest = bundle.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            entries.push(entry.to_vec());
            rest = after;
        }
    }
    entries
}

#[test]
fn a_note_with_any_bit_flipped_is_not_ours() {
    let signer = Signer::of_seed("execution-ledger/test", &SEED).unwrap();
    let signed = signer.sign(12_345, execution_ledger_domain::Digest([9; 32]));
    assert!(signed.is_by(signer.verifier()));
    verified(&signed, &signer.verifier().to_string());
    let bytes = signed.as_str().as_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let accepted = String::from_utf8(flipped)
            .ok()
            .and_then(|text| SignedCheckpoint::parse(&text).ok())
            .is_some_and(|note| note.is_by(signer.verifier()));
        assert!(!accepted, "bit {bit}");
    }
}

#[test]
fn a_verifier_key_is_read_as_it_is_written_and_no_other_way() {
    let signer = Signer::of_seed("execution-ledger/test", &SEED).unwrap();
    let text = signer.verifier().to_string();
    StandardVerifier::new(&text).unwrap();
    assert_eq!(text.parse::<crate::notary::Verifier>().as_ref(), Ok(signer.verifier()));
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] ^= 1;
        let other = String::from_utf8(other).unwrap();
        assert!(other.parse::<crate::notary::Verifier>().is_err(), "{other}");
    }
}
