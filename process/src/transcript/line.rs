//! One line of a transcript.

use execution_ledger_domain::Timestamp;
use serde::{Deserialize, Serialize};

/// A longer line of output is split: each part is a line of its own, all but the last marked
/// `continued`.
pub const LINE_MAX_BYTES: usize = 1024 * 1024;

/// Where a line was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output, in the spool and in the transcript one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in the run, from 1, over both streams.
    pub seq: u64,
    /// When it was read.
    pub at: Timestamp,
    /// Where it was printed.
    pub stream: OutputStream,
    /// Its text, without the newline, redacted.
    pub line: String,
    /// The line was longer than [`LINE_MAX_BYTES`] and goes on in the next line of this stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
    /// It was no UTF-8; what could not be read stands as U+FFFD.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invalid_utf8: bool,
}
