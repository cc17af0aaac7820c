//! Tells that a part of a limit is reached, once for each part and period; records sums of refusals.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::budget::{Command, ThresholdReached};
use execution_ledger_domain::{Actor, BudgetScope, StreamName};
use execution_ledger_store::{Context, Ledger};

use super::{BudgetError, refusals};
use crate::desk::Desk;
use crate::failpoint;

/// How often it is looked although nothing came: days and minutes end by themselves.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long it rests after something could not be recorded.
const REST_AFTER_FAULT: Duration = Duration::from_secs(1);

/// Works until it is dropped. What it has not told follows from the state, so a successor tells it.
pub(crate) async fn watch(ledger: Ledger, desk: Arc<Desk>) {
    let mut applied = desk.applied_changes();
    loop {
        if desk.policy().does_what_is_done_once() && !tell(&ledger, &desk).await {
            tokio::time::sleep(REST_AFTER_FAULT).await;
        }
        refusals::record_sums(&ledger, &desk, false).await;
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Tells what is reached; false where something is left to be told.
async fn tell(ledger: &Ledger, desk: &Desk) -> bool {
    let reached = {
        let mut policy = desk.policy();
        let budgets = policy.budgets_mut();
        budgets.take_thresholds(ledger.now())
    };
    let mut done = true;
    for (scope, part) in reached {
        if let Err(error) = tell_one(ledger, desk, &scope, part).await {
            tracing::warn!(%scope, %error, "that a part of a budget is reached is told later");
            desk.policy().budgets_mut().look_again(scope);
            done = false;
        }
    }
    done
}

async fn tell_one(
    ledger: &Ledger,
    desk: &Desk,
    scope: &BudgetScope,
    part: ThresholdReached,
) -> Result<(), BudgetError> {
    failpoint::reach("budgets.before_threshold");
    let context = Context {
        actor: Actor::system("budgets"),
        correlation_id: Some(StreamName::budget(scope).to_string()),
        causation_id: None,
        traceparent: None,
    };
    let command = Command::Tell(part);
    let told = desk.budget_turn().execute(ledger, desk, scope, command, &context).await?;
    if told.is_some() {
        tracing::warn!(%scope, percent = part.percent, "a part of a budget is reached");
    }
    Ok(())
}
