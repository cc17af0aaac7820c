//! Transcripts: what a run printed, line by line.
//!
//! While it runs, a transcript is the spool that its supervisor appends to. At rest it is
//! `transcripts/{execution}.ndjson.zst`: the same bytes, compressed. Followers of a live run share
//! one reader, see [`TranscriptHub`].

mod archive;
mod follower;
mod hub;
mod line;
mod reader;
mod retention;
#[cfg(test)]
mod tests;

pub use archive::{archive, archive_path, measure};
pub use follower::{Batch, Follower};
pub use hub::TranscriptHub;
pub use line::{LINE_MAX_BYTES, Line, OutputStream};
pub use reader::{Entry, Lines, Page, Transcripts, lines};
pub use retention::{Removed, Retention, forget_old};
