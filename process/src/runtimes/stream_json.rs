//! Reads `stream-json`, the output of Claude Code and of the simulated agent: a line of JSON for
//! each event.
//!
//! Few fields are taken, each on its own: lines of an unknown type, fields of another type and
//! lines that are no JSON are passed over. What holds:
//! - Success is a `result` line whose `is_error` is false, and no error by its `subtype`. An API
//!   error comes as `subtype: success` with `is_error: true`. The last such line counts.
//! - Tokens and cost of the run are what [`super::spent`] makes of `result` lines and of partial
//!   messages. `usage` of a `result` line is zero where the run was aborted or reached its budget.
//! - `usage` of an `assistant` line is stale. A run that was killed has the tokens of its partial
//!   messages, `message_start` and `message_delta`, which carry no dollars.
//! - An API error names the status of the API's answer in `api_error_status`: by it, and never by
//!   its words, a provider that was overloaded is told apart. Whether the agent had worked before
//!   is told by a model's answer, more than one turn, or tokens of output.
//! - The model is the one that answered; `<synthetic>` stands for an API error.

use std::borrow::Cow;

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::execution::FailureCode;
use execution_ledger_domain::limits::RESPONSE_MAX_BYTES;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::counted::Pricing;
use super::lenient::{Lenient, name, part, report, text};
use super::reading::{
    Ended, ReadEvidence, Reading, each_line, failure_by_status, midway, without_a_word,
};
use super::spent::{Said, Spent};
use super::text::{Tail, beginning, error_text};
use super::tokens::{ApiUsage, amount};
use crate::transcript::Line;

/// Texts of one result's `errors` that are kept.
const ERRORS_MAX: usize = 16;
/// What stands for the model where there was no answer of a model.
const NO_MODEL: &str = "<synthetic>";
/// What a run says that ended without a `result` line and without a word on standard error.
const NO_RESULT: &str = "the agent ended without a result";

/// The fields of a line that may matter. All others, and the values of these, are only skipped
/// over here.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    subtype: Lenient<String>,
    #[serde(borrow)]
    session_id: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(rename = "event", borrow)]
    streamed: Option<&'a RawValue>,
    #[serde(borrow)]
    parent_tool_use_id: Option<&'a RawValue>,
    #[serde(borrow)]
    api_message_id: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Lenient<bool>,
    #[serde(default)]
    num_turns: Lenient<u32>,
    #[serde(default)]
    api_error_status: Lenient<u16>,
    #[serde(default)]
    total_cost_usd: Lenient<f64>,
    #[serde(borrow)]
    terminal_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    model_usage_since_last_result: Option<&'a RawValue>,
    #[serde(rename = "modelUsage", borrow)]
    model_usage: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
}

/// An `assistant` line's message, or that of a `message_start`.
#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// What the API streamed.
#[derive(Deserialize)]
struct Streamed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// Reads all lines of a run.
pub(super) fn read(
    lines: impl IntoIterator<Item = Line>,
    ended: &Ended,
    pricing: &Pricing<'_>,
) -> Reading {
    let mut seen = Seen::new(ended.resumed);
    let stderr = each_line(lines, |line| seen.line(line));
    seen.reading(ended, pricing, stderr)
}

/// What was read so far.
pub(super) struct Seen {
    /// Whether a model has answered, be it to a subagent.
    answered: bool,
    agent_session_id: Option<String>,
    /// The model of the newest whole answer.
    answered_by: Option<String>,
    /// The model of the newest answer that began.
    answering: Option<String>,
    last_message: String,
    spent: Spent,
    result: Option<Outcome>,
}

/// What the newest `result` line says.
struct Outcome {
    success: bool,
    /// It was interrupted: its own words for a signal.
    aborted: bool,
    code: FailureCode,
    words: Option<String>,
    num_turns: Option<u32>,
}

impl Seen {
    pub(super) fn new(resumed: bool) -> Self {
        Self {
            answered: false,
            agent_session_id: None,
            answered_by: None,
            answering: None,
            last_message: String::new(),
            spent: Spent::new(resumed),
            result: None,
        }
    }

    /// One whole line of standard output.
    pub(super) fn line(&mut self, line: &str) {
        if let Ok(event) = serde_json::from_str(line) {
            self.event(&event);
        }
    }

    /// What the run has cost until now at the least.
    pub(super) fn at_least(&self, pricing: &Pricing<'_>) -> NanoUsd {
        self.spent.at_least(pricing)
    }

    fn event(&mut self, event: &Event<'_>) {
        match event.kind.as_ref() {
            "system" if event.subtype.0.as_deref() == Some("init") => {
                self.agent_session_id = name(event.session_id).or(self.agent_session_id.take());
            }
            "assistant" => {
                let message: Message<'_> = part(event.message);
                let model = name(message.model);
                self.answered |= model.as_deref() != Some(NO_MODEL);
                if event.parent_tool_use_id.is_none() {
                    let model = model.filter(|model| model != NO_MODEL);
                    self.answered_by = model.or(self.answered_by.take());
                }
            }
            "stream_event" => self.streamed(event),
            "result" => self.result(event),
            _ => {}
        }
    }

    fn streamed(&mut self, event: &Event<'_>) {
        let Some(streamed) = report::<Streamed<'_>>(event.streamed) else { return };
        let of = name(event.api_message_id);
        match streamed.kind.as_ref() {
            "message_start" => {
                let message: Message<'_> = part(streamed.message);
                self.last_message = name(message.id).or(of).unwrap_or_default();
                let model = name(message.model);
                let used = report::<ApiUsage>(message.usage).unwrap_or_default().tokens();
                self.spent.partials.begin(&self.last_message, model.clone(), used);
                if event.parent_tool_use_id.is_none() {
                    self.answering = model.or(self.answering.take());
                }
            }
            "message_delta" => {
                if let Some(usage) = report::<ApiUsage>(streamed.usage) {
                    let message = of.as_ref().unwrap_or(&self.last_message);
                    self.spent.partials.note(message, usage.tokens());
                }
            }
            "message_stop" => {
                self.spent.partials.close(of.as_ref().unwrap_or(&self.last_message));
            }
            _ => {}
        }
    }

    fn result(&mut self, event: &Event<'_>) {
        self.spent.result(Said {
            since: report(event.model_usage_since_last_result),
            all: report(event.model_usage),
            usage: report::<ApiUsage>(event.usage).map(ApiUsage::tokens),
            total: amount(event.total_cost_usd.0),
        });
        let subtype = event.subtype.0.as_deref().unwrap_or_default();
        let turns = event.num_turns.0.unwrap_or(0);
        let worked = self.answered || turns > 1 || self.spent.wrote();
        let success = event.is_error.0 == Some(false) && !subtype.starts_with("error");
        if success {
            self.agent_session_id = self.agent_session_id.take().or_else(|| name(event.session_id));
        }
        self.result = Some(Outcome {
            success,
            aborted: name(event.terminal_reason).is_some_and(|why| why.starts_with("aborted")),
            code: match subtype {
                "error_max_turns" => FailureCode::MaxTurns,
                "error_max_budget_usd" => FailureCode::MaxCost,
                _ => midway(failure_by_status(event.api_error_status.0), worked),
            },
            words: text(event.result).or_else(|| errors(event.errors)),
            num_turns: event.num_turns.0,
        });
    }

    fn reading(self, ended: &Ended, pricing: &Pricing<'_>, stderr: Tail) -> Reading {
        let mut reading = Reading {
            model_used: self.answered_by.or(self.answering),
            agent_session_id: self.agent_session_id,
            num_turns: self.result.as_ref().and_then(|result| result.num_turns),
            ..Reading::default()
        };
        self.spent.settle(pricing, &mut reading);
        match self.result {
            None => reading.evidence = without_a_word(ended, stderr, Some(NO_RESULT)),
            Some(result) if result.success => {
                let (answer, cut) = beginning(result.words.unwrap_or_default(), RESPONSE_MAX_BYTES);
                reading.evidence = ReadEvidence::Success;
                reading.response = Some(answer);
                reading.response_cut = cut;
            }
            Some(result) if result.aborted && ended.signalled => {}
            Some(Outcome { code, words, .. }) => {
                let message = words.and_then(error_text).or_else(|| stderr.into_message());
                reading.evidence = ReadEvidence::Failure { code, message };
            }
        }
        reading
    }
}

/// The texts of `errors`, which is a list of them.
fn errors(raw: Option<&RawValue>) -> Option<String> {
    let texts: Vec<Lenient<String>> = report(raw)?;
    let texts: Vec<String> = texts.into_iter().filter_map(|text| text.0).take(ERRORS_MAX).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}
