//! What budgets refused: the first of a minute is recorded at once, further ones as a sum.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use execution_ledger_domain::budget::{BudgetEvent, BudgetRefused, OverBudget, Period};
use execution_ledger_domain::execution::Requester;
use execution_ledger_domain::policy::NotAdmitted;
use execution_ledger_domain::{
    Actor, AgentName, BudgetScope, Caller, Right, StreamName, Timestamp, UserName,
};
use execution_ledger_store::{Context, Ledger};

use crate::desk::Desk;
use crate::tasks::Request;

/// Sums of one minute: most. What is refused beyond is answered and counted in
/// `ledger_budget_refusals_unrecorded_total` alone.
const SUMS_MAX: usize = 1_000;
/// A minute, in microseconds.
const MINUTE: i64 = 60 * 1_000_000;

/// What is summed as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct What {
    scope: BudgetScope,
    period: Period,
    agent: AgentName,
    kind: execution_ledger_domain::ActorKind,
    requester: String,
}

/// What was refused in a minute and is not recorded yet.
#[derive(Debug)]
struct Sum {
    minute: i64,
    /// As the last refusal would say it, with the number of those that are not recorded.
    refused: BudgetRefused,
}

/// Sums of refusals. A crash loses those of the current minute beyond the first.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<What, Sum>>);

/// A task that a budget refused.
pub(crate) struct Asked<'a> {
    /// The agent that was to run it.
    pub agent: &'a AgentName,
    /// The user that it would have belonged to.
    pub user: &'a UserName,
    /// Who asked.
    pub actor: &'a Actor,
    /// The request or event that led to it, where one is known.
    pub cause: Option<String>,
    /// W3C trace context, where the caller sent one.
    pub traceparent: Option<String>,
}

impl<'a> Asked<'a> {
    /// By a caller's request.
    pub fn by(
        caller: &'a Caller,
        agent: &'a AgentName,
        user: &'a UserName,
        request: &Request,
    ) -> Self {
        let (cause, traceparent) = (Some(request.id.clone()), request.traceparent.clone());
        Self { agent, user, actor: &caller.actor, cause, traceparent }
    }
}

impl Refusals {
    /// Counts one; answers what is to be recorded at once.
    fn add(&self, asked: &Asked<'_>, over: &OverBudget, now: Timestamp) -> Option<BudgetRefused> {
        let minute = minute_of(now);
        let requested_by = Requester { kind: asked.actor.kind, id: asked.actor.id.clone() };
        let what = What {
            scope: over.scope.clone(),
            period: over.period,
            agent: asked.agent.clone(),
            kind: asked.actor.kind,
            requester: asked.actor.id.clone(),
        };
        let mut refused = BudgetRefused {
            period: over.period,
            since: over.since,
            limit_nano_usd: over.limit,
            committed_nano_usd: over.committed,
            reserved_nano_usd: over.reserved,
            asked_nano_usd: over.asked,
            agent: asked.agent.clone(),
            user: asked.user.clone(),
            requested_by,
            count: 1,
        };
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = sums.get_mut(&what) {
            refused.count = sum.refused.count.saturating_add(1);
            sum.refused = refused;
            return None;
        }
        if sums.len() >= SUMS_MAX {
            metrics::counter!("ledger_budget_refusals_unrecorded_total").increment(1);
            return None;
        }
        let none_yet = BudgetRefused { count: 0, ..refused.clone() };
        sums.insert(what, Sum { minute, refused: none_yet });
        Some(refused)
    }

    /// Takes out the sums of minutes that are over, or all.
    fn take(&self, now: Timestamp, all: bool) -> Vec<(BudgetScope, BudgetRefused)> {
        let current = minute_of(now);
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = sums.extract_if(|_, sum| all || sum.minute != current);
        let taken = over.map(|(what, sum)| (what.scope, sum.refused));
        taken.filter(|(_, refused)| refused.count > 0).collect()
    }
}

fn minute_of(at: Timestamp) -> i64 {
    at.micros().div_euclid(MINUTE)
}

/// Records that a budget refused a task. Any other refusal is answered as it is.
pub(crate) async fn record(
    ledger: &Ledger,
    desk: &Desk,
    asked: &Asked<'_>,
    refusal: NotAdmitted,
) -> NotAdmitted {
    let NotAdmitted::OverBudget(over) = &refusal else { return refusal };
    metrics::counter!("ledger_budget_refusals_total").increment(1);
    let Some(refused) = desk.refusals().add(asked, over, ledger.now()) else { return refusal };
    let stream = StreamName::budget(&over.scope);
    let context = Context {
        actor: asked.actor.clone(),
        correlation_id: asked.cause.clone().or_else(|| Some(stream.to_string())),
        causation_id: asked.cause.clone(),
        traceparent: asked.traceparent.clone(),
    };
    note(ledger, &stream, refused, &context).await;
    refusal
}

/// A refusal as a caller may see it: with the amounts where the caller may read budgets, or where it is
/// the own one.
pub(crate) fn for_caller(caller: &Caller, mut refusal: NotAdmitted) -> NotAdmitted {
    if let NotAdmitted::OverBudget(over) = &mut refusal {
        let own = BudgetScope::User(caller.actor.user.clone());
        over.told = caller.role.has(Right::ReadBudgets) || over.scope == own;
    }
    refusal
}

/// Records the sums of the minutes that are over, or all.
pub(super) async fn record_sums(ledger: &Ledger, desk: &Desk, all: bool) {
    for (scope, refused) in desk.refusals().take(ledger.now(), all) {
        let stream = StreamName::budget(&scope);
        let context = Context {
            actor: Actor::system("budgets"),
            correlation_id: Some(stream.to_string()),
            causation_id: None,
            traceparent: None,
        };
        note(ledger, &stream, refused, &context).await;
    }
}

/// What can't be recorded is lost: the task is refused all the same.
async fn note(ledger: &Ledger, stream: &StreamName, refused: BudgetRefused, context: &Context) {
    let fact = BudgetEvent::BudgetRefused(Box::new(refused));
    if let Err(error) = ledger.note(stream, &[fact.into()], context).await {
        tracing::warn!(%stream, %error, "a refusal can't be recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_minute_is_recorded_at_once_and_the_others_as_one_sum() {
        let refusals = Refusals::default();
        let agent = AgentName::new("a").expect("a name");
        let actor = Actor::system("test");
        let asked = Asked {
            agent: &agent,
            user: &actor.user,
            actor: &actor,
            cause: None,
            traceparent: None,
        };
        let over = |asked: i64| OverBudget {
            scope: BudgetScope::Global,
            period: Period::Day,
            since: Some(Timestamp::EPOCH),
            until: None,
            limit: execution_ledger_domain::NanoUsd::ZERO,
            committed: execution_ledger_domain::NanoUsd::ZERO,
            reserved: execution_ledger_domain::NanoUsd::ZERO,
            asked: execution_ledger_domain::NanoUsd::from_nanos(asked).expect("an amount"),
            told: true,
        };
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let first = refusals.add(&asked, &over(1), at(1)).expect("to be recorded");
        assert_eq!(first.count, 1);
        for second in 2..5 {
            assert_eq!(refusals.add(&asked, &over(second), at(second)), None);
        }
        assert_eq!(refusals.take(at(59), false), []);
        let taken = refusals.take(at(60), false);
        let [(scope, sum)] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!((scope, sum.count, sum.asked_nano_usd.nanos()), (&BudgetScope::Global, 3, 4));
        assert!(refusals.add(&asked, &over(1), at(61)).is_some(), "another minute");
        assert_eq!(refusals.take(at(200), true), [], "the first was recorded already");
    }

    #[test]
    fn many_requesters_are_no_way_to_fill_memory_or_the_log() {
        let refusals = Refusals::default();
        let agent = AgentName::new("a").expect("a name");
        let mut recorded = 0;
        for number in 0..SUMS_MAX + 50 {
            let actor = Actor { id: number.to_string(), ..Actor::system("test") };
            let asked = Asked {
                agent: &agent,
                user: &actor.user,
                actor: &actor,
                cause: None,
                traceparent: None,
            };
            let zero = execution_ledger_domain::NanoUsd::ZERO;
            let over = OverBudget {
                scope: BudgetScope::Global,
                period: Period::Execution,
                since: None,
                until: None,
                limit: zero,
                committed: zero,
                reserved: zero,
                asked: zero,
                told: true,
            };
            recorded += usize::from(refusals.add(&asked, &over, Timestamp::EPOCH).is_some());
        }
        assert_eq!(recorded, SUMS_MAX);
    }
}
