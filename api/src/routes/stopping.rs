//! Stopping an execution.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::ExecutionId;
use execution_ledger_process::tasks::Stopped;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{May, Operate};
use crate::extract::{ExecutionPath, NoBody, Params};
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, cause};

/// What a request to stop an execution led to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Terminated {
    /// `cancelling`: it runs and is being stopped; `cancelled`: it waited and never starts;
    /// `already_finished`: it had ended before.
    status: &'static str,
    /// Which execution.
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    /// Position of the execution's last event.
    position: String,
}

/// Stops an execution, or lets it never start.
#[utoipa::path(
    post, path = "/api/agents/{name}/executions/{id}/terminate", operation_id = "terminate_execution", tag = "executions",
    params(
        ("name" = String, Path, description = "The agent"),
        ("id" = String, Path, description = "The execution"),
    ),
    responses(
        (status = 202, description = "What it led to", body = Terminated),
        (status = 404, description = "No such execution", body = ProblemSchema),
    ),
)]
pub(super) async fn terminate(
    may: May<Operate>,
    State(app): State<App>,
    path: ExecutionPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    app.execution_now(&may.caller.scope, &path.agent, path.id).await?;
    let request = cause(&may.request);
    let (stopped, position) = app.tasks().stop(&may.caller, path.id, &request).await?;
    let body = Terminated {
        status: match stopped {
            Stopped::Cancelling => "cancelling",
            Stopped::Cancelled => "cancelled",
            Stopped::AlreadyFinished => "already_finished",
        },
        execution_id: path.id,
        position: app.position_text(position),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
}
