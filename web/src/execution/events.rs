//! What happened to an execution: its events, with who caused each.

use maud::{Markup, html};
use serde_json::Value;

use crate::answers::{Actor, Event};
use crate::words::{duration, time};

/// The events as a list, the oldest first.
pub(crate) fn events(events: &[Event]) -> Markup {
    html! {
        ol .events {
            @for event in events {
                li class={ "event of-" (fact(event)) } {
                    details {
                        summary {
                            b { (title(event)) }
                            @if let Some(about) = about(event) { " " span { (about) } }
                            span .quiet.event-meta { (time(&event.recorded_at)) " · " (actor(&event.actor)) }
                        }
                        dl .facts.is-small {
                            dt { "Type" } dd { code { (event.kind) } }
                            dt { "Position" } dd { code { (event.position) } }
                            dt { "Revision" } dd { (event.revision) }
                            dt { "Event" } dd { code { (event.event_id) } }
                        }
                        pre { code { (serde_json::to_string_pretty(&event.data).unwrap_or_default()) } }
                    }
                }
            }
        }
    }
}

fn fact(event: &Event) -> &str {
    event.kind.split_once('.').map_or(event.kind.as_str(), |(_, fact)| fact)
}

fn title(event: &Event) -> String {
    match fact(event) {
        "pending" => "Accepted".to_owned(),
        "running" => "Started".to_owned(),
        "queue_moved" => "Moved to the front".to_owned(),
        "cancellation_requested" => "Stop asked for".to_owned(),
        "signal_sent" => format!("{} sent", event.data["signal"].as_str().unwrap_or("Signal")),
        "result_injected" => "Result put into the chat".to_owned(),
        "injection_refused" => "Result not put into the chat".to_owned(),
        "cost_corrected" => "Cost corrected".to_owned(),
        other => {
            let mut words = other.replace('_', " ");
            if let Some(first) = words.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            words
        }
    }
}

/// What matters most of an event's data.
fn about(event: &Event) -> Option<String> {
    let data = &event.data;
    let text = |value: &Value| value.as_str().map(|text| text.replace('_', " "));
    match fact(event) {
        "pending" => text(&data["triggered_by"]),
        "failed" => text(&data["code"]),
        "cancelled" | "cancellation_requested" | "refund_owed" => text(&data["cause"]),
        "settled" => text(&data["evidence"]).map(|by| format!("known by the {by}")),
        "settlement_failed" | "settlement_unknown" => text(&data["reason"]),
        "completed" => data["report"]["duration_ms"].as_u64().map(duration),
        _ => None,
    }
}

fn actor(actor: &Actor) -> String {
    match actor.kind.as_str() {
        "system" => actor.id.replace('_', " "),
        "run" => "an agent's run".to_owned(),
        _ => actor.user.clone(),
    }
}
