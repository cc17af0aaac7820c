//! Free text of people and agents: never inside an event, always beside it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256, in JSON as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0_u8; 64];
        for (index, byte) in self.0.iter().enumerate() {
            hex[index * 2] = DIGITS[usize::from(byte >> 4)];
            hex[index * 2 + 1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&hex).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 lower-case hexadecimal digits")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| DigestError)?;
        let mut bytes = [0_u8; 32];
        let mut signs = 0;
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
            signs |= high | low;
            *byte = high << 4 | low & 15;
        }
        if signs & NO_NIBBLE == 0 { Ok(Self(bytes)) } else { Err(DigestError) }
    }
}

/// Set in [`NIBBLES`] for what is no digit.
const NO_NIBBLE: u8 = 0x80;
/// The values of lower-case hexadecimal digits, by their characters: digests are read by the million.
const NIBBLES: [u8; 256] = {
    let mut values = [NO_NIBBLE; 256];
    let mut value: u8 = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{64}$"})
    }
}

/// What an event says of a text that lies beside it: enough to prove it, too little to guess it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ContentRef {
    /// SHA-256 of the salt followed by the text.
    pub sha256: Digest,
    /// Length of the text in bytes of UTF-8.
    pub bytes: u64,
}

/// A text with the salt that its digest needs. Erasing a content deletes both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Sixteen random bytes, drawn for this text alone.
    pub salt: [u8; 16],
    /// The text.
    pub text: String,
}

impl Content {
    /// A text and its salt.
    pub fn new(salt: [u8; 16], text: impl Into<String>) -> Self {
        Self { salt, text: text.into() }
    }

    /// What the event is to hold.
    pub fn reference(&self) -> ContentRef {
        let digest = Sha256::new().chain_update(self.salt).chain_update(self.text.as_bytes());
        ContentRef { sha256: Digest(digest.finalize().into()), bytes: self.text.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_with_other_salts_have_other_digests() {
        let one = Content::new([1; 16], "yes").reference();
        let two = Content::new([2; 16], "yes").reference();
        assert_ne!(one.sha256, two.sha256);
        assert_eq!((one.bytes, two.bytes), (3, 3));
    }

    #[test]
    fn a_digest_is_read_back_from_its_text() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("xyz".parse::<Digest>(), Err(DigestError));
    }
}
