//! Why an execution waits, in words, with the ways to what keeps it.

use maud::{Markup, html};

use crate::answers::Execution;
use crate::words::time;

/// Slots' holders that are named: most. Beyond them stands their number.
const HOLDERS_SHOWN_MAX: usize = 8;

/// Why it waits.
pub(super) fn why(record: &Execution) -> Markup {
    let waiting = record.waiting.as_ref().filter(|waiting| waiting.is_object());
    let Some(waiting) = waiting else { return html! {} };
    let holders: Vec<Option<&str>> = match waiting["slot_holders"].as_array() {
        Some(holders) => holders.iter().map(|holder| holder["execution_id"].as_str()).collect(),
        None => Vec::new(),
    };
    html! {
        span .quiet {
            (words(waiting["reason"].as_str().unwrap_or("")))
            @if let Some(until) = waiting["until"].as_str() { " until " (time(until)) }
            @if let Some(place @ 1..) = waiting["place"].as_u64() { ". Place " (place) " in the queue" }
            @if !holders.is_empty() { ". Held by " (held_by(record, &holders)) }
        }
    }
}

fn words(reason: &str) -> String {
    match reason {
        "starting" => "Is being started",
        "agent_paused" => "Its agent is paused: nothing starts until it is resumed",
        "agent_retired" => "Its agent was retired",
        "slots_taken" => "All slots of its agent are taken",
        "max_parallel_total_reached" => "As many runs as this server allows are going on",
        "session_busy" => "Another turn of its session is going on",
        "disk_nearly_full" => "The disk is nearly full: nothing starts",
        "server_stopping" => "The server is stopping: it starts after the next start",
        "behind_others" => "Others are before it",
        "retry_backoff" => "It rests before the next attempt",
        "" => "It waits",
        other => return other.replace('_', " "),
    }
    .to_owned()
}

fn held_by(record: &Execution, holders: &[Option<&str>]) -> Markup {
    let more = holders.len().saturating_sub(HOLDERS_SHOWN_MAX);
    html! {
        @for (index, holder) in holders.iter().take(HOLDERS_SHOWN_MAX).enumerate() {
            @if index > 0 { ", " }
            @match holder {
                Some(id) => a href={ "/agents/" (record.agent_name) "/executions/" (id) } {
                    code { (id.get(..8).unwrap_or(id)) }
                },
                None => "one that is not yours to see",
            }
        }
        @if more > 0 { " and " (more) " more" }
    }
}
