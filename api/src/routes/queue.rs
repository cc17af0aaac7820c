//! Moving an execution to the front of its queue, and trying one again.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use execution_ledger_domain::ExecutionId;
use serde::Serialize;
use utoipa::ToSchema;

use super::answers::{Accepted, answered};
use super::tasks::idempotency_key;
use crate::auth::{ManageQueues, May, Operate};
use crate::extract::{ExecutionPath, NoBody, Params};
use crate::position::with_position;
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, cause};

/// Where an execution stands now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Moved {
    /// Which execution.
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    /// Its place in its agent's queue, from 1; 0 while it is being started, and null once it has been.
    place: Option<u32>,
    /// What keeps it; null once it was started.
    reason: Option<&'static str>,
    /// Where it was recorded; of its last event where it stood first already.
    position: String,
}

/// Moves a waiting execution to the front of its agent's queue: before all that were moved before it.
///
/// An attempt that waits for its time stands first once that has come.
#[utoipa::path(
    post, path = "/api/agents/{name}/executions/{id}/move_to_front", operation_id = "move_execution_to_front",
    tag = "executions",
    params(
        ("name" = String, Path, description = "The agent"),
        ("id" = String, Path, description = "The execution"),
    ),
    responses(
        (status = 200, description = "Where it stands now", body = Moved),
        (status = 404, description = "No such execution", body = ProblemSchema),
        (status = 409, description = "It does not wait, or was moved as often as may be", body = ProblemSchema),
    ),
)]
pub(super) async fn move_to_front(
    may: May<ManageQueues>,
    State(app): State<App>,
    path: ExecutionPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    app.execution_now(&may.caller.scope, &path.agent, path.id).await?;
    let request = cause(&may.request);
    let position = app.tasks().move_to_front(&may.caller, path.id, &request).await?;
    app.desk_follows(position).await;
    let waiting = app.tasks().why_waiting(path.id);
    let body = Moved {
        execution_id: path.id,
        place: waiting.as_ref().map(|waiting| waiting.place),
        reason: waiting.map(|waiting| waiting.blocker.as_str()),
        position: app.position_text(position),
    };
    Ok(with_position(&app, position, axum::Json(body)))
}

/// Tries an execution again that has ended, however it ended.
///
/// The same task with the same settings, narrowed by what its agent allows today, for the same user,
/// as a new execution with `retry_of` and the next `attempt`. A turn of a chat session is posted again
/// instead.
#[utoipa::path(
    post, path = "/api/agents/{name}/executions/{id}/retry", operation_id = "retry_execution", tag = "tasks",
    params(
        ("name" = String, Path, description = "The agent"),
        ("id" = String, Path, description = "The execution"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters: the same key by the same caller gives the same execution"),
    ),
    responses(
        (status = 202, description = "Accepted", body = Accepted),
        (status = 404, description = "No such execution", body = ProblemSchema),
        (status = 409, description = "It has not ended, it was a chat turn, or its agent was retired", body = ProblemSchema),
        (status = 410, description = "Its message was erased", body = ProblemSchema),
        (status = 422, description = "Its agent does not allow its settings any more", body = ProblemSchema),
        (status = 429, description = "The queue is full", body = ProblemSchema),
    ),
)]
pub(super) async fn retry(
    may: May<Operate>,
    State(app): State<App>,
    path: ExecutionPath,
    Params(()): Params<()>,
    headers: HeaderMap,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    app.execution_now(&may.caller.scope, &path.agent, path.id).await?;
    let request = cause(&may.request);
    let submitted = app.tasks().retry(&may.caller, path.id, key.as_deref(), &request).await?;
    answered(&app, &may, &path.agent, &submitted, None).await
}
