//! Settings that are numbers: each within its range, sizes with units.

use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{Described, ValueError};

/// Units of sizes, the largest first.
const UNITS: [(&str, u64); 5] =
    [("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A whole number between two others, both allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<const LEAST: u64, const MOST: u64, const BYTES: bool = false>(u64);

/// A number of bytes between two others, both allowed. As text it may have a unit: `256MiB`.
pub type Bytes<const LEAST: u64, const MOST: u64> = Within<LEAST, MOST, true>;

impl<const LEAST: u64, const MOST: u64, const BYTES: bool> Within<LEAST, MOST, BYTES> {
    /// A fixed number; held to the range.
    pub const fn fixed(number: u64) -> Self {
        if number < LEAST {
            Self(LEAST)
        } else if number > MOST {
            Self(MOST)
        } else {
            Self(number)
        }
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number, where a smaller type is wanted; held to what that can hold.
    pub fn narrow<T: TryFrom<u64> + Bounded>(self) -> T {
        T::try_from(self.0).unwrap_or(T::LARGEST)
    }

    fn checked(number: u64) -> Result<Self, ValueError> {
        if (LEAST..=MOST).contains(&number) {
            Ok(Self(number))
        } else {
            Err(ValueError(format!("{number} is not in the range {}", Self::range())))
        }
    }
}

/// A number type with a largest value.
pub trait Bounded {
    /// The largest value.
    const LARGEST: Self;
}

impl Bounded for u32 {
    const LARGEST: Self = Self::MAX;
}

impl Bounded for usize {
    const LARGEST: Self = Self::MAX;
}

/// A number of bytes in the largest unit that divides it, if one does.
pub fn with_unit(number: u64) -> Option<String> {
    let (unit, size) =
        UNITS.iter().find(|(_, size)| number >= *size && number.is_multiple_of(*size))?;
    Some(format!("{} {unit}", number / size))
}

impl<const LEAST: u64, const MOST: u64, const BYTES: bool> Described
    for Within<LEAST, MOST, BYTES>
{
    fn range() -> String {
        // 4096 bytes are 4 KiB; 4096 connections are not.
        let unit = |number| if BYTES { with_unit(number) } else { None };
        let in_words = |number: u64| unit(number).unwrap_or_else(|| number.to_string());
        format!("{} to {}", in_words(LEAST), in_words(MOST))
    }
}

impl<const LEAST: u64, const MOST: u64, const BYTES: bool> FromStr for Within<LEAST, MOST, BYTES> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let unit = UNITS.iter().find(|(unit, _)| BYTES && text.ends_with(unit));
        let (digits, size) = match unit {
            Some((unit, size)) => (text[..text.len() - unit.len()].trim_end(), *size),
            None => (text, 1),
        };
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(size));
        let whole = || ValueError(format!("{text:?} is no whole number; may be {}", Self::range()));
        number.ok_or_else(whole).and_then(Self::checked)
    }
}

impl<const LEAST: u64, const MOST: u64, const BYTES: bool> Serialize
    for Within<LEAST, MOST, BYTES>
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de, const LEAST: u64, const MOST: u64, const BYTES: bool> Deserialize<'de>
    for Within<LEAST, MOST, BYTES>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a whole number, or a size such as \"256MiB\"")]
        enum Given {
            Number(u64),
            Text(String),
        }
        match Given::deserialize(deserializer)? {
            Given::Number(number) => Self::checked(number),
            Given::Text(text) => text.parse(),
        }
        .map_err(D::Error::custom)
    }
}
