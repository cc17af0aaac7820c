//! An agent's settings and their limits.

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

/// Which setting breaks which limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigError {
    /// The setting.
    pub field: &'static str,
    /// What is wrong with it and what it may be.
    pub problem: String,
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

    /// Whether every setting is within its limits; the first that is not is named.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_command()?;
        self.check_runtime()?;
        self.check_environment()?;
        within(
            "max_parallel_tasks",
            self.max_parallel_tasks.into(),
            1,
            limit::PARALLEL_MAX.into(),
        )?;
        within("timeout_s", self.timeout_s, 1, limit::TIMEOUT_MAX_S)?;
        within("queue_limit", self.queue_limit.into(), 0, limit::QUEUE_MAX.into())?;
        within("grace_s", self.grace_s, 0, limit::GRACE_MAX_S)?;
        within("max_retries", self.max_retries.into(), 0, limit::RETRIES_MAX.into())?;
        within("retry_backoff_s", self.retry_backoff_s, 0, limit::RETRY_BACKOFF_MAX_S)?;
        if let Some(turns) = self.max_turns {
            within("max_turns", turns.into(), 1, limit::TURNS_MAX.into())?;
        }
        if let Some(bytes) = self.memory_max_bytes {
            let (least, most) = (limit::MEMORY_MIN_BYTES, limit::MEMORY_MAX_BYTES);
            within("memory_max_bytes", bytes, least, most)?;
        }
        if self.max_cost_nano_usd.is_some_and(|cost| cost <= NanoUsd::ZERO) {
            return refuse("max_cost_usd", "must be more than 0".to_owned());
        }
        words("models", &self.models)?;
        words("allowed_tools", self.allowed_tools.as_deref().unwrap_or_default())?;
        at_most("may_call", self.may_call.len())
    }

    fn check_command(&self) -> Result<(), ConfigError> {
        if self.runtime == Runtime::Command && self.command.is_empty() {
            return refuse("command", "the runtime command needs a program to run".to_owned());
        }
        if self.runtime == Runtime::Demo && !self.command.is_empty() {
            return refuse("command", "the runtime demo brings its own".to_owned());
        }
        if self.command.len() > limit::COMMAND_MAX_WORDS {
            return refuse("command", format!("at most {} words", limit::COMMAND_MAX_WORDS));
        }
        if self.command.first().is_some_and(String::is_empty) {
            return refuse(
                "command",
                "the first word is the program and can't be empty".to_owned(),
            );
        }
        for argument in &self.command {
            word("command", argument, true)?;
        }
        if let Some(cwd) = &self.cwd {
            word("cwd", cwd, false)?;
            if !cwd.starts_with('/') {
                return refuse("cwd", "must be an absolute path".to_owned());
            }
        }
        if let Some(user) = &self.run_as {
            word("run_as", user, false)?;
        }
        Ok(())
    }

    /// A setting that the program has no means to keep is refused: it would be believed to hold.
    fn check_runtime(&self) -> Result<(), ConfigError> {
        let runtime = self.runtime;
        let none = |what: &str| format!("the runtime {} has no means to {what}", runtime.as_str());
        if self.allowed_tools.is_some() && !runtime.narrows_tools() {
            return refuse("allowed_tools", none("keep a run to a list of tools"));
        }
        if self.max_turns.is_some() && !runtime.limits_turns() {
            return refuse("max_turns", none("limit the turns of one run"));
        }
        if self.allow_system_prompt && !runtime.takes_system_prompt() {
            return refuse("allow_system_prompt", none("add to its system prompt"));
        }
        let given = self.env.keys().chain(self.env_from.keys()).chain(&self.env_allow);
        match given.into_iter().find(|name| runtime.reserves(name)) {
            Some(name) => refuse("env", format!("{name} is set by the ledger: see allowed_tools")),
            None => Ok(()),
        }
    }

    fn check_environment(&self) -> Result<(), ConfigError> {
        at_most("env", self.env.len())?;
        at_most("env_from", self.env_from.len())?;
        at_most("env_allow", self.env_allow.len())?;
        for (name, value) in &self.env {
            variable("env", name)?;
            word("env", value, true)?;
            if is_secret_name(name) && !value.is_empty() {
                return refuse(
                    "env",
                    format!(
                        "{name} is named like a secret: give it by env_from, which is never stored"
                    ),
                );
            }
        }
        for (name, source) in &self.env_from {
            variable("env_from", name)?;
            match source {
                SecretSource::File(path) => {
                    word("env_from", path, false)?;
                    if !path.starts_with('/') {
                        return refuse(
                            "env_from",
                            format!("{name}: the file must be an absolute path"),
                        );
                    }
                }
                SecretSource::Variable(from) => variable("env_from", from)?,
            }
        }
        self.env_allow.iter().try_for_each(|name| variable("env_allow", name))
    }
}

/// Whether a variable of this name usually holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 8] =
        ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "APIKEY", "PRIVATE_KEY"];
    let upper = name.to_ascii_uppercase();
    PARTS.iter().any(|part| upper.contains(part)) || upper.ends_with("_KEY") || upper == "KEY"
}

fn refuse(field: &'static str, problem: String) -> Result<(), ConfigError> {
    Err(ConfigError { field, problem })
}

fn within(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        refuse(field, format!("{value} is not between {least} and {most}"))
    }
}

fn at_most(field: &'static str, entries: usize) -> Result<(), ConfigError> {
    if entries <= limit::LIST_MAX {
        Ok(())
    } else {
        refuse(field, format!("{entries} entries are more than {}", limit::LIST_MAX))
    }
}

fn word(field: &'static str, text: &str, may_be_empty: bool) -> Result<(), ConfigError> {
    if text.len() > limit::WORD_MAX_BYTES {
        return refuse(field, format!("at most {} bytes each", limit::WORD_MAX_BYTES));
    }
    if text.contains('\0') || (text.is_empty() && !may_be_empty) {
        return refuse(field, "must not be empty or contain a NUL character".to_owned());
    }
    Ok(())
}

fn words(field: &'static str, texts: &[String]) -> Result<(), ConfigError> {
    at_most(field, texts.len())?;
    for text in texts {
        word(field, text, false)?;
        if text.starts_with('-') {
            return refuse(
                field,
                format!("{text:?} begins with '-' and would be read as an option"),
            );
        }
    }
    Ok(())
}

fn variable(field: &'static str, name: &str) -> Result<(), ConfigError> {
    let mut bytes = name.bytes();
    let fits = name.len() <= 256
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !fits {
        return refuse(
            field,
            format!("{name:?} is no name of a variable: letters, digits and '_'"),
        );
    }
    if name.starts_with("EXECUTION_LEDGER_") {
        return refuse(
            field,
            format!("{name}: names beginning with EXECUTION_LEDGER_ are the ledger's own"),
        );
    }
    Ok(())
}
