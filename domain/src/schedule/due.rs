//! What is to be decided next.

use std::collections::VecDeque;

use super::cron::Cron;
use super::decide::Active;
use super::event::{Cause, Skip, Skipped};
use super::settings::CatchUp;
use crate::limits::schedule as limit;
use crate::time::Timestamp;

/// What is to be decided next of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Missed ticks that do not fire.
    Skip(Skipped),
    /// A tick that fires, if nothing stands against it.
    Fire {
        /// The tick.
        tick: Timestamp,
        /// Whether it is on time or was missed.
        cause: Cause,
    },
}

/// Ticks that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: Timestamp,
    last: Timestamp,
    count: u64,
}

impl Range {
    /// One more tick after those that there are.
    fn extend(range: &mut Option<Self>, tick: Timestamp) {
        let range = range.get_or_insert(Self { first: tick, last: tick, count: 0 });
        range.last = tick;
        range.count += 1;
    }

    /// These ticks as skipped.
    pub(super) fn skipped(self, reason: Skip) -> Skipped {
        let until = (self.count > 1).then_some(self.last);
        Skipped { tick: self.first, until, count: self.count, reason, code: None }
    }
}

impl Active {
    /// What is to be decided next, where something is due by `now`. `cron` is its own, read before.
    ///
    /// A tick that came before `watched_since` was missed, however little time has passed: nothing that
    /// could have decided it was there. Of those that came later, only the old ones were.
    pub fn due(&self, cron: &Cron, now: Timestamp, watched_since: Timestamp) -> Option<Due> {
        let first = self.next_tick(cron).filter(|tick| *tick <= now)?;
        let missed_before = now.minus_s(limit::MISSED_AFTER_S).max(watched_since);
        if first >= missed_before {
            return Some(Due::Fire { tick: first, cause: Cause::OnTime });
        }
        let kept = match self.settings.catch_up {
            CatchUp::None => 0,
            CatchUp::One => 1,
            CatchUp::All => limit::CATCH_UP_MAX,
        };
        // The last `kept` of the missed ticks fire: as many are held back while the rest is counted.
        let mut held = VecDeque::with_capacity(kept + 1);
        let mut skipped: Option<Range> = None;
        let mut one_on_time = false;
        let due = std::iter::successors(Some(first), |tick| cron.next_after(*tick))
            .take_while(|tick| *tick <= now)
            .take(limit::DUE_LOOKED_MAX + kept);
        for tick in due {
            if tick >= missed_before {
                one_on_time = true;
                break;
            }
            held.push_back(tick);
            if held.len() > kept {
                held.pop_front().into_iter().for_each(|tick| Range::extend(&mut skipped, tick));
            }
        }
        // The latest of all that are due fires, and that is one on time: no missed one before it.
        if one_on_time && self.settings.catch_up == CatchUp::One {
            for tick in held {
                Range::extend(&mut skipped, tick);
            }
        }
        Some(match skipped {
            Some(range) => Due::Skip(range.skipped(Skip::Missed)),
            None => Due::Fire { tick: first, cause: Cause::CatchUp },
        })
    }

    /// The first tick that is not decided; nothing while it is disabled.
    pub fn next_tick(&self, cron: &Cron) -> Option<Timestamp> {
        if self.enabled { cron.next_after(self.decided) } else { None }
    }

    /// The ticks that are due by `now`; an error where they are more than can be looked at.
    pub(super) fn overtaken(&self, now: Timestamp) -> Result<Option<Range>, TooMany> {
        let Some(cron) = self.settings.cron().filter(|_| self.enabled) else { return Ok(None) };
        let mut range: Option<Range> = None;
        let due =
            std::iter::successors(cron.next_after(self.decided), |tick| cron.next_after(*tick))
                .take_while(|tick| *tick <= now)
                .take(limit::DUE_LOOKED_MAX + 1);
        for tick in due {
            Range::extend(&mut range, tick);
        }
        match range {
            Some(range) if range.count > limit::DUE_LOOKED_MAX as u64 => Err(TooMany),
            range => Ok(range),
        }
    }
}

/// More ticks are due than are looked at in one go.
pub(super) struct TooMany;
