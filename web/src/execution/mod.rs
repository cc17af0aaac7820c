//! One execution: what it was asked, what it printed, what happened to it, what can be done.

mod conversation;
mod doing;
pub(crate) mod events;
mod facts;
mod raw;
mod stopping;
mod transcript;
mod waiting;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::answers::{Detail, Execution, Lines};
use crate::error_page::Instead;
use crate::executions::row_title;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::markdown::{self, Choice, Look};
use crate::once;
use crate::texts::visible;
use crate::words::{icon, number, status};
use crate::{sessions, shown};
pub(crate) use doing::once_more;
use transcript::PART_LINES;

/// The level of the first headings in what agents write: those of the page's parts are above them.
const HEADINGS_FROM: u8 = 3;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new()
        .route("/agents/{name}/executions/{id}", get(page))
        .route("/agents/{name}/executions/{id}/transcript", get(transcript_part))
        .route("/agents/{name}/executions/{id}/raw", get(raw::page))
        .route("/agents/{name}/executions/{id}/stop", post(doing::stop))
        .route("/agents/{name}/executions/{id}/retry", post(doing::retry))
}

/// Which execution, as its address says.
type Which = Path<(String, String)>;

fn asked(which: &(String, String)) -> String {
    format!("/api/agents/{}/executions/{}", quoted(&which.0), quoted(&which.1))
}

/// Its own address.
fn at(which: &(String, String)) -> String {
    format!("/agents/{}/executions/{}", quoted(&which.0), quoted(&which.1))
}

/// The page of an execution.
async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(which): Which,
) -> Response {
    shown(whole(&interface, &visitor, &asked(&which)).await)
}

async fn whole(interface: &Interface, visitor: &Visitor, address: &str) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let log = format!("{address}/log?after_seq=0&limit={PART_LINES}");
    let (detail, lines) = futures::join!(
        interface.get::<Detail>(visitor, address),
        interface.get::<Lines>(visitor, &log),
    );
    let detail = detail.map_err(fail)?;
    let record = &detail.record;
    let proof = crate::audit::proof_mark(interface, visitor, &me, &detail).await;
    let choice = Choice::of(visitor);
    let grace_s = stopping::grace_s(interface, visitor, &detail).await;
    let body = html! {
        nav .crumbs aria-label="Where this is" {
            a href="/" { "Executions" } span aria-hidden="true" { "/" }
            a href={ "/agents/" (record.agent_name) } { (record.agent_name) }
        }
        header .page-head {
            div {
                h1 .task-title { (row_title(record)) }
                div #state {
                    p .state { (status(&record.status)) (reason(record)) }
                    (stopping::steps(&detail, grace_s))
                }
            }
            @if me.may("operate") { (actions(record, me.may("chat"))) }
        }
        div .columns.of-run {
            div .main-column {
                (message(record))
                (answer(record, Look::response(choice, record)))
            }
            aside .side-column aria-label="Facts" {
                (facts::facts(&detail, &me))
                @if me.may("correct_costs") && !record.is_open() {
                    p .correct { a href={ (record.address()) "/cost" } { "Correct the cost" } }
                }
                section #happened { h2 { "What happened" } (events::events(&detail.events)) (proof) }
            }
            // However long it is, all else stands before it, also where there is one column.
            (printed(record, &lines, Look::said(choice)))
        }
    };
    let title = record.message.as_deref().unwrap_or("An execution");
    Ok(layout::page(Some(&me), Place::Executions, &crate::words::first_line(title, 60), &body))
}

/// Why it is as it is, where that needs words.
fn reason(record: &Execution) -> Markup {
    html! {
        @if let Some(error) = &record.error { span .error-code { (error.code.replace('_', " ")) } }
        (waiting::why(record))
    }
}

fn actions(record: &Execution, may_chat: bool) -> Markup {
    let address = record.address();
    html! {
        div #actions .actions {
            @if record.is_open() {
                form method="post" action={ (address) "/stop" } {
                    button .button.is-danger disabled[record.cancellation_requested_at.is_some()] {
                        (icon("stop")) @if record.status == "pending" { "Cancel" } @else { "Stop" }
                    }
                }
            } @else {
                form method="post" action={ (address) "/retry" } {
                    (once::mark())
                    button .button { (icon("again")) "Run again" }
                }
                a .button href={ "/schedules/new?execution=" (record.execution_id) "&agent=" (record.agent_name) } {
                    (icon("clock")) "Make repeatable"
                }
            }
            @if may_chat { (sessions::way_to_chat(record)) }
        }
    }
}

fn message(record: &Execution) -> Markup {
    html! {
        section .block { h2 { "Task" }
            @match &record.message {
                Some(text) => div .prose.card dir="auto" { (visible(text)) },
                None => p .quiet { "The text was erased." },
            }
            @if record.redactions > 0 {
                p .quiet {
                    (record.redactions) @if record.redactions == 1 { " secret was" } @else { " secrets were" }
                    " removed before it was stored."
                }
            }
        }
    }
}

fn answer(record: &Execution, look: Look) -> Markup {
    let erased = |part: &str| record.erased.iter().any(|erased| erased == part);
    html! {
        div #answer {
            @if let Some(text) = &record.response {
                section .block {
                    div .block-title {
                        h2 { "Response" }
                        @if markdown::has_form(text) { (markdown::switch(look, "answer")) }
                    }
                    div .card { (markdown::text(text, look, HEADINGS_FROM)) }
                    @if record.response_cut { p .quiet { "Cut here; it is whole in the transcript." } }
                }
            } @else if erased("response") {
                section .block { h2 { "Response" } p .quiet { "The text was erased." } }
            }
            @if let Some(error) = &record.error {
                section .block { h2 { "Error" }
                    div .prose.card.is-bad dir="auto" {
                        @match &error.message { Some(text) => (visible(text)), None => (error.code.replace('_', " ")) }
                    }
                }
            }
        }
    }
}

fn printed(record: &Execution, lines: &Result<Lines, Problem>, look: Look) -> Markup {
    let address = record.address();
    let live = record.is_open();
    html! {
        section #transcript .block data-address=(address) data-live[live]
            data-lines=[record.transcript.as_ref().map(|transcript| transcript.lines)] {
            header .block-head {
                h2 { "Transcript" }
                span #transcript-live .live data-state=(if live { "live" } else { "ended" }) {
                    span .dot {} span .live-text { @if live { "Live" } @else { "Ended" } }
                }
                span .spacer {}
                form .transcript-search method="get" action={ (address) "/raw" } role="search" {
                    label .search { span .sr { "Search in the transcript" } (icon("search"))
                        input #transcript-search type="search" name="q" placeholder="Search in it" autocomplete="off";
                    }
                }
                span #transcript-found .quiet role="status" {}
                label #follow-box .check hidden { input #follow type="checkbox" checked; " Follow" }
                @if lines.as_ref().is_ok_and(transcript::has_form) { (markdown::switch(look, "transcript")) }
                a .button.is-plain.is-small href={ (address) "/raw" } { "Raw" }
            }
            @match lines {
                Ok(lines) => {
                    @if lines.lines.is_empty() {
                        p .quiet.nothing-printed { "Nothing was printed" @if live { " yet" } "." }
                    }
                    div #parts .parts { (transcript::part(lines, look)) }
                    @if let Some(next) = lines.next_after_seq {
                        p #more-parts { a .button href={ (address) "/transcript?after_seq=" (next) } { "Show more" } }
                    }
                },
                Err(problem) => p .quiet { (problem.detail) },
            }
        }
    }
}

/// A further part of a transcript: for a page that shows the parts before it, or alone.
async fn transcript_part(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(which): Which,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let after = query.split('&').find_map(|pair| pair.strip_prefix("after_seq=")).unwrap_or("0");
    let address = format!("{}/log?after_seq={}&limit={PART_LINES}", asked(&which), quoted(after));
    let page = async {
        let me = Me::expected(&interface, &visitor).await?;
        let lines = interface.get::<Lines>(&visitor, &address).await;
        let lines = lines.map_err(|problem| Instead::of(problem, &visitor, Some(&me)))?;
        let back = format!("/agents/{}/executions/{}", quoted(&which.0), quoted(&which.1));
        let body = html! {
            nav .crumbs aria-label="Where this is" { a href=(back) { "To the execution" } }
            h1 { "Transcript after line " (number(after.parse().unwrap_or(0))) }
            div #parts .parts { (transcript::part(&lines, Look::said(Choice::of(&visitor)))) }
            @if let Some(next) = lines.next_after_seq {
                p #more-parts { a .button href={ (back) "/transcript?after_seq=" (next) } { "Show more" } }
            }
        };
        Ok(layout::page(Some(&me), Place::Executions, "Transcript", &body))
    };
    shown(page.await)
}
