//! What runs cost: by day, agent, model and trigger; what was paid for them; budgets.

mod answers;
mod budgets;
mod burn_down;
mod burn_line;
mod chart;
mod correction;
mod csv;
mod past;
mod range;
mod setting;
mod tables;

#[cfg(test)]
mod tests;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use chrono::Utc;
use maud::{Markup, html};

use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::{self, dollars, number};
use answers::{BudgetList, Costs, Sum};
use past::Past;
use range::Range;
use setting::Wanted;
use tables::By;

/// Budgets of a page: most that the interface gives at once.
const BUDGETS_SHOWN: u32 = 200;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    let to_costs = || async { Redirect::to("/costs#budgets") };
    Router::new()
        .route("/costs", get(page))
        .route("/costs.csv", get(csv::file))
        .route("/costs/budgets", get(to_costs).post(setting::set))
        .route("/costs/budgets/lift", get(to_costs).merge(post(setting::lift)))
        .merge(correction::routes())
        .layer(Extension(Past::default()))
}

/// The page of the days that its address says.
async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Extension(past): Extension<Past>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    shown(whole((&interface, &visitor), &past, &pairs, None).await)
}

/// The page again, with what is the matter with a budget and the form as it was filled in.
async fn refused(
    interface: &Interface,
    visitor: &Visitor,
    problem: Problem,
    wanted: Wanted,
) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
    match whole((interface, visitor), &Past::default(), &[], Some((problem, wanted))).await {
        Ok(page) => (status, page).into_response(),
        Err(instead) => instead.into_response(),
    }
}

async fn whole(
    (interface, visitor): (&Interface, &Visitor),
    past: &Past,
    pairs: &[(String, String)],
    refused: Option<(Problem, Wanted)>,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let now = Utc::now();
    let range = Range::read(pairs, now.date_naive());
    let ask = |by: &str, range: Range| format!("/api/costs?by={by}&{}", range.asked());
    let addresses = [
        ask("day", range),
        ask("agent", range),
        ask("model", range),
        ask("trigger", range),
        ask("day", range.earlier()),
    ];
    let [days, agents, models, triggers, earlier] =
        addresses.each_ref().map(|address| interface.get::<Costs>(visitor, address));
    let budgets = async {
        if !me.may("read_budgets") {
            return None;
        }
        let address = format!("/api/budgets?limit={BUDGETS_SHOWN}");
        Some(interface.get::<BudgetList>(visitor, &address).await)
    };
    let (days, agents, models, triggers, earlier, budgets) =
        futures::join!(days, agents, models, triggers, earlier, budgets);
    let days = days.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let may_read = me.may("read");
    let lines = if let Some(Ok(list)) = &budgets {
        burn_down::part((interface, visitor), past, &list.budgets, pairs, now).await
    } else {
        html! {}
    };
    let bars = chart::bars(&days.costs, range);
    let body = html! {
        header .page-head {
            div { h1 { "Costs" } p .quiet.days-shown { (range.words()) ", days of UTC" } }
            (range.choice())
        }
        div #costs-sums data-follows {
            (totals(&days.total, earlier.ok().as_ref().map(|costs| &costs.total), range))
            section .card.by-day {
                div .section-head {
                    h2 { "By day" }
                    span .spacer {}
                    a .quiet href={ "/costs.csv?by=day&" (range.query()) } download { "CSV" span .sr { ": costs by day" } }
                }
                (chart::chart(&bars, range))
                (chart::table(&bars, may_read))
            }
            div .cost-tables {
                (tables::table(By::Agent, agents, range, may_read))
                (tables::table(By::Model, models, range, may_read))
                (tables::table(By::Trigger, triggers, range, may_read))
            }
        }
        @if let Some(list) = &budgets { (budget_part(list, pairs, refused.as_ref(), &me, now)) (lines) }
        div #costs-earned data-follows { (tables::earned(&days.total.earned, me.may("read_payments"))) }
        (notes(&me))
    };
    Ok(layout::page(Some(&me), Place::Costs, "Costs", &body))
}

fn totals(total: &Sum, before: Option<&Sum>, range: Range) -> Markup {
    let known = total.runs.saturating_sub(total.unknown);
    let days = range.days();
    html! {
        section aria-label="Totals" {
            dl .totals {
                div {
                    dt { "Cost" }
                    dd {
                        (words::sum(total.cost_usd, total.runs, total.unknown))
                        @if total.unknown > 0 {
                            small title="Runs whose cost nobody knows" { "+ " (number(total.unknown)) " unknown" }
                        }
                    }
                }
                div { dt { "Runs" } dd { (number(total.runs)) } }
                div {
                    dt { "A run, on average" }
                    dd { @if known > 0 { (dollars(total.cost_usd / known as f64)) } @else { "–" } }
                }
                div {
                    dt { @if days == 1 { "The day before" } @else { "The " (days) " days before" } }
                    dd {
                        @match before {
                            Some(before) => {
                                (words::sum(before.cost_usd, before.runs, before.unknown))
                                @if before.unknown > 0 { small { "+ " (number(before.unknown)) " unknown" } }
                            },
                            None => "–",
                        }
                    }
                }
            }
        }
    }
}

fn budget_part(
    list: &Result<BudgetList, Problem>,
    pairs: &[(String, String)],
    refused: Option<&(Problem, Wanted)>,
    me: &Me,
    now: chrono::DateTime<Utc>,
) -> Markup {
    let may_manage = me.may("manage_budgets");
    let named = |scope: &str| {
        let budgets = list.as_ref().map(|list| list.budgets.as_slice()).unwrap_or_default();
        budgets.iter().find(|budget| budget.budget == scope)
    };
    let chosen =
        pairs.iter().find(|(name, _)| name == "budget").and_then(|(_, scope)| named(scope));
    let wanted = refused.map(|(_, wanted)| wanted.clone()).or_else(|| chosen.map(Wanted::of));
    html! {
        section #budgets .budget-part {
            div .section-head { h2 { "Budgets" } }
            @if may_manage {
                (setting::form(wanted.as_ref(), chosen.is_some(), refused.map(|(problem, _)| problem)))
            }
            (budgets::lines(list, may_manage, now))
        }
    }
}

fn notes(me: &Me) -> Markup {
    html! {
        footer .notes.quiet {
            p {
                "Costs stand on the day on which they were recorded, corrections too. Simulated runs count as others do. "
                "Of a run whose cost nobody knows nothing is added; it is counted as unknown."
            }
            @if me.may("read_feed") {
                p {
                    a href="/api/costs/feed?format=csv" download="billing.csv" data-plain { "Each fact about money, as CSV" }
                    ", or as JSON, NDJSON or CloudEvents by " code { "GET /api/costs/feed" } "."
                }
            }
        }
    }
}
