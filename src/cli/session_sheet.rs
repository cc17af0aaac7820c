//! Chat sessions as people read them.

use serde_json::Value;

use super::task::{moment, now, status, text, when};
use super::{Exit, Failure};
use crate::client::Answer;
use crate::output::{Align, Output, Sheet, Tone, ago, amount, neutral_line, neutral_text, paint};

/// A list of sessions.
pub fn list(rows: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("SESSION", Align::Left),
        ("AGENT", Align::Left),
        ("USER", Align::Left),
        ("STATUS", Align::Left),
        ("OPENED", Align::Left),
        ("TITLE", Align::Left),
    ]);
    let now = now();
    for row in rows {
        let opened = moment(row, "opened_at").map_or_else(|| "-".to_owned(), |at| ago(at, now));
        sheet.row(vec![
            (text(row, "session_id"), Tone::Plain),
            (text(row, "agent_name"), Tone::Plain),
            (text(row, "user"), Tone::Plain),
            session_status(row),
            (opened, Tone::Plain),
            (one_line(&text(row, "title")), Tone::Quiet),
        ]);
    }
    sheet
}

fn session_status(row: &Value) -> (String, Tone) {
    let status = text(row, "status");
    let tone = if status == "open" { Tone::Active } else { Tone::Quiet };
    (status, tone)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One session with its entries, in JSON as it was answered.
pub fn show(session: &Answer, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&session.ordered()?)?;
        return Ok(Exit::Success);
    }
    let (state, tone) = session_status(session);
    let facts = [
        ("Session", text(session, "session_id"), Tone::Plain),
        ("Agent", text(session, "agent_name"), Tone::Plain),
        ("User", text(session, "user"), Tone::Plain),
        ("Status", state, tone),
        ("Opened", when(session, "opened_at"), Tone::Plain),
    ];
    for (name, value, tone) in facts {
        let name = paint(&format!("{name:<9}"), Tone::Quiet, output.colour());
        output.line(&format!("{name} {}", paint(&neutral_line(&value), tone, output.colour())))?;
    }
    if session.get("next_cursor").is_some_and(Value::is_string) {
        output.remark("there are entries before these: raise --limit");
    }
    let list = |name: &str| session.get(name).and_then(Value::as_array).cloned();
    for entry in list("entries").unwrap_or_default() {
        show_entry(&entry, output)?;
    }
    for task in list("background").unwrap_or_default() {
        let (status, tone) = status(&task);
        let head = format!("Background task {}", text(&task, "execution_id"));
        let asked = one_line(&text(&task, "message"));
        let asked = neutral_line(&asked);
        let status = paint(&status, tone, output.colour());
        output.line(&format!(
            "\n{} {status}\n{asked}",
            paint(&head, Tone::Active, output.colour())
        ))?;
    }
    Ok(Exit::Success)
}

fn show_entry(entry: &Value, output: &Output) -> Result<(), Failure> {
    let is_turn = entry.get("kind").and_then(Value::as_str) == Some("turn");
    let asked = if is_turn { "Message" } else { "Background Task Result" };
    let paint = |words: &str, tone| paint(words, tone, output.colour());
    let asked_text = text(entry, "message");
    let said = neutral_text(asked_text.trim_end());
    output.line(&format!("\n{}\n{said}", paint(asked, Tone::Active)))?;
    let (status, tone) = status(entry);
    let mut head = text(entry, "agent_name");
    if let Some(cost) = entry.get("cost_usd").filter(|cost| !cost.is_null()) {
        head = format!("{head} for {}", amount(cost));
    }
    let head = paint(&head, Tone::Active);
    let status = paint(&status, tone);
    let error = entry.pointer("/error/message").and_then(Value::as_str);
    let said = entry.get("response").and_then(Value::as_str).or(error).unwrap_or_default();
    output.line(&format!("{head} ({status})\n{}", neutral_text(said.trim_end())))
}
