//! Webhooks and their messages as tables.

use serde_json::Value;

use super::task::{moment, now, text};
use crate::output::{Align, Sheet, Tone, ago};

/// Webhooks, and how they stand.
pub(super) fn webhooks(rows: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("WEBHOOK", Align::Left),
        ("NAME", Align::Left),
        ("URL", Align::Left),
        ("KINDS", Align::Left),
        ("PENDING", Align::Right),
        ("DEAD", Align::Right),
        ("LAST", Align::Left),
        ("STATE", Align::Left),
    ]);
    for webhook in rows {
        let health = webhook.get("health").cloned().unwrap_or_default();
        sheet.row(vec![
            (text(webhook, "webhook_id"), Tone::Plain),
            (text(webhook, "name"), Tone::Plain),
            (text(webhook, "url"), Tone::Plain),
            (kinds(webhook), Tone::Plain),
            (text(&health, "pending"), Tone::Plain),
            (text(&health, "dead"), Tone::Plain),
            (last(&health), Tone::Plain),
            state(webhook, &health),
        ]);
    }
    sheet
}

/// One webhook, field by field.
pub(super) fn webhook(webhook: &Value) -> Sheet {
    let mut sheet = Sheet::new(&[("FIELD", Align::Left), ("VALUE", Align::Left)]);
    let mut row = |name: &str, value: String| {
        sheet.row(vec![(name.to_owned(), Tone::Quiet), (value, Tone::Plain)]);
    };
    for field in ["webhook_id", "name", "url"] {
        row(field, text(webhook, field));
    }
    row("kinds", kinds(webhook));
    let more =
        ["enabled", "secret_generation", "previous_secret_until", "created_at", "changed_at"];
    for field in more {
        row(field, text(webhook, field));
    }
    if let Some(health) = webhook.get("health").and_then(Value::as_object) {
        let health = Value::Object(health.clone());
        for field in [
            "pending",
            "oldest_pending_at",
            "dead",
            "failures",
            "failing_since",
            "last_attempt_at",
            "last_status",
            "last_reason",
            "next_attempt_at",
        ] {
            row(field, text(&health, field));
        }
    }
    sheet
}

/// Messages to a webhook.
pub(super) fn messages(rows: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("EVENT", Align::Left),
        ("KIND", Align::Left),
        ("STATE", Align::Left),
        ("SINCE", Align::Left),
        ("ATTEMPTS", Align::Right),
        ("STATUS", Align::Right),
        ("REASON", Align::Left),
    ]);
    let now = now();
    for message in rows {
        let state = text(message, "state");
        let tone = match state.as_str() {
            "delivered" => Tone::Good,
            "dead" => Tone::Bad,
            _ => Tone::Plain,
        };
        let since = moment(message, "since");
        sheet.row(vec![
            (text(message, "event_id"), Tone::Plain),
            (text(message, "kind"), Tone::Plain),
            (state, tone),
            (since.map_or_else(|| "-".to_owned(), |at| ago(at, now)), Tone::Plain),
            (text(message, "attempts"), Tone::Plain),
            (text(message, "status"), Tone::Plain),
            (text(message, "reason"), Tone::Plain),
        ]);
    }
    sheet
}

fn kinds(webhook: &Value) -> String {
    let kinds = webhook.get("kinds").and_then(Value::as_array);
    let kinds: Vec<_> = kinds.into_iter().flatten().filter_map(Value::as_str).collect();
    kinds.join(", ")
}

fn last(health: &Value) -> String {
    let Some(at) = moment(health, "last_attempt_at") else { return "-".to_owned() };
    let what = match health.get("last_status").and_then(Value::as_u64) {
        Some(status) => status.to_string(),
        None => text(health, "last_reason"),
    };
    format!("{what} {}", ago(at, now()))
}

fn state(webhook: &Value, health: &Value) -> (String, Tone) {
    let enabled = webhook.get("enabled").and_then(Value::as_bool) == Some(true);
    let failing = health.get("failing_since").is_some_and(Value::is_string);
    match (enabled, failing) {
        (false, _) => ("disabled".to_owned(), Tone::Quiet),
        (true, true) => ("failing".to_owned(), Tone::Bad),
        (true, false) => ("enabled".to_owned(), Tone::Good),
    }
}
