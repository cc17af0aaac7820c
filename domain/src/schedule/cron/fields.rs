//! The five fields, and what the parser takes too lightly in them.

use croner::parser::{CronParser, Seconds, Year};

use super::{CronError, refuse};
use crate::limits::schedule as limit;

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

/// Reads five fields, no seconds and no years.
pub(super) fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

/// Checks an expression, so that what is wrong is told by the name of its field.
pub(super) fn five_fields(text: &str) -> Result<(), CronError> {
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
