//! A copy of the log as it is at one moment.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::open::{BUSY_TIMEOUT, sync_parent};
use crate::port::StoreError;

/// Copies the database `from` to the new file `to`. A copy that was interrupted leaves only a file
/// with `.partial` appended to its name, which the next try replaces.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(failed(to, &"there is such a file already"));
    }
    let partial = partial_path(to);
    let copied = copy_into(from, &partial).and_then(|()| {
        // Unlike a rename, a link never replaces a file.
        fs::hard_link(&partial, to).map_err(|error| failed(to, &error))?;
        sync_parent(to).map_err(|error| failed(to, &error))
    });
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            copied.and(Err(failed(&partial, &error)))
        }
        _ => copied,
    }
}

fn copy_into(from: &Path, partial: &Path) -> Result<(), StoreError> {
    let unwritable = |error: io::Error| failed(partial, &error);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(partial)
        .map_err(unwritable)?;
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags | OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.busy_timeout(BUSY_TIMEOUT)?;
    let mut target =
        Connection::open_with_flags(partial, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // All in one step: a copy in several would start anew whenever the log grows.
    let step = Backup::new(&source, &mut target)?.step(-1)?;
    if step != StepResult::Done {
        return Err(failed(partial, &"the log is locked by another process"));
    }
    target.close().map_err(|(_, error)| error)?;
    File::open(partial).and_then(|file| file.sync_all()).map_err(unwritable)
}

fn partial_path(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn failed(path: &Path, problem: &dyn std::fmt::Display) -> StoreError {
    StoreError::Fault(format!("the backup {} failed: {problem}", path.display()))
}
