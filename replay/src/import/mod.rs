//! An empty log from the file of an export: the same events with the same ids, times and bytes.

mod reader;
#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, BufRead};
use std::path::Path;

use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use execution_ledger_domain::{Digest, Timestamp};
use execution_ledger_store::sqlite::{ImportError, Importer};
use execution_ledger_store::{Position, Recorded};
use serde::Serialize;

use crate::export::line::ReadLine;
use crate::export::{EXPORT_FORMAT, ExportHeader, ExportTrailer};
use reader::Lines;

/// Events that are stored in one transaction.
const BATCH_EVENTS_MAX: usize = 1_000;
/// A batch takes no further event from this size on, in bytes.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Events.
    pub events: u64,
    /// The log that they came from.
    pub from_log: String,
    /// The new log.
    pub log_id: String,
    /// SHA-256 of the file but its last line, as it was checked.
    pub sha256: Digest,
}

/// Why a file was not taken in. Nothing of it may be used then.
#[derive(Debug, thiserror::Error)]
pub enum ImportFileError {
    /// The file can't be read.
    #[error("the file can't be read: {0}")]
    Read(#[from] io::Error),
    /// The file is no export.
    #[error("this is no file that `export` wrote: {0}")]
    NoExport(String),
    /// A later version wrote it.
    #[error(
        "the file has format {0}, but this version knows only {EXPORT_FORMAT}: use the version that wrote it"
    )]
    Newer(u32),
    /// The file holds only some events.
    #[error("the file holds only what passed a filter: only a whole export can be imported")]
    Filtered,
    /// A line is not as it was written.
    #[error("line {number}: {reason}")]
    Line {
        /// Its number, from 1.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// The last line is missing.
    #[error("the file ends after line {0} without its last line: it was cut off")]
    CutOff(u64),
    /// The file was changed.
    #[error("the file is not what was written: its last line says {expected}, but it is {found}")]
    Changed {
        /// What the last line says.
        expected: String,
        /// What was read.
        found: String,
    },
    /// The log can't take an event.
    #[error("before line {number}: {source}")]
    Log {
        /// The line that was reached.
        number: u64,
        /// Why.
        source: ImportError,
    },
}

/// Makes the log at `path`, which must be empty or not there, from a file. Memory does not grow with
/// it. `progress` is told the bytes of the file that were read. Blocks for the disk.
///
/// All or nothing: unless this succeeds, the log at `path` must not be used.
///
/// # Errors
/// [`ImportFileError`].
pub fn import(
    file: impl BufRead,
    path: &Path,
    now: Timestamp,
    mut progress: impl FnMut(u64),
) -> Result<Imported, ImportFileError> {
    let mut lines = Lines::of(file);
    let header = header(&mut lines)?;
    let log = |number| move |source| ImportFileError::Log { number, source };
    let mut importer = Importer::create(path, now).map_err(log(lines.number))?;
    let mut batch: Vec<Recorded> = Vec::with_capacity(BATCH_EVENTS_MAX);
    let (mut bytes, mut events) = (0, 0_u64);
    let trailer = loop {
        let before = lines.digest();
        let Some(line) = lines.next()? else { return Err(ImportFileError::CutOff(lines.number)) };
        if let Ok(trailer) = serde_json::from_slice::<ExportTrailer>(line) {
            break (trailer, before);
        }
        bytes += line.len();
        let event =
            event(line).map_err(|reason| ImportFileError::Line { number: lines.number, reason })?;
        batch.push(event);
        events += 1;
        if batch.len() >= BATCH_EVENTS_MAX || bytes >= BATCH_BYTES_MAX {
            importer.push(&mut batch).map_err(log(lines.number))?;
            batch.clear();
            bytes = 0;
            progress(lines.bytes);
        }
    };
    let (trailer, sha256) = trailer;
    if lines.next()?.is_some() {
        let reason = "something stands behind the last line".to_owned();
        return Err(ImportFileError::Line { number: lines.number, reason });
    }
    let found = ExportTrailer { events, sha256: sha256.finish() };
    if trailer != found {
        let said =
            |trailer: &ExportTrailer| format!("{} events, {}", trailer.events, trailer.sha256);
        let (expected, found) = (said(&trailer), said(&found));
        return Err(ImportFileError::Changed { expected, found });
    }
    importer.push(&mut batch).map_err(log(lines.number))?;
    progress(lines.bytes);
    let (log_id, last) = importer.finish().map_err(log(lines.number))?;
    debug_assert_eq!(last, Position::new(events));
    let (from_log, log_id) = (header.log_id, log_id.to_string());
    Ok(Imported { events, from_log, log_id, sha256: found.sha256 })
}

fn header(lines: &mut Lines<impl BufRead>) -> Result<ExportHeader, ImportFileError> {
    let line = lines.next()?.ok_or_else(|| ImportFileError::NoExport("it is empty".to_owned()))?;
    // A later version may write other fields, so its number is looked at first.
    let value: serde_json::Value = serde_json::from_slice(line)
        .map_err(|error| ImportFileError::NoExport(format!("its first line: {error}")))?;
    let format = value.get("execution_ledger_export").and_then(serde_json::Value::as_u64);
    if let Some(format) = format.and_then(|format| u32::try_from(format).ok())
        && format > EXPORT_FORMAT
    {
        return Err(ImportFileError::Newer(format));
    }
    let header: ExportHeader = serde_json::from_value(value)
        .map_err(|error| ImportFileError::NoExport(format!("its first line: {error}")))?;
    if !header.filter.is_everything() {
        return Err(ImportFileError::Filtered);
    }
    Ok(header)
}

/// The event of a line, which this version must understand as a whole.
fn event(line: &[u8]) -> Result<Recorded, String> {
    let read: ReadLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let recorded = read.into_event()?;
    let texts = recorded.contents.iter().filter_map(|stored| stored.content.as_ref());
    let bytes = recorded.data.len()
        + recorded.metadata.len()
        + texts.map(|content| content.text.len()).sum::<usize>();
    if bytes > APPEND_MAX_BYTES {
        return Err(format!("an event of {bytes} bytes is larger than {APPEND_MAX_BYTES}"));
    }
    let understood = recorded.event().map_err(|error| error.to_string())?;
    recorded.parsed_metadata().map_err(|error| format!("its metadata: {error}"))?;
    let stored: Vec<Digest> = recorded.contents.iter().map(|stored| stored.sha256).collect();
    let referred = understood.content_refs();
    let missing = referred.iter().find(|reference| !stored.contains(&reference.sha256));
    if let Some(missing) = missing {
        return Err(format!("the text {} is missing", missing.sha256));
    }
    Ok(recorded)
}
