//! The claim to a run: exactly one supervisor gets it, and only before anything is executed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, posix_fallocate};

use crate::orders::{FORMAT_VERSION, LockRecord, RunFiles, SealRecord};
use crate::status::{STATUS_FILE_BYTES, Status};

/// Gives a claim up before anything was executed: no supervisor can take it any more, for the seal lies
/// where its lock would. It holds for as long as the run's directory does, and where that is gone,
/// nobody can begin in it.
///
/// Answers false where a supervisor has the claim already.
///
/// # Errors
/// Where the disk fails; then the claim is as it was.
pub fn seal(run: &RunFiles) -> io::Result<bool> {
    let path = run.directory.join(format!("{}.seal.{}", run.claim, std::process::id()));
    let mut file = match create(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    file.write_all(&serde_json::to_vec(&SealRecord { version: FORMAT_VERSION, sealed: true })?)?;
    // After a power cut it is whole or not there. Its name need not be durable: neither is a
    // supervisor.
    file.sync_data()?;
    let linked = std::fs::hard_link(&path, run.lock());
    std::fs::remove_file(&path)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// A run that is this process's own. While it lives, the lock is held.
pub(super) struct Claim {
    /// The run's files.
    pub files: RunFiles,
    /// Where output goes; empty at first.
    pub spool: File,
    status: File,
    _lock: Flock<File>,
}

impl Claim {
    /// Takes the claim; `None` where another supervisor has it or the ledger has given it up. Once this has returned, the lock
    /// is found after any crash, so the run is never started again.
    ///
    /// # Errors
    /// Where a file can't be made; the claim is then free.
    pub fn take(files: RunFiles, boot_id: &str) -> io::Result<Option<Self>> {
        let own = |kind: &str| -> PathBuf {
            files.directory.join(format!("{}.{kind}.{}", files.claim, std::process::id()))
        };
        // Room for the ending is taken before anything can begin.
        let (status_path, lock_path) = (own("status"), own("lock"));
        let status = create(&status_path)?;
        posix_fallocate(&status, 0, i64::try_from(STATUS_FILE_BYTES).map_err(io::Error::other)?)?;
        let lock = lock_under(&lock_path, boot_id)?;

        // The one step that only one can do. The lock is held when its name appears.
        let linked = std::fs::hard_link(&lock_path, files.lock());
        std::fs::remove_file(&lock_path)?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&status_path)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        std::fs::rename(&status_path, files.status())?;
        let spool = create(&files.spool())?;
        // That the directory itself is not lost, whoever gave the orders has seen to.
        File::open(&files.directory)?.sync_all()?;
        Ok(Some(Self { files, spool, status, _lock: lock }))
    }

    /// Writes the ending down into the room that was taken for it, and answers what it wrote. From
    /// then on no end of this process loses it, and once [`Self::sync`] has returned, nothing does.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn write(&mut self, status: &Status) -> io::Result<Vec<u8>> {
        let text = serde_json::to_vec(status)?;
        if text.len() >= STATUS_FILE_BYTES {
            return Err(io::Error::other("the status is too long"));
        }
        self.status.write_all_at(&text, 0)?;
        Ok(text)
    }

    /// Makes the ending durable.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.status.sync_data()
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn lock_under(path: &Path, boot_id: &str) -> io::Result<Flock<File>> {
    let mut lock = Flock::lock(create(path)?, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno): (File, Errno)| io::Error::from(errno))?;
    let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let record = LockRecord { version: FORMAT_VERSION, pid, boot_id: boot_id.to_owned() };
    lock.write_all(&serde_json::to_vec(&record)?)?;
    Ok(lock)
}
