//! The limits of an agent as a form: what of it people change by their browser.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::answers::Agent;
use super::{Tab, refused};
use crate::interface::Problem;

/// What people change here: the field of the interface, its name, what it means, its most.
const PLAIN: [(&str, &str, &str, Option<u64>); 7] = [
    ("max_parallel_tasks", "Slots", "Runs at once", Some(1_000)),
    ("queue_limit", "Queue", "How many may wait; beyond that, tasks are refused", Some(1_000_000)),
    ("timeout_s", "Timeout, s", "How long a run may take", Some(604_800)),
    ("grace_s", "Grace, s", "Between SIGINT and SIGKILL when a run is stopped", Some(300)),
    (
        "max_retries",
        "New attempts",
        "They follow by themselves where nothing was done yet",
        Some(10),
    ),
    ("retry_backoff_s", "First waits, s", "Each further attempt waits twice as long", Some(600)),
    ("max_cost_usd", "Cost of a run at most, $", "Empty: no limit of its own", None),
];

/// What the form of the settings holds: by the names of the interface's fields; and under `was-` and
/// the same name what each was when the form was shown.
pub(super) type Typed = BTreeMap<String, String>;

/// What a field is set to now, as its input shows it.
fn current(agent: &Agent, field: &str) -> String {
    match field {
        "max_parallel_tasks" => agent.max_parallel_tasks.to_string(),
        "queue_limit" => agent.queue_limit.to_string(),
        "timeout_s" => agent.timeout_s.to_string(),
        "grace_s" => agent.grace_s.to_string(),
        "max_retries" => agent.max_retries.to_string(),
        "retry_backoff_s" => agent.retry_backoff_s.to_string(),
        _ => agent.max_cost_usd.map(|usd| usd.to_string()).unwrap_or_default(),
    }
}

/// The form, with what was typed where it was refused.
pub(super) fn form(agent: &Agent, refusal: Option<(&Typed, &Problem)>) -> Markup {
    html! {
        section .block {
            h2 { "Limits" }
            form .card.agent-form method="post" action=(Tab::Settings.address(agent)) {
                @if let Some((_, problem)) = refusal { (refused(problem)) }
                div .agent-form-grid {
                    @for (field, name, about, most) in PLAIN {
                        @let now = current(agent, field);
                        @let typed = refusal.and_then(|(typed, _)| typed.get(field)).unwrap_or(&now);
                        @let was = refusal.and_then(|(typed, _)| typed.get(&format!("was-{field}"))).unwrap_or(&now);
                        @let wrong = refusal.is_some_and(|(_, problem)| problem.field.as_deref() == Some(field));
                        div .field {
                            label for={ "set-" (field) } { (name) }
                            input id={ "set-" (field) } type="number" name=(field) value=(typed) min="0" max=[most]
                                step=(if most.is_some() { "1" } else { "any" })
                                aria-describedby={ "about-" (field) } aria-invalid=[wrong.then_some("true")];
                            small id={ "about-" (field) } { (about) }
                            input type="hidden" name={ "was-" (field) } value=(was);
                        }
                    }
                }
                div .row-end {
                    span .quiet { "An empty field goes back to its default." }
                    button .button.is-main { "Save" }
                }
            }
        }
    }
}

/// What differs from what the form was shown with: whoever changes something else at the same time
/// keeps their change. What is empty goes back to its default; what is no number is passed on as it is,
/// and the interface says so.
pub(super) fn changed(typed: &Typed) -> Map<String, Value> {
    let mut body = Map::new();
    for (field, ..) in PLAIN {
        let Some(value) = typed.get(field).map(|value| value.trim()) else { continue };
        if typed.get(&format!("was-{field}")).is_some_and(|was| was == value) {
            continue;
        }
        let number = value.parse::<serde_json::Number>();
        let value = match number {
            _ if value.is_empty() => Value::Null,
            Ok(number) => Value::Number(number),
            Err(_) => Value::from(value),
        };
        body.insert(field.to_owned(), value);
    }
    body
}

#[cfg(test)]
mod unit {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_changed_is_sent() {
        let typed = [
            ("timeout_s", "60"),
            ("was-timeout_s", "900"),
            ("grace_s", "5"),
            ("was-grace_s", "5"),
            ("max_cost_usd", ""),
            ("was-max_cost_usd", "2.5"),
            ("queue_limit", "many"),
            ("command", "/bin/sh"),
        ];
        let typed = typed.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let body = Value::Object(changed(&typed));
        assert_eq!(body, json!({"timeout_s": 60, "max_cost_usd": null, "queue_limit": "many"}));
    }
}
