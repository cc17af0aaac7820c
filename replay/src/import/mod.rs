//! A log from the file of an export: the same events with the same ids, times and bytes.
//!
//! It can be cut off at any point and repeated: what is in the log already is compared with the file, and
//! the rest follows.

mod file;
mod held;
mod reader;
#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, BufRead};

use execution_ledger_domain::Digest;
use execution_ledger_store::{ImportError, NewLog, Recorded, StoreError};
use serde::Serialize;

use crate::export::EXPORT_FORMAT;
use file::{ExportFile, Next};
use held::Held;

/// Events that are given to the log at a time.
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
    /// Events that an attempt before had brought there.
    pub held: u64,
    /// SHA-256 of the file but its last line, as it was checked.
    pub sha256: Digest,
}

/// What a file holds, as it was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedFile {
    /// Events.
    pub events: u64,
    /// The log that they came from.
    pub from_log: String,
    /// SHA-256 of the file but its last line.
    pub sha256: Digest,
}

/// Why a file was not taken in. Nothing of the log may be used then.
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
    /// The log holds something else than the first events of the file.
    #[error(
        "line {number}: the log holds {found} there already: only a log that is empty, or that holds \
         nothing but the first events of this file, can be filled from it"
    )]
    OtherEvents {
        /// The line whose event should be there.
        number: u64,
        /// What is there, in words.
        found: String,
    },
}

impl ImportFileError {
    /// Whether the same file may be taken in at another try: what was taken in is of use then.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Read(_) | Self::CutOff(_) | Self::Log { source: ImportError::Store(_), .. }
        )
    }

    fn store(number: u64, fault: StoreError) -> Self {
        Self::Log { number, source: ImportError::Store(fault) }
    }
}

/// Reads a file to its end, and says whether it is what an export wrote and this version understands.
/// `progress` is told the bytes that were read. Blocks for the file.
///
/// # Errors
/// [`ImportFileError`].
pub fn check_file(
    file: impl BufRead,
    mut progress: impl FnMut(u64),
) -> Result<CheckedFile, ImportFileError> {
    let mut file = ExportFile::open(file)?;
    let sha256 = loop {
        if let Next::End(sha256) = file.next()? {
            break sha256;
        }
        if file.events.is_multiple_of(BATCH_EVENTS_MAX as u64) {
            progress(file.bytes());
        }
    };
    progress(file.bytes());
    Ok(CheckedFile { events: file.events, from_log: file.header.log_id, sha256 })
}

/// Fills a log from a file. Memory does not grow with it. `progress` is told the bytes of the file that
/// were read. Blocks for the file.
///
/// Unless this succeeds, the log must not be used. Where it was cut off, it is done again with the same
/// file, or with a later one of the same log: it goes on where it was.
///
/// # Errors
/// [`ImportFileError`].
pub async fn import(
    file: impl BufRead + Send,
    mut log: Box<dyn NewLog>,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Imported, ImportFileError> {
    let mut file = ExportFile::open(file)?;
    let mut held = Held::default();
    let mut batch: Vec<Recorded> = Vec::with_capacity(BATCH_EVENTS_MAX);
    let mut bytes = 0;
    let sha256 = loop {
        let (event, length) = match file.next()? {
            Next::Event(event, length) => (event, length),
            Next::End(sha256) => break sha256,
        };
        let number = file.line();
        let there = held.next(&mut *log).await.map_err(|e| ImportFileError::store(number, e))?;
        if let Some(there) = there {
            if !held::is_same(&there, &event) {
                return Err(ImportFileError::OtherEvents { number, found: held::named(&there) });
            }
            if held.count.is_multiple_of(BATCH_EVENTS_MAX as u64) {
                progress(file.bytes());
            }
            continue;
        }
        bytes += length;
        batch.push(*event);
        if batch.len() >= BATCH_EVENTS_MAX || bytes >= BATCH_BYTES_MAX {
            push(&mut *log, &mut batch, number).await?;
            bytes = 0;
            progress(file.bytes());
        }
    };
    let number = file.line();
    let beyond = held.next(&mut *log).await.map_err(|e| ImportFileError::store(number, e))?;
    if let Some(beyond) = beyond {
        return Err(ImportFileError::OtherEvents { number, found: held::named(&beyond) });
    }
    push(&mut *log, &mut batch, number).await?;
    progress(file.bytes());
    let log_id = log.finish().await;
    let log_id = log_id.map_err(|source| ImportFileError::Log { number, source })?.to_string();
    let (events, from_log) = (file.events, file.header.log_id);
    Ok(Imported { events, from_log, log_id, held: held.count, sha256 })
}

async fn push(
    log: &mut dyn NewLog,
    batch: &mut Vec<Recorded>,
    number: u64,
) -> Result<(), ImportFileError> {
    let events = std::mem::replace(batch, Vec::with_capacity(BATCH_EVENTS_MAX));
    if events.is_empty() {
        return Ok(());
    }
    log.push(events).await.map_err(|source| ImportFileError::Log { number, source })
}
