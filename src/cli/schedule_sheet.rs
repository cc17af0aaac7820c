//! Schedules as people read them.

use serde_json::Value;

use super::Failure;
use super::task::{moment, now, text, when};
use crate::output::{Align, Output, Sheet, Tone, ago, amount, exact, neutral_line, paint};

/// How wide the names of the facts are, in characters.
const NAME_WIDTH: usize = 14;

/// A table of schedules.
pub fn table(rows: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("SCHEDULE", Align::Left),
        ("NAME", Align::Left),
        ("AGENT", Align::Left),
        ("WHEN", Align::Left),
        ("NEXT", Align::Left),
        ("LAST", Align::Left),
    ]);
    for row in rows {
        let next = row.get("next").and_then(|next| moment(next, "at"));
        let next = match next {
            Some(next) => (ago(next, now()), Tone::Plain),
            None => ("disabled".to_owned(), Tone::Quiet),
        };
        let last = row.get("last").filter(|last| !last.is_null());
        let last = last.map_or_else(|| ("-".to_owned(), Tone::Quiet), decision);
        sheet.row(vec![
            (text(row, "schedule_id"), Tone::Plain),
            (text(row, "name"), Tone::Plain),
            (text(row, "agent_name"), Tone::Plain),
            (format!("{} {}", text(row, "cron"), text(row, "timezone")), Tone::Plain),
            next,
            last,
        ]);
    }
    sheet
}

/// What was decided, and when that was due.
fn decision(tick: &Value) -> (String, Tone) {
    let due = moment(tick, "tick").map_or_else(|| "-".to_owned(), |at| ago(at, now()));
    let (what, tone) = outcome(tick);
    (format!("{what} {due}"), tone)
}

fn outcome(tick: &Value) -> (String, Tone) {
    let reason = text(tick, "reason").replace('_', " ");
    if text(tick, "decision") == "fired" {
        return (format!("fired ({reason})"), Tone::Good);
    }
    let count = tick.get("count").and_then(Value::as_u64).filter(|count| *count > 1);
    let count = count.map(|count| format!("{count} ")).unwrap_or_default();
    let code = tick.get("code").and_then(Value::as_str).map(|code| format!(": {code}"));
    (format!("{count}skipped ({reason}{})", code.unwrap_or_default()), Tone::Warn)
}

/// A table of decisions.
pub fn ticks(rows: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("TICK", Align::Left),
        ("UNTIL", Align::Left),
        ("DECISION", Align::Left),
        ("EXECUTION", Align::Left),
    ]);
    let time = |tick: &Value, field| moment(tick, field).map_or_else(|| "-".to_owned(), exact);
    for tick in rows {
        let (what, tone) = outcome(tick);
        sheet.row(vec![
            (time(tick, "tick"), Tone::Plain),
            (time(tick, "until"), Tone::Quiet),
            (what, tone),
            (text(tick, "execution_id"), Tone::Plain),
        ]);
    }
    sheet
}

/// Writes a schedule with its last decisions and its next runs.
pub fn write(schedule: &Value, output: &Output) -> Result<(), Failure> {
    let fact = |name: &str, value: &str| {
        let name = paint(&format!("{name:<NAME_WIDTH$}"), Tone::Quiet, output.colour());
        output.line(&format!("{name} {}", neutral_line(value)))
    };
    let field = |name: &str| Some(text(schedule, name)).filter(|text| text != "-");
    let enabled = schedule.get("enabled").and_then(Value::as_bool).unwrap_or(false);
    for (name, value) in [
        ("Schedule", field("schedule_id")),
        ("Name", field("name")),
        ("Status", Some(if enabled { "enabled" } else { "disabled" }.to_owned())),
        ("Agent", field("agent_name")),
        ("Cron", field("cron").map(|cron| format!("{cron} {}", text(schedule, "timezone")))),
        ("In words", field("description")),
        ("Overlap", field("overlap")),
        ("Catch-up", field("catch_up")),
        ("Model", field("model")),
        ("Timeout", field("timeout_s").map(|seconds| format!("{seconds} s"))),
        ("Costs at most", schedule.get("max_cost_usd").filter(|usd| !usd.is_null()).map(amount)),
        ("Turns at most", field("max_turns")),
        ("User", field("user")),
        ("Made", Some(when(schedule, "created_at"))),
        ("Message", field("message")),
    ] {
        if let Some(value) = value {
            fact(name, &value)?;
        }
    }
    moments(schedule.get("upcoming"), output)?;
    let rows = schedule.get("ticks").and_then(Value::as_array).cloned().unwrap_or_default();
    if !rows.is_empty() {
        output.line("")?;
        output.sheet(&ticks(&rows))?;
    }
    Ok(())
}

/// Writes coming times, in UTC and in the schedule's zone.
pub fn moments(moments: Option<&Value>, output: &Output) -> Result<(), Failure> {
    let rows = moments.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return Ok(());
    }
    let mut sheet = Sheet::new(&[("NEXT", Align::Left), ("UTC", Align::Left), ("", Align::Left)]);
    for row in rows {
        let at = moment(row, "at");
        sheet.row(vec![
            (text(row, "local"), Tone::Plain),
            (at.map_or_else(|| "-".to_owned(), exact), Tone::Plain),
            (at.map_or_else(String::new, |at| ago(at, now())), Tone::Quiet),
        ]);
    }
    output.line("")?;
    output.sheet(&sheet)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decisions_are_told_in_words() {
        for (tick, told) in [
            (json!({"decision": "fired", "reason": "on_time", "count": 1}), "fired (on time)"),
            (json!({"decision": "skipped", "reason": "overlap", "count": 1}), "skipped (overlap)"),
            (json!({"decision": "skipped", "reason": "missed", "count": 3}), "3 skipped (missed)"),
            (
                json!({"decision": "skipped", "reason": "refused", "count": 1,
                    "code": "model_not_listed"}),
                "skipped (refused: model_not_listed)",
            ),
        ] {
            assert_eq!(outcome(&tick).0, told);
        }
    }
}
