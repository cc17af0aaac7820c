//! Since when the clock has been looked at without a break.

use execution_ledger_domain::Timestamp;

/// The clock is looked at every two seconds: where it has moved on by more than this between two looks,
/// in milliseconds, the machine slept or the clock was set, and nobody was there to decide a tick.
const BREAK_MS: u64 = 30_000;

/// What tells a tick that was missed from one that is only late.
#[derive(Debug)]
pub(super) struct Watch {
    since: Timestamp,
    looked: Timestamp,
}

impl Watch {
    /// Begins to look.
    pub fn begin(now: Timestamp) -> Self {
        Self { since: now, looked: now }
    }

    /// Looks at the clock. Answers since when that has been done without a break; a clock that was put
    /// back begins anew, as what it comes by now is watched.
    pub fn look(&mut self, now: Timestamp) -> Timestamp {
        if now < self.since || now.ms_since(self.looked) > BREAK_MS {
            self.since = now;
        }
        self.looked = now;
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::EPOCH.plus_s(second)
    }

    #[test]
    fn the_clock_is_watched_from_the_beginning_on_while_it_goes_as_it_should() {
        let mut watch = Watch::begin(at(100));
        for second in (100..1_000).step_by(2) {
            assert_eq!(watch.look(at(second)), at(100));
        }
        assert_eq!(watch.look(at(900)), at(100), "back, to where it was watched");
    }

    #[test]
    fn a_sleep_and_a_clock_that_is_put_back_before_the_beginning_begin_it_anew() {
        let mut watch = Watch::begin(at(100));
        assert_eq!(watch.look(at(131)), at(131));
        assert_eq!(watch.look(at(50)), at(50));
        assert_eq!(watch.look(at(80)), at(50));
    }
}
