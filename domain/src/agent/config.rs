//! An agent's settings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::runtime::Runtime;
use crate::ids::AgentName;
use crate::limits::agent as limit;
use crate::money::NanoUsd;

/// How a `command` agent is given its message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PromptBy {
    /// Appended as the last argument; nothing else is inserted.
    #[default]
    Argument,
    /// Written to its standard input, which is then closed.
    Stdin,
}

/// Where a secret is read from at each start. It is never stored.
///
/// In JSON `{"file": PATH}` or `{"variable": NAME}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", try_from = "SecretFields")]
pub enum SecretSource {
    /// The content of this file, without a trailing newline.
    File(String),
    /// This variable of the ledger's own environment.
    Variable(String),
}

/// Where a secret is read from: exactly one of the two.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecretFields {
    /// The content of this file, without a trailing newline.
    file: Option<String>,
    /// This variable of the ledger's own environment.
    variable: Option<String>,
}

impl TryFrom<SecretFields> for SecretSource {
    type Error = &'static str;

    fn try_from(fields: SecretFields) -> Result<Self, Self::Error> {
        match (fields.file, fields.variable) {
            (Some(file), None) => Ok(Self::File(file)),
            (None, Some(variable)) => Ok(Self::Variable(variable)),
            _ => Err("a secret comes from either a file or a variable: give one of the two"),
        }
    }
}

/// An agent's settings. Everything but the runtime has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Which program it is.
    pub runtime: Runtime,
    /// The program and its first arguments. Only `command` needs one: other runtimes have their own.
    #[serde(default)]
    pub command: Vec<String>,
    /// Where it runs: an absolute path. Without it, a work folder of its own outside the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables of its environment; none that looks like a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Variables whose values are read at each start and never stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_from: BTreeMap<String, SecretSource>,
    /// Variables of the ledger's own environment that it may have, beside the default ones.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub env_allow: BTreeSet<String>,
    /// The system user that it runs as. Without it, it has the ledger's own rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// How it is given its message.
    #[serde(default)]
    pub prompt: PromptBy,
    /// The models that callers may ask for; the first is the default. Empty: the runtime's own default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The tools that it may use; absent: the runtime's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// Whether callers may give a system prompt.
    #[serde(default)]
    pub allow_system_prompt: bool,
    /// The agents that its runs may call, beside itself.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub may_call: BTreeSet<AgentName>,
    /// How many executions run at once.
    #[serde(default = "parallel_default")]
    pub max_parallel_tasks: u32,
    /// How long a run may take, in seconds.
    #[serde(default = "timeout_default")]
    pub timeout_s: u64,
    /// How many executions may wait.
    #[serde(default = "queue_default")]
    pub queue_limit: u32,
    /// Between SIGINT and SIGKILL, in seconds.
    #[serde(default = "grace_default")]
    pub grace_s: u64,
    /// How many new attempts follow by themselves where a run fails for a reason that can pass.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_retries: u32,
    /// How long the first of them waits, in seconds; each further one waits twice as long, at most
    /// ten minutes.
    #[serde(default = "backoff_default", skip_serializing_if = "is_backoff_default")]
    pub retry_backoff_s: u64,
    /// What a run may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_nano_usd: Option<NanoUsd>,
    /// How many turns a run may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Memory of each process of a run, in bytes, where the system can limit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max_bytes: Option<u64>,
}

fn parallel_default() -> u32 {
    limit::PARALLEL_DEFAULT
}
fn timeout_default() -> u64 {
    limit::TIMEOUT_DEFAULT_S
}
fn queue_default() -> u32 {
    limit::QUEUE_DEFAULT
}
fn grace_default() -> u64 {
    limit::GRACE_DEFAULT_S
}
fn backoff_default() -> u64 {
    limit::RETRY_BACKOFF_DEFAULT_S
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_backoff_default(seconds: &u64) -> bool {
    *seconds == limit::RETRY_BACKOFF_DEFAULT_S
}

impl AgentConfig {
    /// The settings of an agent of that runtime, all else by default.
    pub fn of(runtime: Runtime, command: Vec<String>) -> Self {
        Self {
            runtime,
            command,
            cwd: None,
            env: BTreeMap::new(),
            env_from: BTreeMap::new(),
            env_allow: BTreeSet::new(),
            run_as: None,
            prompt: PromptBy::default(),
            models: Vec::new(),
            allowed_tools: None,
            allow_system_prompt: false,
            may_call: BTreeSet::new(),
            max_parallel_tasks: limit::PARALLEL_DEFAULT,
            timeout_s: limit::TIMEOUT_DEFAULT_S,
            queue_limit: limit::QUEUE_DEFAULT,
            grace_s: limit::GRACE_DEFAULT_S,
            max_retries: 0,
            retry_backoff_s: limit::RETRY_BACKOFF_DEFAULT_S,
            max_cost_nano_usd: None,
            max_turns: None,
            memory_max_bytes: None,
        }
    }
}
