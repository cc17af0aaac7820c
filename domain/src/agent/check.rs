//! The limits of an agent's settings.

use super::config::{AgentConfig, SecretSource};
use super::runtime::Runtime;
use crate::limits::agent as limit;
use crate::money::NanoUsd;

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
