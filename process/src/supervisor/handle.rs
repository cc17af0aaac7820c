//! The ledger's side of a supervisor: starting one, finding one again, signalling it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::sys::{pidfd_open, pidfd_send_signal, watch};
use crate::orders::{LockRecord, Orders, RunFiles, supervisor_signal};
use crate::status::{STATUS_FILE_BYTES, Status};

/// The program that becomes a supervisor: the one that is running, whatever its file is now.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// How often a lock is looked at again whose holder was seen dying.
const PROBE_ATTEMPTS: u32 = 40;
/// Between two looks at such a lock.
const PROBE_PAUSE: Duration = Duration::from_millis(5);
/// A lock record is never longer, in bytes.
const LOCK_RECORD_MAX_BYTES: u64 = 4096;

/// A supervisor that was seen alive. Dropping it neither stops nor loses the supervisor.
#[derive(Debug)]
pub struct Handle {
    pid: i32,
    pidfd: OwnedFd,
}

impl Handle {
    fn open(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, pidfd: pidfd_open(pid)? })
    }

    /// The supervisor's process id, for people; signals never go by it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until the supervisor has exited, and reaps it where it is a child of this process.
    ///
    /// # Errors
    /// Where the descriptor can't be watched, which says nothing about the supervisor.
    pub async fn exited(&self) -> io::Result<()> {
        // A duplicate, so that several can wait at once: a descriptor is registered only once.
        let watched = watch(self.pidfd.try_clone()?)?;
        let _ready = watched.readable().await?;
        self.reap();
        Ok(())
    }

    /// Sends one of [`supervisor_signal`]; false where the supervisor has exited.
    ///
    /// # Errors
    /// Where the signal is not permitted.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        match pidfd_send_signal(self.pidfd.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes an exited child's entry out of the process table. That it is no child of ours, or
    /// has not exited, is no error.
    fn reap(&self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        let _nothing_to_reap = waitid(Id::PIDFd(self.pidfd.as_fd()), flags);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.reap();
    }
}

/// What is known of one start of an execution.
#[derive(Debug)]
pub enum Probe {
    /// No supervisor has taken this claim: nothing was executed, so it may be started (again).
    NotStarted,
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

/// Why there is no supervisor to look after.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing was executed, and nothing will be.
    #[error("{0}")]
    NotStarted(#[source] io::Error),
    /// The supervisor was killed again, but it had its claim already and may have begun: what has
    /// become of the run, [`probe`] says.
    #[error("{0}; the run may have begun")]
    Uncertain(#[source] io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::NotStarted(error)
    }
}

/// Writes a run's orders and starts its supervisor: this very program, as `supervise`.
///
/// `stdin` is what the agent is given on standard input, `files` are more files to be made for it
/// (mode 0600). Nothing is synced: before the supervisor has locked and synced its claim, the run
/// has not begun and may be started again.
///
/// # Errors
/// [`StartError::NotStarted`] where a file can't be written or the process not started: then
/// nothing was executed. [`StartError::Uncertain`] where it was started and could not be watched.
/// In neither case does a supervisor live on.
pub fn start(
    runs: &Path,
    orders: &Orders,
    stdin: Option<&str>,
    files: &[(PathBuf, String)],
) -> Result<Handle, StartError> {
    start_program(Path::new(OWN_PROGRAM), runs, orders, stdin, files)
}

/// As [`start`], with the program that is the ledger: for programs that are not, such as tests.
///
/// # Errors
/// As [`start`].
pub fn start_program(
    program: &Path,
    runs: &Path,
    orders: &Orders,
    stdin: Option<&str>,
    files: &[(PathBuf, String)],
) -> Result<Handle, StartError> {
    let run = RunFiles::new(runs, orders.execution_id, orders.claim);
    DirBuilder::new().mode(0o700).recursive(true).create(&run.directory)?;
    if let Some(text) = stdin {
        write_private(&run.stdin(), text.as_bytes())?;
    }
    for (path, text) in files {
        write_private(path, text.as_bytes())?;
    }
    write_private(&run.orders(), &serde_json::to_vec(orders).map_err(io::Error::from)?)?;

    let mut command = Command::new(program);
    command
        .arg("supervise")
        .arg(runs)
        .arg(orders.execution_id.to_string())
        .arg(orders.claim.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = with_supervisor_signals_blocked(|| command.spawn())?;
    let opened = i32::try_from(child.id()).map_err(io::Error::other).and_then(Handle::open);
    opened.map_err(|error| undo_start(child, &run, error))
}

/// Ends a supervisor that can't be looked after, and its agent with it. Only once it is gone does
/// its lock say for good whether it had begun.
fn undo_start(mut child: Child, run: &RunFiles, error: io::Error) -> StartError {
    // It is our child and was not waited for, so its number is its own.
    let gone = child.kill().and_then(|()| child.wait());
    match (gone, run.lock().try_exists()) {
        (Ok(_), Ok(false)) => StartError::NotStarted(error),
        _ => StartError::Uncertain(error),
    }
}

/// A process inherits its starter's signal mask. Blocked from its first instant, a signal that
/// arrives before the supervisor listens waits for it instead of killing it.
fn with_supervisor_signals_blocked<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = supervisor_signals().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let result = act();
    before.thread_set_mask()?;
    result
}

/// The signals that tell a supervisor something.
pub(super) fn supervisor_signals() -> SigSet {
    [supervisor_signal::CANCEL, supervisor_signal::LEASE_LAPSED, supervisor_signal::HOST_SHUTDOWN]
        .into_iter()
        .collect()
}

/// Writes a whole file that only we may read. A reader sees all of it or none.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&temporary)?.write_all(bytes)?;
    std::fs::rename(&temporary, path)
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
        let record = read_lock_record(&lock)?;
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

/// Its content is not synced: after a power cut it may be empty.
fn read_lock_record(lock: &File) -> io::Result<Option<LockRecord>> {
    let mut text = Vec::new();
    lock.take(LOCK_RECORD_MAX_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
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
    let mut text = Vec::new();
    file.take(STATUS_FILE_BYTES as u64).read_to_end(&mut text)?;
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    Ok(serde_json::from_slice(&text[..end]).ok())
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::{ClaimId, ExecutionId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_supervisor_that_cannot_be_watched_is_ended_and_its_lock_says_whether_it_had_begun() {
        let directory = tempfile::tempdir().expect("a directory");
        let run =
            RunFiles::new(directory.path(), ExecutionId(Uuid::now_v7()), ClaimId(Uuid::now_v7()));
        std::fs::create_dir_all(&run.directory).expect("made");
        for begun in [false, true] {
            if begun {
                File::create(run.lock()).expect("made");
            }
            let child = Command::new("sleep").arg("600").spawn().expect("started");
            let pid = i32::try_from(child.id()).expect("a pid");
            let error = undo_start(child, &run, Errno::EMFILE.into());
            assert_eq!(matches!(error, StartError::Uncertain(_)), begun, "{error}");
            assert!(Handle::open(pid).is_err(), "it lives on");
        }
    }
}
