//! The interface's answers about money, as far as pages are made of them.

#![expect(clippy::struct_field_names, reason = "the interface's own names")]

use serde::Deserialize;

/// Costs in groups, with their sum.
#[derive(Deserialize)]
pub(super) struct Costs {
    pub costs: Vec<Sum>,
    pub total: Sum,
    pub truncated: bool,
}

/// What one day, agent, model or trigger cost, or all of them.
#[derive(Deserialize)]
pub(super) struct Sum {
    pub key: Option<String>,
    pub runs: u64,
    pub cost_usd: f64,
    pub unknown: u64,
    pub earned: Vec<Earned>,
}

/// What was paid for executions in one token.
#[derive(Deserialize)]
pub(super) struct Earned {
    pub unit: String,
    pub payments: u64,
    pub settled: String,
    pub refunds: u64,
    pub refund_owed: String,
}

/// A page of budgets.
#[derive(Deserialize)]
pub(super) struct BudgetList {
    pub budgets: Vec<Budget>,
    pub next_cursor: Option<String>,
}

/// A budget, and what is spent of it.
#[derive(Deserialize)]
pub(super) struct Budget {
    pub budget: String,
    pub per_execution_usd: Option<f64>,
    pub day: Option<Period>,
    pub month: Option<Period>,
}

/// A limit of a day or a month.
#[derive(Deserialize)]
pub(super) struct Period {
    pub limit_usd: f64,
    pub committed_usd: f64,
    pub reserved_usd: f64,
    pub remaining_usd: f64,
    pub percent: Option<u64>,
    pub told: Vec<u32>,
    pub since: String,
    pub resets_at: String,
}

/// What became of a correction.
#[derive(Deserialize)]
pub(super) struct Corrected {
    pub execution_id: String,
}
