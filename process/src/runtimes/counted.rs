//! Tokens by model, and what a price book makes of them.

use std::collections::{BTreeMap, VecDeque};

use execution_ledger_domain::execution::Usage;
use execution_ledger_domain::{NanoUsd, Timestamp};

use super::tokens::{each, plus};
use crate::pricing::{PriceBook, prompt_tokens};

/// Models of one run that are told apart, at most; the tokens of others are of no known model.
pub(super) const MODELS_MAX: usize = 32;
/// Messages whose counts are followed at once: agents of agents stream side by side. Beyond it, a
/// message is not counted, and then nobody can say what all of them cost.
const OPEN_MESSAGES_MAX: usize = 256;
/// Messages that are known to be whole: what is said of them again counts once.
const CLOSED_MESSAGES_KEPT: usize = 256;

/// By what tokens are priced that nobody else has priced.
#[derive(Clone, Copy, Debug)]
pub struct Pricing<'a> {
    /// The price book.
    pub book: &'a PriceBook,
    /// When the run was started: the prices of that day count.
    pub at: Timestamp,
    /// The model that the run was told to use. An agent that never says which model answered is taken
    /// at its word.
    pub model_told: Option<&'a str>,
}

/// The tokens of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OfModel {
    pub used: Usage,
    /// The longest prompt among them, where each is known.
    pub longest_prompt: Option<u64>,
}

/// Tokens by model that have no price yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    models: BTreeMap<String, OfModel>,
    /// Tokens of no known model.
    nameless: Usage,
    /// Whether there were more that nobody counted.
    pub uncounted: bool,
}

impl Counted {
    /// More tokens: of one request, or of so many that nobody knows the longest.
    pub fn add(&mut self, model: Option<&str>, used: Usage, longest_prompt: Option<u64>) {
        if used == Usage::default() {
            return;
        }
        let own = model
            .filter(|model| self.models.len() < MODELS_MAX || self.models.contains_key(*model));
        let Some(model) = own else {
            self.nameless = plus(self.nameless, used);
            return;
        };
        if let Some(before) = self.models.get_mut(model) {
            before.used = plus(before.used, used);
            let longest = before.longest_prompt.zip(longest_prompt);
            before.longest_prompt = longest.map(|(one, other)| one.max(other));
        } else {
            self.models.insert(model.to_owned(), OfModel { used, longest_prompt });
        }
    }

    /// All that another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (model, of) in &other.models {
            self.add(Some(model), of.used, of.longest_prompt);
        }
        self.add(None, other.nameless, None);
        self.uncounted |= other.uncounted;
    }

    /// Whether there is nothing to be priced.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The models and their tokens.
    pub fn models(&self) -> impl Iterator<Item = (&str, &OfModel)> {
        self.models.iter().map(|(model, of)| (model.as_str(), of))
    }

    /// All tokens.
    pub fn total(&self) -> Usage {
        self.models.values().fold(self.nameless, |sum, of| plus(sum, of.used))
    }

    /// What each model's tokens cost; none as soon as those of one have no price.
    pub fn priced(&self, pricing: &Pricing<'_>) -> Option<Vec<NanoUsd>> {
        if self.uncounted || self.nameless != Usage::default() {
            return None;
        }
        self.models().map(|(model, of)| price(model, of, pricing)).collect()
    }

    /// What they cost at the least: without what has no price.
    pub fn at_least(&self, pricing: &Pricing<'_>) -> NanoUsd {
        self.models().filter_map(|(model, of)| price(model, of, pricing)).sum()
    }
}

fn price(model: &str, of: &OfModel, pricing: &Pricing<'_>) -> Option<NanoUsd> {
    pricing.book.cost(model, pricing.at, &of.used, of.longest_prompt)
}

/// One message as it streams.
#[derive(Default)]
struct Message {
    model: Option<String>,
    used: Usage,
}

/// Tokens of messages that no result has counted yet, from the partial messages.
#[derive(Default)]
pub(super) struct Partials {
    open: BTreeMap<String, Message>,
    whole: Counted,
    closed: VecDeque<String>,
}

impl Partials {
    /// A message that is answered by a model begins.
    pub fn begin(&mut self, message: &str, model: Option<String>, used: Usage) {
        self.note(message, used);
        if let Some(open) = self.open.get_mut(message) {
            open.model = model.or(open.model.take());
        }
    }

    /// What a message has used so far. Its counts only grow, so a later report replaces an earlier.
    pub fn note(&mut self, message: &str, used: Usage) {
        if let Some(so_far) = self.open.get_mut(message) {
            so_far.used = each(so_far.used, used, u64::max);
        } else if self.closed.iter().any(|closed| closed == message) {
            // Counted before.
        } else if self.open.len() < OPEN_MESSAGES_MAX {
            self.open.insert(message.to_owned(), Message { model: None, used });
        } else {
            self.whole.uncounted = true;
        }
    }

    /// The message is whole.
    pub fn close(&mut self, message: &str) {
        if let Some(Message { model, used }) = self.open.remove(message) {
            self.whole.add(model.as_deref(), used, Some(prompt_tokens(&used)));
            // A message without an id is not known again.
            if !message.is_empty() {
                self.closed.push_back(message.to_owned());
            }
            if self.closed.len() > CLOSED_MESSAGES_KEPT {
                self.closed.pop_front();
            }
        }
    }

    /// The tokens of all messages.
    pub fn counted(&self) -> Counted {
        let mut counted = self.whole.clone();
        for Message { model, used } in self.open.values() {
            counted.add(model.as_deref(), *used, Some(prompt_tokens(used)));
        }
        counted
    }

    /// The same, and begins anew: a result has counted them.
    pub fn take(&mut self) -> Counted {
        let counted = self.counted();
        self.open.clear();
        self.whole = Counted::default();
        counted
    }
}
