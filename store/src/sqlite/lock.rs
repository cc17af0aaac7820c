//! One process writes a log: a locked file beside it says which.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::open::OpenError;

/// How long a lock that is held is waited for. A process that was killed while it started another
/// one leaves its open files to that one until it is executed: a matter of milliseconds.
const WAIT: Duration = Duration::from_secs(1);
/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Longest text of a lock file that is read, in bytes: a process id is shorter.
const LOCK_TEXT_MAX_BYTES: u64 = 32;

/// The right to write a log. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct WriterLock(#[expect(dead_code, reason = "it is the open file that locks")] File);

impl WriterLock {
    /// Locks the log at `database`, or says who has it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another process writes it, [`OpenError::Io`] where the lock can't be made.
    pub fn acquire(database: &Path) -> Result<Self, OpenError> {
        let path = lock_path(database);
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let until = Instant::now() + WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(TryLockError::WouldBlock) => {
                    let pid = holder(&mut file);
                    return Err(OpenError::InUse { path: database.to_owned(), pid });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        file.set_len(0).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self(file))
    }
}

/// The lock file of a database: its name with `.lock` appended.
fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(LOCK_TEXT_MAX_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
