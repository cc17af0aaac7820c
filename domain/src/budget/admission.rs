//! Whether a task may be accepted, as far as money goes.

use std::fmt;

use super::event::Period;
use super::scope::BudgetScope;
use super::spending::{Budgets, Held};
use super::sums::Nanos;
use crate::ids::{AgentName, ExecutionId, UserName};
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

impl Budgets {
    /// The most that an execution may cost: the least of its own and of what budgets allow for one.
    pub fn most(
        &self,
        agent: &AgentName,
        user: &UserName,
        max: Option<NanoUsd>,
    ) -> Option<NanoUsd> {
        let each = scopes(agent, user).into_iter().filter_map(|scope| {
            self.by_scope.get(&scope).and_then(|budget| budget.limits.per_execution_nano_usd)
        });
        max.into_iter().chain(each).min()
    }

    /// Keeps room for an execution that is about to be appended, and answers the most that it may
    /// cost. Its `execution.pending` takes the room over; [`Budgets::release`] gives it back.
    ///
    /// # Errors
    /// The first budget that does not allow it. One that has reached its limit allows nothing more,
    /// not even what has no most of its own.
    pub fn admit(
        &mut self,
        id: ExecutionId,
        agent: &AgentName,
        spend: &Spend,
    ) -> Result<Option<NanoUsd>, Box<OverBudget>> {
        self.roll(spend.now);
        let most = self.most(agent, &spend.user, spend.max);
        let asked = if spend.named { spend.max } else { most }.unwrap_or(NanoUsd::ZERO);
        if !self.by_scope.is_empty() {
            for scope in &scopes(agent, &spend.user) {
                self.check(scope, asked)?;
            }
        }
        if !self.open.contains_key(&id) && !self.admitted.contains_key(&id) {
            let max = most.unwrap_or(NanoUsd::ZERO);
            let (agent, user) = (agent.clone(), spend.user.clone());
            self.keep(&agent, &user, Nanos::from(max.nanos()));
            self.admitted.insert(id, Held { agent, user, max, started: false });
        }
        Ok(most)
    }

    fn check(&self, scope: &BudgetScope, asked: NanoUsd) -> Result<(), Box<OverBudget>> {
        let Some(budget) = self.by_scope.get(scope) else { return Ok(()) };
        let over = |period: Period, limit, (committed, reserved)| {
            let (since, until) = (self.began(period), self.ends(period));
            let told = true;
            let scope = scope.clone();
            Box::new(OverBudget {
                scope,
                period,
                since,
                until,
                limit,
                committed,
                reserved,
                asked,
                told,
            })
        };
        if let Some(limit) = budget.limits.per_execution_nano_usd
            && (asked > limit || limit == NanoUsd::ZERO)
        {
            return Err(over(Period::Execution, limit, (NanoUsd::ZERO, NanoUsd::ZERO)));
        }
        let spent = self.spent_of(scope);
        for period in [Period::Day, Period::Month] {
            let Some(limit) = budget.limits.limit(period) else { continue };
            let sums = spent.sums(period);
            let used = sums.committed + sums.kept + spent.open;
            let most = Nanos::from(limit.nanos());
            if used >= most || used + Nanos::from(asked.nanos()) > most {
                return Err(over(period, limit, spent.told(period)));
            }
        }
        Ok(())
    }

    /// Gives back the room of an execution that was not appended.
    pub fn release(&mut self, id: ExecutionId) {
        if let Some(held) = self.admitted.remove(&id) {
            self.keep(&held.agent, &held.user, -Nanos::from(held.max.nanos()));
        }
    }
}

/// The budgets that an execution counts in.
pub(super) fn scopes(agent: &AgentName, user: &UserName) -> [BudgetScope; 3] {
    [BudgetScope::Global, BudgetScope::Agent(agent.clone()), BudgetScope::User(user.clone())]
}
