//! Chats: sessions with an agent, what is said in them, and what goes on in their background.

mod actions;
mod answers;
mod chat;
mod entries;
mod list;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::answers::Execution;
use crate::interface::{Interface, Problem};
use crate::words::icon;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    // What an address names goes on to the interface with the request: `id` would name an execution there.
    Router::new()
        .route("/sessions", get(list::page).post(actions::open))
        .route("/sessions/{chat}", get(chat::page))
        .route("/sessions/{chat}/messages", get(actions::back).post(actions::say))
        .route("/sessions/{chat}/stop", post(actions::stop))
        .route("/sessions/{chat}/close", post(actions::close))
}

/// The way from an execution into a chat: into the one it belongs to, or a new one that goes on from it.
pub(crate) fn way_to_chat(record: &Execution) -> Markup {
    html! {
        @if let Some(session) = &record.chat_session_id {
            a .button href={ "/sessions/" (session) } { (icon("chat")) "Open the chat" }
        } @else if !record.is_open() && record.agent_session_id.is_some() {
            form method="post" action="/sessions" {
                input type="hidden" name="agent" value=(record.agent_name);
                input type="hidden" name="execution" value=(record.execution_id);
                button .button title="Opens a chat in which the agent remembers this run" {
                    (icon("chat")) "Continue as chat"
                }
            }
        }
    }
}

/// What was typed and could not be taken, and why.
#[derive(Default)]
struct Draft {
    /// The agent that was chosen.
    agent: Option<String>,
    /// What was typed.
    message: String,
    /// Why it could not be taken.
    problem: Option<Problem>,
}

impl Draft {
    /// Why what was typed could not be taken.
    fn trouble(&self) -> Markup {
        html! {
            @if let Some(problem) = &self.problem {
                section .card.is-bad.trouble role="alert" {
                    b { (problem.title) ": " } (problem.detail)
                    @if let Some(hint) = &problem.hint { " " (hint) }
                    " " code .quiet { (problem.code) }
                }
            }
        }
    }
}
