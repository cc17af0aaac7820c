//! What a run of `stream-json` has used and what that cost: from its `result` lines as far as these
//! go, from its partial messages beyond.
//!
//! - `model_usage_since_last_result` is what one result adds, in tokens and dollars by model.
//! - `total_cost_usd` and `modelUsage` are cumulative, also over resumed sessions: they count only on a
//!   run that resumed nothing, and then for all that was before.
//! - What is in no result is proven by the partial messages alone, and priced by a book. So is what a
//!   result counts without dollars. If any of it has no price, the cost is unknown: never a part.

use std::collections::BTreeMap;

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::execution::{CostBasis, ModelUsage, Usage};

use super::counted::{Counted, MODELS_MAX, Partials, Pricing};
use super::lenient::short;
use super::reading::Reading;
use super::tokens::{ByModel, plus};

/// What one `result` line says of tokens and dollars.
#[derive(Default)]
pub(super) struct Said {
    /// What it adds, by model.
    pub since: Option<ByModel>,
    /// All of the session so far, by model.
    pub all: Option<ByModel>,
    /// The tokens that it adds.
    pub usage: Option<Usage>,
    /// The dollars of all of the session so far.
    pub total: Option<NanoUsd>,
}

/// What a run has used and cost so far.
pub(super) struct Spent {
    resumed: bool,
    /// What no result has counted yet.
    pub partials: Partials,
    /// Whether there was a result.
    has_result: bool,
    /// All tokens that results counted.
    counted: Option<Usage>,
    /// The dollars that results said.
    reported: NanoUsd,
    /// The tokens that these dollars are for, by model; with the model's own dollars where they were
    /// said of each.
    paid: BTreeMap<String, (Usage, Option<NanoUsd>)>,
    /// What results counted without dollars.
    unpaid: Counted,
    /// Whether the partial messages are all that is known of some of it.
    from_partials: bool,
}

impl Spent {
    pub fn new(resumed: bool) -> Self {
        Self {
            resumed,
            partials: Partials::default(),
            has_result: false,
            counted: None,
            reported: NanoUsd::ZERO,
            paid: BTreeMap::new(),
            unpaid: Counted::default(),
            from_partials: false,
        }
    }

    /// Whether anything was written, as far as results say.
    pub fn wrote(&self) -> bool {
        self.counted.is_some_and(|counted| counted.output > 0)
    }

    /// A result counts all messages before it.
    pub fn result(&mut self, said: Said) {
        self.has_result = true;
        let partial = self.partials.take();
        // An empty report is none: it says nothing of the tokens that were streamed.
        if let Some(models) = said.since.filter(|models| !models.is_empty()) {
            return self.since(models);
        }
        let usage = said.usage.filter(|usage| *usage != Usage::default());
        let counted = usage.unwrap_or_else(|| partial.total());
        self.counted = Some(plus(self.counted.unwrap_or_default(), counted));
        // No cost for some tokens is not to be believed; and of a session that was resumed it is the
        // cost of all its runs.
        match said.total.filter(|total| !self.resumed && *total != NanoUsd::ZERO) {
            Some(total) => self.all(total, said.all.unwrap_or_default(), &partial),
            None if counted == Usage::default() => {
                // No cost for no tokens, as of an error before the first: nothing is added.
                self.unpaid.uncounted |= said.total != Some(NanoUsd::ZERO);
            }
            None if usage.is_none_or(|usage| usage == partial.total()) => {
                self.from_partials |= usage.is_none();
                self.unpaid.merge(&partial);
            }
            None => self.unpaid.add(None, counted, None),
        }
    }

    fn since(&mut self, models: ByModel) {
        let mut sum = self.counted.unwrap_or_default();
        for (model, report) in models {
            let (used, cost) = report.tokens_and_cost();
            sum = plus(sum, used);
            let model = short(model);
            match cost {
                Some(cost) => {
                    self.reported = self.reported.saturating_add(cost);
                    self.pay(model, used, Some(cost));
                }
                None => self.unpaid.add(model.as_deref(), used, None),
            }
        }
        self.counted = Some(sum);
    }

    fn all(&mut self, total: NanoUsd, models: ByModel, partial: &Counted) {
        self.reported = total;
        self.unpaid = Counted::default();
        self.from_partials = false;
        if models.is_empty() {
            for (model, of) in partial.models() {
                self.pay(Some(model.to_owned()), of.used, None);
            }
            return;
        }
        self.paid.clear();
        for (model, report) in models {
            let (used, cost) = report.tokens_and_cost();
            self.pay(short(model), used, cost);
        }
    }

    fn pay(&mut self, model: Option<String>, used: Usage, cost: Option<NanoUsd>) {
        let Some(model) = model else { return };
        if self.paid.len() >= MODELS_MAX && !self.paid.contains_key(&model) {
            return;
        }
        let before = self.paid.remove(&model);
        let (used, cost) = match before {
            None => (used, cost),
            Some((tokens, dollars)) => {
                let both = dollars.zip(cost).map(|(one, other)| one.saturating_add(other));
                (plus(tokens, used), both)
            }
        };
        self.paid.insert(model, (used, cost));
    }

    /// What the run has cost until now at the least: what was reported, and of the rest what has a
    /// price.
    pub fn at_least(&self, pricing: &Pricing<'_>) -> NanoUsd {
        let open = self.partials.counted().at_least(pricing);
        self.reported.saturating_add(self.unpaid.at_least(pricing)).saturating_add(open)
    }

    /// Writes tokens and cost into what was read of the run.
    pub fn settle(self, pricing: &Pricing<'_>, reading: &mut Reading) {
        let Self { partials, counted, mut unpaid, paid, reported, mut from_partials, .. } = self;
        let open = partials.counted();
        let left = open.total();
        reading.usage = match counted {
            Some(counted) => Some(plus(counted, left)),
            None => Some(left).filter(|left| *left != Usage::default()),
        };
        from_partials |= !open.is_empty();
        unpaid.merge(&open);
        let priced = unpaid.priced(pricing);
        if !unpaid.uncounted {
            reading.usage_by_model = by_model(paid, &unpaid, priced.as_deref());
        }
        if unpaid.is_empty() {
            if self.has_result {
                (reading.cost, reading.cost_basis) = (Some(reported), CostBasis::ProviderReported);
            }
        } else if let Some(prices) = priced {
            reading.cost = Some(prices.into_iter().fold(reported, NanoUsd::saturating_add));
            reading.cost_basis = if from_partials {
                CostBasis::DerivedFromPartials
            } else {
                CostBasis::PricedLocally
            };
            reading.price_book = Some(pricing.book.version().to_owned());
        }
    }
}

/// What each model used, and what that cost where it is known for the model alone.
fn by_model(
    paid: BTreeMap<String, (Usage, Option<NanoUsd>)>,
    unpaid: &Counted,
    priced: Option<&[NanoUsd]>,
) -> Vec<ModelUsage> {
    let mut models = paid;
    for (at, (model, of)) in unpaid.models().enumerate() {
        let price = priced.and_then(|prices| prices.get(at)).copied();
        let entry = models.entry(model.to_owned());
        let (used, cost) = entry.or_insert((Usage::default(), Some(NanoUsd::ZERO)));
        *used = plus(*used, of.used);
        *cost = cost.zip(price).map(|(one, other)| one.saturating_add(other));
    }
    let all = models.into_iter().filter(|(_, (used, _))| *used != Usage::default());
    all.take(MODELS_MAX)
        .map(|(model, (usage, cost_nano_usd))| ModelUsage { model, usage, cost_nano_usd })
        .collect()
}
