//! One schedule: when it comes next, what it decided, and what can be done with it.

use axum::extract::{Form, Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::answers::{Schedule, ScheduleDetail, TickList};
use super::{calendar, decisions, form};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::once::{self, Once};
use crate::shown;
use crate::texts::visible;
use crate::words::{dollars, duration, icon, time};

/// Decisions of a page.
const TICKS_SHOWN: u32 = 25;

/// The page of a schedule.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let cursor = pairs.iter().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.as_str());
    shown(whole(&interface, &visitor, &id, cursor).await)
}

async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    cursor: Option<&str>,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let address = format!("/api/schedules/{}", quoted(id));
    let mut ticks = format!("{address}/ticks?limit={TICKS_SHOWN}");
    if let Some(cursor) = cursor {
        ticks.push_str("&cursor=");
        ticks.push_str(&quoted(cursor));
    }
    let (detail, ticks) = futures::join!(
        interface.get::<ScheduleDetail>(visitor, &address),
        interface.get::<TickList>(visitor, &ticks),
    );
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let (detail, ticks) = (detail.map_err(fail)?, ticks.map_err(fail)?);
    let schedule = &detail.schedule;
    let body = html! {
        nav .crumbs aria-label="Where this is" { a href="/schedules" { "Schedules" } }
        header .page-head {
            div {
                h1 .task-title { (visible(&schedule.name)) }
                p #schedule-state .state data-follows {
                    (super::enabled(schedule.enabled))
                    span { (schedule.description) }
                    @if let Some(next) = &schedule.next { span .quiet { "next " (time(&next.at)) } }
                }
            }
            @if me.may("manage_schedules") { (actions(schedule)) }
        }
        div .columns {
            div .main-column {
                section #next-runs .block data-follows { h2 { "Next runs" } (next_runs(&detail)) }
                section #decided .block data-follows { h2 { "What it decided" } (decided(schedule, &ticks, cursor)) }
            }
            aside #schedule-facts .side-column aria-label="Facts" data-follows {
                section { h2 { "Task" } (message(schedule)) }
                (facts(schedule))
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Schedules, &schedule.name, &body))
}

fn actions(schedule: &Schedule) -> Markup {
    let address = schedule.address();
    html! {
        div .actions {
            form method="post" action={ (address) "/trigger" } {
                (once::mark())
                button .button.is-main { (icon("play")) "Trigger now" }
            }
            div #toggle data-follows {
                @if schedule.enabled {
                    form method="post" action={ (address) "/disable" } { button .button { (icon("pause")) "Disable" } }
                } @else {
                    form method="post" action={ (address) "/enable" } { button .button { (icon("play")) "Enable" } }
                }
            }
            a .button href={ (address) "/change" } { "Change" }
            details #delete-schedule .more {
                summary .button.is-danger { "Delete" }
                form .card method="post" action={ (address) "/delete" } {
                    p { "It runs no more. What it started goes on, and its history stays." }
                    button .button.is-danger { "Delete this schedule" }
                }
            }
        }
    }
}

fn next_runs(detail: &ScheduleDetail) -> Markup {
    html! {
        @if !detail.schedule.enabled {
            p .quiet.card { "It is disabled: it runs only when it is triggered." }
        } @else if detail.upcoming.is_empty() {
            p .quiet.card { "It comes no more." }
        } @else {
            (calendar::calendar(&detail.upcoming, &detail.schedule.timezone, Utc::now()))
            details #next-list .as-table {
                summary { "As a list" }
                ol .next-runs {
                    @for moment in &detail.upcoming {
                        li { span { (form::local(&moment.local)) } span .quiet { (time(&moment.at)) } }
                    }
                }
            }
        }
    }
}

fn decided(schedule: &Schedule, ticks: &TickList, cursor: Option<&str>) -> Markup {
    html! {
        @if ticks.ticks.is_empty() {
            p .quiet.card { "Nothing yet. Each time that comes is decided once: fired, or skipped for a reason." }
        } @else { (decisions::table(&ticks.ticks, &schedule.agent_name)) }
        nav .pager aria-label="Pages" {
            @if cursor.is_some() { a .button href=(schedule.address()) rel="first" { "Latest" } }
            @if let Some(next) = &ticks.next_cursor {
                a .button href={ (schedule.address()) "?cursor=" (quoted(next)) } rel="next" { "Earlier " (icon("down")) }
            }
        }
    }
}

fn message(schedule: &Schedule) -> Markup {
    html! {
        @match &schedule.message {
            Some(text) => div .prose.card dir="auto" { (visible(text)) },
            None => p .quiet { "The text was erased: nothing runs until there is another." },
        }
        @if schedule.redactions > 0 {
            p .quiet { (schedule.redactions) " secrets were removed before it was stored." }
        }
    }
}

fn facts(schedule: &Schedule) -> Markup {
    let overlap = match schedule.overlap.as_str() {
        "skip" => "the new one is left out",
        "queue" => "the new one waits behind it",
        "cancel_previous" => "it is cancelled",
        other => other,
    };
    let catch_up = match schedule.catch_up.as_str() {
        "one" => "the latest runs",
        "all" => "each of them runs",
        "none" => "none of them runs",
        other => other,
    };
    html! {
        section {
            h2 { "Facts" }
            dl .facts {
                dt { "Agent" } dd { a href={ "/agents/" (quoted(&schedule.agent_name)) } { (schedule.agent_name) } }
                dt { "Cron" } dd { code { (schedule.cron) } }
                dt { "Zone" } dd { (schedule.timezone) }
                dt { "If one is open" } dd { (overlap) }
                dt { "If missed" } dd { (catch_up) }
                @if let Some(model) = &schedule.model { dt { "Model" } dd { (model) } }
                @if let Some(s) = schedule.timeout_s { dt { "Timeout" } dd { (duration(s.saturating_mul(1_000))) } }
                @if let Some(usd) = schedule.max_cost_usd { dt { "Cost at most" } dd { (dollars(usd)) } }
                @if let Some(turns) = schedule.max_turns { dt { "Turns at most" } dd { (turns) } }
                dt { "Belongs to" } dd { (schedule.user) }
                dt { "Created" } dd { (time(&schedule.created_at)) }
                dt { "Changed" } dd { (time(&schedule.changed_at)) }
                dt { "Schedule" } dd { code { (schedule.schedule_id) } }
            }
        }
    }
}

/// Fires it now.
pub(super) async fn trigger(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Once>,
) -> Response {
    act(&interface, &visitor, &id, "trigger", &form.once).await
}

/// Lets it run by the clock.
pub(super) async fn enable(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    act(&interface, &visitor, &id, "enable", "").await
}

/// Lets it not run by the clock.
pub(super) async fn disable(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    act(&interface, &visitor, &id, "disable", "").await
}

async fn act(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    what: &str,
    once: &str,
) -> Response {
    let address = format!("/api/schedules/{}/{what}", quoted(id));
    // These take no body but an empty one.
    let done = interface.post_once::<Value>(visitor, &address, &json!({}), once).await;
    then(interface, visitor, done, &format!("/schedules/{}", quoted(id))).await
}

/// Deletes it.
pub(super) async fn delete(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let address = format!("/api/schedules/{}", quoted(&id));
    let done = interface.delete::<Value>(&visitor, &address).await;
    then(&interface, &visitor, done, "/schedules").await
}

async fn then(
    interface: &Interface,
    visitor: &Visitor,
    done: Result<Value, Problem>,
    address: &str,
) -> Response {
    match done {
        Ok(_) => Redirect::to(address).into_response(),
        Err(problem) => {
            let me = Me::of(interface, visitor).await.ok();
            Instead::of(problem, visitor, me.as_ref()).into_response()
        }
    }
}
