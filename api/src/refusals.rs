//! How often callers were turned away, summed by minute and source until the log is told.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::access::{Refused, RefusedFor};

/// Sources that are told apart in one minute: most. All others are summed as one.
const SOURCES_MAX: usize = 32;
/// A minute, in microseconds.
const MINUTE: i64 = 60 * 1_000_000;

/// When the minute began, the source, and why. A source that is not told apart is none.
type What = (i64, Option<IpAddr>, RefusedFor);

/// Sums of callers that were turned away. Few enough however many come: those of a minute are at most
/// so many as sources are told apart, and one more, for each reason; and minutes are taken out as soon
/// as they are over.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<What, u64>>);

impl Refusals {
    /// Counts one. `source` is the network that counts as one source.
    pub fn add(&self, source: IpAddr, code: RefusedFor, now: Timestamp) {
        let minute = minute_of(now);
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (minute, Some(source), code);
        let told_apart = sums.contains_key(&own)
            || sums
                .keys()
                .filter(|(of, source, why)| *of == minute && source.is_some() && *why == code)
                .count()
                < SOURCES_MAX;
        let counted = if told_apart { own } else { (minute, None, code) };
        *sums.entry(counted).or_default() += 1;
    }

    /// Takes out the minutes that are over, or all.
    pub fn take(&self, now: Timestamp, all: bool) -> Vec<Refused> {
        let current = minute_of(now);
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = sums.extract_if(|(minute, _, _), _| all || *minute != current);
        let mut taken: Vec<_> = taken.collect();
        drop(sums);
        taken.sort_unstable();
        let refused = |((minute, source, code), count): (What, u64)| Refused {
            source: source.map(|source| source.to_string()),
            minute: Timestamp::from_micros(minute),
            code,
            count,
        };
        taken.into_iter().map(refused).collect()
    }
}

fn minute_of(at: Timestamp) -> i64 {
    at.micros() - at.micros().rem_euclid(MINUTE)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    #[test]
    fn a_minute_is_summed_by_source_and_taken_out_once_it_is_over() {
        let refusals = Refusals::default();
        let first = Timestamp::from_micros(90 * 1_000_000);
        for _ in 0..3 {
            refusals.add(source(1), RefusedFor::Unauthorized, first);
        }
        refusals.add(source(2), RefusedFor::Forbidden, first);
        assert!(refusals.take(first, false).is_empty(), "the minute goes on");
        let later = first.plus_s(60);
        refusals.add(source(1), RefusedFor::Unauthorized, later);
        let taken = refusals.take(later, false);
        let minute = Timestamp::from_micros(MINUTE);
        let sum = |number, code, count| {
            let source = Some(source(number).to_string());
            Refused { source, minute, code, count }
        };
        let unauthorized = sum(1, RefusedFor::Unauthorized, 3);
        assert_eq!(taken, [unauthorized, sum(2, RefusedFor::Forbidden, 1)]);
        assert_eq!(refusals.take(later, true).len(), 1);
        assert!(refusals.take(later, true).is_empty());
    }

    #[test]
    fn whoever_comes_from_everywhere_is_one_sum_and_not_a_full_log() {
        let refusals = Refusals::default();
        for number in 0..=255 {
            refusals.add(source(number), RefusedFor::Unauthorized, Timestamp::EPOCH);
        }
        let taken = refusals.take(Timestamp::EPOCH, true);
        assert_eq!(taken.len(), SOURCES_MAX + 1);
        let others = taken.iter().find(|sum| sum.source.is_none()).expect("a sum of all others");
        assert_eq!(others.count, 256 - SOURCES_MAX as u64);
    }
}
