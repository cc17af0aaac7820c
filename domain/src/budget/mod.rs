//! A budget: what all, one agent or one user may spend in a day, in a month or on one execution.

mod event;
mod scope;

pub use event::{
    BudgetEvent, Period, Refused as BudgetRefused, Set as BudgetSet, ThresholdReached,
};
pub use scope::{BudgetScope, BudgetScopeError};
