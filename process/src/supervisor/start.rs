//! The ledger's side of a start: a process that waits for orders, and the orders.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use execution_ledger_domain::ExecutionId;
use nix::sys::signal::{SigSet, SigmaskHow};

use super::channel::framed;
use super::handle::Handle;
use super::title::NOBODY;
use crate::orders::{Orders, RunFiles, supervisor_signal};

/// The program that becomes a supervisor: the one that is running, whatever its file is now.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// How long a supervisor may take to read orders that are longer than its line holds.
const ORDERS_PATIENCE: Duration = Duration::from_secs(10);

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

/// A run's directory, whose name survives a power cut. The supervisor relies on that and syncs only
/// what it makes inside, before it executes anything.
#[derive(Debug)]
pub struct Room(ExecutionId);

/// Starts supervisors, and has one ready that waits for its orders: to start a process costs more than
/// a millisecond, which nobody waits for then.
///
/// The one that waits has nothing of the ledger but one end of a line, and is no run: it has taken no
/// claim and made no file. It ends when the ledger does, so it is never older than the ledger's own
/// program. Everything that makes a run what it is comes with the orders.
#[derive(Debug)]
pub struct Starter {
    program: PathBuf,
    runs: PathBuf,
    spare: Mutex<Option<Waiting>>,
    /// Held by whoever makes a new one.
    preparing: Mutex<()>,
}

impl Starter {
    /// Of supervisors that are this very program, for runs below this directory.
    pub fn new(runs: PathBuf) -> Self {
        Self::of_program(PathBuf::from(OWN_PROGRAM), runs)
    }

    /// As [`Self::new`], with the program that is the ledger: for programs that are not, such as
    /// tests.
    pub fn of_program(program: PathBuf, runs: PathBuf) -> Self {
        Self { program, runs, spare: Mutex::new(None), preparing: Mutex::new(()) }
    }

    /// Makes the directory of a run durable. It may be done before the claim is won: an empty directory
    /// says nothing. It blocks for as long as the disk takes.
    ///
    /// # Errors
    /// Where the directory can't be made or synced.
    pub fn make_room(&self, execution: ExecutionId) -> io::Result<Room> {
        let directory = self.runs.join(execution.to_string());
        DirBuilder::new().mode(0o700).recursive(true).create(directory)?;
        File::open(&self.runs)?.sync_all()?;
        Ok(Room(execution))
    }

    /// Gives a run's orders to the supervisor that waits, or to one that is started now.
    ///
    /// `stdin` is what the agent is given on standard input, `files` are more files to be made for it
    /// (mode 0600). Nothing is synced: before the supervisor has locked and synced its claim, the run
    /// has not begun and may be started again. It blocks for a moment.
    ///
    /// # Errors
    /// [`StartError::NotStarted`] where a file can't be written or the process not started: then
    /// nothing was executed. [`StartError::Uncertain`] where it was started and could not be watched.
    /// In neither case does a supervisor live on.
    pub fn start(
        &self,
        room: &Room,
        orders: &Orders,
        stdin: Option<&str>,
        files: &[(PathBuf, String)],
    ) -> Result<Handle, StartError> {
        if room.0 != orders.execution_id {
            return Err(io::Error::other("its room is another run's").into());
        }
        let run = RunFiles::new(&self.runs, orders.execution_id, orders.claim);
        make_files(&run, stdin, files)?;
        let frame = framed(orders)?;
        if let Some(spare) = self.take() {
            match spare.give(&run, &frame) {
                // Somebody ended it while it waited.
                Err(StartError::NotStarted(error)) => {
                    tracing::debug!(%error, "the spare supervisor takes no orders");
                }
                done => return done,
            }
        }
        Waiting::start(&self.program, &self.runs)?.give(&run, &frame)
    }

    /// Sees to it that one waits for the next start. It blocks for as long as a process takes to
    /// start; should none start, the next run tries for itself.
    pub fn prepare(&self) {
        // Whoever is at it already does it for all.
        let Ok(_preparing) = self.preparing.try_lock() else { return };
        if self.slot().is_some() {
            return;
        }
        match Waiting::start(&self.program, &self.runs) {
            Ok(waiting) => *self.slot() = Some(waiting),
            Err(error) => tracing::debug!(%error, "no spare supervisor could be started"),
        }
    }

    fn take(&self) -> Option<Waiting> {
        self.slot().take()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        if let Some(spare) = self.take() {
            spare.dismiss();
        }
    }
}

/// Starts one supervisor of this program for these orders: for programs that are not the ledger, such
/// as tests.
///
/// # Errors
/// As [`Starter::start`].
pub fn start_program(
    program: &Path,
    runs: &Path,
    orders: &Orders,
    stdin: Option<&str>,
    files: &[(PathBuf, String)],
) -> Result<Handle, StartError> {
    let starter = Starter::of_program(program.to_owned(), runs.to_owned());
    let room = starter.make_room(orders.execution_id)?;
    starter.start(&room, orders, stdin, files)
}

/// A process that becomes a supervisor once it has orders.
#[derive(Debug)]
struct Waiting {
    child: Child,
    line: UnixStream,
}

impl Waiting {
    fn start(program: &Path, runs: &Path) -> io::Result<Self> {
        // Both are closed in whatever else is executed, so the line ends with its two ends.
        let (line, theirs) = UnixStream::pair()?;
        line.set_write_timeout(Some(ORDERS_PATIENCE))?;
        let mut command = Command::new(program);
        command
            .arg("supervise")
            .arg(runs)
            .args([NOBODY, NOBODY])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = with_supervisor_signals_blocked(|| command.spawn())?;
        Ok(Self { child, line })
    }

    /// Gives it its orders. Without the last byte of them it does nothing.
    fn give(mut self, run: &RunFiles, frame: &[u8]) -> Result<Handle, StartError> {
        let given = self.line.write_all(frame);
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other);
        match given.and(pid).and_then(Handle::open) {
            Ok(handle) => Ok(handle.listening(self.line)),
            Err(error) => Err(undo_start(self.child, run, error)),
        }
    }

    /// Ends it without orders.
    fn dismiss(mut self) {
        drop(self.line);
        // Without orders there is nothing that it could leave half done.
        let killed = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = killed {
            tracing::debug!(%error, "the spare supervisor was gone");
        }
    }
}

fn make_files(run: &RunFiles, stdin: Option<&str>, files: &[(PathBuf, String)]) -> io::Result<()> {
    if let Some(text) = stdin {
        write_private(&run.stdin(), text.as_bytes())?;
    }
    files.iter().try_for_each(|(path, text)| write_private(path, text.as_bytes()))
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
    let before = supervisor_signals().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let result = act();
    before.thread_set_mask()?;
    result
}

/// The signals that tell a supervisor something.
pub(super) fn supervisor_signals() -> SigSet {
    [
        supervisor_signal::CANCEL,
        supervisor_signal::LEASE_LAPSED,
        supervisor_signal::HOST_SHUTDOWN,
        supervisor_signal::MAX_COST,
    ]
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

#[cfg(test)]
mod tests {
    use execution_ledger_domain::ClaimId;
    use nix::errno::Errno;
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
