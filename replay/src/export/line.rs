//! An event as a line of the file, and back.

use std::borrow::Cow;
use std::io::Write;

use execution_ledger_domain::{Content, Digest, EventId, StreamName, Timestamp};
use execution_ledger_store::{LogId, LogPosition, Position, Recorded, StoredContent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ExportError;

/// An event with its texts. `metadata` and `data` are the stored bytes: as an object where these fit
/// into one line, else as a string that holds them.
#[derive(Serialize)]
struct EventLine<'a> {
    position: String,
    stream: &'a str,
    revision: u64,
    event_id: EventId,
    #[serde(rename = "type")]
    type_name: &'a str,
    version: u32,
    recorded_at: Timestamp,
    metadata: Cow<'a, RawValue>,
    data: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contents: Vec<ContentLine<'a>>,
}

#[derive(Serialize)]
struct ContentLine<'a> {
    sha256: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
}

/// A line as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadLine {
    position: String,
    stream: String,
    revision: u64,
    event_id: EventId,
    #[serde(rename = "type")]
    type_name: String,
    version: u32,
    recorded_at: Timestamp,
    metadata: Box<RawValue>,
    data: Box<RawValue>,
    #[serde(default)]
    contents: Vec<ReadContent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadContent {
    sha256: Digest,
    #[serde(default)]
    salt: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    erased: bool,
}

/// Writes an event as a line.
pub(super) fn write(
    out: &mut impl Write,
    log: &LogId,
    event: &Recorded,
) -> Result<(), ExportError> {
    let contents = event.contents.iter().map(|stored| {
        let content = stored.content.as_ref();
        ContentLine {
            sha256: stored.sha256,
            salt: content.map(|content| hex(&content.salt)),
            text: content.map(|content| content.text.as_str()),
            erased: content.is_none(),
        }
    });
    let failed = |error: serde_json::Error| ExportError::Event {
        position: event.position.number(),
        reason: error.to_string(),
    };
    let line = EventLine {
        position: LogPosition { log: log.clone(), position: event.position }.to_string(),
        stream: event.stream.as_str(),
        revision: event.revision,
        event_id: event.id,
        type_name: &event.type_name,
        version: event.version,
        recorded_at: event.recorded_at,
        metadata: raw(&event.metadata).map_err(failed)?,
        data: raw(&event.data).map_err(failed)?,
        contents: contents.collect(),
    };
    let mut line = serde_json::to_vec(&line).map_err(failed)?;
    line.push(b'\n');
    Ok(out.write_all(&line)?)
}

/// Stored bytes as a value that keeps them.
fn raw(stored: &str) -> serde_json::Result<Cow<'_, RawValue>> {
    if stored.starts_with('{')
        && stored.ends_with('}')
        && !stored.contains(['\n', '\r'])
        && let Ok(object) = serde_json::from_str::<&RawValue>(stored)
    {
        return Ok(Cow::Borrowed(object));
    }
    serde_json::value::to_raw_value(stored).map(Cow::Owned)
}

/// The bytes that a value keeps.
fn stored(value: &RawValue) -> serde_json::Result<String> {
    let text = value.get();
    if text.starts_with('"') { serde_json::from_str(text) } else { Ok(text.to_owned()) }
}

impl ReadLine {
    /// The event, and the position that it had; its texts are checked against their digests.
    pub(crate) fn into_event(self) -> Result<Recorded, String> {
        let position: LogPosition =
            self.position.parse().map_err(|_| format!("{:?} is no position", self.position))?;
        let stream: StreamName = self.stream.parse().map_err(|error| format!("{error}"))?;
        let unreadable = |error: serde_json::Error| error.to_string();
        let contents: Result<Vec<_>, _> =
            self.contents.into_iter().map(ReadContent::into_stored).collect();
        Ok(Recorded {
            position: Position::new(position.position.number()),
            stream,
            revision: self.revision,
            id: self.event_id,
            type_name: self.type_name,
            version: self.version,
            recorded_at: self.recorded_at,
            metadata: stored(&self.metadata).map_err(unreadable)?,
            data: stored(&self.data).map_err(unreadable)?,
            contents: contents?,
        })
    }
}

impl ReadContent {
    fn into_stored(self) -> Result<StoredContent, String> {
        let content = match (self.salt, self.text, self.erased) {
            (None, None, true) => None,
            (Some(salt), Some(text), false) => {
                let content = Content { salt: unhex(&salt).ok_or("a salt is 32 digits")?, text };
                if content.reference().sha256 != self.sha256 {
                    return Err(format!("a text does not hash to {}", self.sha256));
                }
                Some(content)
            }
            _ => return Err("a text has a salt and words, or is erased".to_owned()),
        };
        Ok(StoredContent { sha256: self.sha256, content })
    }
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let plain = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u128::from_str_radix(text, 16).ok())?.map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_come_back_whatever_they_are() {
        for bytes in
            ["{}", "{ \"b\" : 1,\"a\":1.50 }", "{\n}", " {}", "[1]", "\"x\"", "{broken", ""]
        {
            let value = raw(bytes).unwrap();
            assert!(!value.get().contains('\n'), "{bytes:?} stands in one line");
            assert_eq!(stored(&value).unwrap(), bytes);
        }
    }

    #[test]
    fn salts_are_sixteen_bytes_in_lower_case() {
        let salt = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 250, 251, 252, 253, 254, 255];
        assert_eq!(unhex(&hex(&salt)), Some(salt));
        for wrong in ["", "00", &"G".repeat(32), &"A".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }
}
