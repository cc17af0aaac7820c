//! The types of settings: each can only hold what is allowed and says what that is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing_subscriber::EnvFilter;

/// Entries of a list setting: most.
const LIST_MAX: usize = 256;
/// Why a text is no value of a setting: what it may be instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(super) String);

/// A type whose values can be described to a person.
pub trait Described {
    /// What a value may be, in words.
    fn range() -> String;
}

/// A list: in the file an array or one text, elsewhere a text with commas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> List<T> {
    /// Its entries.
    pub fn entries(&self) -> &[T] {
        &self.0
    }

    fn checked(entries: Vec<T>) -> Result<Self, ValueError> {
        if entries.len() <= LIST_MAX {
            Ok(Self(entries))
        } else {
            Err(ValueError(format!("{} entries are more than {LIST_MAX}", entries.len())))
        }
    }
}

impl<T: Described> Described for List<T> {
    fn range() -> String {
        format!("list: {}", T::range())
    }
}

impl<T: FromStr<Err = ValueError>> FromStr for List<T> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        Self::checked(entries.map(T::from_str).collect::<Result<_, _>>()?)
    }
}

impl<'de, T: FromStr<Err = ValueError>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a list of texts")]
        enum Given {
            Text(String),
            Texts(Vec<String>),
        }
        match Given::deserialize(deserializer)? {
            Given::Text(text) => text.parse(),
            Given::Texts(texts) => texts
                .iter()
                .map(|text| T::from_str(text.trim()))
                .collect::<Result<_, _>>()
                .and_then(Self::checked),
        }
        .map_err(D::Error::custom)
    }
}

/// Implements serde as text for a type that is parsed from text.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}
pub(super) use as_text;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: an object each line.
    Json,
}

as_text!(LogFormat);

impl Described for LogFormat {
    fn range() -> String {
        "text or json".to_owned()
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(ValueError(format!("{other:?} is neither text nor json"))),
        }
    }
}

/// Which log lines are written: a level or a list of filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

as_text!(LogFilter);

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// The library that speaks MCP tells of every request, and of what stands in it; that of KurrentDB
/// tells of every failure what the log tells better.
const QUIET: &str = "rmcp=error,eventstore=off";

impl LogFilter {
    /// As the subscriber takes it.
    pub fn to_env_filter(&self) -> EnvFilter {
        // What is named later goes before what is named first: whoever names `rmcp` gets it.
        EnvFilter::try_new(format!("{QUIET},{}", self.0)).unwrap_or_else(|_| EnvFilter::new("info"))
    }
}

impl Described for LogFilter {
    fn range() -> String {
        "error, warn, info, debug, trace, or filters".to_owned()
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        EnvFilter::try_new(text)
            .map(|_| Self(text.to_owned()))
            .map_err(|error| ValueError(format!("{text:?} is no log filter: {error}")))
    }
}

impl Described for PathBuf {
    fn range() -> String {
        "path".to_owned()
    }
}

impl Described for bool {
    fn range() -> String {
        "true or false".to_owned()
    }
}
