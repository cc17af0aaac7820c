//! One small process for each run. It outlives the ledger, starts the agent, reads what it
//! prints, stops it in time, and writes down how it ended.
//!
//! It has one thread and no runtime: the agent is to die with it, and the signal that sees to
//! that (`PR_SET_PDEATHSIG`) fires when the *thread* ends that started the agent.

mod channel;
mod child;
mod claim;
mod environment;
mod handle;
mod output;
mod probe;
mod run;
mod spool;
mod start;
mod sys;
mod title;
mod tree;
mod watch;

use std::ffi::{CStr, OsString, c_int};
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

pub use claim::seal;
pub use handle::{Handle, News};
pub use probe::{Probe, probe, read_status};
pub use start::{Room, StartError, Starter, start_program};
pub(crate) use sys::since_boot;
pub use tree::kill_leftovers;

use crate::orders::{FORMAT_VERSION, RunFiles};
use channel::Channel;
use claim::Claim;
use title::Title;

/// The name of a supervisor of a run in the process table: at most 15 bytes.
const NAME_OF_A_RUN: &CStr = c"ledger-run";
/// The name of one that waits for its orders.
const NAME_OF_A_SPARE: &CStr = c"ledger-spare";
/// Exit code where nothing was executed and nothing written: the claim is free.
const EXIT_NOT_STARTED: c_int = 3;
/// Exit code for arguments that only a person can have got wrong.
const EXIT_USAGE: c_int = 2;

/// Becomes the supervisor of one run below `RUNS_DIR`: its orders come by its standard input. The two
/// arguments after it are only for the process table: places that will name the execution and the
/// claim. To be called before the process has a second thread.
///
/// Exits with 0 when the run's status is written, another supervisor has this claim, the claim was
/// given up, or there were no orders.
pub fn main(args: impl Iterator<Item = OsString>) -> ! {
    let Some(runs) = runs_of(args) else {
        eprintln!("usage: execution-ledger supervise RUNS_DIR - -  (orders on standard input)");
        std::process::exit(EXIT_USAGE)
    };
    let code = match supervise(&runs) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("execution-ledger supervise: {error}");
            EXIT_NOT_STARTED
        }
    };
    std::process::exit(code)
}

fn runs_of(mut args: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let runs = PathBuf::from(args.next()?);
    let places = args.count();
    (places == 2).then_some(runs)
}

fn supervise(runs: &Path) -> io::Result<()> {
    // All that does not depend on the orders comes before them: they may be waited for.
    let signals = listen()?;
    let mut channel = Channel::of_stdin()?;
    let (boot_id, title) = (boot_id()?, Title::find());
    nix::sys::prctl::set_child_subreaper(true)?;
    let Some(orders) = channel.orders(&signals)? else { return Ok(()) };
    nix::sys::prctl::set_name(NAME_OF_A_RUN)?;
    title.show(orders.execution_id, orders.claim);
    if orders.version != FORMAT_VERSION {
        return Err(io::Error::other(format!("orders of version {}", orders.version)));
    }
    let files = RunFiles::new(runs, orders.execution_id, orders.claim);
    crate::failpoint::reach("supervisor.ordered");
    let Some(mut claim) = Claim::take(files, &boot_id)? else { return Ok(()) };
    crate::failpoint::reach("supervisor.locked");
    let status = run::run(&orders, &mut claim, &signals, &channel)?;
    let text = claim.write(&status)?;
    // While the status is being synced, the ledger makes an event of it, which is synced as well: the
    // ending is as durable as the faster of the two.
    channel.tell(&text);
    claim.sync()?;
    crate::failpoint::reach("supervisor.status_written");
    Ok(())
}

/// Leaves the ledger's session and terminal, and has the signals that are told to it read from a
/// descriptor instead.
fn listen() -> io::Result<SignalFd> {
    // It fails only where this process leads a session already, which is as good.
    nix::unistd::setsid().map(drop).unwrap_or_default();
    nix::sys::prctl::set_name(NAME_OF_A_SPARE)?;
    // Whoever ignores SIGCHLD never learns how a child ended.
    child::obey_all_signals()?;
    let mut signals = start::supervisor_signals();
    signals.add(Signal::SIGCHLD);
    // Blocked means ignored for these three: nobody reads them. That the ledger is gone is seen as an
    // error of the line.
    let mut blocked = signals;
    blocked.add(Signal::SIGPIPE);
    blocked.add(Signal::SIGHUP);
    blocked.add(Signal::SIGINT);
    blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Which boot of the host this is.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
