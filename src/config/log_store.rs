//! The settings that say where the log lies.

use std::fmt;
use std::str::FromStr;

use execution_ledger_store::kurrentdb::{ConnectionString, Prefix};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{Described, ValueError, as_text};

/// What holds the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A file in the data directory.
    Sqlite,
    /// A KurrentDB (EventStoreDB) server or cluster.
    Kurrentdb,
}

as_text!(StoreKind);

impl Described for StoreKind {
    fn range() -> String {
        "sqlite or kurrentdb".to_owned()
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Kurrentdb => "kurrentdb",
        })
    }
}

impl FromStr for StoreKind {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "sqlite" => Ok(Self::Sqlite),
            "kurrentdb" => Ok(Self::Kurrentdb),
            other => Err(ValueError(format!("{other:?} is neither sqlite nor kurrentdb"))),
        }
    }
}

/// Where a KurrentDB is. A user and a password in it are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct KurrentPlace {
    parsed: ConnectionString,
    given: String,
}

impl KurrentPlace {
    /// The place.
    pub fn get(&self) -> &ConnectionString {
        &self.parsed
    }

    /// Whether it stands in a text as it was given.
    pub fn is_told_by(&self, text: &str) -> bool {
        text.contains(&self.given)
    }
}

impl fmt::Debug for KurrentPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.parsed, f)
    }
}

impl FromStr for KurrentPlace {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parsed = text.parse().map_err(|error| ValueError(format!("{error}")))?;
        Ok(Self { parsed, given: text.to_owned() })
    }
}

impl Serialize for KurrentPlace {
    /// As it was given: settings are merged in their serialised form.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.given)
    }
}

impl<'de> Deserialize<'de> for KurrentPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Described for KurrentPlace {
    fn range() -> String {
        "esdb://host:port?options".to_owned()
    }
}

/// What the names of our streams begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KurrentPrefix(Prefix);

as_text!(KurrentPrefix);

impl KurrentPrefix {
    /// The prefix.
    pub fn get(&self) -> &Prefix {
        &self.0
    }
}

impl fmt::Display for KurrentPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for KurrentPrefix {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self).map_err(|error| ValueError(format!("{text:?}: {error}")))
    }
}

impl Described for KurrentPrefix {
    fn range() -> String {
        "lower-case letters, digits, '_' and '.', with '.' at the end".to_owned()
    }
}
