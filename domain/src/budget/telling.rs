//! The parts of limits that are reached.

use super::event::{Period, ThresholdReached};
use super::scope::BudgetScope;
use super::spending::Budgets;
use crate::time::Timestamp;

impl Budgets {
    /// Takes what is to be told of: each part of a limit that is reached and was not told, of the
    /// budgets that changed since the last look.
    pub fn take_thresholds(&mut self, now: Timestamp) -> Vec<(BudgetScope, ThresholdReached)> {
        self.roll(now);
        let mut reached = Vec::new();
        for scope in std::mem::take(&mut self.changed) {
            let Some(budget) = self.by_scope.get(&scope) else { continue };
            for period in [Period::Day, Period::Month] {
                let (Some(limit), Some(since)) = (budget.limits.limit(period), self.began(period))
                else {
                    continue;
                };
                let spent = self.spent_of(&scope);
                let told = budget.told(period, since, limit);
                let parts = spent.reached(period, limit).filter(|part| !told.contains(part));
                let (committed_nano_usd, reserved_nano_usd) = spent.told(period);
                reached.extend(parts.map(|percent| {
                    let limit_nano_usd = limit;
                    let reached = ThresholdReached {
                        period,
                        since,
                        percent,
                        limit_nano_usd,
                        committed_nano_usd,
                        reserved_nano_usd,
                    };
                    (scope.clone(), reached)
                }));
            }
        }
        reached
    }

    /// Whether there is something to look at for [`Budgets::take_thresholds`].
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Has a budget looked at again: what was to be told of it could not be.
    pub fn look_again(&mut self, scope: BudgetScope) {
        self.changed.insert(scope);
    }
}
