//! What is spent and what is kept: the fold of all executions that admission asks.
//!
//! A cost counts in the day and the month in which the ledger recorded it, as in the summaries of
//! costs: with the ending, and as a signed difference with a correction. An open execution keeps the
//! most that it may cost. One that ended at a cost that nobody knows keeps it in the day and the month
//! of its ending, until its cost is corrected.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use super::admission::{OverBudget, Spend};
use super::calendar::{day_of, month_of};
use super::decide::{Budget, THRESHOLDS};
use super::event::{BudgetEvent, Period, ThresholdReached};
use super::scope::BudgetScope;
use crate::Aggregate;
use crate::execution::{ExecutionEvent, FailureCode};
use crate::ids::{AgentName, ExecutionId, UserName};
use crate::money::NanoUsd;
use crate::time::Timestamp;

/// Nano-dollars of sums: wide enough that no sum of amounts leaves it.
type Nanos = i128;

/// What an ending says of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedCost {
    /// It cost so much.
    Known(NanoUsd),
    /// It cost something, and nobody knows how much.
    Unknown,
    /// Nothing ever ran.
    Nothing,
}

impl EndedCost {
    /// As an event says it; nothing where it ends no execution. `started` is whether it had a claim.
    pub fn of(event: &ExecutionEvent, started: bool) -> Option<Self> {
        event.outcome()?;
        let never_began = match event {
            ExecutionEvent::Failed(failed) => failed.code == FailureCode::SpawnFailed,
            // A start that was given up before any process was started has no report.
            ExecutionEvent::Cancelled(_) => true,
            _ => false,
        };
        Some(match event.report() {
            Some(report) => report.cost_nano_usd.map_or(Self::Unknown, Self::Known),
            None if started && !never_began => Self::Unknown,
            None => Self::Nothing,
        })
    }
}

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

/// Sums of a day or a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    committed: Nanos,
    kept: Nanos,
}

/// What is spent and kept of one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    day: Sums,
    month: Sums,
    /// What open executions keep.
    open: Nanos,
}

/// An open execution, or one that is being appended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    agent: AgentName,
    user: UserName,
    max: NanoUsd,
    started: bool,
}

/// All budgets, and what is spent and kept of them.
#[derive(Clone, Debug)]
pub struct Budgets {
    budgets: BTreeMap<BudgetScope, Budget>,
    day: Timestamp,
    month: Timestamp,
    open: HashMap<ExecutionId, Held>,
    /// Those that were admitted and whose event has not come back from the log.
    admitted: HashMap<ExecutionId, Held>,
    all: Spent,
    agents: HashMap<AgentName, Spent>,
    users: HashMap<UserName, Spent>,
    /// Budgets of which something changed since thresholds were looked at.
    changed: BTreeSet<BudgetScope>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            budgets: BTreeMap::new(),
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
        self.budgets.insert(scope, budget);
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
        self.budgets.values().filter(|budget| !budget.limits.is_empty()).count()
    }

    /// One budget's state.
    pub fn budget(&self, scope: &BudgetScope) -> Budget {
        self.budgets.get(scope).cloned().unwrap_or_default()
    }

    /// The most that an execution may cost: the least of its own and of what budgets allow for one.
    pub fn most(
        &self,
        agent: &AgentName,
        user: &UserName,
        max: Option<NanoUsd>,
    ) -> Option<NanoUsd> {
        let each = scopes(agent, user).into_iter().filter_map(|scope| {
            self.budgets.get(&scope).and_then(|budget| budget.limits.per_execution_nano_usd)
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
        if !self.budgets.is_empty() {
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
        let Some(budget) = self.budgets.get(scope) else { return Ok(()) };
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

    /// One more event of a budget.
    pub fn apply_budget(&mut self, at: Timestamp, scope: &BudgetScope, event: &BudgetEvent) {
        self.roll(at);
        if matches!(event, BudgetEvent::BudgetRefused(_)) {
            return;
        }
        let budget = self.budgets.remove(scope).unwrap_or_default().evolve(event);
        // A lifted one is as if it had never been.
        if !budget.limits.is_empty() {
            self.budgets.insert(scope.clone(), budget);
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

    /// Takes what is to be told of: each part of a limit that is reached and was not told, of the
    /// budgets that changed since the last look.
    pub fn take_thresholds(&mut self, now: Timestamp) -> Vec<(BudgetScope, ThresholdReached)> {
        self.roll(now);
        let mut reached = Vec::new();
        for scope in std::mem::take(&mut self.changed) {
            let Some(budget) = self.budgets.get(&scope) else { continue };
            for period in [Period::Day, Period::Month] {
                let (Some(limit), Some(since)) = (budget.limits.limit(period), self.began(period))
                else {
                    continue;
                };
                let spent = self.spent_of(&scope);
                let told = budget.told(period, since, limit);
                let parts = spent.reached(period, limit).filter(|part| !told.contains(part));
                let (committed_nano_usd, reserved_nano_usd) = spent.told(period);
                reached.extend(parts.map(|percent| {
                    let limit_nano_usd = limit;
                    let reached = ThresholdReached {
                        period,
                        since,
                        percent,
                        limit_nano_usd,
                        committed_nano_usd,
                        reserved_nano_usd,
                    };
                    (scope.clone(), reached)
                }));
            }
        }
        reached
    }

    /// Whether there is something to look at for [`Budgets::take_thresholds`].
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Has a budget looked at again: what was to be told of it could not be.
    pub fn look_again(&mut self, scope: BudgetScope) {
        self.changed.insert(scope);
    }

    /// What is spent and what is kept of a budget in the present day or month.
    pub fn standing(&self, scope: &BudgetScope, period: Period) -> (NanoUsd, NanoUsd) {
        self.spent_of(scope).told(period)
    }

    fn hold(&mut self, id: ExecutionId, held: Held) {
        if self.open.contains_key(&id) {
            return;
        }
        self.keep(&held.agent, &held.user, Nanos::from(held.max.nanos()));
        self.open.insert(id, held);
    }

    /// The day and month are those of `at`, unless a later one has begun already.
    fn roll(&mut self, at: Timestamp) {
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
        self.changed.extend(self.budgets.keys().cloned());
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

    fn keep(&mut self, agent: &AgentName, user: &UserName, amount: Nanos) {
        if amount != 0 {
            self.each(agent, user, |spent| spent.open += amount);
        }
    }

    /// Changes what is spent of everything, of the agent and of the user.
    fn each(&mut self, agent: &AgentName, user: &UserName, change: impl Fn(&mut Spent)) {
        change(&mut self.all);
        change_of(&mut self.agents, agent, &change);
        change_of(&mut self.users, user, &change);
        if !self.budgets.is_empty() {
            let concerned = scopes(agent, user).into_iter();
            self.changed.extend(concerned.filter(|scope| self.budgets.contains_key(scope)));
        }
    }

    fn spent_of(&self, scope: &BudgetScope) -> Spent {
        match scope {
            BudgetScope::Global => self.all,
            BudgetScope::Agent(agent) => self.agents.get(agent).copied().unwrap_or_default(),
            BudgetScope::User(user) => self.users.get(user).copied().unwrap_or_default(),
        }
    }

    fn began(&self, period: Period) -> Option<Timestamp> {
        period.began(self.day)
    }

    fn ends(&self, period: Period) -> Option<Timestamp> {
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

/// The budgets that an execution counts in.
fn scopes(agent: &AgentName, user: &UserName) -> [BudgetScope; 3] {
    [BudgetScope::Global, BudgetScope::Agent(agent.clone()), BudgetScope::User(user.clone())]
}

impl Spent {
    fn sums(&self, period: Period) -> Sums {
        match period {
            Period::Execution => Sums::default(),
            Period::Day => self.day,
            Period::Month => self.month,
        }
    }

    /// What is spent and what is kept.
    fn told(&self, period: Period) -> (NanoUsd, NanoUsd) {
        let sums = self.sums(period);
        (money(sums.committed), money(sums.kept + self.open))
    }

    /// The parts of a limit that are reached. Of no money at all there are no parts.
    fn reached(self, period: Period, limit: NanoUsd) -> impl Iterator<Item = u32> {
        let sums = self.sums(period);
        let used = sums.committed + sums.kept + self.open;
        let limit = Nanos::from(limit.nanos());
        THRESHOLDS
            .into_iter()
            .filter(move |percent| limit > 0 && used * 100 >= limit * Nanos::from(*percent))
    }
}

/// A sum as an amount; held at the largest one.
fn money(nanos: Nanos) -> NanoUsd {
    let most = Nanos::from(NanoUsd::MAX.nanos());
    let held = i64::try_from(nanos.clamp(-most, most)).unwrap_or_default();
    NanoUsd::from_nanos(held).unwrap_or(NanoUsd::MAX)
}
