//! The list of executions.

mod bulk;
mod filters;
mod row;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use crate::answers::{AgentList, ExecutionList, Stats};
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor};
use crate::layout::{self, Me, Place};
use crate::words::{self, duration, icon, number};
use crate::{new_task, shown};
use bulk::Deed;
pub(crate) use filters::Filters;
pub(crate) use row::title as row_title;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new().route("/", get(page)).merge(bulk::routes())
}

/// The page of executions, filtered and ordered as its address says.
async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    shown(list(&interface, &visitor, query.as_deref().unwrap_or("")).await)
}

async fn list(interface: &Interface, visitor: &Visitor, query: &str) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let filters = Filters::read(query);
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let rows = format!("/api/executions?{}", filters.for_rows());
    let sums = format!("/api/executions/stats?{}", filters.for_sums());
    let (rows, sums, agents) = futures::join!(
        interface.get::<ExecutionList>(visitor, &rows),
        async {
            // Further pages leave the totals out: they were told on the first, and cost the most.
            if filters.value("cursor").is_some() {
                return Ok(None);
            }
            interface.get::<Stats>(visitor, &sums).await.map(Some)
        },
        interface.get::<AgentList>(visitor, "/api/agents"),
    );
    let (rows, sums) = (rows.map_err(fail)?, sums.map_err(fail)?);
    let agents = agents.map(|list| list.agents).unwrap_or_default();
    let body = html! {
        header .page-head {
            h1 { "Executions" }
            @if me.may("operate") { (new_task::form(&agents, filters.value("agent"))) }
        }
        @if let Some(sums) = &sums { (totals(sums, &filters)) }
        (filters.form(&agents))
        (table(&rows, &filters, me.may("operate")))
    };
    Ok(layout::page(Some(&me), Place::Executions, "Executions", &body))
}

fn totals(sums: &Stats, filters: &Filters) -> Markup {
    let rate =
        sums.success_rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
    let took = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), duration);
    let of = if filters.is_narrowed() { "of those that match" } else { "of all" };
    html! {
        section #totals aria-label={ "Totals " (of) } {
            dl .totals {
                div { dt { "Total" } dd { (number(sums.total)) } }
                div { dt { "Success rate" } dd { (rate) } }
                div .is-running[sums.running > 0] {
                    dt { "Running" }
                    dd {
                        (number(sums.running))
                        @if sums.pending > 0 { small { (number(sums.pending)) " waiting" } }
                    }
                }
                div {
                    dt { "Cost" }
                    dd {
                        (words::sum(sums.cost_usd, sums.total, sums.cost_unknown))
                        @if sums.cost_unknown > 0 {
                            small title="Runs whose cost nobody knows" {
                                "+ " (number(sums.cost_unknown)) " unknown"
                            }
                        }
                    }
                }
                div { dt { "Half took at most" } dd { (took(sums.duration_ms_p50)) } }
                div { dt { "95 of 100 took at most" } dd { (took(sums.duration_ms_p95)) } }
            }
        }
    }
}

fn table(rows: &ExecutionList, filters: &Filters, may_operate: bool) -> Markup {
    if rows.executions.is_empty() {
        return empty(filters, may_operate);
    }
    html! {
        div #news .news hidden { button .button type="button" {} }
        @if may_operate { (with_chosen()) }
        div .table-wrap {
            table .executions.is-list {
                caption .sr { "Executions" }
                thead { tr {
                    @if may_operate {
                        th scope="col" .cell-pick {
                            span .sr { "Choose" }
                            input #pick-all .by-script type="checkbox" aria-label="Choose all on this page"
                                autocomplete="off" data-keeps;
                        }
                    }
                    th scope="col" { "Status" }
                    th scope="col" { "Task" }
                    th scope="col" { "Agent" }
                    th scope="col" { "Trigger" }
                    th scope="col" { "Model" }
                    th scope="col" { (filters.order("Created", "-created_at", "created_at")) }
                    th scope="col" .number { "Duration" }
                    th scope="col" .number { (filters.order("Cost", "-cost", "-cost")) }
                } }
                tbody #rows {
                    @for execution in &rows.executions { (row::row(execution, may_operate)) }
                }
            }
        }
        nav .pager aria-label="Pages" {
            @if filters.value("cursor").is_some() {
                a .button href=(filters.without("cursor")) rel="first" { "First page" }
            }
            @if may_operate {
                span .pager-bulk.quiet {
                    "All that match: "
                    a href=(filters.all_that_match(Deed::Stop)) { "stop…" } " "
                    a href=(filters.all_that_match(Deed::Retry)) { "retry…" }
                }
            }
            @if let Some(cursor) = &rows.next_cursor {
                a .button href=(filters.with("cursor", cursor)) rel="next" { "Next page " (icon("down")) }
            }
        }
    }
}

/// What can be done to the chosen ones: shown once there are some.
fn with_chosen() -> Markup {
    html! {
        form #bulk .bulk method="get" action=(bulk::ADDRESS) autocomplete="off" aria-label="With the chosen executions" {
            span #bulk-count .bulk-count role="status" data-keeps { "With the chosen ones" }
            button .button name="do" value="stop" { (icon("stop")) "Stop…" }
            button .button name="do" value="retry" { (icon("again")) "Retry…" }
            button #bulk-none .button.is-plain.by-script type="reset" { "None" }
        }
    }
}

fn empty(filters: &Filters, may_operate: bool) -> Markup {
    html! {
        section .empty {
            @if filters.is_narrowed() {
                h2 { "Nothing matches" }
                p { "No execution fits all of these filters." }
                p { a .button href="/" { "Clear the filters" } }
            } @else if !may_operate {
                h2 { "Nothing has run yet" }
                p { "What agents are given to do appears here, live." }
            } @else {
                h2 { "Nothing has run yet" }
                p { "Give an agent its first task: by “New task” above, or from a terminal." }
                pre { code { "execution-ledger run demo \"Say hello\"" } }
                p .quiet { "The agent demo is simulated: it needs no model and costs nothing." }
            }
        }
    }
}
