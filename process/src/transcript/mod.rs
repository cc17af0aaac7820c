//! Transcripts: what a run printed, line by line.

mod line;

pub use line::{LINE_MAX_BYTES, Line, OutputStream};
