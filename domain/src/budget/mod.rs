//! A budget: what all, one agent or one user may spend in a day, in a month or on one execution.

mod admission;
mod calendar;
mod decide;
mod ended;
mod event;
mod scope;
mod spending;
mod sums;
mod telling;

pub use admission::{OverBudget, Spend};
pub use decide::{Budget, Command, Rejection, THRESHOLDS, Told};
pub use ended::EndedCost;
pub use event::{
    BudgetEvent, Period, Refused as BudgetRefused, Set as BudgetSet, ThresholdReached,
};
pub use scope::{BudgetScope, BudgetScopeError};
pub use spending::{Budgets, Correction, SpentBy};

#[cfg(test)]
mod tests;
