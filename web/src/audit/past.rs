//! The executions and their sums as they were.

use axum::extract::{Query, State};
use axum::response::Response;
use futures::StreamExt as _;
use maud::{Markup, html};

use super::moment::{Log, Wanted, event_at, mover, parts};
use crate::answers::{Execution, ExecutionList, Stats};
use crate::error_page::Instead;
use crate::executions::row_title;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::{cost, dollars, number, status, time};

/// Executions of the page.
const PAGE_ROWS: u32 = 25;
/// Executions whose state of now is asked for at once.
const ASKED_AT_ONCE: usize = 8;

/// The page.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Response {
    shown(whole(&interface, &visitor, &wanted).await)
}

async fn whole(interface: &Interface, visitor: &Visitor, wanted: &Wanted) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let log = Log::now(interface, visitor).await.map_err(fail)?;
    let moment = log.wanted(wanted).unwrap_or_else(|| log.position(log.head));
    let as_of = quoted(&moment);
    let rows = format!("/api/executions?limit={PAGE_ROWS}&as_of={as_of}");
    let sums = format!("/api/executions/stats?as_of={as_of}");
    let (rows, sums, now) = futures::join!(
        interface.seen::<ExecutionList>(visitor, &rows),
        interface.get::<Stats>(visitor, &sums),
        interface.get::<Stats>(visitor, "/api/executions/stats"),
    );
    let ((rows, seen), sums, now) = (rows.map_err(fail)?, sums.map_err(fail)?, now.map_err(fail)?);
    let at = parts(&seen).1;
    let compared = rows.executions.into_iter().map(|then| with_now(interface, visitor, then));
    let compared: Vec<_> = futures::stream::iter(compared).buffered(ASKED_AT_ONCE).collect().await;
    let event = event_at(interface, visitor, &log, at).await;
    let body = html! {
        header .page-head {
            div { h1 { "Audit" }
                p .quiet { "Every answer of the past is made from the log alone. Move to any event, and see the ledger as it was." }
            }
        }
        (super::parts("/audit"))
        (mover("/audit", &log, at, event.as_ref()))
        div #then data-follows {
            (totals(&sums, &now))
            (table(&compared, at))
            @if rows.next_cursor.is_some() {
                p .quiet { "The newest " (PAGE_ROWS) " of then are shown." }
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Audit, "Audit", &body))
}

/// An execution then, and now where that can be had.
async fn with_now(
    interface: &Interface,
    visitor: &Visitor,
    then: Execution,
) -> (Execution, Option<Execution>) {
    let (agent, id) = (quoted(&then.agent_name), quoted(&then.execution_id));
    let address = format!("/api/agents/{agent}/executions/{id}");
    let now = interface.get::<Execution>(visitor, &address).await.ok();
    (then, now)
}

fn totals(then: &Stats, now: &Stats) -> Markup {
    let changed = |then: String, now: String| {
        html! {
            (then)
            @if now != then { small .differs { "now " (now) } }
        }
    };
    let rate = |stats: &Stats| {
        stats.success_rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
    };
    html! {
        section #totals aria-label="Totals of then" {
            dl .totals {
                div { dt { "Total" } dd { (changed(number(then.total), number(now.total))) } }
                div { dt { "Success rate" } dd { (changed(rate(then), rate(now))) } }
                div { dt { "Running" } dd { (changed(number(then.running), number(now.running))) } }
                div { dt { "Waiting" } dd { (changed(number(then.pending), number(now.pending))) } }
                div { dt { "Cost" } dd {
                    (changed(dollars(then.cost_usd), dollars(now.cost_usd)))
                    @if then.cost_unknown > 0 { small { "+ " (number(then.cost_unknown)) " unknown" } }
                } }
            }
        }
    }
}

fn table(rows: &[(Execution, Option<Execution>)], at: u64) -> Markup {
    if rows.is_empty() {
        return html! {
            section .empty {
                h2 { "There was no execution yet" }
                p { "At this moment nothing had been asked of any agent. Move on to a later event." }
            }
        };
    }
    html! {
        div .table-wrap {
            table .cards {
                caption .sr { "Executions of then" }
                thead { tr {
                    th scope="col" { "Status then" } th scope="col" { "Now" } th scope="col" { "Task" }
                    th scope="col" { "Agent" } th scope="col" { "Created" } th scope="col" .number { "Cost then" }
                } }
                tbody #rows { @for (then, now) in rows { (row(then, now.as_ref(), at)) } }
            }
        }
    }
}

fn row(then: &Execution, now: Option<&Execution>, at: u64) -> Markup {
    let (agent, id) = (quoted(&then.agent_name), quoted(&then.execution_id));
    let differs = now.filter(|now| now.status != then.status);
    html! {
        tr id={ "t-" (then.execution_id) } .has-changed[differs.is_some()] {
            td { (status(&then.status)) }
            td data-name="Now" {
                @match (now, differs) {
                    (_, Some(now)) => span .differs { (status(&now.status)) },
                    (Some(_), None) => span .quiet { "the same" },
                    (None, None) => span .quiet { "unknown" },
                }
            }
            td .past-task { a href={ "/audit/executions/" (agent) "/" (id) "?at=" (at) } { (row_title(then)) } }
            td .cell-agent data-name="Agent" { (then.agent_name) }
            td .cell-time.quiet data-name="Created" { (time(&then.created_at)) }
            td .number data-name="Cost then" { (cost(then)) }
        }
    }
}
