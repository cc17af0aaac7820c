//! The tree of a log: full tiles on the disk, its right edge in memory.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use execution_ledger_domain::Digest;
use execution_ledger_store::{LogId, Recorded};

use super::tile::{LEVEL_MAX, TILE_HASHES, TILE_WIDTH, TileId};
use super::tree::{Levels, consistency, path, range, subtree};
use super::{NotaryError, leaf};

/// Bytes of a full tile.
const TILE_BYTES: usize = TILE_HASHES * 32;
/// Full tiles that a reader keeps in memory where they are not on the disk (yet).
const UNWRITTEN_TILES_MAX: usize = 4_096;
/// What the name of the file begins with that says where in the log each full tile of leaves ends: 64
/// bits each, big-endian. The log's id follows: in another log, even of the same events, they end
/// elsewhere.
const ENDS_FILE: &str = "ends";

/// The folder of the tiles. All of it can be made anew from the log.
#[derive(Clone, Debug)]
pub struct TileDir {
    folder: PathBuf,
    ends: PathBuf,
}

impl TileDir {
    /// That in this folder of the notary's, of this log.
    pub fn in_folder(folder: &Path, log: &LogId) -> Self {
        let folder = folder.join("tile");
        let ends = folder.join(format!("{ENDS_FILE}-{log}"));
        Self { folder, ends }
    }

    /// A full tile; `None` where there is none, or only a part of it.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn read(&self, tile: TileId) -> Result<Option<Vec<Digest>>, NotaryError> {
        let path = self.folder.join(tile.path());
        let mut bytes = Vec::with_capacity(TILE_BYTES + 1);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened
                .and_then(|file| file.take(TILE_BYTES as u64 + 1).read_to_end(&mut bytes))
                .map_err(|error| NotaryError::file(&path, error))?,
        };
        let (hashes, rest) = bytes.as_chunks::<32>();
        let whole = hashes.len() == TILE_HASHES && rest.is_empty();
        Ok(whole.then(|| hashes.iter().copied().map(Digest).collect()))
    }

    /// Writes a full tile. It is not synced: what a power cut takes is made anew.
    fn write(&self, tile: TileId, hashes: &[Digest]) -> Result<(), NotaryError> {
        let path = self.folder.join(tile.path());
        let failed = |error| NotaryError::file(&path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let draft = path.with_extension("new");
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, &path)).map_err(failed)
    }

    /// How many full tiles of leaves can be built upon: all of them, and all above them, are there.
    fn whole(&self, most: u64) -> u64 {
        let mut leaves = most;
        for level in 0..=LEVEL_MAX {
            let below = 8 * u32::from(level);
            let count = leaves.checked_shr(below).unwrap_or(0);
            let has = |index: &u64| {
                let found = fs::metadata(self.folder.join(TileId { level, index: *index }.path()));
                found.is_ok_and(|found| found.len() == TILE_BYTES as u64)
            };
            if let Some(first_missing) = (0..count).find(|index| !has(index)) {
                leaves = leaves.min(first_missing << below);
            }
        }
        leaves
    }

    /// Where in the log the full tiles of leaves end, as far as the file makes sense.
    fn ends(&self) -> Result<Vec<u64>, NotaryError> {
        let bytes = match fs::read(&self.ends) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(NotaryError::file(&self.ends, error)),
        };
        let mut ends = Vec::with_capacity(bytes.len() / 8);
        for end in bytes.as_chunks::<8>().0 {
            let end = u64::from_be_bytes(*end);
            // Each tile holds events of its own, so its end is at least so much further.
            if end < ends.last().unwrap_or(&0) + TILE_WIDTH {
                break;
            }
            ends.push(end);
        }
        Ok(ends)
    }

    fn append_end(&self, end: u64) -> Result<(), NotaryError> {
        let mut options = fs::OpenOptions::new();
        options.append(true).create(true);
        options
            .open(&self.ends)
            .and_then(|mut file| file.write_all(&end.to_be_bytes()))
            .map_err(|error| NotaryError::file(&self.ends, error))
    }

    /// Keeps the first `count` ends, so that the next one follows them.
    fn cut_ends(&self, count: u64) -> Result<(), NotaryError> {
        let opened = fs::OpenOptions::new().write(true).open(&self.ends);
        match opened.and_then(|file| file.set_len(count * 8)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(NotaryError::file(&self.ends, error))
            }
            _ => Ok(()),
        }
    }

    /// Makes the folder, and removes from it what speaks of another log's positions.
    fn prepare(&self) -> Result<(), NotaryError> {
        fs::create_dir_all(&self.folder).map_err(|error| NotaryError::file(&self.folder, error))?;
        let failed = |error| NotaryError::file(&self.folder, error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if name.starts_with(ENDS_FILE) && path != self.ends {
                fs::remove_file(&path).map_err(|error| NotaryError::file(&path, error))?;
            }
        }
        Ok(())
    }
}

/// The tree of a log as far as it was read.
#[derive(Debug)]
pub struct LogTree {
    tiles: TileDir,
    writes: bool,
    levels: Levels,
    /// Position of the last event of each full tile of leaves.
    ends: Vec<u64>,
    /// Position of the last event.
    position: u64,
    unwritten: HashMap<TileId, Vec<Digest>>,
}

impl LogTree {
    /// Goes on from the tiles that are there, none of which ends behind `head`; the events after
    /// [`LogTree::position`] are to be pushed. One that `writes` completes the tiles on the disk; any
    /// other changes nothing.
    ///
    /// # Errors
    /// Where the tiles can't be read.
    pub fn resume(tiles: TileDir, head: u64, writes: bool) -> Result<Self, NotaryError> {
        let mut ends = tiles.ends()?;
        ends.retain(|end| *end <= head);
        let count = tiles.whole(ends.len() as u64);
        ends.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        let levels = Levels::of_full_tiles(count, |tile| {
            let gone = || NotaryError::Missing(format!("the tile {} is gone", tile.path()));
            tiles.read(tile)?.ok_or_else(gone)
        })?;
        Self::with(tiles, writes, levels, ends)
    }

    /// Begins with no event: the tiles on the disk are compared with what the log leads to.
    ///
    /// # Errors
    /// Where the folder can't be written.
    pub fn anew(tiles: TileDir, writes: bool) -> Result<Self, NotaryError> {
        Self::with(tiles, writes, Levels::default(), Vec::new())
    }

    fn with(
        tiles: TileDir,
        writes: bool,
        levels: Levels,
        ends: Vec<u64>,
    ) -> Result<Self, NotaryError> {
        if writes {
            tiles.prepare()?;
            tiles.cut_ends(ends.len() as u64)?;
        }
        let position = ends.last().copied().unwrap_or(0);
        Ok(Self { tiles, writes, levels, ends, position, unwritten: HashMap::new() })
    }

    /// Leaves.
    pub fn size(&self) -> u64 {
        self.levels.size()
    }

    /// Position of the last event; 0 where there is none.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The tree's hash.
    pub fn root(&self) -> Digest {
        self.levels.root()
    }

    /// Adds the next event of the log.
    ///
    /// # Errors
    /// Where a tile can't be written.
    pub fn push(&mut self, recorded: &Recorded) -> Result<(), NotaryError> {
        self.position = recorded.position.number();
        for (tile, hashes) in self.levels.push(leaf(recorded)) {
            if tile.level == 0 {
                self.ends.push(self.position);
            }
            if self.writes {
                self.tiles.write(tile, &hashes)?;
                if tile.level == 0 {
                    self.tiles.append_end(self.position)?;
                }
            } else if self.tiles.read(tile)?.as_ref() != Some(&hashes) {
                if self.unwritten.len() >= UNWRITTEN_TILES_MAX {
                    let problem = "too many of the notary's tiles are missing or changed: start \
                                   the server once, which makes them anew";
                    return Err(NotaryError::Missing(problem.to_owned()));
                }
                self.unwritten.insert(tile, hashes);
            }
        }
        Ok(())
    }

    /// The first `width` hashes of a tile; `None` where the tree has not so many.
    ///
    /// # Errors
    /// Where the tile can't be read.
    pub fn hashes(&self, tile: TileId, width: u64) -> Result<Option<Vec<Digest>>, NotaryError> {
        let width = usize::try_from(width).unwrap_or(usize::MAX);
        let first = |hashes: &[Digest]| hashes.get(..width).map(<[_]>::to_vec);
        if let Some(hashes) = self.unwritten.get(&tile) {
            return Ok(first(hashes));
        }
        if tile.index < tile.of_level(self.size()) {
            return Ok(self.tiles.read(tile)?.as_deref().and_then(first));
        }
        Ok(first(self.levels.partial(tile)))
    }

    /// Where in the log the entries of a bundle begin (after that position), and how many there are.
    pub fn bundle(&self, index: u64) -> Option<(u64, u64)> {
        let first = index.checked_mul(TILE_WIDTH)?;
        let count = self.size().checked_sub(first).filter(|count| *count > 0)?;
        let before = match usize::try_from(index).ok()?.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        Some((before, count.min(TILE_WIDTH)))
    }

    /// The bundle that an event with this position is in.
    pub fn bundle_of(&self, position: u64) -> u64 {
        self.ends.partition_point(|end| *end < position) as u64
    }

    /// The hash of the tree as it was with its first `size` leaves.
    ///
    /// # Errors
    /// Where the tree is smaller, or a tile can't be read.
    pub fn root_at(&self, size: u64) -> Result<Digest, NotaryError> {
        self.covers(size)?;
        match size {
            0 => Ok(subtree(&[])),
            _ => range(0, size, &mut |height, index| self.node(height, index)),
        }
    }

    /// The hashes that show that leaf `index` is in the tree of the first `size` leaves.
    ///
    /// # Errors
    /// Where the tree is smaller, or a tile can't be read.
    pub fn path(&self, index: u64, size: u64) -> Result<Vec<Digest>, NotaryError> {
        self.covers(size)?;
        if index >= size {
            return Err(NotaryError::Missing(format!("there is no leaf {index} of {size}")));
        }
        path(index, size, &mut |height, index| self.node(height, index))
    }

    /// The hashes that show that the tree of the first `size` leaves began as that of the first `old`.
    ///
    /// # Errors
    /// Where the tree is smaller, or a tile can't be read.
    pub fn consistency(&self, old: u64, size: u64) -> Result<Vec<Digest>, NotaryError> {
        self.covers(size)?;
        if old > size {
            return Err(NotaryError::Missing(format!("{size} leaves don't hold {old}")));
        }
        consistency(old, size, &mut |height, index| self.node(height, index))
    }

    fn covers(&self, size: u64) -> Result<(), NotaryError> {
        if size <= self.size() {
            return Ok(());
        }
        let problem = format!("the tree has {} leaves, not {size}", self.size());
        Err(NotaryError::Missing(problem))
    }

    /// The hash of a whole subtree.
    fn node(&self, height: u32, number: u64) -> Result<Digest, NotaryError> {
        let missing = || NotaryError::Missing(format!("the subtree {height}/{number} is missing"));
        let level = u8::try_from(height / 8).map_err(|_| missing())?;
        let inside = height % 8;
        let first = (number << inside) % TILE_WIDTH;
        let end = first + (1 << inside);
        let tile = TileId { level, index: (number << inside) / TILE_WIDTH };
        let hashes = self.hashes(tile, end)?.ok_or_else(missing)?;
        let first = usize::try_from(first).map_err(|_| missing())?;
        Ok(subtree(&hashes[first..]))
    }
}
