//! `show`: one execution.

use clap::Args;
use serde_json::Value;

use super::task::{Which, cost, moment, status, text, when};
use super::{Exit, Failure, Global, block_on};
use crate::output::{
    Align, Output, Sheet, Tone, amount, duration, exact, neutral_line, neutral_text, number, paint,
    size,
};

const AFTER_HELP: &str = "\
Examples:
  execution-ledger show 0193a1b2-...
  execution-ledger show 0193a1b2-... --events
  execution-ledger show 0193a1b2-... --json | jq -r .response
";

/// Show one execution: its record and, on request, its events.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Show {
    #[command(flatten)]
    which: Which,
    /// Also its events.
    #[arg(long, short)]
    events: bool,
}

impl Show {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        let record = block_on(async { self.which.find(&client).await?.record(&client).await })?;
        if output.is_json() {
            output.json(&record.ordered()?)?;
            return Ok(Exit::Success);
        }
        for (name, value, tone) in facts(&record) {
            let name = paint(&format!("{name:<14}"), Tone::Quiet, output.colour());
            output
                .line(&format!("{name} {}", paint(&neutral_line(&value), tone, output.colour())))?;
        }
        for (name, field) in
            [("Message", "/message"), ("Response", "/response"), ("Error", "/error/message")]
        {
            if let Some(text) = record.pointer(field).and_then(Value::as_str) {
                let head = paint(name, Tone::Active, output.colour());
                output.line(&format!("\n{head}\n{}", neutral_text(text.trim_end())))?;
            }
        }
        let gone = erased(&record);
        if !gone.is_empty() {
            let head = paint("Erased", Tone::Active, output.colour());
            output.line(&format!("\n{head}\n{}", neutral_line(&gone.join(", "))))?;
        }
        if self.events {
            output.line("")?;
            output.sheet(&events(&record))?;
        }
        Ok(Exit::Success)
    }
}

/// Which of its texts were erased.
pub(super) fn erased(record: &Value) -> Vec<&str> {
    let parts = record.get("erased").and_then(Value::as_array);
    parts.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What is known of a run, without what is not.
fn facts(record: &Value) -> Vec<(&'static str, String, Tone)> {
    let (status, tone) = status(record);
    let mut facts = vec![
        ("Execution", text(record, "execution_id"), Tone::Plain),
        ("Agent", text(record, "agent_name"), Tone::Plain),
        ("Status", status, tone),
    ];
    let mut add = |name, value: Option<String>| {
        facts.extend(value.map(|value| (name, value, Tone::Plain)));
    };
    let field = |name: &str| Some(text(record, name)).filter(|text| text != "-");
    let time = |name: &str| moment(record, name).map(|_| when(record, name));
    let ms = |name: &str| record.get(name).and_then(Value::as_u64).map(duration);
    let deep = |path: &str| record.pointer(path).filter(|value| !value.is_null());
    add("Error", deep("/error/code").and_then(Value::as_str).map(str::to_owned));
    add("Triggered by", field("triggered_by"));
    let asked = deep("/requested_by").map(|by| format!("{} {}", text(by, "kind"), text(by, "id")));
    add("Asked for by", asked);
    add("Source agent", field("source_agent"));
    add("Parent", field("parent_execution_id"));
    let attempt = |of: String| format!("{of} (attempt {})", text(record, "attempt"));
    add("Retry of", field("retry_of").map(attempt));
    let tried = deep("/retries").and_then(Value::as_array).filter(|ids| !ids.is_empty());
    let ids =
        |ids: &Vec<Value>| ids.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    add("Tried again", tried.map(ids));
    add("Created", time("created_at"));
    add("Not before", time("not_before").filter(|_| field("started_at").is_none()));
    add("Waits", deep("/waiting").map(waits));
    add("Waited", ms("queue_ms"));
    add("Started", time("started_at"));
    add("Ended", time("completed_at"));
    add("Took", ms("duration_ms"));
    add("Stop asked for", time("cancellation_requested_at"));
    let basis = field("cost_basis").filter(|basis| basis != "unknown");
    let basis = basis.map(|basis| format!(" ({basis})")).unwrap_or_default();
    add("Cost", field("cost_basis").map(|_| format!("{}{basis}", cost(record))));
    add("Price book", field("price_book"));
    add("Tokens", deep("/usage").map(tokens));
    for of in deep("/usage_by_model").and_then(Value::as_array).into_iter().flatten() {
        let (model, used) = (text(of, "model"), of.get("usage").map(tokens).unwrap_or_default());
        let price = of.get("cost_usd").filter(|cost| !cost.is_null()).map(amount);
        let price = price.unwrap_or_else(|| "unknown".to_owned());
        add("By model", Some(format!("{model}: {used}, {price}")));
    }
    add("Model", field("model_used").or_else(|| field("model_requested")));
    add("Turns", field("num_turns"));
    add("Session", field("agent_session_id"));
    let exit = |exit: &Value| match (exit.get("code"), exit.get("signal")) {
        (Some(code), _) if !code.is_null() => format!("code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => exit.to_string(),
    };
    add("Exit", deep("/exit").map(exit));
    let killed = deep("/killed_processes").and_then(Value::as_u64).filter(|count| *count > 0);
    add("Left over", killed.map(|count| format!("{count} processes, killed")));
    let redacted = deep("/redactions").and_then(Value::as_u64).filter(|count| *count > 0);
    add("Redacted", redacted.map(|count| format!("{count} secrets in the message")));
    let transcript = |transcript: &Value| {
        let count = |name: &str| transcript.get(name).and_then(Value::as_u64).unwrap_or(0);
        format!("{} lines, {}", number(count("lines")), size(count("bytes")))
    };
    add("Transcript", deep("/transcript").map(transcript));
    facts
}

/// What it waits for, and where it stands.
fn waits(waiting: &Value) -> String {
    let reason = text(waiting, "reason").replace('_', " ");
    let until = moment(waiting, "until").map(|at| format!(" until {}", exact(at)));
    let holders = waiting.get("slot_holders").and_then(Value::as_array).map_or(0, Vec::len);
    let place = text(waiting, "place");
    format!("place {place}: {reason}{}; {holders} hold slots", until.unwrap_or_default())
}

fn tokens(usage: &Value) -> String {
    let known = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"]
        .into_iter()
        .filter_map(|name| Some((name, usage.get(name)?.as_u64()?)))
        .filter(|(_, count)| *count > 0);
    let words: Vec<_> = known
        .map(|(name, count)| format!("{} {}", number(count), name.replace('_', " ")))
        .collect();
    words.join(", ")
}

fn events(record: &Value) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("POSITION", Align::Left),
        ("AT", Align::Left),
        ("EVENT", Align::Left),
        ("BY", Align::Left),
    ]);
    for event in record.get("events").and_then(Value::as_array).into_iter().flatten() {
        let actor = event.get("actor").cloned().unwrap_or_default();
        let at = moment(event, "recorded_at").map_or_else(|| "-".to_owned(), exact);
        sheet.row(vec![
            (text(event, "position"), Tone::Quiet),
            (at, Tone::Plain),
            (text(event, "type"), Tone::Plain),
            (format!("{} {}", text(&actor, "kind"), text(&actor, "id")), Tone::Quiet),
        ]);
    }
    sheet
}
