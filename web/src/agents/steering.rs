//! What is done with an agent and its queue: pausing, resuming, retiring; who is next, who is stopped.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::answers::Agent;
use super::{Named, api, asked, button, then};
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Place};
use crate::shown;
use crate::words::number;

/// What operators can do with the agent.
pub(super) fn buttons(agent: &Agent) -> Markup {
    let own = agent.address();
    html! {
        div #agent-actions .actions {
            @match agent.status.as_str() {
                "active" => (button(&format!("{own}/pause"), "pause", "Pause", "", "Tasks are taken and wait")),
                "paused" => (button(&format!("{own}/resume"), "play", "Resume", "is-main", "What waits is started")),
                _ => {},
            }
            @if agent.takes_tasks() {
                a .button.is-danger href={ (own) "/retire" } { "Retire…" }
            }
        }
    }
}

/// Lets the agent start nothing new.
pub(super) async fn pause(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
) -> Response {
    let done = interface.post::<Value>(&visitor, &api(&name, "/pause"), &json!({})).await;
    then(&interface, &visitor, done.map(drop), &page_of(&name)).await
}

/// Lets it start again what waits.
pub(super) async fn resume(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
) -> Response {
    let done = interface.post::<Value>(&visitor, &api(&name, "/resume"), &json!({})).await;
    then(&interface, &visitor, done.map(drop), &page_of(&name)).await
}

/// Asks whether the agent is really to be retired, and says what that means.
pub(super) async fn confirm(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
) -> Response {
    let page = async {
        let (me, agent) = asked(&interface, &visitor, &name).await?;
        let body = html! {
            nav .crumbs aria-label="Where this is" {
                a href="/agents" { "Agents" } span aria-hidden="true" { "/" }
                a href=(agent.address()) { (agent.name) }
            }
            section .notice {
                h1 { "Retire " (agent.name) "?" }
                @if agent.takes_tasks() {
                    p { "It takes no more tasks." }
                    @if agent.pending > 0 {
                        p { b { (number(agent.pending)) " waiting" } " will be cancelled." }
                    } @else { p { "Nothing waits that would be cancelled." } }
                    @if agent.running > 0 {
                        p { b { (number(agent.running)) " running" } " may end; stop them yourself if they are not to." }
                    }
                    p .quiet { "Its executions stay on record. Its name can be registered again." }
                    div .actions {
                        @if me.may("manage_queues") {
                            form method="post" action={ (agent.address()) "/retire" } {
                                button .button.is-danger { "Retire " (agent.name) }
                            }
                        }
                        a .button href=(agent.address()) { "Keep it" }
                    }
                } @else {
                    p { "It was retired already." }
                    p { a .button href=(agent.address()) { "To the agent" } }
                }
            }
        };
        Ok(layout::page(Some(&me), Place::Agents, &format!("Retire {}", agent.name), &body))
    };
    shown(page.await)
}

/// Lets the agent take no more tasks.
pub(super) async fn retire(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
) -> Response {
    let done = interface.delete::<Value>(&visitor, &api(&name, "")).await;
    then(&interface, &visitor, done.map(drop), &page_of(&name)).await
}

/// Makes an execution the next of its queue.
pub(super) async fn to_front(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path((name, id)): Path<(String, String)>,
) -> Response {
    let address = api(&name, &format!("/executions/{}/move_to_front", quoted(&id)));
    let done = interface.post::<Value>(&visitor, &address, &json!({})).await;
    let done = match done {
        // What was started in the meantime needs no better place any more: the page shows it running.
        Err(problem) if &*problem.code == "not_pending" => Ok(()),
        other => other.map(drop),
    };
    then(&interface, &visitor, done, &page_of(&name)).await
}

/// Stops an execution, or cancels one that waits, and stays with the agent.
pub(super) async fn stop(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path((name, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let address = api(&name, &format!("/executions/{}/terminate", quoted(&id)));
    let done = interface.post::<Value>(&visitor, &address, &json!({})).await;
    let to_tasks = query.as_deref() == Some("to=tasks");
    let back = if to_tasks { format!("{}/tasks", page_of(&name)) } else { page_of(&name) };
    then(&interface, &visitor, done.map(drop), &back).await
}

fn page_of(name: &str) -> String {
    format!("/agents/{}", quoted(name))
}
