//! The tree of RFC 6962: its hashes, how it grows, and how a leaf's place in it is shown.

use execution_ledger_domain::Digest;
use sha2::{Digest as _, Sha256};

use super::tile::{TILE_HASHES, TILE_WIDTH, TileId};

/// Hashes from a leaf to the root at most: sizes are below 2^63.
pub(super) const PATH_MAX: usize = 64;

/// The hash of a leaf: `SHA-256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// The hash of a node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: Digest, right: Digest) -> Digest {
    let hasher = Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0);
    Digest(hasher.finalize().into())
}

/// The hash of the tree over these hashes, of which the last may stand for fewer leaves than the
/// others. Of no hashes: the SHA-256 of nothing.
pub(super) fn subtree(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => Digest::of(&[]),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            node_hash(subtree(left), subtree(right))
        }
    }
}

/// The largest power of two below `count`, which is 2 or more.
pub(super) fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// A tile that has become full.
pub type Full = (TileId, Vec<Digest>);

/// A tree that grows: the tiles at its right edge, which are not full yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    size: u64,
    partial: Vec<Vec<Digest>>,
}

impl Levels {
    /// The tree of `tiles` full tiles of leaves; `read` answers full tiles.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn of_full_tiles<E>(
        tiles: u64,
        mut read: impl FnMut(TileId) -> Result<Vec<Digest>, E>,
    ) -> Result<Self, E> {
        let mut levels = Self { size: tiles * TILE_WIDTH, partial: vec![Vec::new()] };
        let (mut below, mut level) = (tiles, 0);
        while below > 0 {
            let mut partial = Vec::with_capacity(TILE_HASHES);
            for index in below / TILE_WIDTH * TILE_WIDTH..below {
                partial.push(subtree(&read(TileId { level, index })?));
            }
            levels.partial.push(partial);
            below /= TILE_WIDTH;
            level += 1;
        }
        Ok(levels)
    }

    /// Leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; answers the tiles that it fills, mostly none.
    pub fn push(&mut self, leaf: Digest) -> Vec<Full> {
        self.size += 1;
        let mut full = Vec::new();
        let (mut hash, mut count) = (leaf, self.size);
        for level in 0_u8.. {
            let at = usize::from(level);
            if self.partial.len() == at {
                self.partial.push(Vec::with_capacity(TILE_HASHES));
            }
            self.partial[at].push(hash);
            if self.partial[at].len() < TILE_HASHES {
                break;
            }
            let tile = std::mem::replace(&mut self.partial[at], Vec::with_capacity(TILE_HASHES));
            count /= TILE_WIDTH;
            hash = subtree(&tile);
            full.push((TileId { level, index: count - 1 }, tile));
        }
        full
    }

    /// The tree's hash.
    pub fn root(&self) -> Digest {
        let mut right = None;
        for partial in &self.partial {
            let mut hashes = partial.clone();
            hashes.extend(right);
            right = (!hashes.is_empty()).then(|| subtree(&hashes));
        }
        right.unwrap_or_else(|| subtree(&[]))
    }

    /// The tile at the right edge of a level, which is not full; empty where there is none.
    pub fn partial(&self, tile: TileId) -> &[Digest] {
        let hashes = self.partial.get(usize::from(tile.level)).map_or(&[][..], Vec::as_slice);
        if tile.index == tile.of_level(self.size) { hashes } else { &[] }
    }
}

/// The hashes that show that leaf `index` is in the tree of `size` leaves (RFC 6962, 2.1.1). `hash`
/// answers the hash of a whole subtree: its height and its number in that height.
///
/// # Errors
/// Those of `hash`. `index` must be below `size`.
pub(super) fn path<E>(
    index: u64,
    size: u64,
    hash: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(range(middle, high, hash)?);
            high = middle;
        } else {
            path.push(range(low, middle, hash)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hash of the tree over the leaves from `low` to before `high`, as they stand in a larger tree.
pub(super) fn range<E>(
    low: u64,
    high: u64,
    hash: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
) -> Result<Digest, E> {
    let count = high - low;
    if count.is_power_of_two() {
        let height = count.trailing_zeros();
        return hash(height, low >> height);
    }
    let middle = low + split(count);
    Ok(node_hash(range(low, middle, hash)?, range(middle, high, hash)?))
}

/// The hash of the tree of `size` leaves that follows from a leaf, its number and its path (RFC 9162,
/// 2.1.3.2); `None` where they can't belong together.
pub fn root_from_path(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    if index >= size || path.len() > PATH_MAX {
        return None;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(*beside, hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(hash, *beside);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// The hashes that show that the tree of `old` leaves is what the one of `size` leaves began with (RFC
/// 6962, 2.1.2); none where that needs none. `hash` is that of [`path`].
///
/// # Errors
/// Those of `hash`. `old` must not be above `size`.
pub(super) fn consistency<E>(
    old: u64,
    size: u64,
    hash: &mut impl FnMut(u32, u64) -> Result<Digest, E>,
) -> Result<Vec<Digest>, E> {
    if old == 0 {
        return Ok(Vec::new());
    }
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(range(middle, high, hash)?);
            high = middle;
        } else {
            path.push(range(low, middle, hash)?);
            low = middle;
        }
    }
    if low > 0 {
        path.push(range(low, high, hash)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether the hashes show that a tree began as an older one (RFC 9162, 2.1.4.2); each tree is its
/// size and its root.
pub fn is_consistent(older: (u64, Digest), newer: (u64, Digest), path: &[Digest]) -> bool {
    let ((old, old_root), (size, root)) = (older, newer);
    if old == 0 || old >= size {
        let same = if old == 0 { old_root == subtree(&[]) } else { older == newer };
        return same && path.is_empty();
    }
    if path.len() > PATH_MAX {
        return false;
    }
    // An old tree that is one whole subtree is where the way begins.
    let whole = old.is_power_of_two().then_some(old_root);
    let mut path = whole.iter().chain(path);
    let Some(first) = path.next() else { return false };
    let (mut node, mut last) = (old - 1, size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut hash) = (*first, *first);
    for beside in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(*beside, old_hash);
            hash = node_hash(*beside, hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(hash, *beside);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == old_root && hash == root
}
