//! What it takes to start an agent for one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use execution_ledger_domain::agent::{AgentConfig, Runtime};
use execution_ledger_domain::limits::MESSAGE_AS_ARGUMENT_MAX_BYTES;
use execution_ledger_domain::{ExecutionId, NanoUsd};

/// The name by which a run knows the ledger as an MCP server.
pub(super) const MCP_SERVER: &str = "execution-ledger";

/// What one run is asked to do, after the caller's wishes were narrowed to what the agent permits.
///
/// Where a wish is absent, the agent's own setting holds.
#[derive(Clone, Copy, Debug)]
pub struct RunRequest<'a> {
    /// Which execution.
    pub execution_id: ExecutionId,
    /// The task's text, as it is stored.
    pub message: &'a str,
    /// The model to use.
    pub model: Option<&'a str>,
    /// The tools that it may use without asking; an empty list is none.
    pub allowed_tools: Option<&'a [String]>,
    /// Text that is added to the agent's system prompt.
    pub system_prompt: Option<&'a str>,
    /// How many turns it may take.
    pub max_turns: Option<u32>,
    /// The agent's own session that it continues.
    pub resume_session_id: Option<&'a str>,
    /// What it may cost.
    pub max_cost: Option<NanoUsd>,
    /// Where its MCP configuration is to lie; used where `has_mcp` is set.
    pub mcp_config_path: &'a Path,
    /// Where the run reaches the ledger, without a trailing slash.
    pub ledger_url: &'a str,
    /// Whether the ledger answers MCP, so that the run can be given it.
    pub has_mcp: bool,
}

/// How an agent's process is to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The program and all its arguments.
    pub argv: Vec<String>,
    /// Variables that its runtime needs. The agent's own `env` may replace them.
    pub env: BTreeMap<String, String>,
    /// What stands on its standard input; without it /dev/null.
    pub stdin: Option<String>,
    /// Files that it reads, to be written with mode 0600 before it starts and removed after its end.
    pub files: Vec<(PathBuf, String)>,
    /// Variables of the ledger's own environment that its runtime needs, where they are set.
    pub env_allow: Vec<String>,
}

/// Why a run can't be started as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The message is passed as an argument and is too long for one.
    #[error(
        "the message is {bytes} bytes long; as an argument it can have at most {MESSAGE_AS_ARGUMENT_MAX_BYTES}"
    )]
    MessageTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The agent names no program.
    #[error("the agent's command is empty")]
    NoCommand,
    /// The run was accepted with a limit that its agent's program has no means to keep.
    #[error("the runtime {runtime} has no means to {to}", runtime = .runtime.as_str())]
    Unkeepable {
        /// The agent's runtime.
        runtime: Runtime,
        /// What it would have to do.
        to: &'static str,
    },
}

/// Refuses what was accepted while the agent was another program. The tasks' own checks refuse it
/// for the program that the agent is at submission.
///
/// # Errors
/// [`PlanError::Unkeepable`] for the first such wish.
pub(super) fn keepable(runtime: Runtime, run: &RunRequest<'_>) -> Result<(), PlanError> {
    let to = if run.allowed_tools.is_some() && !runtime.narrows_tools() {
        "keep a run to a list of tools"
    } else if run.max_turns.is_some() && !runtime.limits_turns() {
        "limit the turns of one run"
    } else if run.system_prompt.is_some() && !runtime.takes_system_prompt() {
        "add to its system prompt"
    } else {
        return Ok(());
    };
    Err(PlanError::Unkeepable { runtime, to })
}

/// The program and its first arguments: the agent's own, or the runtime's by its name.
pub(super) fn program(config: &AgentConfig, runtime: Runtime) -> Vec<String> {
    if config.command.is_empty() {
        runtime.program().map(str::to_owned).into_iter().collect()
    } else {
        config.command.clone()
    }
}

/// The argument that names a run's model: the one that was asked for, or the agent's first.
pub(super) fn model_argument(config: &AgentConfig, run: &RunRequest<'_>) -> Option<String> {
    let model = run.model.or(config.models.first().map(String::as_str));
    model.map(|model| format!("--model={model}"))
}

/// The message, if it can be one argument.
///
/// # Errors
/// [`PlanError::MessageTooLong`] beyond [`MESSAGE_AS_ARGUMENT_MAX_BYTES`].
pub(super) fn as_argument(message: &str) -> Result<String, PlanError> {
    if message.len() <= MESSAGE_AS_ARGUMENT_MAX_BYTES {
        Ok(message.to_owned())
    } else {
        Err(PlanError::MessageTooLong { bytes: message.len() })
    }
}
