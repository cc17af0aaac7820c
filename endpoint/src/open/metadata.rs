//! What a stream's metadata say: the newest `$metadata` event of the stream `$$name`.

use serde_json::{Map, Value};

/// Type of the events that hold metadata.
pub(super) const METADATA_TYPE: &str = "$metadata";
const MAX_COUNT: &str = "$maxCount";
const MAX_AGE: &str = "$maxAge";
const TRUNCATE_BEFORE: &str = "$tb";

/// Metadata as JSON. Whatever is no object says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metadata(Map<String, Value>);

impl Metadata {
    pub fn from_bytes(data: &[u8]) -> Self {
        match serde_json::from_slice(data) {
            Ok(Value::Object(map)) => Self(map),
            _ => Self::default(),
        }
    }

    pub fn max_count(&self) -> Option<i64> {
        self.number(MAX_COUNT).filter(|count| *count > 0)
    }

    pub fn max_age_s(&self) -> Option<i64> {
        self.number(MAX_AGE).filter(|age| *age > 0)
    }

    /// The first revision that is kept; 0 keeps all.
    pub fn truncated_before(&self) -> i64 {
        self.number(TRUNCATE_BEFORE).unwrap_or(0).max(0)
    }

    /// The same, but everything before this revision is gone.
    pub fn truncating_before(mut self, revision: i64) -> Vec<u8> {
        self.0.insert(TRUNCATE_BEFORE.to_owned(), revision.into());
        Value::Object(self.0).to_string().into_bytes()
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.0.get(key).and_then(Value::as_i64)
    }
}

/// The stream that holds the metadata of another.
pub(super) fn stream_of(name: &str) -> String {
    format!("$${name}")
}

/// The stream whose metadata another holds.
pub(super) fn described_by(name: &str) -> Option<&str> {
    name.strip_prefix("$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_says_nothing_and_what_is_unknown_stays() {
        assert_eq!(Metadata::from_bytes(b"[1]"), Metadata::default());
        assert_eq!(Metadata::from_bytes(b"{"), Metadata::default());
        let metadata = Metadata::from_bytes(br#"{"$maxCount":3,"$maxAge":0,"mine":"kept"}"#);
        assert_eq!(metadata.max_count(), Some(3));
        assert_eq!(metadata.max_age_s(), None);
        assert_eq!(metadata.truncated_before(), 0);
        let written = metadata.truncating_before(5);
        let again = Metadata::from_bytes(&written);
        assert_eq!((again.max_count(), again.truncated_before()), (Some(3), 5));
        assert!(String::from_utf8(written).unwrap().contains("kept"));
    }
}
