//! Gemini CLI, started for one task: `gemini --output-format=stream-json`, and what its output
//! says: a line of JSON for each event.
//!
//! - Success is a `result` line whose `status` is `success`; the last such line counts.
//! - The answer is what the assistant said after its last tool call, in pieces.
//! - `stats` count this run alone, also where it resumed a session. Tokens in the total that are
//!   neither input nor output are the model's thoughts, which are output.
//! - The model is the one of `stats.models` that wrote most: others only choose it.
//! - After an error of the API the exit code is its status, as far as a byte holds it; its words
//!   have no status.
//! - Nothing says what a run cost: it is priced by what `stats.models` counts for each model, if these
//!   make up the whole.

use std::borrow::Cow;
use std::collections::BTreeMap;

use execution_ledger_domain::agent::{AgentConfig, Runtime};
use execution_ledger_domain::execution::{Exit, FailureCode, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::counted::{Counted, Pricing};
use super::lenient::{Lenient, name, part, report, short, text};
use super::plan::{Plan, RunRequest, model_argument, program};
use super::reading::{Ended, Reading, Said, each_line, failure_by_exit, midway};
use super::text::{Answer, Tail};
use super::tokens::{count, plus};
use crate::transcript::Line;

/// One line of JSON for each event. Without a terminal and with a message on standard input it asks
/// nobody anything.
const ALWAYS: &str = "--output-format=stream-json";
/// In a folder that is not trusted it refuses to run without a terminal. Whoever registers an agent
/// says where it works.
const SET: (&str, &str) = ("GEMINI_CLI_TRUST_WORKSPACE", "true");
/// How it finds its credentials and its own settings.
const ENV_ALLOW: [&str; 10] = [
    "GEMINI_API_KEY",
    "GEMINI_CLI_HOME",
    "GOOGLE_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_GENAI_USE_GCA",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "HOME",
];
/// What a run says that ended without a `result` line and without a word on standard error.
const NO_RESULT: &str = "gemini ended without a result";
/// What a `result` names as its error's type after the limit of turns in gemini's own settings.
const TURN_LIMIT: &str = "FatalTurnLimitedError";

/// The command line of a run.
///
/// The message goes by standard input, so that it can be of any length. What it may do without
/// being asked is in the agent's `command` (`--approval-mode`) or in gemini's own settings.
///
/// No run can be given an MCP server of its own: gemini takes them from the settings of its user,
/// of the project, and of root's system alone. An entry in the user's settings that names the
/// variables of a run makes the ledger known to all runs.
pub(super) fn plan(config: &AgentConfig, run: &RunRequest<'_>) -> Plan {
    let mut argv = program(config, Runtime::Gemini);
    argv.push(ALWAYS.to_owned());
    argv.extend(model_argument(config, run));
    if let Some(session) = run.resume_session_id {
        argv.push(format!("--resume={session}"));
    }
    Plan {
        argv,
        env: BTreeMap::from([(SET.0.to_owned(), SET.1.to_owned())]),
        stdin: Some(run.message.to_owned()),
        env_allow: ENV_ALLOW.map(str::to_owned).to_vec(),
        ..Plan::default()
    }
}

/// The fields of a line that may matter.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    session_id: Option<&'a RawValue>,
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    stats: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Failure<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// What all models of a run counted.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stats {
    total_tokens: Lenient<u64>,
    input_tokens: Lenient<u64>,
    output_tokens: Lenient<u64>,
    cached: Lenient<u64>,
    models: Lenient<BTreeMap<String, Lenient<Counts>>>,
}

/// What some models counted. `input_tokens` contains `cached`.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Counts {
    total_tokens: Lenient<u64>,
    input_tokens: Lenient<u64>,
    output_tokens: Lenient<u64>,
    cached: Lenient<u64>,
}

impl Stats {
    fn tokens(&self) -> Usage {
        let Self { total_tokens, input_tokens, output_tokens, cached, .. } = *self;
        Counts { total_tokens, input_tokens, output_tokens, cached }.tokens()
    }

    /// The models by name, as far as they have one.
    fn models(&mut self) -> Vec<(Option<String>, Counts)> {
        let models = self.models.0.take().unwrap_or_default().into_iter();
        models.map(|(model, counts)| (short(model), counts.0.unwrap_or_default())).collect()
    }
}

/// The model that wrote most, if any wrote.
fn writer(models: &[(Option<String>, Counts)]) -> Option<String> {
    let written = models.iter().map(|(model, counts)| (count(counts.output_tokens), model));
    written.filter(|(written, _)| *written > 0).max().and_then(|(_, model)| model.clone())
}

/// What each model used; nothing where that is not the whole.
fn counted(models: &[(Option<String>, Counts)], whole: Usage) -> Counted {
    let mut counted = Counted::default();
    let mut sum = Usage::default();
    for (model, counts) in models {
        sum = plus(sum, counts.tokens());
        counted.add(model.as_deref(), counts.tokens(), None);
    }
    if sum == whole { counted } else { Counted::default() }
}

impl Counts {
    fn tokens(self) -> Usage {
        let (input, cache_read) = (count(self.input_tokens), count(self.cached));
        let written = count(self.total_tokens).saturating_sub(input);
        Usage {
            input: input.saturating_sub(cache_read),
            output: count(self.output_tokens).max(written),
            cache_read,
            ..Usage::default()
        }
    }
}

/// Reads all lines of a run.
pub(super) fn read(
    lines: impl IntoIterator<Item = Line>,
    ended: &Ended,
    pricing: &Pricing<'_>,
) -> Reading {
    let mut seen = Seen::default();
    let stderr = each_line(lines, |line| {
        if let Ok(event) = serde_json::from_str(line) {
            seen.event(&event, ended);
        }
    });
    seen.reading(ended, pricing, stderr)
}

/// What was read so far.
#[derive(Default)]
struct Seen {
    agent_session_id: Option<String>,
    model_used: Option<String>,
    /// Whether the model has said anything or used a tool.
    worked: bool,
    answer: Answer,
    usage: Option<Usage>,
    counted: Counted,
    said: Option<Said>,
}

impl Seen {
    fn event(&mut self, event: &Event<'_>, ended: &Ended) {
        match event.kind.as_ref() {
            "init" => {
                self.agent_session_id = name(event.session_id).or(self.agent_session_id.take());
            }
            "message" if name(event.role).as_deref() == Some("assistant") => {
                if let Some(piece) = text(event.content) {
                    self.worked = true;
                    self.answer.push(&piece);
                }
            }
            "tool_use" => {
                self.worked = true;
                self.answer.is_over();
            }
            "result" => self.result(event, ended),
            _ => {}
        }
    }

    fn result(&mut self, event: &Event<'_>, ended: &Ended) {
        if let Some(mut stats) = report::<Stats>(event.stats) {
            let (models, usage) = (stats.models(), stats.tokens());
            self.model_used = writer(&models).or(self.model_used.take());
            self.counted = counted(&models, usage);
            self.usage = Some(usage);
        }
        self.said = Some(if name(event.status).as_deref() == Some("success") {
            Said::Success
        } else {
            let failure: Failure<'_> = part(event.error);
            let code = match (name(failure.kind).as_deref(), ended.exit) {
                (Some(TURN_LIMIT), _) => FailureCode::MaxTurns,
                (_, Some(Exit::Code(code))) => {
                    let wrote = self.usage.is_some_and(|usage| usage.output > 0);
                    midway(failure_by_exit(code), self.worked || wrote)
                }
                _ => FailureCode::AgentError,
            };
            Said::Failure { code, words: text(failure.message) }
        });
    }

    fn reading(self, ended: &Ended, pricing: &Pricing<'_>, stderr: Tail) -> Reading {
        let reading = Reading {
            usage: self.usage,
            model_used: self.model_used,
            agent_session_id: self.agent_session_id,
            ..Reading::default()
        };
        let reading = reading.priced(&self.counted, pricing);
        reading.concluded(self.said, self.answer, ended, stderr, NO_RESULT)
    }
}
