//! How the log looks to a KurrentDB server and to its clients: names of streams, and events.
//!
//! One place for both directions and for both users: the adapter that writes to a server, and the
//! endpoint that plays one. A fact stands in the stream `{prefix}{stream}`, with its own id, type
//! and data. A text that lies beside a fact is a stream of its own, outside the prefix, so that
//! whoever follows `$all` by the prefix sees the facts and nothing else.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use execution_ledger_domain::{Content, Digest, EventId, StreamName, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest prefix, in bytes.
const PREFIX_MAX_BYTES: usize = 64;
/// What the names of streams that hold texts begin with, before the prefix.
const TEXTS: &str = "text.";
/// What the names of the adapter's own streams begin with, before the prefix.
const OWN: &str = "log.";
/// Type of the events that hold a text.
pub const TEXT_TYPE: &str = "ledger.text";
/// Begins custom metadata that holds the stored metadata as its further fields.
const HEAD: &str = "{\"$schemaVersion\":";

/// What the names of a ledger's streams begin with: so a cluster can be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Arc<str>);

/// Why a text is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a prefix of streams is 2 to 64 lower-case letters, digits, '_' and '.', begins with a letter, ends with '.', and begins with neither 'text.' nor 'log.'"
)]
pub struct PrefixError;

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let sign = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'_';
        let fits = (2..=PREFIX_MAX_BYTES).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.ends_with('.')
            && text.bytes().all(sign)
            && ![TEXTS, OWN].iter().any(|taken| text.starts_with(taken));
        if fits { Ok(Self(text.into())) } else { Err(PrefixError) }
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("ledger.".into())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that a stream of the ledger has on the server.
    pub fn stream(&self, stream: &StreamName) -> String {
        format!("{}{stream}", self.0)
    }

    /// The ledger's stream of that name on the server; none where it is somebody else's.
    pub fn ledger_stream(&self, name: &str) -> Option<StreamName> {
        name.strip_prefix(&*self.0)?.parse().ok()
    }

    /// The stream that holds one text beside an event: `text.ledger-{event id}.{sha256}`. It has one
    /// event; an erased text's stream is deleted for ever.
    pub fn text_stream(&self, event: EventId, sha256: &Digest) -> String {
        format!("{TEXTS}{}-{event}.{sha256}", self.bare())
    }

    /// What the names of the streams that hold texts begin with: `text.ledger-`.
    pub fn text_streams(&self) -> String {
        format!("{TEXTS}{}-", self.bare())
    }

    /// The event and the digest that a text's stream is named after; none where it is no such stream.
    pub fn text_place(&self, name: &str) -> Option<(EventId, Digest)> {
        let rest = name.strip_prefix(TEXTS)?.strip_prefix(self.bare())?.strip_prefix('-')?;
        let (event, sha256) = rest.split_once('.')?;
        let (event, sha256) = (EventId(Uuid::parse_str(event).ok()?), sha256.parse().ok()?);
        (self.text_stream(event, &sha256) == name).then_some((event, sha256))
    }

    /// The stream that says which log this is: `log.ledger-id`.
    pub fn identity_stream(&self) -> String {
        format!("{OWN}{}-id", self.bare())
    }

    /// The stream of erasures that were begun: `log.ledger-erasing`.
    pub fn erasing_stream(&self) -> String {
        format!("{OWN}{}-erasing", self.bare())
    }

    /// The stream of marks along the log: `log.ledger-marks`.
    pub fn marks_stream(&self) -> String {
        format!("{OWN}{}-marks", self.bare())
    }

    /// The stream on which nodes tell that they live: `log.ledger-nodes`.
    pub fn nodes_stream(&self) -> String {
        format!("{OWN}{}-nodes", self.bare())
    }

    /// Whether only ledgers may append to a stream of that name: facts, texts and what the adapter
    /// keeps for itself.
    pub fn is_ours(&self, name: &str) -> bool {
        let own = |head: &str| {
            name.strip_prefix(head)
                .and_then(|rest| rest.strip_prefix(self.bare()))
                .is_some_and(|rest| rest.starts_with('-'))
        };
        name.starts_with(&*self.0) || own(TEXTS) || own(OWN)
    }

    fn bare(&self) -> &str {
        self.0.trim_end_matches('.')
    }
}

/// An event's custom metadata: what is stored, and what the server has no column for.
///
/// The stored metadata keeps its bytes, because they are what the notary has hashed: its fields
/// come after ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomMetadata {
    /// Schema version of the data.
    pub version: u32,
    /// When the ledger recorded it.
    pub recorded_at: Timestamp,
    /// Digests of the texts beside it, in the order of the event.
    pub texts: Vec<Digest>,
    /// The stored metadata, byte for byte.
    pub stored: String,
}

/// Why custom metadata is none that a ledger wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its metadata was not written by a ledger")]
pub struct ForeignMetadata;

impl CustomMetadata {
    /// As JSON.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(self.stored.len() + 96 + self.texts.len() * 67);
        json.push_str(HEAD);
        json.push_str(&self.version.to_string());
        json.push_str(",\"recorded_at\":");
        json.push_str(&self.recorded_at.micros().to_string());
        for (number, digest) in self.texts.iter().enumerate() {
            json.push_str(if number == 0 { ",\"texts\":[" } else { "," });
            json.push('"');
            json.push_str(&digest.to_string());
            json.push('"');
        }
        if !self.texts.is_empty() {
            json.push(']');
        }
        if is_plain_object(&self.stored) {
            json.push(',');
            json.push_str(&self.stored[1..]);
        } else {
            json.push_str(",\"stored\":");
            json.push_str(&serde_json::Value::from(self.stored.as_str()).to_string());
            json.push('}');
        }
        json
    }

    /// From JSON that [`CustomMetadata::to_json`] made.
    pub fn parse(json: &[u8]) -> Result<Self, ForeignMetadata> {
        let text = std::str::from_utf8(json).map_err(|_| ForeignMetadata)?;
        Self::parsed(text).ok_or(ForeignMetadata)
    }

    fn parsed(text: &str) -> Option<Self> {
        let (version, rest) = text.strip_prefix(HEAD)?.split_once(',')?;
        let rest = rest.strip_prefix("\"recorded_at\":")?;
        let (micros, mut rest) = rest.split_once(',')?;
        let mut texts = Vec::new();
        if let Some(listed) = rest.strip_prefix("\"texts\":[") {
            let (digests, after) = listed.split_once(']')?;
            for digest in digests.split(',') {
                texts.push(digest.strip_prefix('"')?.strip_suffix('"')?.parse().ok()?);
            }
            rest = after.strip_prefix(',')?;
        }
        let stored = match rest.strip_prefix("\"stored\":") {
            Some(quoted) => serde_json::from_str(quoted.strip_suffix('}')?).ok()?,
            None => format!("{{{rest}"),
        };
        let recorded_at = Timestamp::from_micros(micros.parse().ok()?);
        Some(Self { version: version.parse().ok()?, recorded_at, texts, stored })
    }
}

/// Whether fields can be put before those of a JSON object without changing its bytes.
fn is_plain_object(json: &str) -> bool {
    json.starts_with("{\"")
        && json.ends_with('}')
        && !json.starts_with("{\"stored\":")
        && !json.starts_with("{\"texts\":")
}

/// A text's custom metadata: what its digest needs. The text itself is the event's data, as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextMetadata {
    /// The fact that it lies beside.
    pub event_id: EventId,
    /// SHA-256 of the salt followed by the text.
    pub sha256: Digest,
    /// The salt, as 32 hexadecimal digits.
    pub salt: String,
}

impl TextMetadata {
    /// Of a text beside an event.
    pub fn of(event_id: EventId, content: &Content) -> Self {
        let salt = u128::from_be_bytes(content.salt);
        Self { event_id, sha256: content.reference().sha256, salt: format!("{salt:032x}") }
    }

    /// The text's event id: the same for every try of an append.
    pub fn id(&self) -> Uuid {
        Uuid::new_v5(&self.event_id.0, &self.sha256.0)
    }

    /// The text with its salt, from the stored event's custom metadata and data; none where that is
    /// not the text of this digest.
    pub fn content(custom_metadata: &[u8], data: &[u8], sha256: &Digest) -> Option<Content> {
        let told: Self = serde_json::from_slice(custom_metadata).ok()?;
        let salt = u128::from_str_radix(&told.salt, 16).ok()?;
        let content = Content::new(salt.to_be_bytes(), String::from_utf8(data.to_vec()).ok()?);
        (content.reference().sha256 == *sha256).then_some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(stored: &str, texts: usize) -> CustomMetadata {
        let texts = (0..texts).map(|number| Digest::of(&[u8::try_from(number).unwrap()]));
        CustomMetadata {
            version: 3,
            recorded_at: Timestamp::from_micros(1_700_000_000_123_456),
            texts: texts.collect(),
            stored: stored.to_owned(),
        }
    }

    #[test]
    fn metadata_comes_back_byte_for_byte_and_its_fields_can_be_read_by_others() {
        let odd = [
            r#"{"actor":{"kind":"user"},"$correlationId":"a","$causationId":"]},\"b"}"#,
            "{}",
            r#"{ "spaced": 1 }"#,
            r#"{"stored":"as if"}"#,
            r#"{"texts":["as if"]}"#,
            r#"{"recorded_at":5}"#,
            "not JSON \u{1f980}\n",
            "",
        ];
        for stored in odd {
            for texts in 0..3 {
                let given = metadata(stored, texts);
                let json = given.to_json();
                assert_eq!(CustomMetadata::parse(json.as_bytes()), Ok(given), "{json}");
                let read: serde_json::Value = serde_json::from_str(&json).unwrap();
                assert_eq!(read["$schemaVersion"], 3);
            }
        }
        let json = metadata(odd[0], 1).to_json();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["$correlationId"], "a");
        assert_eq!(read["recorded_at"], 1_700_000_000_123_456_u64);
    }

    #[test]
    fn what_somebody_else_wrote_is_no_metadata_of_ours() {
        for foreign in ["", "{}", "{\"$schemaVersion\":1}", "{\"$schemaVersion\":1,\"a\":2}", "[1]"]
        {
            assert_eq!(
                CustomMetadata::parse(foreign.as_bytes()),
                Err(ForeignMetadata),
                "{foreign}"
            );
        }
        assert_eq!(CustomMetadata::parse(&[0xff, 0xfe]), Err(ForeignMetadata));
    }

    #[test]
    fn a_text_is_believed_only_with_its_digest() {
        let content = Content::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], "ü\n");
        let told = TextMetadata::of(EventId(Uuid::nil()), &content);
        let json = serde_json::to_vec(&told).unwrap();
        let sha256 = content.reference().sha256;
        assert_eq!(TextMetadata::content(&json, "ü\n".as_bytes(), &sha256), Some(content));
        assert_eq!(TextMetadata::content(&json, b"other", &sha256), None);
        assert_eq!(TextMetadata::content(b"{}", "ü\n".as_bytes(), &sha256), None);
    }

    #[test]
    fn names_tell_facts_from_texts_and_from_what_is_not_ours() {
        let prefix = Prefix::default();
        let stream: StreamName = "execution-1".parse().unwrap();
        assert_eq!(prefix.stream(&stream), "ledger.execution-1");
        assert_eq!(prefix.ledger_stream("ledger.execution-1"), Some(stream));
        let (event, sha256) = (EventId(Uuid::nil()), Digest::of(b""));
        let text = prefix.text_stream(event, &sha256);
        assert!(text.starts_with(&prefix.text_streams()));
        assert_eq!(prefix.text_place(&text), Some((event, sha256)));
        for other in [&text[1..], &text[..text.len() - 1], &text.to_uppercase(), "text.ledger-a.b"]
        {
            assert_eq!(prefix.text_place(other), None, "{other}");
        }
        let own = [text, prefix.identity_stream(), prefix.erasing_stream(), prefix.marks_stream()];
        for name in &own {
            assert_eq!(prefix.ledger_stream(name), None, "{name}");
            assert!(prefix.is_ours(name), "{name}");
        }
        assert!(prefix.is_ours("ledger.execution-1"));
        for other in ["orders-1", "ledgers.a-1", "text.ledgers-1", "log.other-id", "$ledger.a-1"] {
            assert!(!prefix.is_ours(other), "{other}");
        }
    }

    #[test]
    fn a_prefix_can_take_no_place_of_ours_and_of_nobody_else() {
        for good in ["ledger.", "a.", "team_1.prod."] {
            assert!(good.parse::<Prefix>().is_ok(), "{good}");
        }
        let long = format!("{}.", "a".repeat(PREFIX_MAX_BYTES));
        for bad in ["", ".", "a", "Ledger.", "$a.", "text.", "text.a.", "log.b.", "a-b.", &long] {
            assert_eq!(bad.parse::<Prefix>(), Err(PrefixError), "{bad}");
        }
    }
}
