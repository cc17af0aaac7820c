//! What stands in a chat: turns, background tasks that go on, and their results.

use std::collections::HashMap;

use maud::{Markup, html};

use super::answers::{ChatSession, Entry, Waiting};
use crate::answers::Execution;
use crate::markdown::{self, Choice, Look};
use crate::texts::visible;
use crate::words::{cost, duration, first_line, icon, status, time};

/// Why executions wait, by their ids.
pub(super) type Reasons = HashMap<String, Waiting>;

/// The preview of a result: so much of it, in characters.
const PREVIEW_MAX_CHARS: usize = 200;
/// The level of the first headings in an answer: the page's title is above them.
const IN_TURN: u8 = 2;
/// The same in the result of a background task, which has headings of its own.
const IN_RESULT: u8 = 4;

/// What was said, and what was answered.
pub(super) fn turn(
    session: &ChatSession,
    entry: &Entry,
    reasons: &Reasons,
    may_stop: bool,
    choice: Choice,
) -> Markup {
    let record = &entry.record;
    html! {
        article .chat-turn id={ "t-" (record.execution_id) } aria-label="A message and its answer" {
            div .bubble.is-mine { div .prose dir="auto" { (message(record)) } }
            div .bubble.is-answer {
                div .bubble-head {
                    b { (record.agent_name) }
                    @if record.status != "completed" { " " (status(&record.status)) }
                    span .spacer {}
                    @if record.is_open() && may_stop { (stop(session, record)) }
                }
                @match record.status.as_str() {
                    "pending" => p .quiet { (why(record, reasons)) },
                    "running" => (being_made(record)),
                    _ => (outcome(entry, choice, IN_TURN)),
                }
                (foot(record))
            }
        }
    }
}

/// Where the answer that is being made appears: scripts write it, word by word.
fn being_made(record: &Execution) -> Markup {
    html! {
        div .streamed id={ "live-" (record.execution_id) } data-own data-output=(record.execution_id) aria-live="off" {
            p .quiet.thinking { "Working on the answer…" }
        }
    }
}

/// A background task that goes on.
pub(super) fn working(
    session: &ChatSession,
    record: &Execution,
    reasons: &Reasons,
    may_stop: bool,
) -> Markup {
    let is_over = !record.is_open();
    html! {
        section .background.is-open id={ "w-" (record.execution_id) } aria-labelledby={ "wh-" (record.execution_id) } {
            div .background-head {
                (icon("again"))
                h2 id={ "wh-" (record.execution_id) } { "Background Task" }
                (status(&record.status))
                @if let (false, Some(since)) = (is_over, &record.started_at) {
                    span .quiet.running-since data-since=(since) { "since " (time(since)) }
                }
                span .spacer {}
                @if !is_over && may_stop { (stop(session, record)) }
            }
            p .preview { (message(record)) }
            @match record.status.as_str() {
                "pending" => p .quiet.progress { (why(record, reasons)) },
                "running" => {
                    p .quiet.progress id={ "live-" (record.execution_id) } data-own data-progress=(record.execution_id) aria-live="off" {
                        "Working…"
                    }
                },
                _ => p .quiet.progress { "It has ended; its result is on its way here." },
            }
            p .bubble-foot { a href=(record.address()) { "Open the execution" } }
        }
    }
}

/// The result of a background task: closed, with its beginning to be seen.
pub(super) fn result(entry: &Entry, choice: Choice) -> Markup {
    let record = &entry.record;
    html! {
        details .background id={ "b-" (record.execution_id) } {
            summary {
                span .background-head {
                    (icon("again"))
                    h2 { "Background Task Result" }
                    (status(&record.status))
                    span .spacer {}
                    span .quiet { @if let Some(at) = &record.completed_at { (time(at)) } }
                    span .chevron { (icon("down")) }
                }
                span .preview { (preview(record)) }
            }
            div .background-body {
                h3 { "Task" }
                div .prose dir="auto" { (message(record)) }
                h3 { "Result" }
                (outcome(entry, choice, IN_RESULT))
                (foot(record))
                @if entry.told == Some(false) {
                    p .quiet { "The agent is told of it with your next message." }
                }
            }
        }
    }
}

fn preview(record: &Execution) -> Markup {
    html! {
        @match (&record.response, &record.error) {
            (_, Some(error)) => {
                span .error-code { (error.code.replace('_', " ")) } " "
                @if let Some(words) = &error.message { (visible(&first_line(words, PREVIEW_MAX_CHARS))) }
            },
            (Some(words), None) => (visible(&first_line(words, PREVIEW_MAX_CHARS))),
            (None, None) if is_erased(record, "response") => em { "The text was erased." },
            (None, None) if record.status == "cancelled" => "It was stopped before it had a result.",
            (None, None) => "It ended without words.",
        }
    }
}

fn is_erased(record: &Execution, part: &str) -> bool {
    record.erased.iter().any(|erased| erased == part)
}

fn message(record: &Execution) -> Markup {
    html! {
        @match &record.message { Some(words) => (visible(words)), None => em { "The text was erased." } }
    }
}

/// How it ended.
fn outcome(entry: &Entry, choice: Choice, headings_from: u8) -> Markup {
    let record = &entry.record;
    html! {
        @match &record.response {
            Some(words) => (markdown::text(words, Look::response(choice, record), headings_from)),
            None if is_erased(record, "response") => p { em .quiet { "The text was erased." } },
            None if record.status == "completed" => p .quiet { "It answered without words." },
            None => {},
        }
        @if entry.texts_cut || record.response_cut {
            p .quiet { "Cut here; the execution has more." }
        }
        @if let Some(error) = &record.error {
            div .card.is-bad.prose {
                b { (error.code.replace('_', " ")) }
                @match &error.message {
                    Some(words) => { "\n" (visible(words)) },
                    None if is_erased(record, "error") => { "\n" em { "The text was erased." } },
                    None => {},
                }
            }
        }
        @if record.status == "cancelled" { p .quiet { "Stopped before it had ended." } }
    }
}

fn foot(record: &Execution) -> Markup {
    html! {
        p .bubble-foot.quiet {
            @if let Some(ms) = record.duration_ms { span { (duration(ms)) } }
            @if !record.is_open() { span { (cost(record)) } }
            @if let (true, Some(since)) = (record.status == "running", &record.started_at) {
                span .running-since data-since=(since) { "since " (time(since)) }
            }
            a href=(record.address()) { "How it came about" }
        }
    }
}

fn stop(session: &ChatSession, record: &Execution) -> Markup {
    let is_stopping = record.cancellation_requested_at.is_some();
    html! {
        form method="post" action={ (session.address()) "/stop" } {
            input type="hidden" name="agent" value=(record.agent_name);
            input type="hidden" name="execution" value=(record.execution_id);
            button .button.is-small disabled[is_stopping] {
                (icon("stop"))
                @if is_stopping { "Stopping" } @else if record.status == "pending" { "Cancel" } @else { "Stop" }
            }
        }
    }
}

/// Why it waits, for people.
fn why(record: &Execution, reasons: &Reasons) -> String {
    let Some(Waiting { reason, place }) = reasons.get(&record.execution_id) else {
        return "Waits for its turn.".to_owned();
    };
    let words = match reason.as_str() {
        "starting" => return "It is being started.".to_owned(),
        "session_busy" => "Another turn is running: this one comes after it",
        "slots_taken" => "All slots of the agent are taken",
        "behind_others" => "Others wait before it",
        "max_parallel_total_reached" => "As many runs as may go on at once",
        "retry_backoff" => "It is tried again in a while",
        "agent_paused" => "The agent is paused",
        "agent_retired" => "The agent was retired: it is about to be cancelled",
        "disk_nearly_full" => "The disk is nearly full",
        "server_stopping" => "The ledger is stopping: it goes on with its next start",
        other => other,
    };
    match place {
        0 => format!("{words}."),
        place => format!("{words}. Place {place} in the queue."),
    }
}
