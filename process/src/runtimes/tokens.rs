//! Token counts and costs as agents' streams write them, taken leniently.

use std::collections::BTreeMap;

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::execution::Usage;
use serde::Deserialize;

use super::lenient::Lenient;

/// The largest count: the largest integer that every JSON reader can hold.
const TOKENS_MAX: u64 = (1 << 53) - 1;
/// `usage` of the Messages API.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ApiUsage {
    input_tokens: Lenient<u64>,
    output_tokens: Lenient<u64>,
    cache_read_input_tokens: Lenient<u64>,
    cache_creation_input_tokens: Lenient<u64>,
    cache_creation: Lenient<CacheCreation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Lenient<u64>,
    ephemeral_1h_input_tokens: Lenient<u64>,
}

impl ApiUsage {
    pub(super) fn tokens(self) -> Usage {
        let split = self.cache_creation.0.unwrap_or_default();
        tokens(
            [self.input_tokens, self.output_tokens, self.cache_read_input_tokens],
            self.cache_creation_input_tokens,
            [split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens],
        )
    }
}

/// One model's entry of `modelUsage` and of `model_usage_since_last_result`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ModelUsage {
    input_tokens: Lenient<u64>,
    output_tokens: Lenient<u64>,
    cache_read_input_tokens: Lenient<u64>,
    cache_creation_input_tokens: Lenient<u64>,
    #[serde(rename = "cacheCreationEphemeral5mInputTokens")]
    ephemeral_5m: Lenient<u64>,
    #[serde(rename = "cacheCreationEphemeral1hInputTokens")]
    ephemeral_1h: Lenient<u64>,
    #[serde(rename = "costUSD")]
    cost_usd: Lenient<f64>,
}

/// Tokens and cost by model.
pub(super) type ByModel = BTreeMap<String, ModelUsage>;

impl ModelUsage {
    /// The tokens, and what they cost where it is said.
    pub(super) fn tokens_and_cost(self) -> (Usage, Option<NanoUsd>) {
        let counts = [self.input_tokens, self.output_tokens, self.cache_read_input_tokens];
        let split = [self.ephemeral_5m, self.ephemeral_1h];
        let tokens = tokens(counts, self.cache_creation_input_tokens, split);
        (tokens, amount(self.cost_usd.0))
    }
}

/// A number of dollars that an agent said, to the nearest nano-dollar; never negative.
pub(super) fn amount(usd: Option<f64>) -> Option<NanoUsd> {
    usd.filter(|usd| *usd >= 0.0).and_then(|usd| NanoUsd::nearest(usd).ok())
}

/// A count, held at the largest; none where it is absent.
pub(super) fn count(field: Lenient<u64>) -> u64 {
    field.0.unwrap_or(0).min(TOKENS_MAX)
}

/// What was written to a cache without saying to which counts as the one of five minutes.
fn tokens(
    [input, output, cache_read]: [Lenient<u64>; 3],
    written: Lenient<u64>,
    [written_5m, written_1h]: [Lenient<u64>; 2],
) -> Usage {
    let cache_write_1h = count(written_1h);
    Usage {
        input: count(input),
        output: count(output),
        cache_read: count(cache_read),
        cache_write_5m: count(written).saturating_sub(cache_write_1h).max(count(written_5m)),
        cache_write_1h,
    }
}

/// Applies to each class of tokens.
pub(super) fn each(a: Usage, b: Usage, of: impl Fn(u64, u64) -> u64) -> Usage {
    Usage {
        input: of(a.input, b.input),
        output: of(a.output, b.output),
        cache_read: of(a.cache_read, b.cache_read),
        cache_write_5m: of(a.cache_write_5m, b.cache_write_5m),
        cache_write_1h: of(a.cache_write_1h, b.cache_write_1h),
    }
}

/// The sum, held at the largest count.
pub(super) fn plus(a: Usage, b: Usage) -> Usage {
    each(a, b, |a, b| a.saturating_add(b).min(TOKENS_MAX))
}
