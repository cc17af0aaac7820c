//! Whether a task may be accepted, as far as money goes.

use std::fmt;

use super::event::Period;
use super::scope::BudgetScope;
use crate::ids::UserName;
use crate::money::NanoUsd;
use crate::time::Timestamp;

/// What a task may spend, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// Now.
    pub now: Timestamp,
    /// The user that the execution is to belong to.
    pub user: UserName,
    /// The most that it may cost, before budgets: the caller's or the agent's.
    pub max: Option<NanoUsd>,
    /// Whether the caller named that amount: then it is refused where a budget allows less for one
    /// execution, and not lowered.
    pub named: bool,
}

/// A budget does not allow a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// Which budget.
    pub scope: BudgetScope,
    /// Which of its limits.
    pub period: Period,
    /// When the day or month began; absent for a limit of one execution.
    pub since: Option<Timestamp>,
    /// When it ends.
    pub until: Option<Timestamp>,
    /// The limit.
    pub limit: NanoUsd,
    /// What is spent in the day or month.
    pub committed: NanoUsd,
    /// What is kept for executions whose cost is not known yet.
    pub reserved: NanoUsd,
    /// What the task asked for: the most that it may cost.
    pub asked: NanoUsd,
    /// Whether whoever asked may see the amounts.
    pub told: bool,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, limit, committed, reserved, asked, .. } = self;
        let period = self.period.as_str();
        match (self.told, self.until) {
            (true, Some(until)) => write!(
                f,
                "the budget {scope} allows {limit} dollars in a {period}: {committed} are spent, \
                 {reserved} are kept for executions whose cost is not known yet, and this one asks \
                 for {asked}; the {period} ends at {until}"
            ),
            (true, None) => write!(
                f,
                "the budget {scope} allows {limit} dollars for one execution, and this one asks for \
                 {asked}"
            ),
            (false, Some(until)) => {
                write!(f, "the budget {scope} is reached; its {period} ends at {until}")
            }
            (false, None) => write!(f, "the budget {scope} allows less for one execution"),
        }
    }
}

impl std::error::Error for OverBudget {}
