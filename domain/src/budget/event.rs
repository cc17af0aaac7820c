//! The facts of a budget.

use serde::{Deserialize, Serialize};

use crate::execution::Requester;
use crate::ids::{AgentName, UserName};
use crate::money::NanoUsd;
use crate::time::Timestamp;

/// Over what a limit counts. Days and months are those of UTC.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// One execution.
    Execution,
    /// A day.
    Day,
    /// A month.
    Month,
}

/// The limits of a budget from now on, in place of those before. Without any, the budget is lifted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Set {
    /// What one execution may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_execution_nano_usd: Option<NanoUsd>,
    /// What may be spent in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day_nano_usd: Option<NanoUsd>,
    /// What may be spent in a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_month_nano_usd: Option<NanoUsd>,
}

/// Tasks were refused because the budget was reached. Refusals of one requester and agent within a
/// minute are one event with their number, so that nobody can fill the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Refused {
    /// Which limit was reached.
    pub period: Period,
    /// When the period began; absent for a limit of one execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The limit.
    pub limit_nano_usd: NanoUsd,
    /// What was spent in the period.
    pub committed_nano_usd: NanoUsd,
    /// What was kept for executions whose cost is not known yet.
    pub reserved_nano_usd: NanoUsd,
    /// What the task asked for: its own most.
    pub asked_nano_usd: NanoUsd,
    /// The agent that was to run it.
    pub agent: AgentName,
    /// The user that it would have belonged to.
    pub user: UserName,
    /// Who asked.
    pub requested_by: Requester,
    /// How many tasks were refused so.
    pub count: u64,
}

/// What is spent or kept passed a part of a limit: told once for each part and period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ThresholdReached {
    /// Which limit.
    pub period: Period,
    /// When the period began.
    pub since: Timestamp,
    /// Which part of it, in percent: 50, 80 or 100.
    pub percent: u32,
    /// The limit.
    pub limit_nano_usd: NanoUsd,
    /// What was spent in the period.
    pub committed_nano_usd: NanoUsd,
    /// What was kept for executions whose cost is not known yet.
    pub reserved_nano_usd: NanoUsd,
}

/// A fact of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetEvent {
    /// `budget.set`
    BudgetSet(Set),
    /// `budget.refused`
    BudgetRefused(Box<Refused>),
    /// `budget.threshold_reached`
    ThresholdReached(ThresholdReached),
}
