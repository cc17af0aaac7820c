//! What people do in chats: open, say, have worked on in the background, stop, close.

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Opened, Said};
use super::{Draft, chat, list};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::Me;

/// What opens a chat.
#[derive(Deserialize)]
pub(super) struct Opening {
    agent: String,
    /// A finished execution to go on from.
    execution: Option<String>,
    /// What is said first.
    #[serde(default)]
    message: String,
}

/// Opens a chat, says what is to be said first, and goes there.
pub(super) async fn open(
    State(interface): State<Interface>,
    visitor: Visitor,
    Form(opening): Form<Opening>,
) -> Response {
    let Opening { agent, execution, message } = opening;
    let mut body = json!({"agent_name": agent});
    if let Some(execution) = &execution {
        body["execution_id"] = execution.as_str().into();
    }
    let opened = interface.post::<Opened>(&visitor, "/api/sessions", &body).await;
    let id = match opened {
        Ok(opened) => opened.session_id,
        Err(problem) if execution.is_some() || problem.status == 401 => {
            let me = Me::of(&interface, &visitor).await.ok();
            return Instead::of(problem, &visitor, me.as_ref()).into_response();
        }
        Err(problem) => {
            let draft = Draft { agent: Some(agent), message, problem: Some(problem) };
            return list::again(&interface, &visitor, &draft).await;
        }
    };
    if message.trim().is_empty() {
        return Redirect::to(&format!("/sessions/{}", quoted(&id))).into_response();
    }
    post(&interface, &visitor, &id, message, None, "").await
}

/// What is said.
#[derive(Deserialize)]
pub(super) struct Saying {
    message: String,
    agent: String,
    #[serde(default)]
    how: String,
    #[serde(default)]
    once: String,
}

/// Says something, as the next turn or to be worked on in the background.
pub(super) async fn say(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(saying): Form<Saying>,
) -> Response {
    let Saying { message, agent, how, once } = saying;
    let background = (how == "background").then_some(agent);
    post(&interface, &visitor, &id, message, background.as_deref(), &once).await
}

/// Whoever reloads the page of a message that was refused comes to the chat.
pub(super) async fn back(Path(id): Path<String>) -> Redirect {
    Redirect::to(&format!("/sessions/{}", quoted(&id)))
}

async fn post(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    typed: String,
    background: Option<&str>,
    once: &str,
) -> Response {
    // Browsers send line ends as CR LF; a message has no control characters but tab and newline.
    let message = typed.replace("\r\n", "\n");
    let (address, body) = match background {
        None => (
            format!("/api/sessions/{}/messages", quoted(id)),
            json!({"message": message, "async_mode": true}),
        ),
        Some(agent) => (
            format!("/api/agents/{}/task", quoted(agent)),
            json!({
                "message": message, "async_mode": true,
                "inject_result": true, "chat_session_id": id,
            }),
        ),
    };
    match interface.post_once::<Said>(visitor, &address, &body, once).await {
        Ok(said) => {
            seen(interface, visitor, id, &said.position).await;
            Redirect::to(&format!("/sessions/{}", quoted(id))).into_response()
        }
        Err(problem) => {
            let draft = Draft { message: typed, problem: Some(problem), agent: None };
            chat::again(interface, visitor, id, draft).await
        }
    }
}

/// Waits until the page that comes next shows what was done. Where that takes too long it comes all the
/// same, and follows.
async fn seen(interface: &Interface, visitor: &Visitor, id: &str, position: &str) {
    let address = format!("/api/sessions/{}?limit=1&wait_for={}", quoted(id), quoted(position));
    if let Err(problem) = interface.get::<Value>(visitor, &address).await {
        tracing::debug!(code = problem.code, "a chat is shown before it shows what was done");
    }
}

/// Which execution is to be stopped.
#[derive(Deserialize)]
pub(super) struct Stopping {
    agent: String,
    execution: String,
}

/// Stops a turn or a background task, or cancels one that waits.
pub(super) async fn stop(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(which): Form<Stopping>,
) -> Response {
    let (agent, execution) = (quoted(&which.agent), quoted(&which.execution));
    let address = format!("/api/agents/{agent}/executions/{execution}/terminate");
    let done = interface.post::<Value>(&visitor, &address, &json!({})).await;
    shown_again(&interface, &visitor, &id, done).await
}

/// Closes the chat.
pub(super) async fn close(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let address = format!("/api/sessions/{}", quoted(&id));
    let done = interface.delete::<Value>(&visitor, &address).await;
    shown_again(&interface, &visitor, &id, done).await
}

async fn shown_again(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    done: Result<Value, Problem>,
) -> Response {
    match done {
        Ok(_) => Redirect::to(&format!("/sessions/{}", quoted(id))).into_response(),
        Err(problem) => chat::refused(interface, visitor, id, problem).await,
    }
}
