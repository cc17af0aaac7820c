//! The form by which a person gives an agent a task.

use axum::Router;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use crate::answers::{Accepted, Agent};
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::Me;
use crate::once;
use crate::words::icon;

/// The form: closed until somebody opens it.
pub(crate) fn form(agents: &[Agent], chosen: Option<&str>) -> Markup {
    let active = agents.iter().filter(|agent| agent.status != "retired");
    html! {
        details #new-task .new-task {
            summary .button.is-main { (icon("plus")) "New task" }
            form .card method="post" action="/tasks" {
                (once::mark())
                label { "Agent"
                    select name="agent" required {
                        @for agent in active {
                            option value=(agent.name) selected[chosen == Some(&agent.name)] {
                                (agent.name)
                                @if agent.status != "active" { " (" (agent.status) ")" }
                            }
                        }
                    }
                }
                label { "What is it to do?"
                    textarea name="message" required rows="4" maxlength="262144"
                        placeholder="Say hello" {}
                }
                div .row-end {
                    span .quiet { kbd { "Ctrl" } " " kbd { "Enter" } " submits" }
                    button .button.is-main { "Submit" }
                }
            }
        }
    }
}

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new().route("/tasks", post(submit))
}

/// What the form holds.
#[derive(Deserialize)]
struct NewTask {
    agent: String,
    message: String,
    #[serde(default)]
    once: String,
}

/// Gives the task to the agent, and goes to its execution.
async fn submit(
    State(interface): State<Interface>,
    visitor: Visitor,
    Form(task): Form<NewTask>,
) -> Response {
    let address = format!("/api/agents/{}/task", quoted(&task.agent));
    // Browsers send line ends as CR LF; a message has no control characters but tab and newline.
    let message = task.message.replace("\r\n", "\n");
    let body = json!({"message": message, "async_mode": true});
    match interface.post_once::<Accepted>(&visitor, &address, &body, &task.once).await {
        Ok(accepted) => {
            let address = format!("/agents/{}/executions/{}", task.agent, accepted.execution_id);
            Redirect::to(&address).into_response()
        }
        Err(problem) => {
            let me = Me::of(&interface, &visitor).await.ok();
            Instead::of(problem, &visitor, me.as_ref()).into_response()
        }
    }
}
