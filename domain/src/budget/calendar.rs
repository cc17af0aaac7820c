//! Days and months of UTC.

use chrono::{Datelike, Months, NaiveDate, NaiveTime};

use super::event::Period;
use crate::time::Timestamp;

/// A day, in microseconds.
const DAY: i64 = 24 * 3_600 * 1_000_000;

impl Period {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// When the day or month began that `at` lies in; of one execution there is no such moment.
    pub fn began(self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Execution => None,
            Self::Day => Some(day_of(at)),
            Self::Month => Some(month_of(at)),
        }
    }

    /// When the next day or month begins after the one that `at` lies in.
    pub fn ends(self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Execution => None,
            Self::Day => Some(Timestamp::from_micros(day_of(at).micros().saturating_add(DAY))),
            Self::Month => {
                let first = month_of(at).to_chrono().date_naive();
                Some(midnight(first.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX)))
            }
        }
    }
}

/// When the day began that `at` lies in.
pub(super) fn day_of(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros() - at.micros().rem_euclid(DAY))
}

/// When the month began that `at` lies in.
pub(super) fn month_of(at: Timestamp) -> Timestamp {
    let date = at.to_chrono().date_naive();
    midnight(date.with_day(1).unwrap_or(date))
}

fn midnight(date: NaiveDate) -> Timestamp {
    date.and_time(NaiveTime::MIN).and_utc().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_at_midnight_of_utc_and_end_where_the_next_begin() {
        let at: Timestamp = "2028-02-29T23:59:59.999999Z".parse().expect("a time");
        let text = |at: Option<Timestamp>| at.expect("a moment").to_string();
        assert_eq!(text(Period::Day.began(at)), "2028-02-29T00:00:00.000000Z");
        assert_eq!(text(Period::Day.ends(at)), "2028-03-01T00:00:00.000000Z");
        assert_eq!(text(Period::Month.began(at)), "2028-02-01T00:00:00.000000Z");
        assert_eq!(text(Period::Month.ends(at)), "2028-03-01T00:00:00.000000Z");
        assert_eq!((Period::Execution.began(at), Period::Execution.ends(at)), (None, None));
        let december: Timestamp = "2026-12-31T12:00:00Z".parse().expect("a time");
        assert_eq!(text(Period::Month.ends(december)), "2027-01-01T00:00:00.000000Z");
        assert_eq!(Period::Day.ends(Timestamp::MAX), Some(Timestamp::MAX));
    }
}
