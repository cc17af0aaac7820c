//! The preview of what will be done to many executions, and what has become of them.

use maud::{Markup, html};

use super::chosen::{Found, Which};
use super::{ADDRESS, AT_ONCE_MAX, Deed, One};
use crate::answers::Execution;
use crate::executions::filters::Filters;
use crate::executions::row;
use crate::layout::{self, Me, Place};
use crate::words::{icon, number, status, time};

/// What will be done, to which, and the way to have it done.
pub(super) fn preview(me: &Me, deed: Deed, found: &Found, query: &Filters) -> Markup {
    let (skipped, meant): (Vec<_>, Vec<_>) =
        found.all.iter().map(|one| &one.execution).partition(|one| deed.skips(one).is_some());
    let title = match deed {
        Deed::Stop => "Stop executions",
        Deed::Retry => "Retry executions",
    };
    let back = query.value("matching").map_or_else(|| "/".to_owned(), |_| query.back_to_list());
    let body = html! {
        nav .crumbs aria-label="Where this is" { a href=(back) { "Executions" } }
        header .page-head { h1 { (title) } }
        @if meant.is_empty() {
            section .empty {
                h2 { @match deed { Deed::Stop => "Nothing to stop", Deed::Retry => "Nothing to retry" } }
                p { @match deed {
                    Deed::Stop => "None of these waits or runs.",
                    Deed::Retry => "None of these failed or was cancelled.",
                } }
                p { a .button href=(back) { "Back to the list" } }
            }
        } @else {
            form .card.bulk-confirm method="post" action=(ADDRESS) {
                input type="hidden" name="do" value=(deed.word());
                @for one in &meant { input type="hidden" name="id" value=(text(one)); }
                p { (what_happens(deed, &meant)) }
                @if found.more {
                    p .quiet { "The filters find more: " (number(AT_ONCE_MAX as u64))
                        " at a time are done. Come again for the rest." }
                }
                div .row-end {
                    a .button.is-plain href=(back) { "Leave them as they are" }
                    (button(deed, meant.len()))
                }
            }
            (table("These", &meant, |_| None))
        }
        @if !skipped.is_empty() {
            h2 .bulk-skipped { (number(skipped.len() as u64)) " are left as they are" }
            (table("Left as they are", &skipped, |one| deed.skips(one)))
        }
    };
    layout::page(Some(me), Place::Executions, title, &body)
}

fn button(deed: Deed, count: usize) -> Markup {
    let count = number(count as u64);
    html! {
        @match deed {
            Deed::Stop => button .button.is-danger { (icon("stop")) "Stop " (count) },
            Deed::Retry => button .button.is-main { (icon("again")) "Retry " (count) },
        }
    }
}

fn what_happens(deed: Deed, meant: &[&Execution]) -> Markup {
    let waiting = meant.iter().filter(|one| one.status == "pending").count() as u64;
    let running = meant.len() as u64 - waiting;
    html! {
        @match deed {
            Deed::Stop => {
                @if running > 0 {
                    b { (number(running)) " running" } ": each gets SIGINT, and SIGKILL with its whole \
                    process tree once its agent's grace period is over. "
                }
                @if waiting > 0 { b { (number(waiting)) " waiting" } ": they never start." }
            },
            Deed::Retry => {
                b { (number(meant.len() as u64)) " new attempts" } ", with the same tasks and settings. They \
                wait in their agents' queues, cost again, and leave what failed as it is."
            },
        }
    }
}

/// What has become of them.
pub(super) fn done(me: &Me, deed: Deed, all: &[One]) -> Markup {
    let failed: Vec<_> = all.iter().filter(|one| one.problem.is_some()).collect();
    let well: Vec<_> =
        all.iter().filter(|one| one.problem.is_none()).map(|one| &one.execution).collect();
    let title = match deed {
        Deed::Stop => "Stopped",
        Deed::Retry => "Tried again",
    };
    let body = html! {
        nav .crumbs aria-label="Where this is" { a href="/" { "Executions" } }
        header .page-head { h1 { (title) ": " (number(well.len() as u64)) } }
        @if !failed.is_empty() {
            section .notice.is-bad role="alert" {
                h2 { (number(failed.len() as u64)) " could not be done" }
                ul { @for one in failed {
                    li {
                        a href=(one.execution.address()) { (row::title(&one.execution)) } ": "
                        @if let Some(problem) = &one.problem { (problem.detail) }
                    }
                } }
            }
        }
        @if !well.is_empty() { (table(title, &well, |_| None)) }
        p { a .button href="/" { "To the list" } }
    };
    layout::page(Some(me), Place::Executions, title, &body)
}

fn table(
    name: &str,
    executions: &[&Execution],
    why: impl Fn(&Execution) -> Option<&'static str>,
) -> Markup {
    html! {
        div .table-wrap {
            table .executions {
                caption .sr { (name) }
                thead { tr {
                    th scope="col" { "Status" } th scope="col" { "Task" } th scope="col" { "Agent" }
                    th scope="col" { "Created" }
                } }
                tbody { @for one in executions {
                    tr id={ "x-" (one.execution_id) } {
                        td .cell-status { (status(&one.status)) }
                        td .cell-task {
                            a href=(one.address()) { (row::title(one)) }
                            @if let Some(why) = why(one) { span .quiet { (why) } }
                        }
                        td .cell-agent { (one.agent_name) }
                        td .cell-time.quiet { (time(&one.created_at)) }
                    }
                } }
            }
        }
    }
}

fn text(execution: &Execution) -> String {
    let (agent, id) = (execution.agent_name.clone(), execution.execution_id.clone());
    Which { agent, id }.text()
}
