//! The rules of one budget.

use serde::{Deserialize, Serialize};

use super::event::{BudgetEvent, Period, Set, ThresholdReached};
use crate::Aggregate;
use crate::money::NanoUsd;
use crate::time::Timestamp;

/// The parts of a limit that are told when they are reached, in percent.
pub const THRESHOLDS: [u32; 3] = [50, 80, 100];

/// What was told of the present day or month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// A day or a month.
    pub period: Period,
    /// When it began.
    pub since: Timestamp,
    /// The limit that it was about.
    pub limit: NanoUsd,
    /// The parts that were told to be reached, in percent.
    pub percents: Vec<u32>,
}

/// The state of one budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Its limits; without any it is lifted, or was never set.
    pub limits: Set,
    /// What was told of its last day and month.
    pub told: Vec<Told>,
}

/// A wish about one budget.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Have these limits in place of those before.
    Set(Set),
    /// Have no limits any more.
    Lift,
    /// Tell that a part of a limit is reached.
    Tell(ThresholdReached),
}

/// Why a command about a budget was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It has no limits.
    #[error("there is no such budget")]
    NotSet,
    /// What was to be told is about a limit, a day or a month that is over.
    #[error("that limit does not hold any more")]
    Outdated,
    /// A field breaks a rule.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it and what it may be.
        problem: &'static str,
    },
}

impl Set {
    /// The limit of a period.
    pub fn limit(&self, period: Period) -> Option<NanoUsd> {
        match period {
            Period::Execution => self.per_execution_nano_usd,
            Period::Day => self.per_day_nano_usd,
            Period::Month => self.per_month_nano_usd,
        }
    }

    /// Whether it limits nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self) -> Result<(), Rejection> {
        let fields = [
            ("per_execution_usd", self.per_execution_nano_usd),
            ("per_day_usd", self.per_day_nano_usd),
            ("per_month_usd", self.per_month_nano_usd),
        ];
        for (field, limit) in fields {
            if limit.is_some_and(|limit| limit < NanoUsd::ZERO) {
                let problem = "a limit is 0 or more dollars; 0 lets nothing start";
                return Err(Rejection::Invalid { field, problem });
            }
        }
        if self.is_empty() {
            let problem = "a budget has at least one limit: per_execution_usd, per_day_usd or \
                           per_month_usd; DELETE lifts it";
            return Err(Rejection::Invalid { field: "per_day_usd", problem });
        }
        Ok(())
    }
}

impl Budget {
    /// What was told of the day or month that began at `since`, as long as the limit is this one.
    pub fn told(&self, period: Period, since: Timestamp, limit: NanoUsd) -> &[u32] {
        let of = |told: &&Told| told.period == period && told.since == since && told.limit == limit;
        self.told.iter().find(of).map_or(&[], |told| &told.percents)
    }

    fn is_over(&self, reached: &ThresholdReached) -> bool {
        let later = |told: &Told| told.period == reached.period && told.since > reached.since;
        self.limits.limit(reached.period) != Some(reached.limit_nano_usd)
            || self.told.iter().any(later)
    }
}

impl Aggregate for Budget {
    type Event = BudgetEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(mut self, event: &BudgetEvent) -> Self {
        match event {
            BudgetEvent::BudgetSet(set) => {
                // Another limit is told of anew.
                self.told.retain(|told| set.limit(told.period) == Some(told.limit));
                self.limits = *set;
            }
            BudgetEvent::BudgetRefused(_) => {}
            BudgetEvent::ThresholdReached(reached) => {
                let ThresholdReached { period, since, percent, limit_nano_usd: limit, .. } =
                    *reached;
                let mut percents = self.told(period, since, limit).to_vec();
                if !percents.contains(&percent) {
                    percents.push(percent);
                }
                self.told.retain(|told| told.period != period);
                self.told.push(Told { period, since, limit, percents });
            }
        }
        self
    }

    fn decide(&self, command: Command) -> Result<Vec<BudgetEvent>, Rejection> {
        match command {
            Command::Set(set) => {
                set.check()?;
                let already = self.limits == set;
                Ok(if already { vec![] } else { vec![BudgetEvent::BudgetSet(set)] })
            }
            Command::Lift if self.limits.is_empty() => Err(Rejection::NotSet),
            Command::Lift => Ok(vec![BudgetEvent::BudgetSet(Set::default())]),
            Command::Tell(reached) if self.is_over(&reached) => Err(Rejection::Outdated),
            Command::Tell(reached) => {
                let told = self.told(reached.period, reached.since, reached.limit_nano_usd);
                let already = told.contains(&reached.percent);
                Ok(if already { vec![] } else { vec![BudgetEvent::ThresholdReached(reached)] })
            }
        }
    }
}
