//! Fail points: places where a test lets the process die or stand still, only in builds with debug
//! assertions.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, raise};

/// The variable that names the fail point at which the process kills itself with SIGKILL.
pub const VARIABLE: &str = "EXECUTION_LEDGER_FAIL_AT";
/// The variable that names the fail point at which the process stops itself with SIGSTOP, the first
/// time that it gets there, until somebody sends it SIGCONT.
pub const PAUSE_VARIABLE: &str = "EXECUTION_LEDGER_PAUSE_AT";

static PAUSED: AtomicBool = AtomicBool::new(false);

/// Dies here as by SIGKILL, or stands still, if the environment names this point.
#[inline]
pub fn reach(point: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let is_named = |variable| std::env::var_os(variable).is_some_and(|named| named == point);
    if is_named(VARIABLE) {
        let _never_returns = raise(Signal::SIGKILL);
    }
    if is_named(PAUSE_VARIABLE) && !PAUSED.swap(true, Ordering::Relaxed) {
        // It fails only for a signal that does not exist.
        raise(Signal::SIGSTOP).unwrap_or_default();
    }
}
