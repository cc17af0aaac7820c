//! Schedules: which there are, when each comes next, and what it decided last.

mod answers;
mod calendar;
mod decisions;
mod detail;
mod editing;
mod form;
mod wanted;
mod week;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::answers::AgentList;
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::texts::visible;
use crate::words::{icon, time};
use answers::{Schedule, ScheduleList};

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new()
        .route("/schedules", get(page))
        .route("/schedules/new", get(editing::new).post(editing::create))
        .route("/schedules/week", get(week::page))
        .route("/schedules/{id}", get(detail::page))
        .route("/schedules/{id}/change", get(editing::change).post(editing::changed))
        .route("/schedules/{id}/trigger", post(detail::trigger))
        .route("/schedules/{id}/enable", post(detail::enable))
        .route("/schedules/{id}/disable", post(detail::disable))
        .route("/schedules/{id}/delete", post(detail::delete))
}

/// Schedules of a page: most.
pub(crate) const LISTED_MAX: u32 = 100;

/// What orders schedules: whatever comes next is first; those without a next time, and then those that
/// are disabled, are last.
pub(crate) fn turn(enabled: bool, next: Option<&str>) -> (bool, DateTime<Utc>) {
    let next = next.and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    (!enabled, next.map_or(DateTime::<Utc>::MAX_UTC, |at| at.to_utc()))
}

/// That an order holds for a page alone, where there are several.
pub(crate) fn order_note(has_pages: bool) -> Markup {
    html! {
        @if has_pages {
            p .quiet { "Of each page what comes next is first; the first page has those that were made last." }
        }
    }
}

/// Which schedules are shown.
#[derive(Default)]
struct Shown {
    agent: String,
    enabled: String,
    cursor: String,
}

impl Shown {
    fn read(pairs: Vec<(String, String)>) -> Self {
        let mut shown = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "agent" => shown.agent = value,
                "enabled" => shown.enabled = value,
                "cursor" => shown.cursor = value,
                _ => {}
            }
        }
        shown
    }

    fn is_narrowed(&self) -> bool {
        !self.agent.is_empty() || !self.enabled.is_empty()
    }

    /// As a query, on another page.
    fn query(&self, cursor: &str) -> String {
        let pairs =
            [("agent", self.agent.as_str()), ("enabled", &self.enabled), ("cursor", cursor)];
        let given = pairs.iter().filter(|(_, value)| !value.is_empty());
        let given = given.map(|(name, value)| format!("{name}={}", quoted(value)));
        given.collect::<Vec<_>>().join("&")
    }
}

/// The list, as its address says.
async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    shown(list(&interface, &visitor, &Shown::read(pairs)).await)
}

async fn list(interface: &Interface, visitor: &Visitor, which: &Shown) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let address = format!("/api/schedules?limit={LISTED_MAX}&{}", which.query(&which.cursor));
    let (list, agents) = futures::join!(
        interface.get::<ScheduleList>(visitor, &address),
        interface.get::<AgentList>(visitor, "/api/agents"),
    );
    let mut list = list.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    list.schedules.sort_by_key(|own| turn(own.enabled, own.next.as_ref().map(|next| &*next.at)));
    let has_pages = list.next_cursor.is_some() || !which.cursor.is_empty();
    let agents = agents.map(|list| list.agents).unwrap_or_default();
    let names: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
    let may_manage = me.may("manage_schedules");
    let body = html! {
        header .page-head {
            h1 { "Schedules" }
            @if may_manage { a .button.is-main href="/schedules/new" { (icon("plus")) "New schedule" } }
        }
        (list_or_week(false, &which.agent))
        (filters(which, &names))
        div #schedule-list data-follows {
            @if list.schedules.is_empty() { (empty(which, may_manage)) } @else { (table(&list.schedules)) }
            (order_note(has_pages))
            nav .pager aria-label="Pages" {
                @if !which.cursor.is_empty() { a .button href={ "/schedules?" (which.query("")) } rel="first" { "First page" } }
                @if let Some(next) = &list.next_cursor {
                    a .button href={ "/schedules?" (which.query(next)) } rel="next" { "Next page " (icon("down")) }
                }
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Schedules, "Schedules", &body))
}

/// The two ways to look at schedules.
fn list_or_week(is_week: bool, agent: &str) -> Markup {
    let of = if agent.is_empty() { String::new() } else { format!("?agent={}", quoted(agent)) };
    html! {
        nav .part-tabs aria-label="How schedules are shown" {
            a href={ "/schedules" (of) } aria-current=[(!is_week).then_some("true")] { "List" }
            a href={ "/schedules/week" (of) } aria-current=[is_week.then_some("true")] { "Week" }
            @if is_week && !agent.is_empty() { span .quiet.only-agent { "Of " (agent) " alone" } }
        }
    }
}

fn filters(which: &Shown, agents: &[&str]) -> Markup {
    html! {
        form #filters .filters method="get" action="/schedules" role="search" aria-label="Filter schedules" {
            label { span .sr { "Agent" }
                select name="agent" .is-chosen[!which.agent.is_empty()] {
                    option value="" { "Agent: any" }
                    @for name in agents { option value=(name) selected[which.agent == *name] { (name) } }
                    @if !which.agent.is_empty() && !agents.contains(&which.agent.as_str()) {
                        option value=(which.agent) selected { (which.agent) }
                    }
                }
            }
            label { span .sr { "Enabled" }
                select name="enabled" .is-chosen[!which.enabled.is_empty()] {
                    @for (value, label) in [("", "Enabled or not"), ("true", "Enabled"), ("false", "Disabled")] {
                        option value=(value) selected[which.enabled == value] { (label) }
                    }
                }
            }
            button .button { "Apply" }
            @if which.is_narrowed() { a .button.is-plain href="/schedules" { "Clear" } }
        }
    }
}

fn table(schedules: &[Schedule]) -> Markup {
    html! {
        div .table-wrap {
            table .schedules {
                caption .sr { "Schedules" }
                thead { tr {
                    th scope="col" { "State" }
                    th scope="col" { "Name" }
                    th scope="col" { "Agent" }
                    th scope="col" { "When" }
                    th scope="col" { "Next run" }
                    th scope="col" { "Last decision" }
                } }
                tbody #rows { @for schedule in schedules { (row(schedule)) } }
            }
        }
    }
}

fn row(schedule: &Schedule) -> Markup {
    html! {
        tr id={ "s-" (schedule.schedule_id) } {
            td .cell-status { (enabled(schedule.enabled)) }
            td .cell-task { a href=(schedule.address()) { (visible(&schedule.name)) } }
            td .cell-agent { (schedule.agent_name) }
            td .cell-when {
                (schedule.description)
                small { code { (schedule.cron) } }
            }
            td .cell-next {
                @match &schedule.next { Some(next) => (time(&next.at)), None => span .quiet { "–" } }
            }
            td .cell-last {
                @match &schedule.last {
                    Some(last) => {
                        (decisions::decision(last)) " " span .quiet { (time(&last.tick)) }
                        small { (decisions::reason(&last.reason)) }
                    },
                    None => span .quiet { "none yet" },
                }
            }
        }
    }
}

/// Whether a schedule runs by the clock, as a mark and a word.
fn enabled(enabled: bool) -> Markup {
    let (class, word) =
        if enabled { ("is-completed", "enabled") } else { ("is-cancelled", "disabled") };
    html! { span class={ "status " (class) } { span .mark {} (word) } }
}

fn empty(which: &Shown, may_manage: bool) -> Markup {
    html! {
        section .empty {
            @if which.is_narrowed() {
                h2 { "Nothing matches" }
                p { a .button href="/schedules" { "Clear the filters" } }
            } @else {
                h2 { "Nothing is scheduled yet" }
                p { "A schedule gives an agent a task by the clock: every morning, each Monday, every 15 minutes." }
                p .quiet { "Any execution that has ended can be made repeatable from its page." }
                @if may_manage { p { a .button.is-main href="/schedules/new" { (icon("plus")) "New schedule" } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_is_first_and_what_is_disabled_is_last() {
        let soon = Some("2026-11-22T09:00:00+01:00");
        let later = Some("2026-11-22T08:30:00.000000Z");
        let mut all =
            [("off", false, soon), ("never", true, None), ("b", true, later), ("a", true, soon)];
        all.sort_by_key(|(_, enabled, next)| turn(*enabled, *next));
        assert_eq!(all.map(|(name, ..)| name), ["a", "b", "never", "off"]);
    }
}
