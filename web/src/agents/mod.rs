//! The agents: all of them, and of each what it does, what it is to do, when, and how.

mod answers;
mod choosing;
mod history;
mod limits;
mod list;
mod overview;
mod register;
mod schedules;
mod settings;
mod steering;
mod tasks;
mod waiting;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::{Duration, SecondsFormat, Utc};
use maud::{Markup, html};

use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::words::{icon, number};
use answers::Agent;

/// How far the sums of an agent's work look back, in days.
const SUMS_DAYS: i64 = 7;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new()
        .route("/agents", get(list::page))
        .route("/register-agent", get(register::page).post(register::register))
        .route("/agents/{name}", get(overview::page))
        .route("/agents/{name}/tasks", get(tasks::page).post(tasks::submit))
        .route("/agents/{name}/tasks/{id}/again", post(tasks::again))
        .route("/agents/{name}/schedules", get(schedules::page))
        .route("/agents/{name}/settings", get(settings::page).post(settings::change))
        .route("/agents/{name}/pause", post(steering::pause))
        .route("/agents/{name}/resume", post(steering::resume))
        .route("/agents/{name}/retire", get(steering::confirm).post(steering::retire))
        .route("/agents/{name}/queue/{id}/front", post(steering::to_front))
        .route("/agents/{name}/queue/{id}/stop", post(steering::stop))
}

/// Which agent, as a page's address says.
type Named = Path<String>;

/// An agent's page: its parts stand at addresses of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    Overview,
    Tasks,
    Schedules,
    Settings,
}

impl Tab {
    const ALL: [Self; 4] = [Self::Overview, Self::Tasks, Self::Schedules, Self::Settings];

    fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Tasks => "Tasks",
            Self::Schedules => "Schedules",
            Self::Settings => "Settings",
        }
    }

    fn address(self, agent: &Agent) -> String {
        let own = agent.address();
        match self {
            Self::Overview => own,
            Self::Tasks => format!("{own}/tasks"),
            Self::Schedules => format!("{own}/schedules"),
            Self::Settings => format!("{own}/settings"),
        }
    }

    /// The right that what stands there needs.
    fn right(self) -> &'static str {
        if self == Self::Schedules { "read_schedules" } else { "read" }
    }
}

/// The agent that a page is about, and whoever looks.
async fn asked(
    interface: &Interface,
    visitor: &Visitor,
    name: &str,
) -> Result<(Me, Agent), Instead> {
    let me = Me::expected(interface, visitor).await?;
    let agent = interface.get::<Agent>(visitor, &api(name, "")).await;
    match agent {
        Ok(agent) => Ok((me, agent)),
        Err(problem) => Err(Instead::of(problem, visitor, Some(&me))),
    }
}

/// Where the interface has something of an agent's.
fn api(name: &str, rest: &str) -> String {
    format!("/api/agents/{}{rest}", quoted(name))
}

/// A page of an agent: its head, its tabs and what stands on this one.
fn whole(me: &Me, agent: &Agent, tab: Tab, body: &Markup) -> Markup {
    let page = html! {
        nav .crumbs aria-label="Where this is" {
            a href="/agents" { "Agents" } span aria-hidden="true" { "/" } span { (agent.name) }
        }
        header #agent-head .page-head data-follows {
            div {
                h1 .agent-name { (agent.name) }
                p .state {
                    (status(&agent.status)) (runtime(&agent.runtime))
                    @if agent.running > 0 { span .quiet { (number(agent.running)) " running" } }
                    @if agent.pending > 0 { span .quiet { (number(agent.pending)) " waiting" } }
                }
            }
            @if me.may("manage_queues") { (steering::buttons(agent)) }
        }
        nav .tabs aria-label={ "Parts of " (agent.name) } {
            @for one in Tab::ALL {
                @if me.may(one.right()) {
                    a href=(one.address(agent)) aria-current=[(one == tab).then_some("page")]
                        data-new-task[one == Tab::Tasks] { (one.name()) }
                }
            }
        }
        (body)
    };
    let title = format!("{} · {}", agent.name, tab.name());
    layout::page(Some(me), Place::Agents, &title, &page)
}

/// An agent's status as a mark and a word.
fn status(status: &str) -> Markup {
    html! { span class={ "status is-" (status) } { span .mark {} (status) } }
}

/// Which program an agent is, in words.
fn runtime(runtime: &str) -> Markup {
    let (name, about) = match runtime {
        "command" => ("Command", "Any program"),
        "claude_code" => ("Claude Code", "Anthropic's agent"),
        "codex" => ("Codex", "OpenAI's agent"),
        "gemini" => ("Gemini CLI", "Google's agent"),
        "opencode" => ("opencode", "An open agent"),
        "demo" => ("Simulated", "A simulated run: it needs no model and costs nothing"),
        other => (other, ""),
    };
    html! { span .chip title=(about) { (name) } }
}

/// The moment from which sums are shown, as the interface reads it.
fn sums_from() -> String {
    let from = Utc::now() - Duration::days(SUMS_DAYS);
    from.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// What is wrong with what somebody filled in, above the form that still has it.
fn refused(problem: &Problem) -> Markup {
    html! {
        div .card.is-bad.refused role="alert" {
            p { b { (problem.title) } ": " (problem.detail) }
            @if let Some(hint) = &problem.hint { p { (hint) } }
            p .quiet {
                code { (problem.code) }
                @if let Some(field) = &problem.field { " · " code { (field) } }
            }
        }
    }
}

/// A form's answer where it was refused: the same page, with the status of the refusal.
fn again(problem: &Problem, page: Markup) -> Response {
    let status = axum::http::StatusCode::from_u16(problem.status)
        .unwrap_or(axum::http::StatusCode::BAD_GATEWAY);
    (status, page).into_response()
}

/// Where somebody goes once something was done, or why it was not.
async fn then(
    interface: &Interface,
    visitor: &Visitor,
    done: Result<(), Problem>,
    address: &str,
) -> Response {
    match done {
        Ok(()) => Redirect::to(address).into_response(),
        Err(problem) => {
            let me = Me::of(interface, visitor).await.ok();
            Instead::of(problem, visitor, me.as_ref()).into_response()
        }
    }
}

/// A button that asks for one thing to be done.
fn button(action: &str, picture: &str, words: &str, class: &str, about: &str) -> Markup {
    html! {
        form method="post" action=(action) {
            button class={ "button " (class) } title=[(!about.is_empty()).then_some(about)] {
                (icon(picture)) (words)
            }
        }
    }
}
