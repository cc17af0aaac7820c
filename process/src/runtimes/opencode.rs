//! opencode, started for one task: `opencode run --format=json`, and what its output says: a line
//! of JSON for each event.
//!
//! - A run is a sequence of steps, each a call of the model. Success is that the last step finished
//!   with the reason `stop` and no `error` came after it.
//! - The answer is the text of the last step that had one.
//! - Cost and tokens are those of each step, also where the run resumed a session: their sums are
//!   this run's. A cost of nothing for some tokens is that of a model whose price opencode does not
//!   know, so it is unknown. A run that was stopped in the midst of a step has cost what the steps
//!   before it did, at least.
//! - The title of a session would cost another call of the model that no step counts, so a new
//!   session is given one.
//! - Nothing says which model answered.

use std::borrow::Cow;
use std::collections::BTreeMap;

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::agent::{AgentConfig, Runtime};
use execution_ledger_domain::execution::{CostBasis, FailureCode, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::lenient::{Lenient, name, part, report, text};
use super::plan::{MCP_SERVER, Plan, RunRequest, model_argument, program};
use super::reading::{Ended, Reading, Said, each_line, failure_by_status, midway};
use super::text::{Answer, Tail};
use super::tokens::{amount, count, plus};
use crate::transcript::Line;

/// One line of JSON for each event.
const ALWAYS: [&str; 2] = ["run", "--format=json"];
/// No update of itself in an unattended run.
const SET: (&str, &str) = ("OPENCODE_DISABLE_AUTOUPDATE", "1");
/// Settings that are added to its own, as JSON.
const CONFIG_VARIABLE: &str = "OPENCODE_CONFIG_CONTENT";
/// How it finds its credentials and its own settings; other providers' keys need `env_allow` or
/// `env_from`.
const ENV_ALLOW: [&str; 10] = [
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "HOME",
    "OPENAI_API_KEY",
    "OPENCODE_API_KEY",
    "OPENCODE_CONFIG",
    "OPENCODE_CONFIG_DIR",
    "OPENROUTER_API_KEY",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];
/// What a run says that ended without a last step and without a word on standard error.
const NO_END: &str = "opencode ended without finishing its last step";

/// The command line of a run. The message goes by standard input, so that it can be of any length.
pub(super) fn plan(config: &AgentConfig, run: &RunRequest<'_>) -> Plan {
    let mut argv = program(config, Runtime::Opencode);
    argv.extend(ALWAYS.map(str::to_owned));
    argv.extend(model_argument(config, run));
    argv.push(match run.resume_session_id {
        Some(session) => format!("--session={session}"),
        None => format!("--title=execution {}", run.execution_id),
    });
    let mut env = BTreeMap::from([(SET.0.to_owned(), SET.1.to_owned())]);
    if let Some(tools) = run.allowed_tools.or(config.allowed_tools.as_deref()) {
        let permission = permission(tools, run.has_mcp);
        env.insert(Runtime::OPENCODE_PERMISSION.to_owned(), permission.to_string());
    }
    if run.has_mcp {
        env.insert(CONFIG_VARIABLE.to_owned(), mcp_settings(run.ledger_url));
    }
    Plan {
        argv,
        env,
        stdin: Some(run.message.to_owned()),
        env_allow: ENV_ALLOW.map(str::to_owned).to_vec(),
        ..Plan::default()
    }
}

/// Everything is denied but these. Of several rules the last one holds, so `*` stands first; a rule
/// for the same tool in the project's own settings stands before it, and is denied too.
fn permission(tools: &[String], has_mcp: bool) -> Value {
    let mut rules = Map::from_iter([("*".to_owned(), Value::from("deny"))]);
    let ledger = has_mcp.then(|| format!("{MCP_SERVER}_*"));
    rules.extend(tools.iter().cloned().chain(ledger).map(|tool| (tool, Value::from("allow"))));
    Value::Object(rules)
}

/// The run's token is not in the settings: opencode puts the variable's value there itself.
fn mcp_settings(ledger_url: &str) -> String {
    json!({"mcp": {MCP_SERVER: {
        "type": "remote",
        "url": format!("{ledger_url}/mcp"),
        "headers": {"Authorization": "Bearer {env:EXECUTION_LEDGER_KEY}"},
        "oauth": false,
    }}})
    .to_string()
}

/// The fields of a line that may matter.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "sessionID", borrow)]
    session_id: Option<&'a RawValue>,
    #[serde(borrow)]
    part: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(default)]
    cost: Lenient<f64>,
    #[serde(borrow)]
    tokens: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct FailureData<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(rename = "statusCode", default)]
    status: Lenient<u16>,
}

/// Tokens of one step: `input` without those of the cache, `output` without reasoning.
#[derive(Default, Deserialize)]
#[serde(default)]
struct StepTokens {
    total: Lenient<u64>,
    input: Lenient<u64>,
    output: Lenient<u64>,
    cache: Lenient<CacheTokens>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CacheTokens {
    read: Lenient<u64>,
    write: Lenient<u64>,
}

impl StepTokens {
    /// What the total has beside input and cache was written: reasoning is output too.
    fn tokens(self) -> Usage {
        let cache = self.cache.0.unwrap_or_default();
        let (input, cache_read) = (count(self.input), count(cache.read));
        let cache_write_5m = count(cache.write);
        let written = count(self.total).saturating_sub(input + cache_read + cache_write_5m);
        let output = count(self.output).max(written);
        Usage { input, output, cache_read, cache_write_5m, cache_write_1h: 0 }
    }
}

/// Reads all lines of a run.
pub(super) fn read(lines: impl IntoIterator<Item = Line>, ended: &Ended) -> Reading {
    let mut seen = Seen::default();
    let stderr = each_line(lines, |line| seen.line(line));
    seen.reading(ended, stderr)
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Seen {
    agent_session_id: Option<String>,
    /// Whether the model has said anything or used a tool.
    worked: bool,
    answer: Answer,
    usage: Option<Usage>,
    cost: Cost,
    /// The dollars that were said, also where those of another step were not.
    said_cost: NanoUsd,
    /// Steps that finished.
    turns: u32,
    /// Whether a step began that has not finished: what it used is in no sum.
    open: bool,
    said: Option<Said>,
}

/// The cost of the steps so far.
#[derive(Clone, Copy, Default)]
enum Cost {
    /// No step has finished.
    #[default]
    None,
    /// The sum.
    Known(NanoUsd),
    /// A step did not say it.
    Unknown,
}

impl Seen {
    /// One whole line of standard output.
    pub(super) fn line(&mut self, line: &str) {
        if let Ok(event) = serde_json::from_str(line) {
            self.event(&event);
        }
    }

    /// What the run has cost until now at the least.
    pub(super) fn at_least(&self) -> NanoUsd {
        self.said_cost
    }

    fn event(&mut self, event: &Event<'_>) {
        if self.agent_session_id.is_none() {
            self.agent_session_id = name(event.session_id);
        }
        // A step may begin without an answer of the model.
        self.worked |= !matches!(event.kind.as_ref(), "step_start" | "error");
        match event.kind.as_ref() {
            "step_start" => {
                self.open = true;
                self.said = None;
                self.answer.is_over();
            }
            "text" => {
                let part: Part<'_> = part(event.part);
                if let Some(said) = text(part.text) {
                    self.answer.push_paragraph(&said);
                }
            }
            "step_finish" => self.step_finish(&part(event.part)),
            "error" => {
                let failure: Failure<'_> = part(event.error);
                let data: FailureData<'_> = part(failure.data);
                let code = midway(failure_by_status(data.status.0), self.worked);
                let words = text(data.message).or_else(|| name(failure.name));
                self.said = Some(Said::Failure { code, words });
            }
            _ => {}
        }
    }

    fn step_finish(&mut self, step: &Part<'_>) {
        self.open = false;
        self.turns = self.turns.saturating_add(1);
        let tokens = report::<StepTokens>(step.tokens).map(StepTokens::tokens);
        if let Some(tokens) = tokens {
            self.usage = Some(plus(self.usage.unwrap_or_default(), tokens));
        }
        let free = tokens.is_none_or(|tokens| tokens == Usage::default());
        let cost = amount(step.cost.0).filter(|cost| free || *cost != NanoUsd::ZERO);
        self.said_cost = self.said_cost.saturating_add(cost.unwrap_or_default());
        self.cost = match (self.cost, cost) {
            (Cost::None, Some(cost)) => Cost::Known(cost),
            (Cost::Known(sum), Some(cost)) => Cost::Known(sum.saturating_add(cost)),
            (Cost::Unknown, _) | (_, None) => Cost::Unknown,
        };
        self.said = match name(step.reason).as_deref() {
            Some("stop") => Some(Said::Success),
            // It goes on with what the tools said.
            Some("tool-calls") => None,
            reason => Some(Said::Failure {
                code: FailureCode::AgentError,
                words: reason.map(|reason| format!("the model stopped because of: {reason}")),
            }),
        };
    }

    fn reading(self, ended: &Ended, stderr: Tail) -> Reading {
        let (cost, cost_basis) = match self.cost {
            Cost::Known(cost) if !self.open => (Some(cost), CostBasis::ProviderReported),
            Cost::Known(cost) => (Some(cost), CostBasis::DerivedFromPartials),
            Cost::None | Cost::Unknown => (None, CostBasis::Unknown),
        };
        let reading = Reading {
            cost,
            cost_basis,
            usage: self.usage,
            agent_session_id: self.agent_session_id,
            num_turns: (self.turns > 0).then_some(self.turns),
            ..Reading::default()
        };
        reading.concluded(self.said, self.answer, ended, stderr, NO_END)
    }
}
