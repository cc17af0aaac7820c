//! Budgets: their limits, each with the interval of positions for which it held.

use execution_ledger_domain::budget::{Budget, BudgetEvent};
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{Aggregate, BudgetScope, Timestamp};
use execution_ledger_store::Recorded;
use serde::{Deserialize, Serialize};

use super::versions::{After, Facets, Versioned, versions_indexes, versions_tables};

/// Budgets as versioned things.
pub(crate) struct Budgets;

/// A version of a budget.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct BudgetVersion {
    /// What it is for.
    pub scope: BudgetScope,
    /// Its limits, and what was told of its day and month.
    pub budget: Budget,
    /// When its limits became these.
    pub set_at: Timestamp,
}

impl Versioned for Budgets {
    const NAME: &'static str = "budgets";
    const VERSION: u32 = 1;
    const TABLES: &'static str = versions_tables!("budgets");
    const INDEXES: &'static str = versions_indexes!("budgets");
    type State = BudgetVersion;

    fn is_about(event: &Event) -> bool {
        matches!(event, Event::Budget(BudgetEvent::BudgetSet(_) | BudgetEvent::ThresholdReached(_)))
    }

    fn after(
        before: Option<&BudgetVersion>,
        event: &Event,
        recorded: &Recorded,
    ) -> After<BudgetVersion> {
        let (Event::Budget(event), Some(scope)) = (event, recorded.stream.budget_scope()) else {
            return After::Same;
        };
        let at = recorded.recorded_at;
        let set_at = match (before, event) {
            (None, BudgetEvent::BudgetSet(_)) => at,
            (Some(before), BudgetEvent::BudgetSet(set)) if before.budget.limits != *set => at,
            (Some(before), BudgetEvent::ThresholdReached(_)) => before.set_at,
            _ => return After::Same,
        };
        let budget = before.map(|before| before.budget.clone()).unwrap_or_default();
        After::Now(BudgetVersion { scope, budget: budget.evolve(event), set_at })
    }

    fn facets(version: &BudgetVersion) -> Facets<'_> {
        let (agent, user) = match &version.scope {
            BudgetScope::Global => (None, None),
            BudgetScope::Agent(agent) => (Some(agent.as_str()), None),
            BudgetScope::User(user) => (None, Some(user.as_str())),
        };
        Facets { user, agent, kind: None, active: !version.budget.limits.is_empty() }
    }
}
