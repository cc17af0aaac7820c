//! What is done with an execution by its page: it is stopped, or run once more.

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Which, asked, at};
use crate::answers::{Accepted, Detail};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::Me;
use crate::once::Once;

/// As the interface says that a turn of a chat can't be tried again as such.
const CHAT_TURN: &str = "chat_turn";
/// Stops an execution, or cancels one that waits.
pub(super) async fn stop(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(which): Which,
) -> Response {
    let address = format!("{}/terminate", asked(&which));
    let done = interface.post::<Value>(&visitor, &address, &json!({})).await;
    let back = at(&which);
    then(&interface, &visitor, done.map(|_| back)).await
}

/// Runs it again.
pub(super) async fn retry(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(which): Which,
    Form(form): Form<Once>,
) -> Response {
    let done = once_more::<Accepted>(&interface, &visitor, &which, &form).await;
    let next = done.map(|new| {
        format!("/agents/{}/executions/{}", quoted(&which.0), quoted(&new.execution_id))
    });
    then(&interface, &visitor, next).await
}

/// Runs an execution once more: as another attempt at it, or, a turn of a chat, as a task of its own.
pub(crate) async fn once_more<T: DeserializeOwned>(
    interface: &Interface,
    visitor: &Visitor,
    which: &(String, String),
    form: &Once,
) -> Result<T, Problem> {
    let address = format!("{}/retry", asked(which));
    match interface.post_once::<T>(visitor, &address, &json!({}), &form.once).await {
        Err(problem) if &*problem.code == CHAT_TURN => again(interface, visitor, which, form).await,
        other => other,
    }
}

/// The same task as one of its own.
async fn again<T: DeserializeOwned>(
    interface: &Interface,
    visitor: &Visitor,
    which: &(String, String),
    form: &Once,
) -> Result<T, Problem> {
    let before: Detail = interface.get(visitor, &asked(which)).await?;
    let record = before.record;
    let mut task =
        json!({"message": record.message, "async_mode": true, "timeout_s": record.timeout_s});
    if let Some(model) = record.model_requested {
        task["model"] = model.into();
    }
    if let Some(most) = record.max_cost_usd {
        task["max_cost_usd"] = most.into();
    }
    let address = format!("/api/agents/{}/task", quoted(&which.0));
    interface.post_once(visitor, &address, &task, &form.once).await
}

async fn then(interface: &Interface, visitor: &Visitor, done: Result<String, Problem>) -> Response {
    match done {
        Ok(address) => Redirect::to(&address).into_response(),
        Err(problem) => {
            let me = Me::of(interface, visitor).await.ok();
            Instead::of(problem, visitor, me.as_ref()).into_response()
        }
    }
}
