//! An agent's settings, as flags or from a file.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::Failure;

/// The largest settings file that is read, in bytes: what the server takes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// How the server's answers show a secret that it found in a value.
const REDACTED: &str = "[redacted";
/// The settings that can be replaced, by their names in the API.
const SETTINGS: [&str; 21] = [
    "runtime",
    "command",
    "cwd",
    "env",
    "env_from",
    "env_allow",
    "run_as",
    "prompt",
    "models",
    "allowed_tools",
    "allow_system_prompt",
    "may_call",
    "max_parallel_tasks",
    "timeout_s",
    "queue_limit",
    "grace_s",
    "max_retries",
    "retry_backoff_s",
    "max_cost_usd",
    "max_turns",
    "memory_max_bytes",
];

/// An agent's settings. What is not given is as by default or stays as it is.
#[derive(Debug, Default, Args)]
pub struct AgentSettings {
    /// Settings from this file (JSON, as in the API); - for standard input.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What kind of agent: command, claude_code, codex, gemini, opencode, demo.
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<String>,
    /// Where it runs: an absolute path [default: a work folder of its own].
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// A variable of its environment; can be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A secret variable, read at each start and never stored; can be given several times.
    #[arg(long, value_name = "NAME=file:PATH|variable:NAME")]
    env_from: Vec<String>,
    /// Variables of the server's environment that it may have; with commas between.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    env_allow: Option<Vec<String>>,
    /// The system user that it runs as; without it, it has the server's own rights.
    #[arg(long, value_name = "USER")]
    run_as: Option<String>,
    /// How it is given the message: argument, stdin.
    #[arg(long, value_name = "HOW")]
    prompt: Option<String>,
    /// The models that callers may choose from, the default first; with commas between.
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// The tools that it may use; with commas between.
    #[arg(long, value_name = "TOOLS", value_delimiter = ',')]
    allowed_tools: Option<Vec<String>>,
    /// Whether callers may give a system prompt.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_system_prompt: Option<bool>,
    /// The agents that its runs may call, beside itself; with commas between.
    #[arg(long, value_name = "AGENTS", value_delimiter = ',')]
    may_call: Option<Vec<String>>,
    /// How many executions run at once.
    #[arg(long, value_name = "N")]
    max_parallel_tasks: Option<u32>,
    /// How long a run may take, in seconds.
    #[arg(long, value_name = "S")]
    timeout_s: Option<u64>,
    /// How many executions may wait.
    #[arg(long, value_name = "N")]
    queue_limit: Option<u32>,
    /// Between SIGINT and SIGKILL, in seconds.
    #[arg(long, value_name = "S")]
    grace_s: Option<u64>,
    /// How many new attempts follow by themselves where a run could not be started, or its
    /// model's provider was overloaded; at most 10.
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// How long the first of them waits, in seconds; each further one waits twice as long.
    #[arg(long, value_name = "S")]
    retry_backoff_s: Option<u64>,
    /// What a run may cost, in dollars.
    #[arg(long, value_name = "USD")]
    max_cost_usd: Option<f64>,
    /// How many turns a run may take.
    #[arg(long, value_name = "N")]
    max_turns: Option<u32>,
    /// Memory of each process of a run, in bytes.
    #[arg(long, value_name = "BYTES")]
    memory_max_bytes: Option<u64>,
    /// The program and its first arguments, behind --.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What an agent's settings are, as they can be sent back.
pub fn replaceable(agent: &Value) -> Map<String, Value> {
    let known = |name: &str| {
        let value = agent.get(name).filter(|value| !value.is_null())?;
        Some((name.to_owned(), value.clone()))
    };
    SETTINGS.into_iter().filter_map(known).collect()
}

impl AgentSettings {
    /// The body to send: what is present, then the file, then the flags.
    pub fn into_body(
        self,
        present: Option<Map<String, Value>>,
    ) -> Result<Map<String, Value>, Failure> {
        let mut body = present.unwrap_or_default();
        if let Some(path) = &self.file {
            body.extend(read(path)?);
        }
        body.extend(self.flags()?);
        let hidden = body.iter().find(|(_, value)| value.to_string().contains(REDACTED));
        if let Some((name, _)) = hidden {
            return Err(Failure::Argument(format!(
                "the server does not tell all of {name}, because it looks like a secret: give \
                 {name} again in full, or better by --env-from"
            )));
        }
        Ok(body)
    }

    fn flags(self) -> Result<Map<String, Value>, Failure> {
        let given = [
            ("runtime", self.runtime.map(Value::from)),
            ("command", (!self.command.is_empty()).then(|| json!(self.command))),
            ("cwd", self.cwd.map(Value::from)),
            ("env", pairs("env", &self.env, |value| Some(json!(value)))?),
            ("env_from", pairs("env-from", &self.env_from, source)?),
            ("env_allow", self.env_allow.map(Value::from)),
            ("run_as", self.run_as.map(Value::from)),
            ("prompt", self.prompt.map(Value::from)),
            ("models", self.models.map(Value::from)),
            ("allowed_tools", self.allowed_tools.map(Value::from)),
            ("allow_system_prompt", self.allow_system_prompt.map(Value::from)),
            ("may_call", self.may_call.map(Value::from)),
            ("max_parallel_tasks", self.max_parallel_tasks.map(Value::from)),
            ("timeout_s", self.timeout_s.map(Value::from)),
            ("queue_limit", self.queue_limit.map(Value::from)),
            ("grace_s", self.grace_s.map(Value::from)),
            ("max_retries", self.max_retries.map(Value::from)),
            ("retry_backoff_s", self.retry_backoff_s.map(Value::from)),
            ("max_cost_usd", self.max_cost_usd.map(Value::from)),
            ("max_turns", self.max_turns.map(Value::from)),
            ("memory_max_bytes", self.memory_max_bytes.map(Value::from)),
        ];
        let named = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok(named.collect())
    }
}

/// Where a secret is read from.
fn source(text: &str) -> Option<Value> {
    let (kind, place) = text.split_once(':')?;
    matches!(kind, "file" | "variable").then(|| json!({ kind: place }))
}

fn pairs(
    flag: &str,
    given: &[String],
    read: impl Fn(&str) -> Option<Value>,
) -> Result<Option<Value>, Failure> {
    if given.is_empty() {
        return Ok(None);
    }
    let mut map = Map::new();
    for pair in given {
        let read_pair = pair.split_once('=').and_then(|(name, value)| Some((name, read(value)?)));
        let Some((name, value)) = read_pair else {
            // The value may be a secret, so it is not repeated.
            let name = pair.split_once('=').map_or("", |(name, _)| name);
            return Err(Failure::Argument(format!(
                "--{flag} {name}: it is not of the form that `--help` shows"
            )));
        };
        map.insert(name.to_owned(), value);
    }
    Ok(Some(Value::Object(map)))
}

fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let failed = |why: String| Failure::Argument(format!("--file {}: {why}", path.display()));
    let mut text = String::new();
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| failed(error.to_string()))?)
    };
    let read = source.take(FILE_MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(failed(format!("it is larger than {FILE_MAX_BYTES} bytes")));
    }
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(failed("it must hold a JSON object".to_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_what_is_present() {
        let temp = tempfile::tempdir().expect("a folder");
        let file = temp.path().join("agent.json");
        std::fs::write(&file, r#"{"timeout_s": 2, "queue_limit": 2}"#).expect("written");
        let settings =
            AgentSettings { file: Some(file), timeout_s: Some(3), ..AgentSettings::default() };
        let present = replaceable(&json!({
            "name": "a", "status": "active", "running": 1, "cwd": null,
            "runtime": "demo", "timeout_s": 1, "queue_limit": 1,
        }));
        let body = settings.into_body(Some(present)).expect("a body");
        let expected = json!({"runtime": "demo", "timeout_s": 3, "queue_limit": 2});
        assert_eq!(Value::Object(body), expected);
    }

    #[test]
    fn secrets_are_named_by_their_place_and_never_repeated() {
        let from = |text: &str| AgentSettings {
            env_from: vec![text.to_owned()],
            ..AgentSettings::default()
        };
        let body = from("T=file:/run/t").into_body(None).expect("a body");
        assert_eq!(body["env_from"], json!({"T": {"file": "/run/t"}}));
        let error = from("T=hunter2").into_body(None).expect_err("refused").to_string();
        assert!(error.contains('T') && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_value_that_the_server_hides_is_not_sent_back() {
        let present = replaceable(&json!({"runtime": "command", "env": {"A": "x [redacted]"}}));
        assert!(AgentSettings::default().into_body(Some(present)).is_err());
    }
}
