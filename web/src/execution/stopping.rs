//! How a run is stopped, step by step, while it is.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use crate::answers::{Detail, Event};
use crate::interface::{Interface, Visitor, quoted};
use crate::words::{duration, time};

/// What of an agent's settings matters here.
#[derive(Deserialize)]
struct Settings {
    grace_s: u64,
}

/// How long the agent of a run that is being stopped has; nothing where none is.
pub(super) async fn grace_s(
    interface: &Interface,
    visitor: &Visitor,
    detail: &Detail,
) -> Option<u64> {
    let record = &detail.record;
    if record.status != "running" || record.cancellation_requested_at.is_none() {
        return None;
    }
    let address = format!("/api/agents/{}", quoted(&record.agent_name));
    let settings = interface.get::<Settings>(visitor, &address).await;
    settings.ok().map(|settings| settings.grace_s)
}

/// The steps: those that were taken, the one that is being waited for, and what follows.
pub(super) fn steps(detail: &Detail, grace_s: Option<u64>) -> Markup {
    let record = &detail.record;
    let Some(asked_at) = record.cancellation_requested_at.as_deref() else { return html! {} };
    if record.status != "running" {
        return html! {};
    }
    let interrupted = sent(&detail.events, "SIGINT");
    let killed = sent(&detail.events, "SIGKILL");
    let until = interrupted.zip(grace_s).and_then(|(at, grace_s)| after(at, grace_s));
    html! {
        ol .steps aria-label="How it is being stopped" {
            li .is-done { "Stop asked for " (time(asked_at)) }
            li .is-done[interrupted.is_some()] .is-now[interrupted.is_none()] {
                @match interrupted { Some(at) => { "SIGINT sent " (time(at)) }, None => "SIGINT" }
            }
            li .is-done[killed.is_some()] .is-now[interrupted.is_some() && killed.is_none()] {
                "Its time to end by itself"
                @if let Some(grace_s) = grace_s { " (" (duration(grace_s.saturating_mul(1_000))) ")" }
                @if let (Some(until), None) = (&until, killed) {
                    ": " span .countdown data-until=(until) { "running" }
                }
            }
            li .is-now[killed.is_some()] {
                @match killed {
                    Some(at) => { "SIGKILL sent to its process tree " (time(at)) },
                    None => "SIGKILL to its process tree",
                }
            }
        }
    }
}

fn sent<'e>(events: &'e [Event], signal: &str) -> Option<&'e str> {
    let is_it = |event: &&Event| {
        event.kind == "execution.signal_sent" && event.data["signal"].as_str() == Some(signal)
    };
    events.iter().find(is_it).and_then(|event| event.data["at"].as_str())
}

fn after(at: &str, seconds: u64) -> Option<String> {
    let at: DateTime<Utc> = at.parse().ok()?;
    let until = at.checked_add_signed(Duration::seconds(i64::try_from(seconds).ok()?))?;
    Some(until.to_rfc3339_opts(SecondsFormat::Millis, true))
}
