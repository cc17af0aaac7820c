//! One execution in the list.

use maud::{Markup, html};

use crate::answers::Execution;
use crate::texts::visible;
use crate::words::{cost, duration, first_line, status, time, trigger};

/// A task's text in a row: so much of it, in characters.
const TITLE_MAX_CHARS: usize = 120;
/// The same where only screen readers say it.
const LABEL_MAX_CHARS: usize = 40;

/// The row of an execution.
pub(super) fn row(execution: &Execution, may_choose: bool) -> Markup {
    let model = execution.model_used.as_ref().or(execution.model_requested.as_ref());
    html! {
        tr id={ "x-" (execution.execution_id) } data-status=(execution.status) {
            @if may_choose { td .cell-pick { (pick(execution)) } }
            td .cell-status { (status(&execution.status)) }
            td .cell-task {
                a href=(execution.address()) { (title(execution)) }
                @if let Some(error) = &execution.error { span .error-code { (error.code) } }
                @if execution.attempt > 1 { span .quiet { "attempt " (execution.attempt) } }
            }
            td .cell-agent { a href={ "/agents/" (execution.agent_name) } { (execution.agent_name) } }
            td { (trigger(&execution.triggered_by)) }
            td .cell-model.quiet { @if let Some(model) = model { bdi title=(model) { (visible(model)) } } }
            td .cell-time.quiet { (time(&execution.created_at)) }
            td .number { (took(execution)) }
            td .number { (cost(execution)) }
        }
    }
}

/// The way to choose it among others; what a reader has chosen stays so when the row changes.
fn pick(execution: &Execution) -> Markup {
    let label = execution.message.as_deref().map(|text| first_line(text, LABEL_MAX_CHARS));
    let label = label.unwrap_or_else(|| execution.execution_id.clone());
    html! {
        input .pick type="checkbox" form="bulk" name="id" data-keeps
            value={ (execution.agent_name) "/" (execution.execution_id) }
            aria-label={ "Choose " (visible(&label)) };
    }
}

/// What an execution is called: the beginning of its task.
pub(crate) fn title(execution: &Execution) -> Markup {
    html! {
        @if let Some(message) = &execution.message {
            bdi { (visible(&first_line(message, TITLE_MAX_CHARS))) }
        }
        @else { em .quiet { "erased" } }
    }
}

/// How long it took, or since when it runs.
fn took(execution: &Execution) -> Markup {
    match (execution.duration_ms, &execution.started_at) {
        (Some(ms), _) => html! { (duration(ms)) },
        (None, Some(started_at)) if execution.is_open() => {
            html! { span .running-since data-since=(started_at) { "running" } }
        }
        _ => html! { span .quiet { "–" } },
    }
}
