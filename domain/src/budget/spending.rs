//! What is spent and what is kept: the fold of all executions that admission asks.
//!
//! A cost counts in the day and the month in which the ledger recorded it, as in the summaries of
//! costs: with the ending, and as a signed difference with a correction. An open execution keeps the
//! most that it may cost. One that ended at a cost that nobody knows keeps it in the day and the month
//! of its ending, until its cost is corrected.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use super::admission::scopes;
use super::calendar::{day_of, month_of};
use super::decide::Budget;
use super::ended::EndedCost;
use super::event::{BudgetEvent, Period};
use super::scope::BudgetScope;
use super::sums::{Nanos, Spent, Sums};
use crate::Aggregate;
use crate::execution::ExecutionEvent;
use crate::ids::{AgentName, ExecutionId, UserName};
use crate::money::NanoUsd;
use crate::time::Timestamp;

/// The correction of an ended execution's cost, with what its stream says of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Its agent.
    pub agent: AgentName,
    /// The user that it belongs to.
    pub user: UserName,
    /// The cost that held before; nothing where nobody knew it.
    pub before: Option<NanoUsd>,
    /// The cost that holds now.
    pub now: NanoUsd,
    /// What it kept until now, and when it had ended.
    pub kept: Option<(NanoUsd, Timestamp)>,
}

/// What was spent by the executions of an agent for a user in the present day and month: from where
/// the fold goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentBy {
    /// The agent.
    pub agent: AgentName,
    /// The user.
    pub user: UserName,
    /// What is spent in the day, in nano-dollars.
    pub day: i64,
    /// What is spent in the month, in nano-dollars.
    pub month: i64,
    /// What executions that ended in the day at an unknown cost keep, in nano-dollars.
    pub day_kept: i64,
    /// The same of the month.
    pub month_kept: i64,
}

/// An open execution, or one that is being appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub agent: AgentName,
    pub user: UserName,
    pub max: NanoUsd,
    pub started: bool,
}

/// All budgets, and what is spent and kept of them.
#[derive(Clone, Debug)]
pub struct Budgets {
    pub(super) by_scope: BTreeMap<BudgetScope, Budget>,
    pub(super) day: Timestamp,
    month: Timestamp,
    pub(super) open: HashMap<ExecutionId, Held>,
    /// Those that were admitted and whose event has not come back from the log.
    pub(super) admitted: HashMap<ExecutionId, Held>,
    all: Spent,
    agents: HashMap<AgentName, Spent>,
    users: HashMap<UserName, Spent>,
    /// Budgets of which something changed since thresholds were looked at.
    pub(super) changed: BTreeSet<BudgetScope>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            by_scope: BTreeMap::new(),
            day: Timestamp::EPOCH,
            month: Timestamp::EPOCH,
            open: HashMap::new(),
            admitted: HashMap::new(),
            all: Spent::default(),
            agents: HashMap::new(),
            users: HashMap::new(),
            changed: BTreeSet::new(),
        }
    }
}

impl Budgets {
    /// Takes up a budget as a read model knows it, before events are applied.
    pub fn load_budget(&mut self, scope: BudgetScope, budget: Budget) {
        self.changed.insert(scope.clone());
        self.by_scope.insert(scope, budget);
    }

    /// Takes up what is spent in the day and month of `at`, as a read model knows it.
    pub fn load_spent(&mut self, at: Timestamp, spent: &[SpentBy]) {
        self.roll(at);
        for by in spent {
            self.each(&by.agent, &by.user, |sums| {
                sums.day.committed += Nanos::from(by.day);
                sums.month.committed += Nanos::from(by.month);
                sums.day.kept += Nanos::from(by.day_kept);
                sums.month.kept += Nanos::from(by.month_kept);
            });
        }
    }

    /// Takes up an execution that has not ended as a read model knows it.
    pub fn load_open(
        &mut self,
        id: ExecutionId,
        agent: &AgentName,
        user: &UserName,
        max: Option<NanoUsd>,
        started: bool,
    ) {
        let max = max.unwrap_or(NanoUsd::ZERO);
        self.hold(id, Held { agent: agent.clone(), user: user.clone(), max, started });
    }

    /// How many budgets have limits.
    pub fn in_force(&self) -> usize {
        self.by_scope.values().filter(|budget| !budget.limits.is_empty()).count()
    }

    /// One budget's state.
    pub fn budget(&self, scope: &BudgetScope) -> Budget {
        self.by_scope.get(scope).cloned().unwrap_or_default()
    }

    /// One more event of a budget.
    pub fn apply_budget(&mut self, at: Timestamp, scope: &BudgetScope, event: &BudgetEvent) {
        self.roll(at);
        if matches!(event, BudgetEvent::BudgetRefused(_)) {
            return;
        }
        let budget = self.by_scope.remove(scope).unwrap_or_default().evolve(event);
        // A lifted one is as if it had never been.
        if !budget.limits.is_empty() {
            self.by_scope.insert(scope.clone(), budget);
            self.changed.insert(scope.clone());
        }
    }

    /// One more event of an execution, recorded at `at`; corrections come by [`Budgets::correct`].
    pub fn apply_execution(&mut self, at: Timestamp, id: ExecutionId, event: &ExecutionEvent) {
        self.roll(at);
        match event {
            ExecutionEvent::Pending(pending) => {
                let max = pending.max_cost_nano_usd.unwrap_or(NanoUsd::ZERO);
                let (agent, user) = (pending.agent.clone(), pending.user.clone());
                self.release(id);
                self.hold(id, Held { agent, user, max, started: false });
            }
            ExecutionEvent::Running(_) => {
                if let Some(held) = self.open.get_mut(&id) {
                    held.started = true;
                }
            }
            _ => self.end(at, id, event),
        }
    }

    fn end(&mut self, at: Timestamp, id: ExecutionId, event: &ExecutionEvent) {
        let started = self.open.get(&id).is_some_and(|held| held.started);
        let Some(cost) = EndedCost::of(event, started) else { return };
        self.release(id);
        let Some(held) = self.open.remove(&id) else { return };
        let max = Nanos::from(held.max.nanos());
        self.keep(&held.agent, &held.user, -max);
        match cost {
            EndedCost::Known(cost) => {
                let cost = Nanos::from(cost.nanos());
                self.count(at, &held.agent, &held.user, |sums| sums.committed += cost);
            }
            EndedCost::Unknown => {
                self.count(at, &held.agent, &held.user, |sums| sums.kept += max);
            }
            EndedCost::Nothing => {}
        }
    }

    /// A correction, recorded at `at`: what it changes counts now, what was kept until now is free in
    /// the day and month of the ending.
    pub fn correct(&mut self, at: Timestamp, correction: &Correction) {
        self.roll(at);
        let Correction { agent, user, before, now, kept } = correction;
        let before = before.map_or(0, |before| Nanos::from(before.nanos()));
        let difference = Nanos::from(now.nanos()) - before;
        self.count(at, agent, user, |sums| sums.committed += difference);
        if let Some((kept, ended_at)) = kept {
            let kept = Nanos::from(kept.nanos());
            self.count(*ended_at, agent, user, |sums| sums.kept -= kept);
        }
    }

    /// What is spent and what is kept of a budget in the present day or month.
    pub fn standing(&self, scope: &BudgetScope, period: Period) -> (NanoUsd, NanoUsd) {
        self.spent_of(scope).told(period)
    }

    pub(super) fn hold(&mut self, id: ExecutionId, held: Held) {
        if self.open.contains_key(&id) {
            return;
        }
        self.keep(&held.agent, &held.user, Nanos::from(held.max.nanos()));
        self.open.insert(id, held);
    }

    /// The day and month are those of `at`, unless a later one has begun already.
    pub(super) fn roll(&mut self, at: Timestamp) {
        if at < self.day {
            return;
        }
        let (day, month) = (day_of(at), month_of(at));
        if day == self.day {
            return;
        }
        let new_month = month != self.month;
        (self.day, self.month) = (day, month);
        let turn = |spent: &mut Spent| {
            spent.day = Sums::default();
            if new_month {
                spent.month = Sums::default();
            }
            *spent != Spent::default()
        };
        turn(&mut self.all);
        self.agents.retain(|_, spent| turn(spent));
        self.users.retain(|_, spent| turn(spent));
        self.changed.extend(self.by_scope.keys().cloned());
    }

    /// Changes the sums of the day and the month that `at` lies in, as far as they are the present.
    fn count(
        &mut self,
        at: Timestamp,
        agent: &AgentName,
        user: &UserName,
        change: impl Fn(&mut Sums),
    ) {
        let (in_day, in_month) = (day_of(at) == self.day, month_of(at) == self.month);
        self.each(agent, user, |spent| {
            if in_day {
                change(&mut spent.day);
            }
            if in_month {
                change(&mut spent.month);
            }
        });
    }

    pub(super) fn keep(&mut self, agent: &AgentName, user: &UserName, amount: Nanos) {
        if amount != 0 {
            self.each(agent, user, |spent| spent.open += amount);
        }
    }

    /// Changes what is spent of everything, of the agent and of the user.
    fn each(&mut self, agent: &AgentName, user: &UserName, change: impl Fn(&mut Spent)) {
        change(&mut self.all);
        change_of(&mut self.agents, agent, &change);
        change_of(&mut self.users, user, &change);
        if !self.by_scope.is_empty() {
            let concerned = scopes(agent, user).into_iter();
            self.changed.extend(concerned.filter(|scope| self.by_scope.contains_key(scope)));
        }
    }

    pub(super) fn spent_of(&self, scope: &BudgetScope) -> Spent {
        match scope {
            BudgetScope::Global => self.all,
            BudgetScope::Agent(agent) => self.agents.get(agent).copied().unwrap_or_default(),
            BudgetScope::User(user) => self.users.get(user).copied().unwrap_or_default(),
        }
    }

    pub(super) fn began(&self, period: Period) -> Option<Timestamp> {
        period.began(self.day)
    }

    pub(super) fn ends(&self, period: Period) -> Option<Timestamp> {
        period.ends(self.day)
    }
}

/// Changes what is spent of one name, which is only copied the first time.
fn change_of<N: Clone + Eq + Hash>(
    map: &mut HashMap<N, Spent>,
    name: &N,
    change: impl Fn(&mut Spent),
) {
    if let Some(spent) = map.get_mut(name) {
        change(spent);
    } else {
        change(map.entry(name.clone()).or_default());
    }
}
