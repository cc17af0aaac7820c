//! This test program again, as a process of its own that can be killed or limited.

use std::process::{Command, Stdio};

/// Names the log that a child is to work on; only children have it.
const LOG: &str = "EXECUTION_LEDGER_TEST_CHILD_LOG";

/// The log to work on, where this process is such a child.
pub fn log_of_child() -> Option<std::path::PathBuf> {
    std::env::var_os(LOG).map(Into::into)
}

/// This program, running only the test of that name, as a child that works on a log. Writes beyond
/// a limit of its files' size fail in it, instead of killing it.
pub fn child(test: &str, log: &std::path::Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(LOG, log)
        .stdout(Stdio::piped());
    command
}
