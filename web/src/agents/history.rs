//! What an agent was given to do, and what came of it.

use maud::{Markup, html};

use super::answers::Agent;
use crate::answers::Execution;
use crate::executions::row_title;
use crate::interface::quoted;
use crate::layout::Me;
use crate::once;
use crate::words::{cost, duration, first_line, icon, status, time, trigger};

/// A response in the history: so much of it, in characters.
const PREVIEW_MAX_CHARS: usize = 280;

/// Executions in few words.
pub(super) fn short(agent: &Agent, executions: &[Execution]) -> Markup {
    html! {
        @if executions.is_empty() {
            p .quiet { "None yet. " a href={ (agent.address()) "/tasks" } { "Give it a task" } "." }
        } @else {
            ul .recent {
                @for execution in executions {
                    li id={ "recent-" (execution.execution_id) } {
                        span class={ "status is-" (execution.status) } title=(execution.status) {
                            span .mark {} span .sr { (execution.status) }
                        }
                        a href=(execution.address()) { (row_title(execution)) }
                        span .quiet { (time(&execution.created_at)) }
                    }
                }
            }
            p { a href={ (agent.address()) "/tasks" } { "All tasks" } }
        }
    }
}

/// Executions with what came of them, and what can be done with each.
pub(super) fn long(me: &Me, agent: &Agent, executions: &[Execution]) -> Markup {
    html! {
        ol #rows .history {
            @for execution in executions { (entry(me, agent, execution)) }
        }
    }
}

fn entry(me: &Me, agent: &Agent, execution: &Execution) -> Markup {
    html! {
        li .entry id={ "x-" (execution.execution_id) } data-status=(execution.status) {
            header .entry-head {
                @if execution.status == "running" {
                    span .live data-state="live" { span .dot {} span .live-text { "Live" } }
                } @else { (status(&execution.status)) }
                (trigger(&execution.triggered_by))
                span .quiet { (time(&execution.created_at)) }
                span .spacer {}
                span .quiet.entry-sums { (took(execution)) span { (cost(execution)) } }
            }
            h2 .entry-task { a href=(execution.address()) { (row_title(execution)) } }
            (preview(execution))
            footer .entry-foot { (actions(me, agent, execution)) }
        }
    }
}

fn took(execution: &Execution) -> Markup {
    match (execution.duration_ms, &execution.started_at) {
        (Some(ms), _) => html! { span { (duration(ms)) } },
        (None, Some(started_at)) if execution.is_open() => {
            html! { span data-since=(started_at) { "running" } }
        }
        _ => html! {},
    }
}

/// What it answered, or why it did not.
fn preview(execution: &Execution) -> Markup {
    let erased = |part: &str| execution.erased.iter().any(|erased| erased == part);
    html! {
        @if let Some(error) = &execution.error {
            p .preview.is-bad {
                b { (error.code.replace('_', " ")) }
                @if let Some(text) = &error.message { ": " (first_line(text, PREVIEW_MAX_CHARS)) }
            }
        } @else if let Some(text) = &execution.response {
            p .preview { (first_line(text, PREVIEW_MAX_CHARS)) }
        } @else if erased("response") {
            p .preview.quiet { "The response was erased." }
        } @else if execution.status == "running" && execution.cancellation_requested_at.is_some() {
            p .preview.quiet { "Is being stopped…" }
        }
    }
}

fn actions(me: &Me, agent: &Agent, execution: &Execution) -> Markup {
    let id = &execution.execution_id;
    let own = agent.address();
    html! {
        @if me.may("operate") {
            @if execution.is_open() {
                @if execution.cancellation_requested_at.is_none() {
                    form method="post" action={ (own) "/queue/" (id) "/stop?to=tasks" } {
                        button .button.is-small.is-danger {
                            (icon("stop")) @if execution.status == "pending" { "Cancel" } @else { "Stop" }
                        }
                    }
                }
            } @else if agent.takes_tasks() && execution.message.is_some() {
                form method="post" action={ (own) "/tasks/" (id) "/again" } {
                    (once::mark())
                    button .button.is-small { (icon("again")) "Run again" }
                }
            }
        }
        @if me.may("manage_schedules") && !execution.is_open() && agent.takes_tasks() && execution.message.is_some() {
            a .button.is-small href={ "/schedules/new?execution=" (quoted(id)) "&agent=" (quoted(&agent.name)) } { (icon("clock")) "Make repeatable" }
        }
        @if execution.message.is_some() {
            button .button.is-small.by-script type="button"
                data-copy={ "/api/agents/" (agent.name) "/executions/" (id) } { (icon("copy")) "Copy message" }
        }
    }
}
