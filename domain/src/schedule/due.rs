//! What is to be decided next.

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
    /// These ticks as skipped.
    pub(super) fn skipped(self, reason: Skip) -> Skipped {
        let until = (self.count > 1).then_some(self.last);
        Skipped { tick: self.first, until, count: self.count, reason, code: None }
    }
}

impl Active {
    /// What is to be decided next, where something is due by `now`. `cron` is its own, read before.
    pub fn due(&self, cron: &Cron, now: Timestamp) -> Option<Due> {
        let first = self.next_tick(cron).filter(|tick| *tick <= now)?;
        let missed_before = now.minus_s(limit::MISSED_AFTER_S);
        if first >= missed_before {
            return Some(Due::Fire { tick: first, cause: Cause::OnTime });
        }
        let kept = match self.settings.catch_up {
            CatchUp::None => 0,
            CatchUp::One => 1,
            CatchUp::All => limit::CATCH_UP_MAX,
        };
        // The last `kept` of the missed ticks fire: as many are held back while the rest is counted.
        let mut held = std::collections::VecDeque::with_capacity(kept + 1);
        let mut skipped: Option<Range> = None;
        let missed = std::iter::successors(Some(first), |tick| cron.next_after(*tick))
            .take_while(|tick| *tick < missed_before)
            .take(limit::DUE_LOOKED_MAX + kept);
        for tick in missed {
            held.push_back(tick);
            if held.len() > kept
                && let Some(tick) = held.pop_front()
            {
                let range = skipped.get_or_insert(Range { first: tick, last: tick, count: 0 });
                range.last = tick;
                range.count += 1;
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
            let range = range.get_or_insert(Range { first: tick, last: tick, count: 0 });
            range.last = tick;
            range.count += 1;
        }
        match range {
            Some(range) if range.count > limit::DUE_LOOKED_MAX as u64 => Err(TooMany),
            range => Ok(range),
        }
    }
}

/// More ticks are due than are looked at in one go.
pub(super) struct TooMany;
