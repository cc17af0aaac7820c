//! Whether the log is what its tree and the checkpoints say.

use std::path::Path;

use execution_ledger_domain::{Digest, Timestamp};
use execution_ledger_store::{LogId, Recorded};

use super::Kept;
use super::events::Place;
use super::report::{Check, Report};
use crate::notary::{
    Checkpoints, KeyChain, Levels, NotaryError, Rotation, TILE_WIDTH, TileDir, TileId, Verifier,
    WitnessKey, leaf,
};

/// Where a problem with the keys is.
const PLACE_KEY: &str = "the notary's public key";
/// Hashes of a tile that may differ by themselves; where there are more, events were taken out or put
/// in, and everything after them stands at another place.
const CHANGED_MAX: usize = 8;
/// Events that are remembered as differing from their tiles.
const DIFFERENT_MAX: usize = 1_000;

/// What a checkpoint states, and where it is from.
struct Stated {
    size: u64,
    root: Digest,
    source: Source,
}

enum Source {
    Own(Timestamp),
    Others(String),
}

/// An event whose hash is not that in its tile.
struct Different {
    leaf: u64,
    tile: TileId,
    place: String,
    displaced: bool,
}

/// The tree as the log leads to it, beside what was stored and signed.
pub(super) struct TreeChecks {
    tiles: TileDir,
    /// Changes of keys.
    rotations: Vec<Rotation>,
    levels: Levels,
    /// The smallest last.
    stated: Vec<Stated>,
    /// Leaves of the largest checkpoint that agrees.
    agreed: u64,
    /// Leaves of the smallest checkpoint that does not.
    disagreed: Option<u64>,
    /// The events of the tile of leaves that is being filled.
    filling: Vec<Place>,
    different: Vec<Different>,
    displaced: bool,
}

impl TreeChecks {
    pub(super) fn begin(
        (log, folder): (&LogId, &Path),
        chain: Option<KeyChain>,
        kept: Vec<Kept>,
        witnesses: &(Vec<WitnessKey>, usize),
        report: &mut Report,
    ) -> Self {
        report.key = chain.as_ref().map(|chain| chain.current().to_string());
        let mut keys: Vec<_> =
            chain.iter().flat_map(KeyChain::keys).map(ToString::to_string).collect();
        keys.pop();
        report.keys_before = keys;
        let mut stated = own(folder, chain.as_ref(), report);
        stated.extend(witnessed(folder, witnesses, report));
        for Kept { source, signed } in kept {
            if chain.as_ref().and_then(|chain| chain.signer_of(&signed)).is_none() {
                let problem = "it is not signed by this ledger's key, so it proves nothing";
                report.add(Check::KeptCheckpoint, source, problem);
                continue;
            }
            let (size, root) = (signed.checkpoint.size, signed.checkpoint.root);
            stated.push(Stated { size, root, source: Source::Others(source) });
        }
        stated.sort_by_key(|stated| std::cmp::Reverse(stated.size));
        let mut this = Self {
            tiles: TileDir::in_folder(folder, log),
            rotations: chain.map(|chain| chain.rotations().to_vec()).unwrap_or_default(),
            levels: Levels::default(),
            stated,
            agreed: 0,
            disagreed: None,
            filling: Vec::new(),
            different: Vec::new(),
            displaced: false,
        };
        this.compare(report);
        this
    }

    pub(super) fn check(
        &mut self,
        recorded: &Recorded,
        report: &mut Report,
    ) -> Result<(), NotaryError> {
        self.rotation(recorded, report);
        self.filling.push(Place::of(recorded));
        for (tile, hashes) in self.levels.push(leaf(recorded)) {
            match self.tiles.read(tile)? {
                None => report.tiles_missing += 1,
                Some(stored) => {
                    report.tiles += 1;
                    if stored != hashes {
                        self.differs(tile, &stored, &hashes);
                    }
                }
            }
            if tile.level == 0 {
                self.filling.clear();
            }
        }
        self.compare(report);
        Ok(())
    }

    /// A change of keys says itself where it stands.
    fn rotation(&self, recorded: &Recorded, report: &mut Report) {
        let told = self.rotations.iter().find(|rotation| rotation.recorded.id == recorded.id);
        if told.is_some_and(|told| told.leaf != self.levels.size()) {
            let problem = "it tells of a change of keys at another place";
            report.add(Check::Event, Place::of(recorded).to_string(), problem);
        }
    }

    /// Compares with the checkpoints of just this size.
    fn compare(&mut self, report: &mut Report) {
        while let Some(stated) = self.stated.pop_if(|stated| stated.size == self.levels.size()) {
            let agrees = stated.root == self.levels.root();
            match stated.source {
                Source::Own(_) => report.checkpoints += 1,
                Source::Others(_) => report.kept_checkpoints += 1,
            }
            if agrees {
                self.agreed = stated.size;
                continue;
            }
            self.disagreed.get_or_insert(stated.size);
            let (from, to) = (self.agreed + 1, stated.size);
            let problem = format!(
                "the log's first {to} events are not those that were signed: at least one of the \
                 events {from} to {to} was changed, removed or put in"
            );
            add(&stated, problem, report);
        }
    }

    fn differs(&mut self, tile: TileId, stored: &[Digest], hashes: &[Digest]) {
        if self.displaced || self.different.len() >= DIFFERENT_MAX {
            return;
        }
        if tile.level > 0 {
            // One that stands over tiles that differ differs with them.
            if self.different.is_empty() {
                let place = format!("tile {}", tile.path());
                self.different.push(Different { leaf: 0, tile, place, displaced: false });
            }
            return;
        }
        let differ: Vec<usize> = (0..hashes.len()).filter(|&n| stored[n] != hashes[n]).collect();
        self.displaced = differ.len() > CHANGED_MAX;
        let told = if self.displaced { &differ[..1] } else { &differ[..] };
        for &number in told {
            let leaf = tile.index * TILE_WIDTH + number as u64 + 1;
            let place = self.filling.get(number).map(ToString::to_string).unwrap_or_default();
            self.different.push(Different { leaf, tile, place, displaced: self.displaced });
        }
    }

    pub(super) fn end(mut self, report: &mut Report) {
        for stated in std::mem::take(&mut self.stated) {
            let problem = format!(
                "it covers {} events, and the log has {}: events are missing at its end",
                stated.size,
                self.levels.size()
            );
            self.disagreed.get_or_insert(stated.size);
            add(&stated, problem, report);
        }
        for different in &self.different {
            // A checkpoint that was signed over it and agrees shows that the tile is wrong.
            if different.leaf <= self.agreed || different.tile.level > 0 {
                let problem = "it is not what the log says; the server makes it anew";
                let place = format!("tile {}", different.tile.path());
                report.add(Check::Tile, place, problem);
                continue;
            }
            let problem = if different.displaced {
                "from here on the events are not those that the tree was made of: events were \
                 changed, removed or put in"
            } else {
                "it is not the event that the tree was made of"
            };
            report.add(Check::Event, &different.place, problem);
        }
        report.root = self.levels.root().to_string();
    }
}

/// The keys that the ledger says it had, if the key that was given is one of them; else that alone.
pub(super) fn trusted(
    own: Result<Option<KeyChain>, NotaryError>,
    given: Option<Verifier>,
    report: &mut Report,
) -> Option<KeyChain> {
    let own = own.unwrap_or_else(|error| {
        report.add(Check::Checkpoint, PLACE_KEY, error.to_string());
        None
    });
    let Some(given) = given else { return own };
    match own {
        Some(own) if own.keys().contains(&&given) => Some(own),
        own => {
            if let Some(own) = own {
                let problem = format!("it is {}, not the one that was given", own.current());
                report.add(Check::Checkpoint, PLACE_KEY, problem);
            }
            Some(KeyChain::of(given))
        }
    }
}

/// The checkpoints that the ledger signed.
fn own(folder: &Path, chain: Option<&KeyChain>, report: &mut Report) -> Vec<Stated> {
    const PLACE: &str = "the notary's checkpoints";
    let mut stated: Vec<Stated> = Vec::new();
    let mut unendorsed = chain.map(|chain| chain.rotations().to_vec()).unwrap_or_default();
    let checkpoints = match Checkpoints::in_folder(folder).read() {
        Ok(checkpoints) => checkpoints,
        Err(error) => {
            report.add(Check::Checkpoint, PLACE, error.to_string());
            return stated;
        }
    };
    for kept in checkpoints {
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => {
                report.add(Check::Checkpoint, PLACE, error.to_string());
                break;
            }
        };
        let (size, root) = (kept.signed.checkpoint.size, kept.signed.checkpoint.root);
        let place = || format!("the checkpoint of {}", kept.at);
        unendorsed.retain(|rotation| {
            rotation.covered() != size || !kept.signed.is_by(&rotation.previous)
        });
        if chain.and_then(|chain| chain.signer_of(&kept.signed)).is_none() {
            report.add(Check::Checkpoint, place(), "it is not signed by this ledger's key");
            continue;
        }
        if stated.last().is_some_and(|last| last.size > size) {
            report.add(Check::Checkpoint, place(), "it covers fewer events than the one before it");
        }
        report.signed_events = report.signed_events.max(size);
        stated.push(Stated { size, root, source: Source::Own(kept.at) });
    }
    for rotation in unendorsed {
        let problem = "the key before has not signed this change of keys";
        report.add(Check::Checkpoint, Place::of(&rotation.recorded).to_string(), problem);
    }
    stated
}

/// The checkpoints that witnesses have signed.
fn witnessed(
    folder: &Path,
    (witnesses, quorum): &(Vec<WitnessKey>, usize),
    report: &mut Report,
) -> Vec<Stated> {
    const PLACE: &str = "the checkpoints that witnesses signed";
    let mut stated = Vec::new();
    let kept = match Checkpoints::cosigned_in(folder).read() {
        Ok(kept) => kept,
        Err(error) => {
            report.add(Check::Checkpoint, PLACE, error.to_string());
            return stated;
        }
    };
    for kept in kept {
        let kept = match kept {
            Ok(kept) => kept,
            Err(error) => {
                report.add(Check::Checkpoint, PLACE, error.to_string());
                break;
            }
        };
        let signed = witnesses.iter().filter(|key| key.has_signed(&kept.signed).is_some()).count();
        report.cosignatures += signed as u64;
        let (size, root) = (kept.signed.checkpoint.size, kept.signed.checkpoint.root);
        if signed > 0 && signed >= *quorum {
            report.witnessed_events = report.witnessed_events.max(size);
        }
        stated.push(Stated { size, root, source: Source::Own(kept.at) });
    }
    stated
}

fn add(stated: &Stated, problem: String, report: &mut Report) {
    match &stated.source {
        Source::Own(at) => {
            report.add(Check::Checkpoint, format!("the checkpoint of {at}"), problem);
        }
        Source::Others(source) => report.add(Check::KeptCheckpoint, source, problem),
    }
}
