//! The checkpoints that were signed: one line of JSON each, only ever appended, never made anew.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use execution_ledger_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::NotaryError;
use super::note::{NOTE_MAX_BYTES, SignedCheckpoint};

/// The file of all checkpoints, in the notary's folder.
pub const CHECKPOINTS_FILE: &str = "checkpoints.ndjson";
/// The file of the checkpoints that witnesses have signed, in the notary's folder.
pub const COSIGNED_FILE: &str = "cosigned.ndjson";
/// The longest line that is read, in bytes: a note with its line ends as two characters.
const LINE_MAX_BYTES: usize = 2 * NOTE_MAX_BYTES;

/// A checkpoint that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When.
    pub at: Timestamp,
    /// The checkpoint.
    pub signed: SignedCheckpoint,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: Timestamp,
    checkpoint: String,
}

/// The file of all checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints(PathBuf);

impl Checkpoints {
    /// That in this folder of the notary's.
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.join(CHECKPOINTS_FILE))
    }

    /// Those that witnesses have signed, in this folder of the notary's.
    pub fn cosigned_in(folder: &Path) -> Self {
        Self(folder.join(COSIGNED_FILE))
    }

    /// All of them in order, read one after the other. A last line without an end is left out: it was
    /// never published.
    ///
    /// # Errors
    /// Where the file can't be opened. Each may be an error of its own.
    pub fn read(
        &self,
    ) -> Result<impl Iterator<Item = Result<Kept, NotaryError>> + use<>, NotaryError> {
        let reader = match File::open(&self.0) {
            Ok(file) => Some(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(NotaryError::file(&self.0, error)),
        };
        let path = self.0.clone();
        Ok(reader.into_iter().flat_map(move |mut reader| {
            let (path, mut number, mut ended) = (path.clone(), 0_u64, false);
            std::iter::from_fn(move || {
                if ended {
                    return None;
                }
                number += 1;
                let next = next_line(&mut reader, &path, number).transpose();
                ended = !matches!(next, Some(Ok(_)));
                next
            })
        }))
    }

    /// Removes what a crash left of a line at the end.
    ///
    /// # Errors
    /// Where the file can't be read or written.
    pub fn mend(&self) -> Result<(), NotaryError> {
        let failed = |error| NotaryError::file(&self.0, error);
        let mut file = match OpenOptions::new().read(true).write(true).open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let length = file.metadata().map_err(failed)?.len();
        let from = length.saturating_sub(LINE_MAX_BYTES as u64);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        (&mut file).take(LINE_MAX_BYTES as u64).read_to_end(&mut tail).map_err(failed)?;
        let whole = tail.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at as u64 + 1);
        if whole == tail.len() as u64 {
            return Ok(());
        }
        if from > 0 && whole == 0 {
            return Err(NotaryError::damaged(&self.0, "its last line is too long"));
        }
        tracing::warn!(path = %self.0.display(), "a checkpoint that was not written whole is removed");
        file.set_len(from + whole).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Appends a checkpoint. It is on the disk when this returns.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn append(&self, kept: &Kept) -> Result<(), NotaryError> {
        let failed = |error| NotaryError::file(&self.0, error);
        let line = Line { at: kept.at, checkpoint: kept.signed.as_str().to_owned() };
        let mut line = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        line.push('\n');
        let is_new = !self.0.exists();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.0)
            .map_err(failed)?;
        let before = file.metadata().map_err(failed)?.len();
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Else the next one would follow half a line.
            file.set_len(before).map_err(failed)?;
            return Err(failed(error));
        }
        if is_new && let Some(folder) = self.0.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(())
    }
}

fn next_line(
    reader: &mut BufReader<File>,
    path: &Path,
    number: u64,
) -> Result<Option<Kept>, NotaryError> {
    let damaged = |why: &dyn std::fmt::Display| {
        NotaryError::damaged(path, format!("line {number} holds no checkpoint: {why}"))
    };
    let mut line = Vec::new();
    let read = reader.take(LINE_MAX_BYTES as u64 + 1).read_until(b'\n', &mut line);
    read.map_err(|error| NotaryError::file(path, error))?;
    if line.pop() != Some(b'\n') {
        let too_long = line.len() >= LINE_MAX_BYTES;
        return if too_long { Err(damaged(&"it is too long")) } else { Ok(None) };
    }
    let line: Line = serde_json::from_slice(&line).map_err(|error| damaged(&error))?;
    let signed = SignedCheckpoint::parse(&line.checkpoint).map_err(|error| damaged(&error))?;
    Ok(Some(Kept { at: line.at, signed }))
}
