//! Cron expressions of five fields in a time zone.
//!
//! Every part is checked here before it reaches the parser: an expression is hostile input, and some
//! that a parser takes lead to searches of a minute and more.

use std::fmt;

use chrono::DateTime;
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};

use crate::limits::schedule as limit;
use crate::time::Timestamp;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// One of the five fields.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words that stand for numbers.
    names: &'static [&'static str],
    /// Other letters and what they are for.
    letters: &'static [&'static str],
    /// Signs beside digits and `* / , -`.
    signs: &'static str,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[], letters: &[], signs: "" },
    Field { name: "hour", least: 0, most: 23, names: &[], letters: &[], signs: "" },
    Field {
        name: "day of the month",
        least: 1,
        most: 31,
        names: &[],
        letters: &["L", "W", "LW"],
        signs: "?",
    },
    Field { name: "month", least: 1, most: 12, names: &MONTHS, letters: &[], signs: "" },
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        names: &WEEKDAYS,
        letters: &["L"],
        signs: "?#",
    },
];

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

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

fn five_fields(text: &str) -> Result<(), CronError> {
    let most = limit::CRON_MAX_BYTES;
    if text.len() > most {
        return refuse(format!("it has {} bytes, and {most} are the most", text.len()));
    }
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, _, _, _, _] = parts[..] else {
        let hint = match parts.len() {
            1 if text.contains('@') => "; names such as @daily are not taken",
            6 | 7 => "; seconds and years are not taken, a minute is the finest",
            _ => "",
        };
        return refuse(format!(
            "it must have five fields (minute, hour, day of the month, month, day of the week), \
             not {}{hint}",
            parts.len()
        ));
    };
    let parser = parser();
    for (index, (part, field)) in parts.iter().zip(&FIELDS).enumerate() {
        check(part, field)?;
        // Each field alone, so that what the parser refuses can be told by the field's name.
        let mut alone = ["*"; 5];
        alone[index] = part;
        if let Err(error) = parser.parse(&alone.join(" ")) {
            return wrong(part, field, &error.to_string());
        }
    }
    Ok(())
}

fn wrong<T>(part: &str, field: &Field, problem: &str) -> Result<T, CronError> {
    let problem = problem.trim_start_matches("Component error: ").trim_end_matches('.');
    let Field { name, least, most, .. } = field;
    refuse(format!("the {name} {part:?}: {problem} (it goes from {least} to {most})"))
}

/// Checks what the parser takes too lightly: empty entries of a list, letters in other fields than
/// their own, steps beyond the field.
fn check(part: &str, field: &Field) -> Result<(), CronError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "*/,-".contains(c);
    if let Some(other) = part.chars().find(|c| !plain(*c) && !field.signs.contains(*c)) {
        return wrong(part, field, &format!("the character {other:?} has no meaning here"));
    }
    let upper = part.to_ascii_uppercase();
    for word in upper.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        // The last Friday of a month is FRIL.
        let day = word.strip_suffix('L').filter(|_| field.letters.contains(&"L")).unwrap_or(word);
        if !field.names.contains(&day) && !field.letters.contains(&word) {
            let names = match field.names {
                [first, .., last] => format!("; names go from {first} to {last}"),
                _ => String::new(),
            };
            return wrong(part, field, &format!("{word:?} has no meaning here{names}"));
        }
    }
    for entry in upper.split(',') {
        if entry.is_empty() {
            return wrong(part, field, "an entry of the list is empty");
        }
        let step = entry.split_once('/').map(|(_, step)| step.parse::<u32>());
        if step.is_some_and(|step| step.is_ok_and(|step| step > field.most)) {
            return wrong(part, field, "the step is larger than the field");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn cron(text: &str, zone: &str) -> Cron {
        Cron::parse(text, zone).expect(text)
    }

    /// The ticks after a moment, as local times with their offsets.
    fn ticks(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = cron(text, zone);
        let upcoming = cron.upcoming(at(after), count);
        upcoming
            .iter()
            .map(|tick| cron.local(*tick).format("%m-%d %H:%M %:z").to_string())
            .collect()
    }

    #[test]
    fn a_daily_time_in_the_spring_gap_comes_right_after_it_in_both_zones() {
        assert_eq!(
            ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
            ["03-28 02:30 +01:00", "03-29 03:00 +02:00", "03-30 02:30 +02:00"]
        );
        assert_eq!(
            ticks("30 2 * * *", "America/New_York", "2026-03-07T06:00:00Z", 3),
            ["03-07 02:30 -05:00", "03-08 03:00 -04:00", "03-09 02:30 -04:00"]
        );
    }

    #[test]
    fn a_daily_time_in_the_autumn_overlap_comes_once_in_both_zones() {
        assert_eq!(
            ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
            ["10-24 02:30 +02:00", "10-25 02:30 +02:00", "10-26 02:30 +01:00"]
        );
        assert_eq!(
            ticks("30 1 * * *", "America/New_York", "2026-10-31T05:00:00Z", 3),
            ["10-31 01:30 -04:00", "11-01 01:30 -04:00", "11-02 01:30 -05:00"]
        );
    }

    #[test]
    fn an_interval_goes_on_in_order_through_both_changes_in_both_zones() {
        assert_eq!(
            ticks("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:10:00Z", 4),
            [
                "10-25 02:30 +02:00",
                "10-25 02:00 +01:00",
                "10-25 02:30 +01:00",
                "10-25 03:00 +01:00"
            ]
        );
        assert_eq!(
            ticks("*/30 * * * *", "America/New_York", "2026-11-01T05:10:00Z", 4),
            [
                "11-01 01:30 -04:00",
                "11-01 01:00 -05:00",
                "11-01 01:30 -05:00",
                "11-01 02:00 -05:00"
            ]
        );
        assert_eq!(
            ticks("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:10:00Z", 3),
            ["03-29 01:30 +01:00", "03-29 03:00 +02:00", "03-29 03:30 +02:00"]
        );
        assert_eq!(
            ticks("*/30 * * * *", "America/New_York", "2026-03-08T06:10:00Z", 3),
            ["03-08 01:30 -05:00", "03-08 03:00 -04:00", "03-08 03:30 -04:00"]
        );
    }

    #[test]
    fn weekdays_go_by_name_by_number_and_sunday_by_0_and_by_7() {
        let sunday = ["11-22 09:00 +00:00", "11-29 09:00 +00:00"];
        for expression in ["0 9 * * 0", "0 9 * * 7", "0 9 * * SUN", "0 9 * * sun", "0 9 * * 0,7"] {
            assert_eq!(ticks(expression, "UTC", "2026-11-21T12:00:00Z", 2), sunday, "{expression}");
        }
        assert_eq!(
            ticks("0 9 * * MON-WED", "UTC", "2026-11-21T12:00:00Z", 3),
            ["11-23 09:00 +00:00", "11-24 09:00 +00:00", "11-25 09:00 +00:00"]
        );
        assert_eq!(
            ticks("0 9 * * MON#1", "UTC", "2026-11-21T12:00:00Z", 1),
            ["12-07 09:00 +00:00"]
        );
        assert_eq!(ticks("0 9 * * FRIL", "UTC", "2026-11-21T12:00:00Z", 1), ["11-27 09:00 +00:00"]);
        assert_eq!(ticks("0 9 L FEB *", "UTC", "2026-11-21T12:00:00Z", 1), ["02-28 09:00 +00:00"]);
    }

    #[test]
    fn the_29th_of_february_comes_and_the_30th_is_refused() {
        assert_eq!(
            cron("0 0 29 2 *", "UTC").next_after(at("2026-11-21T12:00:00Z")),
            Some(at("2028-02-29T00:00:00Z"))
        );
        for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 31 FEB *"] {
            let refused = Cron::parse(never, "UTC").expect_err(never);
            assert_eq!(
                (refused.field, refused.problem.as_str()),
                ("cron", "this date never comes")
            );
        }
        // The other of both days may come: then the expression means what it says.
        assert!(Cron::parse("0 0 30 2 MON", "UTC").is_ok());
    }

    #[test]
    fn what_is_no_expression_is_refused_by_the_name_of_its_field() {
        for (text, told) in [
            ("60 * * * *", "the minute \"60\""),
            ("* 24 * * *", "the hour \"24\""),
            ("* * 0 * *", "the day of the month \"0\""),
            ("* * * 13 *", "the month \"13\""),
            ("* * * * 8", "the day of the week \"8\""),
            ("MON * * * *", "the minute \"MON\""),
            ("* * * * MONDAY", "the day of the week \"MONDAY\""),
            ("* * * FOO *", "the month \"FOO\""),
            ("*/0 * * * *", "the minute \"*/0\""),
            ("*/100 * * * *", "the minute \"*/100\""),
            ("5/10 * * * *", "the minute \"5/10\""),
            ("-5 * * * *", "the minute \"-5\""),
            ("5-2 * * * *", "the minute \"5-2\""),
            (",, * * * *", "an entry of the list is empty"),
            ("1, * * * *", "an entry of the list is empty"),
            ("0 0 * * +MON", "the character '+'"),
            ("0 0 * * \u{1b}", "has no meaning here"),
            ("99999999999999999999 * * * *", "the minute"),
            ("@daily", "must have five fields"),
            ("* * * * * *", "seconds and years are not taken"),
            ("0 * * * * * 2027", "seconds and years are not taken"),
            ("* * * *", "not 4"),
            ("", "not 0"),
            (&"1,".repeat(200), "are the most"),
        ] {
            let refused = Cron::parse(text, "UTC").expect_err(text);
            assert_eq!(refused.field, "cron");
            assert!(refused.problem.contains(told), "{text}: {refused}");
        }
        for zone in ["", "Mars/Olympus", "europe/berlin", "../UTC", &"x".repeat(10_000)] {
            assert_eq!(Cron::parse("* * * * *", zone).expect_err(zone).field, "timezone");
        }
    }

    #[test]
    fn an_expression_is_described_in_words_with_its_zone() {
        let told = cron("30 2 * * MON-FRI", "Europe/Berlin").describe();
        assert!(told.starts_with("At 02:30, on Monday, "), "{told}");
        assert!(told.ends_with(" and Friday (Europe/Berlin)"), "{told}");
        assert_eq!(cron("* * * * *", "UTC").describe(), "Every minute (UTC)");
        let told = cron("0 9 LW * *", "UTC").describe();
        assert_eq!(told, "At 09:00, on the last weekday of the month (UTC)");
        assert_eq!(tidy("  0   9 *\t* mon "), "0 9 * * mon");
    }

    /// A field of an expression, or something like it.
    fn field() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => Just("*".to_owned()),
            2 => "[0-9]{1,2}",
            2 => "[0-9*/,#LW?-]{1,6}",
            1 => "(MON|SUN|FEB|dec)[-,#L]?[0-9]?",
            1 => "\\PC{0,4}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever is given: it is refused, or its ticks come one after the other.
        #[test]
        fn no_expression_breaks_the_parser_or_comes_out_of_order(
            fields in prop::collection::vec(field(), 5),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "x"]),
        ) {
            if let Ok(cron) = Cron::parse(&fields.join(" "), zone) {
                let ticks = cron.upcoming(at("2026-10-20T00:00:00Z"), 20);
                prop_assert!(ticks.windows(2).all(|two| two[0] < two[1]), "{fields:?}: {ticks:?}");
                prop_assert!(!cron.describe().is_empty());
            }
        }
    }
}
