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
const READ_AT_ONCE: usize = 500;

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
    let mut parts = Export::begin(store, filter, format, now).await?;
    while let Some(part) = parts.next().await? {
        out.write_all(&part)?;
        progress(parts.progress());
    }
    out.flush()?;
    Ok(parts.exported())
}

/// The history in parts, one after the other: each is made when it is asked for, and bounded.
pub struct Export {
    store: Arc<dyn EventStore>,
    filter: ExportFilter,
    format: ExportFormat,
    now: Timestamp,
    at: Position,
    until: Position,
    events: u64,
    erased_texts: u64,
    bytes: u64,
    sha256: Sha256,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Events,
    End,
    Over,
}

impl Export {
    /// Of the events up to the log's present end that pass the filter.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn begin(
        store: &Arc<dyn EventStore>,
        filter: &ExportFilter,
        format: ExportFormat,
        now: Timestamp,
    ) -> Result<Self, ExportError> {
        Ok(Self {
            until: store.head().await?,
            store: Arc::clone(store),
            filter: filter.clone(),
            format,
            now,
            at: Position::START,
            events: 0,
            erased_texts: 0,
            bytes: 0,
            sha256: Sha256::new(),
            stage: Stage::Head,
        })
    }

    /// The position up to which the log is written.
    pub fn until(&self) -> Position {
        self.until
    }

    /// How far it is.
    pub fn progress(&self) -> ExportProgress {
        ExportProgress { at: self.at, until: self.until }
    }

    /// What was written so far; all of it once [`Export::next`] gives nothing more.
    pub fn exported(&self) -> Exported {
        Exported {
            events: self.events,
            erased_texts: self.erased_texts,
            bytes: self.bytes,
            until: self.named(),
            sha256: self.digest(),
        }
    }

    /// The next part, never empty; nothing after the last one.
    ///
    /// # Errors
    /// [`ExportError`]; what came until then has no last line.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ExportError> {
        loop {
            let part = match self.stage {
                Stage::Head => {
                    self.stage = Stage::Events;
                    self.head()?
                }
                Stage::Events => self.page().await?,
                Stage::End => {
                    self.stage = Stage::Over;
                    let trailer = ExportTrailer { events: self.events, sha256: self.digest() };
                    let ending = match self.format {
                        ExportFormat::Ndjson => json_line(&trailer)?,
                        ExportFormat::Csv => Vec::new(),
                    };
                    // The last line holds the digest of what is before it.
                    self.bytes += ending.len() as u64;
                    return Ok(Some(ending).filter(|ending| !ending.is_empty()));
                }
                Stage::Over => return Ok(None),
            };
            if !part.is_empty() {
                self.sha256.update(&part);
                self.bytes += part.len() as u64;
                return Ok(Some(part));
            }
        }
    }

    fn head(&self) -> Result<Vec<u8>, ExportError> {
        match self.format {
            ExportFormat::Ndjson => json_line(&ExportHeader {
                execution_ledger_export: EXPORT_FORMAT,
                log_id: self.store.log_id().to_string(),
                until: self.named(),
                exported_at: self.now,
                filter: self.filter.clone(),
            }),
            ExportFormat::Csv => Ok(csv::HEAD.as_bytes().to_vec()),
        }
    }

    /// The lines of one page of the log: none where none of its events passes the filter.
    async fn page(&mut self) -> Result<Vec<u8>, ExportError> {
        let mut out = Vec::new();
        if self.at >= self.until {
            self.stage = Stage::End;
            return Ok(out);
        }
        let page = self.store.read_all(self.at, READ_AT_ONCE, With::Contents).await?;
        if page.is_empty() {
            self.stage = Stage::End;
        }
        for event in &page {
            let late = self.filter.to.is_some_and(|to| event.recorded_at >= to);
            if event.position > self.until || late {
                self.stage = Stage::End;
                break;
            }
            self.at = event.position;
            if self.filter.fits(event) {
                match self.format {
                    ExportFormat::Ndjson => line::write(&mut out, self.store.log_id(), event)?,
                    ExportFormat::Csv => csv::write(&mut out, self.store.log_id(), event)?,
                }
                self.events += 1;
                let erased = event.contents.iter().filter(|stored| stored.content.is_none());
                self.erased_texts += erased.count() as u64;
            }
        }
        Ok(out)
    }

    fn named(&self) -> String {
        LogPosition { log: self.store.log_id().clone(), position: self.until }.to_string()
    }

    fn digest(&self) -> Digest {
        Digest(self.sha256.clone().finalize().into())
    }
}

fn json_line(value: &impl Serialize) -> Result<Vec<u8>, ExportError> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
    line.push(b'\n');
    Ok(line)
}
