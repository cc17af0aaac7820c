//! Budgets as they are told.

use execution_ledger_domain::budget::{Budget, SpentBy};
use execution_ledger_domain::{AgentName, BudgetScope, ExecutionId, NanoUsd, Timestamp, UserName};
use execution_ledger_store::Position;

/// A budget, and what is spent of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// What it is for.
    pub scope: BudgetScope,
    /// Its limits, and what was told of its last day and month.
    pub budget: Budget,
    /// When its limits became these.
    pub set_at: Timestamp,
    /// Position of its last change.
    pub position: Position,
    /// Of the day.
    pub day: BudgetSums,
    /// Of the month.
    pub month: BudgetSums,
}

/// What is spent and kept in a day or a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetSums {
    /// What was spent.
    pub committed: NanoUsd,
    /// What is kept for executions whose cost is not known yet.
    pub reserved: NanoUsd,
}

/// A page of budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgeted {
    /// The moment whose day and month they are about.
    pub moment: Timestamp,
    /// The budgets, the newest first.
    pub budgets: Vec<BudgetRow>,
    /// What to ask for the next page with; absent on the last one.
    pub next_cursor: Option<String>,
}

/// What admission goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetWork {
    /// The moment whose day and month the sums are about.
    pub moment: Timestamp,
    /// The budgets that have limits.
    pub budgets: Vec<(BudgetScope, Budget)>,
    /// What was spent, and what is kept by what ended.
    pub spent: Vec<SpentBy>,
    /// What open executions keep.
    pub open: Vec<OpenKept>,
}

/// An execution that has not ended, and the most that it may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenKept {
    /// Which one.
    pub id: ExecutionId,
    /// Its agent.
    pub agent: AgentName,
    /// The user that it belongs to.
    pub user: UserName,
    /// What it may cost.
    pub max: Option<NanoUsd>,
    /// Whether it had a claim.
    pub started: bool,
}
