//! Cursors: where a page begins, as an opaque text that is good for one question to one log.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use execution_ledger_domain::Digest;
use execution_ledger_store::LogId;

use crate::query::QueryError;

/// The form of cursors. Another one is refused.
const VERSION: u8 = 1;
/// Longest text that is looked at, in characters.
const TEXT_MAX: usize = 256;
/// Bytes of the question's digest, and of the checksum.
const DIGEST_BYTES: usize = 8;
/// Version, digest of the question, two numbers, checksum; the log's id stands before the checksum.
const FIXED_BYTES: usize = 1 + DIGEST_BYTES + 8 + 8 + DIGEST_BYTES;

/// The last row of a page: what the next page comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// What the rows are sorted by, where that is not their number.
    pub key: i64,
    /// The row's number.
    pub no: u64,
}

impl Cursor {
    /// As a text for this question, which is anything that tells it from others.
    pub fn encode(self, log: &LogId, question: &str) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&short_digest(question.as_bytes()));
        bytes.extend_from_slice(&self.key.to_be_bytes());
        bytes.extend_from_slice(&self.no.to_be_bytes());
        bytes.extend_from_slice(log.as_str().as_bytes());
        let sum = short_digest(&bytes);
        bytes.extend_from_slice(&sum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// From a text that was given out for this question by this log. Who makes one up sees no more
    /// with it than without: scopes are checked all the same.
    pub fn decode(text: &str, log: &LogId, question: &str) -> Result<Self, QueryError> {
        if text.len() > TEXT_MAX {
            return Err(QueryError::InvalidCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| QueryError::InvalidCursor)?;
        if bytes.len() <= FIXED_BYTES {
            return Err(QueryError::InvalidCursor);
        }
        let (body, sum) = bytes.split_at(bytes.len() - DIGEST_BYTES);
        if short_digest(body) != sum || body[0] != VERSION {
            return Err(QueryError::InvalidCursor);
        }
        let (head, own) = body.split_at(FIXED_BYTES - DIGEST_BYTES);
        let given = std::str::from_utf8(own).map_err(|_| QueryError::InvalidCursor)?;
        if given != log.as_str() {
            return Err(QueryError::OtherLog { given: given.to_owned() });
        }
        let (digest, numbers) = head[1..].split_at(DIGEST_BYTES);
        if digest != short_digest(question.as_bytes()) {
            return Err(QueryError::InvalidCursor);
        }
        let (key, no) = numbers.split_at(8);
        let key = <[u8; 8]>::try_from(key).map_err(|_| QueryError::InvalidCursor)?;
        let no = <[u8; 8]>::try_from(no).map_err(|_| QueryError::InvalidCursor)?;
        Ok(Self { key: i64::from_be_bytes(key), no: u64::from_be_bytes(no) })
    }
}

fn short_digest(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut short = [0; DIGEST_BYTES];
    short.copy_from_slice(&Digest::of(bytes).0[..DIGEST_BYTES]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(id: &str) -> LogId {
        LogId::new(id).expect("a log id")
    }

    #[test]
    fn a_cursor_is_good_for_its_own_question_and_log_alone() {
        let cursor = Cursor { key: -5, no: u64::MAX };
        let text = cursor.encode(&log("abc"), "q");
        assert_eq!(Cursor::decode(&text, &log("abc"), "q").expect("own"), cursor);
        let refused = Cursor::decode(&text, &log("abc"), "other");
        assert!(matches!(refused, Err(QueryError::InvalidCursor)), "{refused:?}");
        let refused = Cursor::decode(&text, &log("xyz"), "q");
        assert!(matches!(refused, Err(QueryError::OtherLog { given }) if given == "abc"));
    }

    #[test]
    fn a_cursor_with_any_character_changed_cut_or_added_is_refused() {
        let text = Cursor { key: 1, no: 2 }.encode(&log("abc"), "q");
        let refused = |text: &str| {
            let result = Cursor::decode(text, &log("abc"), "q");
            assert!(matches!(result, Err(QueryError::InvalidCursor)), "{text}: {result:?}");
        };
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            refused(&String::from_utf8(changed).expect("ascii"));
            refused(&text[..index]);
        }
        refused(&format!("{text}A"));
        refused(&"A".repeat(10_000));
        refused("' OR 1=1 --");
    }
}
