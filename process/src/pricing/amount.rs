//! Exact prices and sums.

use std::fmt;

use execution_ledger_domain::NanoUsd;

/// Decimal places that a price may have.
const PLACES: usize = 6;
/// Millionths of a dollar in a dollar. A price of one such for a million tokens is a millionth of a
/// millionth of a dollar (a pico-dollar) for one token.
const PER_USD: u64 = 1_000_000;
/// The highest price, in dollars for a million tokens.
pub(super) const PRICE_MAX_USD: u64 = 1_000_000;
/// Pico-dollars in a nano-dollar.
const PICOS_PER_NANO: u128 = 1_000;

/// A price for a million tokens: in millionths of a dollar, which are pico-dollars for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(u64);

impl Price {
    /// From dollars for a million tokens, with at most six decimal places.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_usd(usd: f64) -> Result<Self, String> {
        let refused = |why: &str| Err(format!("{usd} is no price: {why}"));
        if !usd.is_finite() || usd < 0.0 {
            return refused("it must be 0 or more");
        }
        if usd > PRICE_MAX_USD as f64 {
            return refused("it is in dollars for a million tokens, at most 1000000");
        }
        // The shortest decimal that means this number is the one that was written.
        let text = format!("{usd}");
        let (whole, places) = text.split_once('.').unwrap_or((&text, ""));
        if places.len() > PLACES {
            return refused("it has more than six decimal places");
        }
        let digits = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
        Ok(Self(digits(whole)? * PER_USD + digits(&format!("{places:0<PLACES$}"))?))
    }

    /// In dollars for a million tokens.
    pub fn to_usd(self) -> f64 {
        self.0 as f64 / PER_USD as f64
    }

    /// In pico-dollars for one token.
    pub fn picos(self) -> u64 {
        self.0
    }
}

/// Dollars for a million tokens, with as many decimal places as are needed, at least two.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places = format!("{:06}", self.0 % PER_USD);
        while places.len() > 2 && places.ends_with('0') {
            places.pop();
        }
        f.pad(&format!("{}.{places}", self.0 / PER_USD))
    }
}

/// What so many tokens at such prices cost together, rounded once, half a nano-dollar up. None where
/// a price is missing or the sum is no amount.
pub(super) fn sum(mut tokens: impl Iterator<Item = (u64, Option<Price>)>) -> Option<NanoUsd> {
    // Five counts below 2^64 at prices below 2^40: far from the end of the type.
    let picos = tokens.try_fold(0_u128, |sum, (count, price)| {
        Some(sum + u128::from(count) * u128::from(price?.picos()))
    })?;
    let nanos = (picos + PICOS_PER_NANO / 2) / PICOS_PER_NANO;
    NanoUsd::from_nanos(i64::try_from(nanos).ok()?).ok()
}
