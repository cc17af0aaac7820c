//! One small process for each run. It outlives the ledger, starts the agent, reads what it
//! prints, stops it in time, and writes down how it ended.
//!
//! It has one thread and no runtime: the agent is to die with it, and the signal that sees to
//! that (`PR_SET_PDEATHSIG`) fires when the *thread* ends that started the agent.

mod child;
mod claim;
mod environment;
mod handle;
mod output;
mod run;
mod spool;
mod sys;
mod tree;
mod watch;

use std::ffi::{OsString, c_int};
use std::io;
use std::path::PathBuf;

use execution_ledger_domain::{ClaimId, ExecutionId};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

pub use handle::{Handle, Probe, StartError, probe, read_status, start, start_program};
pub use tree::kill_leftovers;

use crate::orders::{FORMAT_VERSION, Orders, RunFiles};
use claim::Claim;

/// The name under which a supervisor appears in the process table: at most 15 bytes.
const PROCESS_NAME: &std::ffi::CStr = c"ledger-run";
/// Exit code where nothing was executed and nothing written: the claim is free.
const EXIT_NOT_STARTED: c_int = 3;
/// Exit code for arguments that only a person can have got wrong.
const EXIT_USAGE: c_int = 2;

/// Becomes the supervisor of one run: `RUNS_DIR EXECUTION_ID CLAIM`. To be called before the
/// process has a second thread. Exits with 0 when the run's status is written, or another
/// supervisor has this claim.
pub fn main(args: impl Iterator<Item = OsString>) -> ! {
    let Some((runs, run)) = arguments(args) else {
        eprintln!("usage: execution-ledger supervise RUNS_DIR EXECUTION_ID CLAIM");
        std::process::exit(EXIT_USAGE)
    };
    let code = match supervise(&runs, run) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("execution-ledger supervise: {error}");
            EXIT_NOT_STARTED
        }
    };
    std::process::exit(code)
}

fn arguments(mut args: impl Iterator<Item = OsString>) -> Option<(PathBuf, RunFiles)> {
    let runs = PathBuf::from(args.next()?);
    let execution: ExecutionId = args.next()?.to_str()?.parse().ok()?;
    let claim: ClaimId = args.next()?.to_str()?.parse().ok()?;
    let run = RunFiles::new(&runs, execution, claim);
    args.next().is_none().then_some((runs, run))
}

fn supervise(runs: &std::path::Path, files: RunFiles) -> io::Result<()> {
    let signals = listen()?;
    let orders: Orders = match std::fs::read(files.orders()) {
        Ok(text) => serde_json::from_slice(&text)?,
        // Whoever has the claim has read and deleted them.
        Err(error) if error.kind() == io::ErrorKind::NotFound && files.lock().exists() => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if orders.version != FORMAT_VERSION {
        return Err(io::Error::other(format!("orders of version {}", orders.version)));
    }
    let Some(mut claim) = Claim::take(runs, files, &boot_id()?)? else { return Ok(()) };
    crate::failpoint::reach("supervisor.locked");
    // Should this fail, the file stays as private as it was until the run's directory goes.
    std::fs::remove_file(claim.files.orders()).unwrap_or_default();
    nix::sys::prctl::set_child_subreaper(true)?;
    let status = run::run(&orders, &mut claim, &signals)?;
    claim.finish(&status)?;
    crate::failpoint::reach("supervisor.status_written");
    Ok(())
}

/// Leaves the ledger's session and terminal, and blocks the signals that are read from a
/// descriptor instead.
fn listen() -> io::Result<SigSet> {
    // It fails only where this process leads a session already, which is as good.
    nix::unistd::setsid().map(drop).unwrap_or_default();
    nix::sys::prctl::set_name(PROCESS_NAME)?;
    let mut signals = handle::supervisor_signals();
    signals.add(Signal::SIGCHLD);
    // Blocked means ignored for these two: nobody reads them.
    let mut blocked = signals;
    blocked.add(Signal::SIGHUP);
    blocked.add(Signal::SIGINT);
    blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    Ok(signals)
}

/// Which boot of the host this is.
fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
