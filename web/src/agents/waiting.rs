//! Why something waits, in words.

use maud::{Markup, html};

use super::answers::Queued;
use crate::words::time;

/// Why an execution waits, and what would let it start.
pub(super) fn why(queued: &Queued) -> Markup {
    let Some(reason) = queued.reason.as_deref() else {
        return html! { span .quiet { "not told" } };
    };
    html! {
        (words(reason, queued.place))
        @if let Some(until) = &queued.until { " " (time(until)) }
    }
}

fn words(reason: &str, place: u64) -> String {
    let words = match reason {
        "starting" => "is being started",
        "slots_taken" if place <= 1 => "next, as soon as a slot is free",
        "slots_taken" => "no slot is free, and others are before it",
        "behind_others" => "behind those before it",
        "max_parallel_total_reached" => "as many run as may in all",
        "session_busy" => "after the turn of its chat before it",
        "retry_backoff" => "until its next attempt is due",
        "agent_paused" => "the agent is paused",
        "agent_retired" => "the agent was retired: about to be cancelled",
        "disk_nearly_full" => "the disk is nearly full",
        "server_stopping" => "until the server has started again",
        other => return other.replace('_', " "),
    };
    words.to_owned()
}
