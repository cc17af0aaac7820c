//! The history as a file: lines that another ledger can be made from, or a table for people.
//!
//! The file begins with a line that says what it is and ends with one that says how many events came
//! and what all lines before hash to, so a file that was cut off or changed is noticed.

mod csv;
pub(crate) mod line;

pub use csv::push_cell;

use std::io::{self, Write};
use std::sync::Arc;

use execution_ledger_domain::{Digest, Timestamp};
use execution_ledger_store::{EventStore, LogPosition, Position, Recorded, StoreError, With};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The version of the file's format.
pub const EXPORT_FORMAT: u32 = 1;
/// Events that are read from the log at a time.
const READ_AT_ONCE: usize = 1_000;

/// Which events are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportFilter {
    /// Only streams whose name begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Only events of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Only events that were recorded at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only events that were recorded before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

impl ExportFilter {
    /// Whether every event passes: only such a file can be imported.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    fn fits(&self, event: &Recorded) -> bool {
        let stream = self.stream.as_ref();
        stream.is_none_or(|prefix| event.stream.as_str().starts_with(prefix.as_str()))
            && self.type_name.as_ref().is_none_or(|wanted| event.type_name == *wanted)
            && self.from.is_none_or(|from| event.recorded_at >= from)
            && self.to.is_none_or(|to| event.recorded_at < to)
    }
}

/// How the history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// A JSON object a line, with everything that an import needs.
    Ndjson,
    /// A table for people and spreadsheets; no cell of it is a formula.
    Csv,
}

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// [`EXPORT_FORMAT`] of who wrote it.
    pub execution_ledger_export: u32,
    /// The log that it was written from.
    pub log_id: String,
    /// The position of that log up to which it was written.
    pub until: String,
    /// When.
    pub exported_at: Timestamp,
    /// Which events it holds; nothing stands for all of them.
    pub filter: ExportFilter,
}

/// The last line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportTrailer {
    /// Events that the file holds.
    pub events: u64,
    /// SHA-256 of all bytes before this line.
    pub sha256: Digest,
}

/// How far an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportProgress {
    /// The position that was reached.
    pub at: Position,
    /// The position that it ends at.
    pub until: Position,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Events.
    pub events: u64,
    /// Texts that were erased before.
    pub erased_texts: u64,
    /// Bytes, with the last line.
    pub bytes: u64,
    /// The position up to which the log was written.
    pub until: String,
    /// SHA-256 of all bytes but the last line; of a table, of all bytes.
    pub sha256: Digest,
}

/// Why the history was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output can't be written.
    #[error("the output can't be written: {0}")]
    Write(#[from] io::Error),
    /// An event can't be put into a line.
    #[error("the event {position} can't be written: {reason}")]
    Event {
        /// Its number in the log.
        position: u64,
        /// Why.
        reason: String,
    },
}

/// Writes the events of the log up to its present end that pass the filter. Memory does not grow
/// with the log. `progress` is told how far it is.
///
/// # Errors
/// [`ExportError`]; what was written until then has no last line and is told from a whole file.
pub async fn export(
    store: &Arc<dyn EventStore>,
    filter: &ExportFilter,
    format: ExportFormat,
    now: Timestamp,
    out: &mut (impl Write + Send),
    mut progress: impl FnMut(ExportProgress) + Send,
) -> Result<Exported, ExportError> {
    let until = store.head().await?;
    let mut out = Hashing { out, sha256: Sha256::new(), bytes: 0 };
    let named = LogPosition { log: store.log_id().clone(), position: until }.to_string();
    match format {
        ExportFormat::Ndjson => out.json_line(&ExportHeader {
            execution_ledger_export: EXPORT_FORMAT,
            log_id: store.log_id().to_string(),
            until: named.clone(),
            exported_at: now,
            filter: filter.clone(),
        })?,
        ExportFormat::Csv => out.write_all(csv::HEAD.as_bytes())?,
    }
    let (mut events, mut erased_texts, mut at, mut over) = (0, 0, Position::START, false);
    while at < until && !over {
        let page = store.read_all(at, READ_AT_ONCE, With::Contents).await?;
        if page.is_empty() {
            break;
        }
        for event in &page {
            over = event.position > until || filter.to.is_some_and(|to| event.recorded_at >= to);
            if over {
                break;
            }
            at = event.position;
            if filter.fits(event) {
                match format {
                    ExportFormat::Ndjson => line::write(&mut out, store.log_id(), event)?,
                    ExportFormat::Csv => csv::write(&mut out, store.log_id(), event)?,
                }
                events += 1;
                let erased = event.contents.iter().filter(|stored| stored.content.is_none());
                erased_texts += erased.count() as u64;
            }
        }
        progress(ExportProgress { at, until });
    }
    let sha256 = Digest(out.sha256.clone().finalize().into());
    if format == ExportFormat::Ndjson {
        out.json_line(&ExportTrailer { events, sha256 })?;
    }
    out.out.flush()?;
    Ok(Exported { events, erased_texts, bytes: out.bytes, until: named, sha256 })
}

/// Counts and hashes what passes to the output.
struct Hashing<W> {
    out: W,
    sha256: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    fn json_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.write_all(&line)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
