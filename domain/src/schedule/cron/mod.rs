//! Cron expressions of five fields in a time zone.
//!
//! Every part is checked before it reaches the parser: an expression is hostile input, and some that a
//! parser takes lead to searches of a minute and more.

mod fields;

#[cfg(test)]
mod tests;

use std::fmt;

use chrono::DateTime;
use chrono_tz::Tz;

use self::fields::{five_fields, parser};
use crate::limits::schedule as limit;
use crate::time::Timestamp;

/// Why a text is no cron expression, or no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct CronError {
    /// `cron` or `timezone`.
    pub field: &'static str,
    /// What is wrong with it and what it may be.
    pub problem: String,
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, CronError> {
    Err(CronError { field: "cron", problem: problem.into() })
}

/// Lists of days that have a name of their own, the longer ones first.
const WEEK_DAYS: [(&str, &str); 3] = [
    ("Sunday, Monday, Tuesday, Wednesday, Thursday, Friday, and Saturday", ", every day"),
    ("Monday, Tuesday, Wednesday, Thursday, and Friday", ", on weekdays"),
    ("Sunday and Saturday", ", at weekends"),
];

/// A cron expression of five fields in a time zone.
///
/// Where clocks are put forward, a tick at one time of the day that is left out comes at the first
/// moment after the gap, and ticks of an interval are left out. Where clocks are put back, a tick at
/// one time of the day comes once, at the first of the two; ticks of an interval come in both hours.
#[derive(Clone, Debug)]
pub struct Cron {
    cron: croner::Cron,
    zone: Tz,
}

impl Cron {
    /// Reads a cron expression and the IANA name of a time zone.
    ///
    /// # Errors
    /// [`CronError`] says which of both is wrong, and in which of the fields. An expression whose date
    /// never comes, such as the 30th of February, is refused as well.
    pub fn parse(text: &str, timezone: &str) -> Result<Self, CronError> {
        zone(timezone)?;
        five_fields(text)?;
        let cron = Self::stored(text, timezone)?;
        if cron.next_after(Timestamp::EPOCH).is_none() {
            return refuse("this date never comes");
        }
        Ok(cron)
    }

    /// Reads an expression that [`Cron::parse`] took before: checks nothing twice.
    ///
    /// # Errors
    /// [`CronError`] where it is none all the same.
    pub fn stored(text: &str, timezone: &str) -> Result<Self, CronError> {
        let zone = zone(timezone)?;
        let cron = parser().parse(text).or_else(|error| refuse(error.to_string()))?;
        Ok(Self { cron, zone })
    }

    /// The first tick after a moment; nothing where none comes while years have four digits.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let local = moment.to_chrono().with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&local, false).ok()?;
        // The search works in whole seconds: what is no later than the moment would never end.
        Some(Timestamp::from(next.to_utc())).filter(|next| *next > moment)
    }

    /// The next `count` ticks after a moment.
    pub fn upcoming(&self, moment: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(moment), |tick| self.next_after(*tick))
            .take(count)
            .collect()
    }

    /// A moment in the expression's time zone.
    pub fn local(&self, moment: Timestamp) -> DateTime<Tz> {
        moment.to_chrono().with_timezone(&self.zone)
    }

    /// What the expression says, in English.
    pub fn describe(&self) -> String {
        let mut text = self.cron.describe();
        for (days, name) in WEEK_DAYS {
            // Beside a day of the month the list is another choice: it stays as it is.
            text = text.replace(&format!(", on {days}"), name);
        }
        if let Some(interval) = text.strip_prefix("At every ") {
            text = format!("Every {interval}");
        }
        if self.cron.as_str().contains("LW") {
            text = text.replace("the last day of the month", "the last weekday of the month");
        }
        format!("{} ({})", text.trim_end_matches('.'), self.zone.name())
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cron, self.zone)
    }
}

/// A cron expression as it is stored: its fields with one space between.
pub fn tidy(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn zone(name: &str) -> Result<Tz, CronError> {
    let most = limit::TIMEZONE_MAX_BYTES;
    let known = if name.len() <= most { name.parse().ok() } else { None };
    known.ok_or_else(|| CronError {
        field: "timezone",
        problem: "it must be a name of the IANA time zone database, as Europe/Berlin or UTC"
            .to_owned(),
    })
}
