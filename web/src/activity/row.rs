//! One activity in the list.

use maud::{Markup, html};

use super::answers::Activity;
use crate::interface::quoted;
use crate::words::{dollars, duration, first_line, icon, time};

/// What is done, in a row: so much of it, in characters.
const ACTION_MAX_CHARS: usize = 160;

/// The row of an activity.
pub(super) fn row(activity: &Activity) -> Markup {
    let details = &activity.details;
    let address = details
        .execution_id
        .as_deref()
        .map(|id| format!("/agents/{}/executions/{}", quoted(&activity.agent), quoted(id)));
    let action = first_line(&activity.action, ACTION_MAX_CHARS);
    html! {
        li .activity id={ "a-" (activity.id) } data-status=(activity.state) {
            span class={ "activity-icon of-" (activity.kind) } title=(kind(&activity.kind)) {
                (icon(picture(&activity.kind))) span .sr { (kind(&activity.kind)) }
            }
            div .activity-what {
                @match address {
                    Some(address) => a .activity-action href=(address) { (action) },
                    None => span .activity-action { (action) },
                }
                div .activity-meta {
                    (state(&activity.state))
                    span { (activity.agent) }
                    @if let Some(code) = details.error.as_ref().and_then(|error| error.code.as_ref()) {
                        span .error-code { (code.replace('_', " ")) }
                    }
                    @if details.result_injected { span .injected { "Result injected" } }
                    @if let Some(session) = &details.chat_session_id {
                        a href={ "/sessions/" (quoted(session)) } { "Chat" }
                    }
                }
            }
            div .activity-when {
                span .activity-took { (took(activity)) @if let Some(cost) = cost(activity) { " · " (cost) } }
                span .quiet { (when(activity)) }
            }
        }
    }
}

/// What a type is called.
fn kind(kind: &str) -> &str {
    super::TYPES.iter().find(|(name, _)| *name == kind).map_or(kind, |(_, words)| words)
}

fn picture(kind: &str) -> &'static str {
    match kind {
        "self_task" => "again",
        "chat" => "chat",
        "schedule" => "clock",
        "paid" => "coins",
        "agent_collaboration" => "people",
        "cancellation" => "stop",
        _ => "tool",
    }
}

fn state(state: &str) -> Markup {
    let look = if state == "started" { "running" } else { state };
    html! { span class={ "status is-" (look) } { span .mark {} (state) } }
}

fn when(activity: &Activity) -> Markup {
    html! {
        @match activity.started_at.as_deref().or(activity.completed_at.as_deref()) {
            Some(at) => (time(at)),
            None => "never started",
        }
    }
}

/// How long it took, or since when it goes on.
fn took(activity: &Activity) -> Markup {
    html! {
        @if let Some(ms) = activity.details.execution_time_ms { (duration(ms)) }
        @else if activity.state == "started" && let Some(since) = &activity.started_at {
            span data-since=(since) { "running" }
        } @else { span .quiet { "–" } }
    }
}

/// What it cost: of a run that has ended. What nobody knows is not zero.
fn cost(activity: &Activity) -> Option<Markup> {
    if activity.kind == "cancellation" || activity.started_at.is_none() {
        return None;
    }
    match activity.details.cost_usd {
        Some(usd) => Some(html! { (dollars(usd)) }),
        None if activity.state == "started" => None,
        None => Some(html! { span .quiet title="Nobody knows what it cost" { "cost unknown" } }),
    }
}
