//! What is known of an execution, in short.

use maud::{Markup, html};
use serde_json::Value;

use crate::answers::{Detail, Execution, Usage};
use crate::layout::Me;
use crate::texts::visible;
use crate::words::{bytes, cost, duration, number, time, trigger};

/// The facts as pairs of names and values; what is not known is left out, but for the cost.
pub(super) fn facts(detail: &Detail, me: &Me) -> Markup {
    let record = &detail.record;
    html! {
        section #facts {
            h2 { "Facts" }
            dl .facts {
                dt { "Agent" } dd { a href={ "/agents/" (record.agent_name) } { (record.agent_name) } }
                dt { "Trigger" } dd { (trigger(&record.triggered_by)) }
                dt { "Asked by" } dd { (asked_by(record)) }
                @if let Some(payment) = record.payment.as_ref().filter(|_| me.may("read_payments")) {
                    dt { "Paid by" } dd { a href={ "/payments/" (payment.payment_id) } { "this payment" } }
                }
                dt { "Created" } dd { (time(&record.created_at)) }
                (when("Not before", record.not_before.as_deref()))
                (when("Started", record.started_at.as_deref()))
                (when("Ended", record.completed_at.as_deref()))
                @if let Some(ms) = record.queue_ms { dt { "Waited" } dd { (duration(ms)) } }
                @if let Some(ms) = record.duration_ms { dt { "Ran" } dd { (duration(ms)) } }
                dt { "Timeout" } dd { (duration(record.timeout_s.saturating_mul(1_000))) }
                dt { "Cost" } dd { (cost(record)) (basis(record)) }
                @if let Some(book) = &record.price_book { dt { "Price book" } dd { code { (book) } } }
                @if let Some(most) = record.max_cost_usd {
                    dt { "At most" } dd { (crate::words::dollars(most)) }
                }
                @if let Some(usage) = &record.usage { dt { "Tokens" } dd { (tokens(usage)) } }
                @if record.usage_by_model.len() > 1 {
                    @for one in &record.usage_by_model {
                        dt .is-part { (visible(&one.model)) }
                        dd { (tokens(&one.usage)) ": " (crate::words::known(one.cost_usd)) }
                    }
                }
                @if let Some(model) = record.model_used.as_ref().or(record.model_requested.as_ref()) {
                    dt { "Model" } dd { (visible(model)) }
                }
                @if let Some(turns) = record.num_turns { dt { "Turns" } dd { (turns) } }
                @if let Some(exit) = &record.exit { (exit_of(exit)) }
                @if record.killed_processes > 0 {
                    dt { "Left behind" } dd { (record.killed_processes) " processes, killed" }
                }
                @if let Some(transcript) = &record.transcript {
                    dt { "Transcript" }
                    dd title={ "SHA-256 " (transcript.sha256) } {
                        (number(transcript.lines)) @if transcript.lines == 1 { " line, " } @else { " lines, " } (bytes(transcript.bytes))
                    }
                }
                (relatives(detail))
                @if let Some(session) = &record.agent_session_id {
                    dt { "Session" } dd { code { (session) } }
                }
                @if !record.erased.is_empty() {
                    dt { "Erased" } dd { (record.erased.join(", ").replace('_', " ")) }
                }
                dt { "Execution" } dd { code { (record.execution_id) } }
            }
        }
    }
}

fn when(name: &str, at: Option<&str>) -> Markup {
    html! { @if let Some(at) = at { dt { (name) } dd { (time(at)) } } }
}

fn asked_by(record: &Execution) -> Markup {
    html! {
        @match &record.source_agent {
            Some(agent) => { "the agent " (agent) },
            None => { (record.requested_by.kind) " " (record.requested_by.id) },
        }
    }
}

fn basis(record: &Execution) -> Markup {
    let words = match record.cost_basis.as_deref() {
        Some("provider_reported") => "as the provider reported it",
        Some("derived_from_partials") => "from what it had streamed",
        Some("priced_locally") => "by a price book",
        Some("simulated") => "simulated: no money was spent",
        _ => return html! {},
    };
    html! { small .quiet { (words) } }
}

fn tokens(usage: &Usage) -> Markup {
    let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
    html! {
        (number(usage.input)) " in, " (number(usage.output)) " out"
        @if usage.cache_read > 0 { ", " (number(usage.cache_read)) " from cache" }
        @if written > 0 { ", " (number(written)) " to cache" }
    }
}

fn exit_of(exit: &Value) -> Markup {
    html! {
        @if let Some(code) = exit["code"].as_i64() { dt { "Exit code" } dd { (code) } }
        @if let Some(signal) = exit["signal"].as_i64() { dt { "Ended by signal" } dd { (signal) } }
    }
}

fn relatives(detail: &Detail) -> Markup {
    let record = &detail.record;
    let own = |id: &str| format!("/agents/{}/executions/{id}", record.agent_name);
    let short = |id: &str| id.get(..8).unwrap_or(id).to_owned();
    html! {
        @if let Some(parent) = &record.parent_execution_id {
            dt { "Called by" }
            dd {
                @match &record.source_agent {
                    Some(agent) => {
                        a href={ "/agents/" (agent) "/executions/" (parent) } { (short(parent)) } " of " (agent)
                    },
                    None => code { (parent) },
                }
            }
        }
        @if let Some(before) = &record.retry_of {
            dt { "Attempt" }
            dd { (record.attempt) ", after " a href=(own(before)) { (short(before)) } }
        }
        @if !detail.retries.is_empty() {
            dt { "Tried again" }
            dd { @for id in &detail.retries { a href=(own(id)) { (short(id)) } " " } }
        }
        @if !detail.children.is_empty() {
            dt { "Has called" }
            dd { @for child in &detail.children {
                a .child href={ "/agents/" (child.agent_name) "/executions/" (child.execution_id) } {
                    (short(&child.execution_id)) " of " (child.agent_name)
                } " "
            } }
        }
    }
}
