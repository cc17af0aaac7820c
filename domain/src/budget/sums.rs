//! Sums of money: wider than amounts, and told as amounts.

use super::decide::THRESHOLDS;
use super::event::Period;
use crate::money::NanoUsd;

/// Nano-dollars of sums: wide enough that no sum of amounts leaves it.
pub(super) type Nanos = i128;

/// Sums of a day or a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub committed: Nanos,
    pub kept: Nanos,
}

/// What is spent and kept of one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub day: Sums,
    pub month: Sums,
    /// What open executions keep.
    pub open: Nanos,
}

impl Spent {
    pub fn sums(&self, period: Period) -> Sums {
        match period {
            Period::Execution => Sums::default(),
            Period::Day => self.day,
            Period::Month => self.month,
        }
    }

    /// What is spent and what is kept.
    pub fn told(&self, period: Period) -> (NanoUsd, NanoUsd) {
        let sums = self.sums(period);
        (money(sums.committed), money(sums.kept + self.open))
    }

    /// The parts of a limit that are reached. Of no money at all there are no parts.
    pub fn reached(self, period: Period, limit: NanoUsd) -> impl Iterator<Item = u32> {
        let sums = self.sums(period);
        let used = sums.committed + sums.kept + self.open;
        let limit = Nanos::from(limit.nanos());
        THRESHOLDS
            .into_iter()
            .filter(move |percent| limit > 0 && used * 100 >= limit * Nanos::from(*percent))
    }
}

/// A sum as an amount; held at the largest one.
pub(super) fn money(nanos: Nanos) -> NanoUsd {
    let most = Nanos::from(NanoUsd::MAX.nanos());
    let held = i64::try_from(nanos.clamp(-most, most)).unwrap_or_default();
    NanoUsd::from_nanos(held).unwrap_or(NanoUsd::MAX)
}
