//! Tiles and where they are found: C2SP tlog-tiles.

use std::fmt::Write as _;

/// Hashes, or entries, of a full tile.
pub const TILE_WIDTH: u64 = TILE_HASHES as u64;
/// The same, as a length.
pub(super) const TILE_HASHES: usize = 256;
/// The longest entry that a bundle can hold, in bytes: its length is written in 16 bits.
pub const ENTRY_MAX_BYTES: usize = u16::MAX as usize;
/// The highest level of the layout.
pub(super) const LEVEL_MAX: u8 = 5;
/// Digits in one part of a path.
const DIGITS: usize = 3;
/// Parts of a path at most: numbers are below 2^63.
const PARTS_MAX: usize = 7;

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// 0 holds hashes of leaves; each higher level the hashes of whole tiles of the one below.
    pub level: u8,
    /// Its number in the level, from 0.
    pub index: u64,
}

impl TileId {
    /// How many full tiles this level has in a tree of `size` leaves.
    pub(super) fn of_level(self, size: u64) -> u64 {
        size.checked_shr(8 * (u32::from(self.level) + 1)).unwrap_or(0)
    }

    /// Its path below `tile/`.
    pub fn path(self) -> String {
        format!("{}/{}", self.level, number_path(self.index))
    }
}

/// A number as parts of a path: three digits each, all but the last after an `x`.
fn number_path(number: u64) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// What is asked for below `/tlog/tile/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The first hashes of a tile.
    Hashes(TileId, u64),
    /// The first entries of a bundle.
    Entries(u64, u64),
}

impl Asked {
    /// From its path below `tile/`; only the one way to write each is understood.
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => {
                let count: u64 = width.parse().ok()?;
                let fits = (1..TILE_WIDTH).contains(&count) && count.to_string() == width;
                (number, fits.then_some(count)?)
            }
            None => (rest, TILE_WIDTH),
        };
        let index = parse_number(number)?;
        if kind == "entries" {
            return Some(Self::Entries(index, width));
        }
        let level: u8 = kind.parse().ok()?;
        let fits = level <= LEVEL_MAX && level.to_string() == kind;
        fits.then_some(Self::Hashes(TileId { level, index }, width))
    }
}

fn parse_number(path: &str) -> Option<u64> {
    if path.split('/').count() > PARTS_MAX {
        return None;
    }
    let mut digits = String::with_capacity(path.len());
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let plain = if parts.peek().is_some() { part.strip_prefix('x')? } else { part };
        if plain.len() != DIGITS || !plain.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // Writing to a string can't fail.
        write!(digits, "{plain}").ok()?;
    }
    let number = digits.parse().ok()?;
    (number_path(number) == path).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_the_specification_shows_them() {
        assert_eq!(TileId { level: 0, index: 1_234_067 }.path(), "0/x001/x234/067");
        assert_eq!(TileId { level: 2, index: 5 }.path(), "2/005");
        let tile = TileId { level: 0, index: 1_234_067 };
        assert_eq!(Asked::parse("0/x001/x234/067"), Some(Asked::Hashes(tile, 256)));
        assert_eq!(Asked::parse("entries/x001/000.p/7"), Some(Asked::Entries(1_000, 7)));
    }

    #[test]
    fn only_the_one_way_to_write_a_path_is_understood() {
        for path in [
            "",
            "0",
            "0/",
            "0/1",
            "0/0001",
            "0/x000/001",
            "0/x001/1",
            "0/001/002",
            "00/001",
            "6/001",
            "0/001.p/0",
            "0/001.p/256",
            "0/001.p/07",
            "0/001.p/+7",
            "-1/001",
            "0/../001",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
            "data/001",
            "0/001/",
            "0/x1a1/001",
        ] {
            assert_eq!(Asked::parse(path), None, "{path}");
        }
    }
}
