//! What the ledger knows of each kind of agent: how it is started ([`plan`]) and what its output
//! says ([`read`]), also while it runs ([`Meter`]).
//!
//! All are pure: the caller starts the process, keeps its output and makes an ending of the
//! reading. A new runtime is a new file with these two functions and a line in each `match` here,
//! and a line in each `match` of [`Runtime`].

mod claude_code;
mod codex;
mod command;
mod counted;
pub mod demo;
mod gemini;
mod lenient;
mod meter;
mod opencode;
mod plan;
mod progress;
mod reading;
mod spent;
mod stream_json;
#[cfg(test)]
mod tests;
mod text;
mod tokens;

use execution_ledger_domain::agent::{AgentConfig, Runtime};

pub use command::RESPONSE_TAIL_MAX_BYTES;
pub use counted::Pricing;
pub use meter::Meter;
pub use plan::{Plan, PlanError, RunRequest};
pub use progress::{Part, PartKind, progress};
pub use reading::{Ended, JOINED_LINE_MAX_BYTES, ReadEvidence, Reading, STDERR_TAIL_MAX_BYTES};

use crate::transcript::Line;

/// How the agent's process is to be started for this run.
///
/// # Errors
/// [`PlanError::MessageTooLong`] where the message can only be an argument and is too long for one;
/// [`PlanError::Unkeepable`] where the run has a limit that its program can't be held to.
pub fn plan(config: &AgentConfig, run: &RunRequest<'_>) -> Result<Plan, PlanError> {
    plan::keepable(config.runtime, run)?;
    match config.runtime {
        Runtime::Command => command::plan(config, run),
        Runtime::ClaudeCode => Ok(claude_code::plan(config, run)),
        Runtime::Codex => Ok(codex::plan(config, run)),
        Runtime::Gemini => Ok(gemini::plan(config, run)),
        Runtime::Opencode => Ok(opencode::plan(config, run)),
        Runtime::Demo => Ok(demo::plan(run)),
    }
}

/// What a run's output says, in memory that does not grow with the output.
///
/// `lines` are all lines of the transcript in order. Nothing in them makes this fail: what can't
/// be understood is passed over.
pub fn read(
    runtime: Runtime,
    lines: impl IntoIterator<Item = Line>,
    ended: &Ended,
    pricing: &Pricing<'_>,
) -> Reading {
    match runtime {
        Runtime::Command => command::read(lines, ended),
        Runtime::ClaudeCode => stream_json::read(lines, ended, pricing),
        Runtime::Codex => codex::read(lines, ended, pricing),
        Runtime::Gemini => gemini::read(lines, ended, pricing),
        Runtime::Opencode => opencode::read(lines, ended),
        Runtime::Demo => demo::read(lines, ended, pricing),
    }
}
