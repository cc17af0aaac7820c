//! The binary `execution-ledger`: the server, its command line, and, hidden, the process that
//! supervises one run and the simulated agent.

mod cli;
mod client;
mod compose;
mod config;
mod output;
mod telemetry;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Parser;
use execution_ledger_process::{runtimes, supervisor};

/// Hidden subcommand: supervises one run. It is started for each run, so nothing that costs time
/// or threads may come before it.
const SUPERVISE: &str = "supervise";
/// Hidden subcommand: the simulated agent of the runtime `demo`.
const DEMO_AGENT: &str = "demo-agent";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.is_none() {
        return cli::first_steps().into();
    }
    match first.as_deref().and_then(OsStr::to_str) {
        Some(SUPERVISE) => supervisor::main(arguments),
        Some(DEMO_AGENT) => {
            let message = arguments.next();
            runtimes::demo::main(message.as_deref().map(OsStr::to_string_lossy).as_deref())
        }
        _ => command_line(),
    }
}

fn command_line() -> ExitCode {
    // Wrong usage ends here, with exit code 2; help and version with 0.
    cli::Cli::parse().execute().into()
}
