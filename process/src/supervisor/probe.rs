//! Finding out how a claim stands, from its files alone.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::handle::Handle;
use crate::orders::{LockRecord, RunFiles, SealRecord};
use crate::status::{STATUS_FILE_BYTES, Status};

/// How often a lock is looked at again whose holder was seen dying.
const PROBE_ATTEMPTS: u32 = 40;
/// Between two looks at such a lock.
const PROBE_PAUSE: Duration = Duration::from_millis(5);
/// A lock record is never longer, in bytes.
const LOCK_RECORD_MAX_BYTES: u64 = 4096;

/// What is known of one start of an execution.
#[derive(Debug)]
pub enum Probe {
    /// No supervisor has taken this claim: nothing was executed, so it may be started (again).
    NotStarted,
    /// It was given up before any supervisor had taken it: nothing was executed, and nothing will be.
    Sealed,
    /// Its supervisor lives.
    Alive(Handle),
    /// It has ended, and its supervisor said how.
    Finished(Box<Status>),
    /// Its supervisor is gone and left no status.
    Lost {
        /// Whether the host was started anew since.
        other_boot: bool,
    },
}

/// What has become of one start of an execution.
///
/// # Errors
/// Where the files can't be read, which says nothing about the run.
pub fn probe(run: &RunFiles) -> io::Result<Probe> {
    for _ in 0..PROBE_ATTEMPTS {
        let lock = match File::open(run.lock()) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Probe::NotStarted),
            Err(error) => return Err(error),
        };
        let text = read_record(&lock)?;
        if serde_json::from_slice::<SealRecord>(&text).is_ok() {
            return Ok(Probe::Sealed);
        }
        // It is not synced: after a power cut it may be empty.
        let record = serde_json::from_slice(&text).ok();
        if !is_held(lock)? {
            return ended(run, record);
        }
        if let Some(record) = record
            && let Some(handle) = living(run, &record)?
        {
            return Ok(Probe::Alive(handle));
        }
        // It was dying while we looked, and its lock goes with it.
        std::thread::sleep(PROBE_PAUSE);
    }
    Err(io::Error::other(format!("{}: held by no living process", run.lock().display())))
}

/// The holder of the lock. It was alive after its descriptor was opened, for the lock was held
/// still, so the descriptor is not of a later process with the same number.
fn living(run: &RunFiles, record: &LockRecord) -> io::Result<Option<Handle>> {
    let handle = match Handle::open(record.pid) {
        Ok(handle) => handle,
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(is_held(File::open(run.lock())?)?.then_some(handle))
}

/// Whether anybody holds the lock. Asked with a shared lock, so that two askers don't meet.
fn is_held(lock: File) -> io::Result<bool> {
    match Flock::lock(lock, FlockArg::LockSharedNonblock) {
        Ok(_free) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, errno)) => Err(errno.into()),
    }
}

fn read_record(lock: &File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    lock.take(LOCK_RECORD_MAX_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

fn ended(run: &RunFiles, record: Option<LockRecord>) -> io::Result<Probe> {
    if let Some(status) = read_status(&run.status())? {
        return Ok(Probe::Finished(Box::new(status)));
    }
    let other_boot = match record {
        Some(record) => record.boot_id != super::boot_id()?,
        None => true,
    };
    Ok(Probe::Lost { other_boot })
}

/// The status of a run, if its supervisor wrote one.
///
/// # Errors
/// Where the file can't be read.
pub fn read_status(path: &Path) -> io::Result<Option<Status>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::with_capacity(STATUS_FILE_BYTES);
    file.take(STATUS_FILE_BYTES as u64).read_to_end(&mut text)?;
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    Ok(serde_json::from_slice(&text[..end]).ok())
}
