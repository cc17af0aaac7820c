//! The activity panel: who does what now, and what was done last.

mod answers;
mod row;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use crate::answers::AgentList;
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::icon;
use answers::ActivityList;

/// The types of activities, with what people call them.
const TYPES: [(&str, &str); 7] = [
    ("task", "Task"),
    ("self_task", "Self-task"),
    ("chat", "Chat"),
    ("schedule", "Schedule"),
    ("paid", "Paid"),
    ("agent_collaboration", "Collaboration"),
    ("cancellation", "Cancellation"),
];
/// The states of activities, with what people call them.
const STATES: [(&str, &str); 4] = [
    ("started", "Started"),
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
];
/// What of the page's address narrows the list.
const NARROWING: [&str; 3] = ["agent", "type", "state"];

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new().route("/activity", get(page))
}

/// The activities, filtered as the page's address says.
async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    shown(list(&interface, &visitor, Chosen::of(pairs)).await)
}

/// The panel at the side of every page: scripts open it and fill it with the page's list.
pub(crate) fn drawer() -> Markup {
    html! {
        dialog #activity-drawer .drawer aria-labelledby="drawer-title" {
            div .drawer-head {
                h2 #drawer-title { "Activity" }
                a .button.is-plain href="/activity" { "All" }
                form method="dialog" { button .icon-button title="Close (Esc)" { span aria-hidden="true" { "✕" } span .sr { "Close" } } }
            }
            div #drawer-body {}
        }
    }
}

async fn list(interface: &Interface, visitor: &Visitor, chosen: Chosen) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let asked = format!("/api/activities?{}", chosen.query());
    let (found, agents) = futures::join!(
        interface.get::<ActivityList>(visitor, &asked),
        interface.get::<AgentList>(visitor, "/api/agents"),
    );
    let found = found.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let agents = agents.map(|list| list.agents).unwrap_or_default();
    let agents = agents.iter().map(|agent| (agent.name.as_str(), agent.name.as_str()));
    let body = html! {
        header .page-head {
            div {
                h1 { "Activity" }
                p .quiet { "What agents do now, and what they did last." }
            }
            a .button href="/timeline" { (icon("timeline")) "Timeline" }
        }
        form #filters .filters method="get" action="/activity" role="search" aria-label="Filter activities" {
            (chosen.choice("agent", "Agent", agents))
            (chosen.choice("type", "Type", TYPES))
            (chosen.choice("state", "State", STATES))
            button .button { "Apply" }
            @if chosen.is_narrowed() { a .button.is-plain href="/activity" { "Clear" } }
        }
        (activities(&found, &chosen, me.may("operate")))
    };
    Ok(layout::page(Some(&me), Place::Activity, "Activity", &body))
}

fn activities(found: &ActivityList, chosen: &Chosen, may_operate: bool) -> Markup {
    if found.activities.is_empty() {
        return empty(chosen, may_operate);
    }
    html! {
        div #news .news hidden data-of="activity activities" { button .button type="button" {} }
        ol #rows .activities aria-label="Activities, the newest first" {
            @for activity in &found.activities { (row::row(activity)) }
        }
        nav .pager aria-label="Pages" {
            @if chosen.value("cursor").is_some() {
                a .button href=(chosen.address(None)) rel="first" { "Newest" }
            }
            @if let Some(cursor) = &found.next_cursor {
                a .button href=(chosen.address(Some(cursor))) rel="next" { "Older " (icon("down")) }
            }
        }
    }
}

fn empty(chosen: &Chosen, may_operate: bool) -> Markup {
    html! {
        section .empty {
            @if chosen.is_narrowed() || chosen.value("cursor").is_some() {
                h2 { "Nothing matches" }
                p { "No activity fits all of these filters." }
                p { a .button href="/activity" { "Show all activities" } }
            } @else {
                h2 { "Nothing has happened yet" }
                p { "As soon as an agent starts a task, answers in a chat or works on a schedule, it stands here, while it works and after." }
                @if may_operate { p { a .button href="/" { "Give an agent a task" } } }
            }
        }
    }
}

/// Which activities are shown. What the interface does not know is passed on too, so that it says so.
struct Chosen(Vec<(String, String)>);

impl Chosen {
    /// As an address's query says it; what is empty was not chosen.
    fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn is_narrowed(&self) -> bool {
        self.0.iter().any(|(name, _)| NARROWING.contains(&name.as_str()))
    }

    fn query(&self) -> String {
        let pairs = self.0.iter();
        let pairs = pairs.map(|(name, value)| format!("{}={}", quoted(name), quoted(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// The address of this list from a cursor on, or from its beginning.
    fn address(&self, cursor: Option<&str>) -> String {
        let mut pairs: Vec<_> =
            self.0.iter().filter(|(name, _)| name != "cursor").cloned().collect();
        pairs.extend(cursor.map(|cursor| ("cursor".to_owned(), cursor.to_owned())));
        if pairs.is_empty() {
            return "/activity".to_owned();
        }
        format!("/activity?{}", Self(pairs).query())
    }

    fn choice<'a>(
        &self,
        name: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Markup {
        let chosen = self.value(name);
        let mut is_known = false;
        html! {
            label { span .sr { (label) }
                select name=(name) .is-chosen[chosen.is_some()] {
                    option value="" { (label) ": any" }
                    @for (value, words) in values {
                        @let is_this = chosen == Some(value);
                        option value=(value) selected[is_this] { (words) }
                        @let () = is_known |= is_this;
                    }
                    @if let Some(other) = chosen.filter(|_| !is_known) {
                        option value=(other) selected { (other) }
                    }
                }
            }
        }
    }
}
