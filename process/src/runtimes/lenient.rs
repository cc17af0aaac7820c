//! Fields of an agent's output, taken one by one where they are as expected.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The name of a model, of a session or of a message: longest, in bytes. A longer one is no name.
const NAME_MAX_BYTES: usize = 256;
/// One report of tokens or of costs: longest, in bytes of JSON. A longer one is passed over.
const REPORT_MAX_BYTES: usize = 64 * 1024;

/// A field that is taken where it has the expected type, and is as good as absent where not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lenient<T>(pub(super) Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(raw.get()).ok()))
    }
}

/// A part of a line, where it has the expected shape and is not absurdly long.
pub(super) fn report<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    raw.filter(|raw| raw.get().len() <= REPORT_MAX_BYTES)
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
}

/// A part of a line, of any length; its default where it has another shape.
pub(super) fn part<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// A short text; `None` where it is none.
pub(super) fn name(raw: Option<&RawValue>) -> Option<String> {
    let raw = raw.filter(|raw| raw.get().len() <= NAME_MAX_BYTES)?;
    serde_json::from_str(raw.get()).ok().and_then(short)
}

/// A text that may be a name: neither empty nor absurdly long.
pub(super) fn short(name: String) -> Option<String> {
    (1..=NAME_MAX_BYTES).contains(&name.len()).then_some(name)
}

/// A text of any length; `None` where it is none.
pub(super) fn text(raw: Option<&RawValue>) -> Option<String> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
}
