//! Transcripts that are being erased: put aside, then removed, or put back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use execution_ledger_domain::ExecutionId;

use super::EraseError;
use crate::transcript::{self, Transcripts, archive_path};

/// Transcripts that are looked at after a start: most; a step puts aside one at a time.
const ASIDE_MAX: usize = 10_000;

/// Where a transcript lies while it is being erased.
fn folder(archives: &Path) -> PathBuf {
    archives.join("erasing")
}

fn failed(execution: ExecutionId) -> impl Fn(io::Error) -> EraseError {
    move |source| EraseError::File { execution, source }
}

/// Whether there is a transcript.
pub(super) fn is_there(
    transcripts: &Transcripts,
    execution: ExecutionId,
) -> Result<bool, EraseError> {
    transcripts.open(execution).map(|lines| lines.is_some()).map_err(failed(execution))
}

/// Takes the transcript of an ended execution away from where it is read; false where there is none.
pub(super) fn put_aside(
    transcripts: &Transcripts,
    execution: ExecutionId,
) -> Result<bool, EraseError> {
    let archives = transcripts.archives();
    let aside = || {
        // What was not packed yet is packed first, so that nobody packs it afterwards.
        transcript::archive(transcripts.runs(), archives, execution)?;
        let from = archive_path(archives, execution);
        if !from.try_exists()? {
            return Ok(false);
        }
        let folder = folder(archives);
        fs::create_dir_all(&folder)?;
        fs::rename(&from, archive_path(&folder, execution))?;
        sync(&folder)?;
        sync(archives)?;
        Ok(true)
    };
    aside().map_err(failed(execution))
}

/// Removes what was put aside.
pub(super) fn remove(archives: &Path, execution: ExecutionId) -> Result<(), EraseError> {
    let folder = folder(archives);
    let removed = match fs::remove_file(archive_path(&folder, execution)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    removed.and_then(|()| sync(&folder)).map_err(failed(execution))
}

/// Puts back what was put aside.
pub(super) fn put_back(archives: &Path, execution: ExecutionId) -> Result<(), EraseError> {
    let from = archive_path(&folder(archives), execution);
    fs::rename(from, archive_path(archives, execution))
        .and_then(|()| sync(archives))
        .map_err(failed(execution))
}

/// The executions whose transcripts are aside.
pub(super) fn aside(archives: &Path) -> Result<Vec<ExecutionId>, EraseError> {
    let listing = match fs::read_dir(folder(archives)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing,
    };
    let unreadable = |error: io::Error| EraseError::Unreadable(format!("transcripts: {error}"));
    let named = |entry: io::Result<fs::DirEntry>| {
        let name = entry.map(|entry| entry.file_name()).map_err(unreadable);
        let id = |name: std::ffi::OsString| name.to_str()?.split('.').next()?.parse().ok();
        name.map(id).transpose()
    };
    listing.map_err(unreadable)?.take(ASIDE_MAX).filter_map(named).collect()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
