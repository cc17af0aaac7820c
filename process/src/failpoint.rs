//! Fail points: places where a test lets the process die, only in builds with debug assertions.

/// The variable that names the fail point at which the process kills itself with SIGKILL.
pub const VARIABLE: &str = "EXECUTION_LEDGER_FAIL_AT";

/// Dies here, as by SIGKILL, if the environment names this point.
#[inline]
pub fn reach(point: &str) {
    if cfg!(debug_assertions) && std::env::var_os(VARIABLE).is_some_and(|named| named == point) {
        let _never_returns = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}
