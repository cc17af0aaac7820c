//! An agent as callers write and read it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use execution_ledger_domain::agent::{AgentConfig, PromptBy, Runtime, SecretSource};
use execution_ledger_domain::limits::agent as limit;
use execution_ledger_domain::{AgentName, NanoUsd, Timestamp};
use execution_ledger_process::redact::Redactor;
use execution_ledger_projections::AgentRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tasks::dollars;
use crate::problem::{Code, Problem};
use crate::state::App;

/// An agent's settings. Everything but the name and the runtime has a default.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentBody {
    /// Its name: `[a-z0-9][a-z0-9_-]{0,62}`. Where the path names it, it can be left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "reviewer")]
    pub(super) name: Option<AgentName>,
    /// command, claude_code, codex, gemini, opencode or demo.
    #[serde(default)]
    #[schema(value_type = String, required = true, example = "command")]
    runtime: Option<Runtime>,
    /// The program and its first arguments; other runtimes than command have their own.
    #[serde(default)]
    command: Vec<String>,
    /// Where it runs: an absolute path. Without it, a work folder of its own.
    #[serde(default)]
    cwd: Option<String>,
    /// Variables of its environment; none that is named like a secret.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Secrets that are read at each start and never stored: `{"file": path}` or
    /// `{"variable": name}` each.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Object>)]
    env_from: BTreeMap<String, SecretSource>,
    /// Variables of the ledger's own environment that it may have.
    #[serde(default)]
    env_allow: BTreeSet<String>,
    /// The system user that it runs as. Without it, it has the ledger's own rights.
    #[serde(default)]
    run_as: Option<String>,
    /// argument (default): the message is appended as the last argument; stdin: it is written there.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    prompt: Option<PromptBy>,
    /// The models that callers may choose from; the first is the default.
    #[serde(default)]
    models: Vec<String>,
    /// Executions that run at once, 1 to 1000; 3 by default.
    #[serde(default)]
    max_parallel_tasks: Option<u32>,
    /// How long a run may take, in seconds, at most a week; 900 by default.
    #[serde(default)]
    timeout_s: Option<u64>,
    /// Executions that may wait, at most 1,000,000; 50 by default.
    #[serde(default)]
    queue_limit: Option<u32>,
    /// Between SIGINT and SIGKILL, in seconds, at most 300; 5 by default.
    #[serde(default)]
    grace_s: Option<u64>,
    /// New attempts that follow by themselves where a run could not be started, or its model's
    /// provider was overloaded, at most 10; none by default.
    #[serde(default)]
    max_retries: Option<u32>,
    /// How long the first new attempt waits, in seconds, at most 600; 5 by default. It doubles with
    /// each further one.
    #[serde(default)]
    retry_backoff_s: Option<u64>,
    /// The tools that its runs may use; without it, the runtime's own default.
    #[serde(default)]
    allowed_tools: Option<Vec<String>>,
    /// Whether callers may give a system prompt.
    #[serde(default)]
    allow_system_prompt: bool,
    /// The agents that its runs may call, beside itself.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    may_call: BTreeSet<AgentName>,
    /// What a run may cost, in dollars with at most nine decimal places.
    #[serde(default)]
    max_cost_usd: Option<f64>,
    /// How many turns a run may take, at most 10,000.
    #[serde(default)]
    max_turns: Option<u32>,
    /// Memory of each process of a run, in bytes, at least 16 MiB.
    #[serde(default)]
    memory_max_bytes: Option<u64>,
}

impl AgentBody {
    /// The same, with the settings as they are in place of what is not given.
    pub(super) fn over(mut self, given: &BTreeSet<String>, config: AgentConfig) -> Self {
        macro_rules! keep {
            ($($field:ident = $value:expr;)*) => {
                $( if !given.contains(stringify!($field)) { self.$field = $value; } )*
            };
        }
        keep! {
            runtime = Some(config.runtime);
            command = config.command;
            cwd = config.cwd;
            env = config.env;
            env_from = config.env_from;
            env_allow = config.env_allow;
            run_as = config.run_as;
            prompt = Some(config.prompt);
            models = config.models;
            allowed_tools = config.allowed_tools;
            allow_system_prompt = config.allow_system_prompt;
            may_call = config.may_call;
            max_parallel_tasks = Some(config.max_parallel_tasks);
            timeout_s = Some(config.timeout_s);
            queue_limit = Some(config.queue_limit);
            grace_s = Some(config.grace_s);
            max_retries = Some(config.max_retries);
            retry_backoff_s = Some(config.retry_backoff_s);
            max_cost_usd = config.max_cost_nano_usd.map(NanoUsd::to_usd);
            max_turns = config.max_turns;
            memory_max_bytes = config.memory_max_bytes;
        }
        self
    }

    /// The settings, not yet checked against their limits.
    pub(super) fn into_config(self) -> Result<AgentConfig, Problem> {
        let Some(runtime) = self.runtime else {
            let detail = "say which kind of agent it is: command, claude_code, codex, gemini, opencode or demo";
            return Err(Problem::new(Code::MissingField, detail).field("runtime"));
        };
        let config = AgentConfig {
            runtime,
            command: self.command,
            cwd: self.cwd,
            env: self.env,
            env_from: self.env_from,
            env_allow: self.env_allow,
            run_as: self.run_as,
            prompt: self.prompt.unwrap_or_default(),
            models: self.models,
            allowed_tools: self.allowed_tools,
            allow_system_prompt: self.allow_system_prompt,
            may_call: self.may_call,
            max_parallel_tasks: self.max_parallel_tasks.unwrap_or(limit::PARALLEL_DEFAULT),
            timeout_s: self.timeout_s.unwrap_or(limit::TIMEOUT_DEFAULT_S),
            queue_limit: self.queue_limit.unwrap_or(limit::QUEUE_DEFAULT),
            grace_s: self.grace_s.unwrap_or(limit::GRACE_DEFAULT_S),
            max_retries: self.max_retries.unwrap_or_default(),
            retry_backoff_s: self.retry_backoff_s.unwrap_or(limit::RETRY_BACKOFF_DEFAULT_S),
            max_cost_nano_usd: dollars("max_cost_usd", self.max_cost_usd)?,
            max_turns: self.max_turns,
            memory_max_bytes: self.memory_max_bytes,
        };
        // Before anything else is asked of it: a setting beyond its limit is told by its name.
        config.check().map_err(|broken| Problem::invalid_field(broken.field, broken.problem))?;
        Ok(config)
    }
}

/// What only those may see who may register agents; null for others.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct PrivateSettings {
    /// The program and its first arguments.
    command: Option<Vec<String>>,
    /// Where it runs.
    cwd: Option<String>,
    /// Variables of its environment.
    env: Option<BTreeMap<String, String>>,
    /// Where its secrets are read from; never what they are.
    #[schema(value_type = Option<BTreeMap<String, Object>>)]
    env_from: Option<BTreeMap<String, SecretSource>>,
    /// Variables of the ledger's own environment that it may have.
    env_allow: Option<BTreeSet<String>>,
    /// The system user that it runs as.
    run_as: Option<String>,
}

/// An agent and what it is busy with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AgentAnswer {
    #[schema(value_type = String)]
    name: AgentName,
    /// active, paused or retired.
    status: &'static str,
    /// command, claude_code, codex, gemini, opencode or demo.
    #[schema(value_type = String)]
    runtime: Runtime,
    #[serde(flatten)]
    inner: PrivateSettings,
    /// How a command is given its message: argument or stdin; null for other runtimes, which have
    /// a way of their own.
    #[schema(value_type = Option<String>)]
    prompt: Option<PromptBy>,
    /// The models that callers may choose from.
    models: Vec<String>,
    /// The tools that its runs may use.
    allowed_tools: Option<Vec<String>>,
    /// Whether callers may give a system prompt.
    allow_system_prompt: bool,
    /// The agents that its runs may call, beside itself.
    #[schema(value_type = Vec<String>)]
    may_call: BTreeSet<AgentName>,
    /// Executions that run at once, at most.
    max_parallel_tasks: u32,
    /// How long a run may take, in seconds.
    timeout_s: u64,
    /// Executions that may wait, at most.
    queue_limit: u32,
    /// Between SIGINT and SIGKILL, in seconds.
    grace_s: u64,
    /// New attempts that follow by themselves where a run fails for a reason that can pass.
    max_retries: u32,
    /// How long the first of them waits, in seconds; each further one waits twice as long.
    retry_backoff_s: u64,
    /// What a run may cost, in dollars.
    max_cost_usd: Option<f64>,
    /// How many turns a run may take.
    max_turns: Option<u32>,
    /// Memory of each process of a run, in bytes.
    memory_max_bytes: Option<u64>,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    registered_at: Timestamp,
    /// When its settings or its status were last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// Position of that change.
    position: String,
    /// Executions that hold one of its slots.
    running: u64,
    /// Chat turns that run; they hold no slot.
    chatting: u64,
    /// Executions that wait.
    pending: u64,
}

impl AgentAnswer {
    /// The agent as a caller may see it: `whole` for those who may read the log, where all of it stands.
    pub(super) fn of(app: &App, row: &AgentRow, whole: bool) -> Self {
        let config = &row.config;
        Self {
            name: row.name.clone(),
            status: row.status.as_str(),
            runtime: config.runtime,
            inner: if whole { inner(config) } else { PrivateSettings::default() },
            prompt: (config.runtime == Runtime::Command).then_some(config.prompt),
            models: config.models.clone(),
            allowed_tools: config.allowed_tools.clone(),
            allow_system_prompt: config.allow_system_prompt,
            may_call: config.may_call.clone(),
            max_parallel_tasks: config.max_parallel_tasks,
            timeout_s: config.timeout_s,
            queue_limit: config.queue_limit,
            grace_s: config.grace_s,
            max_retries: config.max_retries,
            retry_backoff_s: config.retry_backoff_s,
            max_cost_usd: config.max_cost_nano_usd.map(NanoUsd::to_usd),
            max_turns: config.max_turns,
            memory_max_bytes: config.memory_max_bytes,
            registered_at: row.registered_at,
            changed_at: row.changed_at,
            position: app.position_text(row.position),
            running: row.running,
            chatting: row.chatting,
            pending: row.pending,
        }
    }
}

/// Secrets have no place in these settings; should one be there all the same, it stays there.
fn inner(config: &AgentConfig) -> PrivateSettings {
    let redacted = |text: &String| Redactor::global().redact(text).0.into_owned();
    let variables = config.env.iter().map(|(name, value)| {
        // Read as an assignment, so that the name counts too.
        let assignment = format!("{name}={value}");
        let shown: Cow<'_, str> = Redactor::global().redact(&assignment).0;
        let shown = shown.split_once('=').map_or("", |(_, shown)| shown);
        (name.clone(), shown.to_owned())
    });
    PrivateSettings {
        command: Some(config.command.iter().map(redacted).collect()),
        cwd: config.cwd.clone(),
        env: Some(variables.collect()),
        env_from: Some(config.env_from.clone()),
        env_allow: Some(config.env_allow.clone()),
        run_as: config.run_as.clone(),
    }
}
