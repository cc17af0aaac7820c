//! Exact money.

use std::fmt;
use std::iter::Sum;

use serde::{Deserialize, Serialize};

/// An amount in nano-dollars (one dollar is 1,000,000,000): exact, possibly negative in
/// corrections.
///
/// In events an integer below 2^53 in size; in the API a JSON decimal number of dollars with at
/// most nine places ([`NanoUsd::to_usd`], [`NanoUsd::from_usd`]). Every such decimal has a
/// floating-point number of its own, so the way there and back is exact; a property test says so.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct NanoUsd(i64);

/// Why a number is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Beyond what an event can hold.
    #[error("an amount is at most 8000000 dollars in size")]
    OutOfRange,
    /// More than nine decimal places, or not a finite number.
    #[error("an amount has at most nine decimal places")]
    TooFine,
}

const NANOS_PER_USD: f64 = 1e9;

impl NanoUsd {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The largest amount: eight million dollars. Below 2^23 dollars neighbouring floating-point
    /// numbers are less than a nano-dollar apart, so every amount has one of its own.
    pub const MAX: Self = Self(8_000_000_000_000_000);

    /// From nano-dollars.
    pub fn from_nanos(nanos: i64) -> Result<Self, MoneyError> {
        if nanos.unsigned_abs() <= Self::MAX.0.unsigned_abs() {
            Ok(Self(nanos))
        } else {
            Err(MoneyError::OutOfRange)
        }
    }

    /// In nano-dollars.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// In dollars: the floating-point number whose shortest decimal form is this amount.
    pub fn to_usd(self) -> f64 {
        self.0 as f64 / NANOS_PER_USD
    }

    /// From a caller's number of dollars, which must have at most nine decimal places.
    pub fn from_usd(usd: f64) -> Result<Self, MoneyError> {
        let amount = Self::nearest(usd)?;
        if amount.to_usd().to_bits() == usd.to_bits() || usd == 0.0 {
            Ok(amount)
        } else {
            Err(MoneyError::TooFine)
        }
    }

    /// The nearest amount to a number of dollars that an agent computed in floating point.
    pub fn nearest(usd: f64) -> Result<Self, MoneyError> {
        if !usd.is_finite() {
            return Err(MoneyError::TooFine);
        }
        let nanos = (usd * NANOS_PER_USD).round();
        if nanos.abs() > Self::MAX.0 as f64 {
            return Err(MoneyError::OutOfRange);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked just above")]
        let nanos = nanos as i64;
        // The product was rounded once more: among its neighbours may stand the very amount.
        let exact =
            (nanos - 1..=nanos + 1).find(|near| Self(*near).to_usd().to_bits() == usd.to_bits());
        Self::from_nanos(exact.unwrap_or(nanos))
    }

    /// The sum, held at the largest amount.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).clamp(-Self::MAX.0, Self::MAX.0))
    }

    /// The difference, held at the largest amount.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).clamp(-Self::MAX.0, Self::MAX.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl TryFrom<i64> for NanoUsd {
    type Error = MoneyError;
    fn try_from(nanos: i64) -> Result<Self, MoneyError> {
        Self::from_nanos(nanos)
    }
}

impl From<NanoUsd> for i64 {
    fn from(amount: NanoUsd) -> Self {
        amount.0
    }
}

/// Dollars with as many decimal places as are needed, at least two: `0.0143`, `12.50`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let mut places = format!("{:09}", nanos % 1_000_000_000);
        while places.len() > 2 && places.ends_with('0') {
            places.pop();
        }
        f.pad(&format!("{sign}{}.{places}", nanos / 1_000_000_000))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_amount_survives_the_way_out_as_json_and_back(nanos in -NanoUsd::MAX.0..=NanoUsd::MAX.0) {
            let amount = NanoUsd::from_nanos(nanos).expect("in range");
            let json = serde_json::to_string(&amount.to_usd()).expect("a number");
            let back: f64 = serde_json::from_str(&json).expect("a number");
            prop_assert_eq!(NanoUsd::from_usd(back), Ok(amount));
            let digits = format!("{:.9}", amount.to_usd());
            let exact = format!("{}{}.{:09}", if nanos < 0 { "-" } else { "" },
                nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
            prop_assert_eq!(digits, exact);
        }
    }

    #[test]
    fn a_tenth_decimal_place_is_refused_and_an_agents_noise_is_rounded() {
        assert_eq!(NanoUsd::from_usd(0.000_000_000_1), Err(MoneyError::TooFine));
        assert_eq!(NanoUsd::from_usd(0.1 + 0.2), Err(MoneyError::TooFine));
        assert_eq!(NanoUsd::from_usd(f64::NAN), Err(MoneyError::TooFine));
        assert_eq!(NanoUsd::from_usd(1e10), Err(MoneyError::OutOfRange));
        assert_eq!(NanoUsd::nearest(0.014_299_999_999_999_997).map(NanoUsd::nanos), Ok(14_300_000));
    }

    #[test]
    fn people_read_dollars_with_the_places_that_matter() {
        let shown = |nanos| NanoUsd::from_nanos(nanos).expect("in range").to_string();
        assert_eq!(shown(14_300_000), "0.0143");
        assert_eq!(shown(12_500_000_000), "12.50");
        assert_eq!(shown(-1), "-0.000000001");
    }
}
