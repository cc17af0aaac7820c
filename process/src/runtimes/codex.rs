//! Codex, started for one task: `codex exec --json`, and what its output says: a line of JSON for
//! each event.
//!
//! - Success is a `turn.completed` line, failure a `turn.failed` line; the last of them counts.
//! - The answer is the last `agent_message`.
//! - `usage` of `turn.completed` counts the whole session, also the runs before this one. What this
//!   run alone used is not in its output, so a run that resumed a session has no token counts.
//! - Nothing says what a run cost, or which model answered: it is priced as the model that codex was
//!   told to use, if it was told one.

use std::borrow::Cow;

use execution_ledger_domain::agent::{AgentConfig, Runtime};
use execution_ledger_domain::execution::{FailureCode, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::counted::{Counted, Pricing};
use super::lenient::{Lenient, name, part, report, text};
use super::plan::{MCP_SERVER, Plan, RunRequest, model_argument, program};
use super::reading::{Ended, Reading, Said, each_line, failure_by_status, midway};
use super::text::{Answer, Tail};
use super::tokens::count;
use crate::transcript::Line;

/// How it finds its credentials and its own settings.
const ENV_ALLOW: [&str; 5] =
    ["CODEX_API_KEY", "CODEX_HOME", "HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"];
/// What stands for the prompt: it is read from standard input.
const BY_STDIN: &str = "-";
/// What a run says that ended without a last word and without a word on standard error.
const NO_END: &str = "codex ended without completing its turn";
/// By these words it says, without a status, that its provider has no capacity for a model or that
/// the account's limit is used up for now.
const OVERLOADED_WORDS: [&str; 2] = ["at capacity", "hit your usage limit"];
/// What stands before the status of an answer in the words of a failure.
const STATUS: &str = "status";

/// The command line of a run: `codex exec --json`, `codex exec resume` for a session.
///
/// The message goes by standard input, so that it can be of any length and is never taken for an
/// option or for the name of a subcommand. That its folder is no git repository does not matter:
/// the ledger's own work folders are none. Sandbox and approvals are those of the agent's `command`
/// or of codex's own settings.
pub(super) fn plan(config: &AgentConfig, run: &RunRequest<'_>) -> Plan {
    let mut argv = program(config, Runtime::Codex);
    argv.push("exec".to_owned());
    if run.resume_session_id.is_some() {
        argv.push("resume".to_owned());
    }
    argv.extend(["--json", "--skip-git-repo-check"].map(str::to_owned));
    argv.extend(model_argument(config, run));
    if let Some(prompt) = run.system_prompt {
        argv.push(setting("developer_instructions", prompt));
    }
    if run.has_mcp {
        // The run's token is in no argument: codex takes it from the variable.
        let server = format!("mcp_servers.{MCP_SERVER}");
        argv.push(setting(&format!("{server}.url"), &format!("{}/mcp", run.ledger_url)));
        argv.push(setting(&format!("{server}.bearer_token_env_var"), "EXECUTION_LEDGER_KEY"));
        // Nobody is there to be asked, and what the ledger's tools may do its own keys decide.
        argv.push(setting(&format!("{server}.default_tools_approval_mode"), "approve"));
    }
    argv.push("--".to_owned());
    argv.extend(run.resume_session_id.map(str::to_owned));
    argv.push(BY_STDIN.to_owned());
    Plan {
        argv,
        stdin: Some(run.message.to_owned()),
        env_allow: ENV_ALLOW.map(str::to_owned).to_vec(),
        ..Plan::default()
    }
}

/// A setting of codex's as one argument. Its value is TOML, whose quoted strings are JSON's, but for
/// one character that TOML wants to be escaped.
fn setting(key: &str, value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string().replace('\u{7f}', "\\u007f");
    format!("--config={key}={quoted}")
}

/// The fields of a line that may matter.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    thread_id: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// Tokens of a whole session. Those from and to a cache are part of the input.
#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "codex's own names")]
struct SessionUsage {
    input_tokens: Lenient<u64>,
    cached_input_tokens: Lenient<u64>,
    cache_write_input_tokens: Lenient<u64>,
    output_tokens: Lenient<u64>,
}

impl SessionUsage {
    fn tokens(self) -> Usage {
        let cache_read = count(self.cached_input_tokens);
        let cache_write_5m = count(self.cache_write_input_tokens);
        Usage {
            input: count(self.input_tokens).saturating_sub(cache_read + cache_write_5m),
            output: count(self.output_tokens),
            cache_read,
            cache_write_5m,
            cache_write_1h: 0,
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
            seen.event(&event);
        }
    });
    seen.reading(ended, pricing, stderr)
}

/// What was read so far.
#[derive(Default)]
struct Seen {
    agent_session_id: Option<String>,
    /// Whether the model has said or begun anything: `turn.failed` has no tokens to tell it by.
    worked: bool,
    answer: Answer,
    usage: Option<Usage>,
    said: Option<Said>,
}

impl Seen {
    fn event(&mut self, event: &Event<'_>) {
        match event.kind.as_ref() {
            "thread.started" => {
                self.agent_session_id = name(event.thread_id).or(self.agent_session_id.take());
            }
            "item.started" | "item.updated" | "item.completed" => {
                let item: Item<'_> = part(event.item);
                let kind = name(item.kind);
                // An item of this kind is codex's own word.
                self.worked |= kind.as_deref() != Some("error");
                if event.kind == "item.completed"
                    && kind.as_deref() == Some("agent_message")
                    && let Some(said) = text(item.text)
                {
                    self.answer.is_over();
                    self.answer.push(&said);
                }
            }
            "turn.completed" => {
                let usage = report::<SessionUsage>(event.usage).map(SessionUsage::tokens);
                self.usage = usage.or(self.usage);
                self.said = Some(Said::Success);
            }
            "turn.failed" => {
                let failure: Failure<'_> = part(event.error);
                let words = text(failure.message);
                let code = words.as_deref().map_or(FailureCode::AgentError, failure_by_words);
                let code = midway(code, self.worked);
                self.said = Some(Said::Failure { code, words });
            }
            _ => {}
        }
    }

    fn reading(self, ended: &Ended, pricing: &Pricing<'_>, stderr: Tail) -> Reading {
        let usage = self.usage.filter(|_| !ended.resumed);
        let mut counted = Counted::default();
        if let (Some(usage), Some(model)) = (usage, pricing.model_told) {
            counted.add(Some(model), usage, None);
        }
        let reading =
            Reading { usage, agent_session_id: self.agent_session_id, ..Reading::default() };
        let reading = reading.priced(&counted, pricing);
        reading.concluded(self.said, self.answer, ended, stderr, NO_END)
    }
}

/// Its stream has no status of the API's answer but in words, such as `exceeded retry limit, last
/// status: 429 Too Many Requests` and `unexpected status 503 Service Unavailable`.
fn failure_by_words(words: &str) -> FailureCode {
    if OVERLOADED_WORDS.iter().any(|overloaded| words.contains(overloaded)) {
        return FailureCode::Overloaded;
    }
    let status = words.split_once(STATUS).and_then(|(_, rest)| {
        let digits = rest.trim_start_matches([':', ' ']);
        digits.get(..3)?.parse().ok()
    });
    failure_by_status(status)
}
