//! One small process for each run. It outlives the ledger, starts the agent, reads what it
//! prints, stops it in time, and writes down how it ended.

mod handle;
mod sys;

use std::ffi::OsString;
use std::io;

use execution_ledger_domain::ExecutionId;

pub use handle::{Handle, Probe, probe, read_status, start, start_program};

/// Becomes the supervisor of one run: `RUNS_DIR EXECUTION_ID CLAIM`.
pub fn main(args: impl Iterator<Item = OsString>) -> ! {
    drop(args);
    std::process::exit(2)
}

/// Kills what a lost supervisor left of a run, found by [`crate::orders::MARKER_VARIABLE`].
/// Answers how many processes that were.
///
/// # Errors
/// Where `/proc` can't be read.
pub fn kill_leftovers(_execution_id: ExecutionId) -> io::Result<u32> {
    Ok(0)
}

/// Which boot of the host this is.
fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
