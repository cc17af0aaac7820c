//! What a run's output says, before a rule makes an ending of it.

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::execution::{CostBasis, Exit, FailureCode, ModelUsage, Usage};

use super::counted::{Counted, Pricing};
use super::text::{Answer, Joiner, Tail, error_text};
use crate::transcript::{Line, OutputStream};

/// A line of an agent's protocol that was split in the transcript is joined up to this size, in
/// bytes; a longer one is passed over.
pub const JOINED_LINE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// How much of the end of standard error stands for the words of a failure, in bytes.
pub const STDERR_TAIL_MAX_BYTES: usize = 4 * 1024;

/// Statuses of HTTP by which a model's provider says that the same request may succeed later: it
/// limits its rate (429), or is overloaded (503; 529 at Anthropic).
const OVERLOADED_STATUSES: [u16; 3] = [429, 503, 529];

/// How the run ended, as far as its reading depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How the first process ended; `None` where nobody saw it.
    pub exit: Option<Exit>,
    /// Whether the ledger sent it a signal.
    pub signalled: bool,
    /// Whether it continued a session of the agent's.
    pub resumed: bool,
}

/// What the output says of the outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReadEvidence {
    /// That it succeeded.
    Success,
    /// That it failed.
    Failure {
        /// What kind of failure.
        code: FailureCode,
        /// Its words, at most [`execution_ledger_domain::limits::ERROR_TEXT_MAX_BYTES`].
        message: Option<String>,
    },
    /// Nothing.
    #[default]
    None,
}

/// What a run's output says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Of the outcome.
    pub evidence: ReadEvidence,
    /// The answer, at most [`execution_ledger_domain::limits::RESPONSE_MAX_BYTES`].
    pub response: Option<String>,
    /// Whether the answer was longer and was cut.
    pub response_cut: bool,
    /// What this run alone cost; unknown is `None`, never zero.
    pub cost: Option<NanoUsd>,
    /// Where the cost comes from.
    pub cost_basis: CostBasis,
    /// The version of the price book that it was computed with, where one was.
    pub price_book: Option<String>,
    /// The tokens of this run alone.
    pub usage: Option<Usage>,
    /// The same for each model, where that is known of all of them.
    pub usage_by_model: Vec<ModelUsage>,
    /// The model that answered.
    pub model_used: Option<String>,
    /// The agent's own id of its session, by which it can be resumed.
    pub agent_session_id: Option<String>,
    /// How many turns it took.
    pub num_turns: Option<u32>,
}

/// Hands over each whole line of standard output; answers the end of standard error.
pub(super) fn each_line(lines: impl IntoIterator<Item = Line>, mut take: impl FnMut(&str)) -> Tail {
    let mut joiner = Joiner::default();
    let mut stderr = Tail::of(STDERR_TAIL_MAX_BYTES);
    for line in lines {
        match line.stream {
            OutputStream::Stderr => stderr.push(&line),
            OutputStream::Stdout => {
                if let Some(whole) = joiner.push(line) {
                    take(&whole);
                }
            }
        }
    }
    stderr
}

/// An agent's last word on how its run ended.
pub(super) enum Said {
    /// That it succeeded.
    Success,
    /// That it failed.
    Failure {
        /// What kind of failure.
        code: FailureCode,
        /// Its words, of any length.
        words: Option<String>,
    },
}

impl Reading {
    /// With the tokens of the whole run by model, and with what they cost by the price book where it
    /// has a price for all of them.
    pub(super) fn priced(mut self, counted: &Counted, pricing: &Pricing<'_>) -> Self {
        let prices = counted.priced(pricing);
        let price = |at: usize| prices.as_ref().and_then(|prices| prices.get(at)).copied();
        self.usage_by_model = counted
            .models()
            .enumerate()
            .map(|(at, (model, of))| ModelUsage {
                model: model.to_owned(),
                usage: of.used,
                cost_nano_usd: price(at),
            })
            .collect();
        if let Some(prices) = prices.filter(|prices| !prices.is_empty()) {
            self.cost = Some(prices.into_iter().sum());
            self.cost_basis = CostBasis::PricedLocally;
            self.price_book = Some(pricing.book.version().to_owned());
        }
        self
    }

    /// With how the run ended by its agent's last word, and with the answer where that is success.
    /// Without a last word as [`without_a_word`].
    pub(super) fn concluded(
        mut self,
        said: Option<Said>,
        answer: Answer,
        ended: &Ended,
        stderr: Tail,
        otherwise: &str,
    ) -> Self {
        self.evidence = match said {
            Some(Said::Success) => {
                let (text, cut) = answer.finish();
                (self.response, self.response_cut) = (Some(text.unwrap_or_default()), cut);
                ReadEvidence::Success
            }
            Some(Said::Failure { code, words }) => {
                let message = words.and_then(error_text).or_else(|| stderr.into_message());
                ReadEvidence::Failure { code, message }
            }
            None => without_a_word(ended, stderr, Some(otherwise)),
        };
        self
    }
}

/// What an end without any word of the agent's says.
///
/// Nothing where the ledger ended it; else that it failed, in the words of its standard error or,
/// where it left none, in `otherwise`.
pub(super) fn without_a_word(ended: &Ended, stderr: Tail, otherwise: Option<&str>) -> ReadEvidence {
    if ended.signalled {
        return ReadEvidence::None;
    }
    let code = match ended.exit {
        Some(Exit::Signal(_)) => FailureCode::KilledBySignal,
        Some(Exit::Code(_)) | None => FailureCode::AgentFailed,
    };
    let message = stderr.into_message().or_else(|| otherwise.map(str::to_owned));
    ReadEvidence::Failure { code, message }
}

/// The code of a failure for which a model's provider answered with this status.
pub(super) fn failure_by_status(status: Option<u16>) -> FailureCode {
    match status {
        Some(status) if OVERLOADED_STATUSES.contains(&status) => FailureCode::Overloaded,
        Some(_) | None => FailureCode::AgentError,
    }
}

/// The code of a failure of an agent that had `worked` before: used a tool, or had an answer of its
/// model. What it did is not to be done again, however soon the provider has room.
pub(super) fn midway(code: FailureCode, worked: bool) -> FailureCode {
    match code {
        FailureCode::Overloaded if worked => FailureCode::OverloadedMidway,
        code => code,
    }
}

/// The same as [`failure_by_status`], of an exit code that is the last byte of such a status.
pub(super) fn failure_by_exit(code: i32) -> FailureCode {
    let is_of = |status: &u16| code == i32::from(*status & 0xff);
    failure_by_status(OVERLOADED_STATUSES.iter().copied().find(is_of))
}
