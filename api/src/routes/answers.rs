//! What whoever gave a task is answered, and whoever made something new.

use axum::http::header::LOCATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::execution::{Execution, Outcome};
use execution_ledger_domain::{AgentName, ExecutionId, Scope};
use execution_ledger_process::tasks::{Submitted, Waited};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use crate::auth::May;
use crate::position::{WAIT_FOR_MAX, with_position};
use crate::problem::{Code, Problem};
use crate::state::App;

static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Where to look after an execution.
#[derive(Debug, Serialize, ToSchema)]
pub struct Links {
    /// The record with its events.
    #[serde(rename = "self")]
    own: String,
    /// The transcript.
    log: String,
    /// The transcript as it grows (SSE).
    stream: String,
    /// Stops it (POST).
    terminate: String,
}

impl Links {
    fn of(agent: &AgentName, id: ExecutionId) -> Self {
        let own = format!("/api/agents/{agent}/executions/{id}");
        Self {
            log: format!("{own}/log"),
            stream: format!("{own}/stream"),
            terminate: format!("{own}/terminate"),
            own,
        }
    }
}

/// An accepted task.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// Its execution.
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    /// `pending`; where an idempotency key was sent again, what has become of the execution since:
    /// pending, running, completed, failed or cancelled.
    status: &'static str,
    /// Where it was recorded: `wait_for` takes it.
    position: String,
    /// How many secrets were redacted in the message.
    redactions: u32,
    /// Where to look after it.
    links: Links,
}

/// The answer of something new, which is found at that path.
pub(super) fn created(mut response: Response, path: &str) -> Response {
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The answer to a task: its end where there was room for its caller to wait, else that it was
/// accepted.
pub(super) async fn answered<R>(
    app: &App,
    may: &May<R>,
    agent: &AgentName,
    submitted: &Submitted,
    room: Option<OwnedSemaphorePermit>,
) -> Result<Response, Problem> {
    let mut response = match room {
        Some(_) => finished(app, may, agent, submitted).await.into_response(),
        None => accepted(app, agent, submitted).await?,
    };
    if submitted.replayed {
        response.headers_mut().insert(&IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

async fn accepted(
    app: &App,
    agent: &AgentName,
    submitted: &Submitted,
) -> Result<Response, Problem> {
    let status = if submitted.replayed {
        status_now(&app.execution_now(&Scope::All, agent, submitted.execution_id).await?)
    } else {
        "pending"
    };
    let body = Accepted {
        execution_id: submitted.execution_id,
        status,
        position: app.position_text(submitted.position),
        redactions: submitted.redactions,
        links: Links::of(agent, submitted.execution_id),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
}

fn status_now(state: &Execution) -> &'static str {
    match state {
        Execution::Absent | Execution::Pending(_) => "pending",
        Execution::Running { .. } => "running",
        Execution::Ended { outcome: Outcome::Completed, .. } => "completed",
        Execution::Ended { outcome: Outcome::Failed, .. } => "failed",
        Execution::Ended { outcome: Outcome::Cancelled, .. } => "cancelled",
    }
}

async fn finished<R>(
    app: &App,
    may: &May<R>,
    agent: &AgentName,
    submitted: &Submitted,
) -> Result<Response, Problem> {
    let id = submitted.execution_id;
    let still = |code, detail: String| {
        Problem::new(code, detail)
            .member("execution_id", json!(id))
            .member("position", Value::from(app.position_text(submitted.position)))
            .member("links", json!(Links::of(agent, id)))
    };
    let most = app.gate().options.sync_wait;
    let stopping = app.gate().stopping().clone();
    let lent = app.gate().lend_place();
    let waited = tokio::select! {
        waited = app.tasks().wait_for_end(id, most) => waited?,
        () = stopping.cancelled() => {
            let detail = "the server is being stopped; the execution goes on";
            return Err(still(Code::ShuttingDown, detail.to_owned()));
        }
        over = may.until.over() => {
            let detail = format!("{}; the execution goes on", over.detail());
            return Err(still(Code::Unauthorized, detail));
        }
    };
    drop(lent);
    let ended = match waited {
        Waited::Ended(position) => position,
        Waited::StillOpen => {
            let detail = format!("it goes on after {} s of waiting", most.as_secs());
            return Err(still(Code::StillRunning, detail).hint("follow links.stream"));
        }
        Waited::TooManyWait => {
            let detail = "too many callers wait already; the execution was accepted and goes on";
            return Err(still(Code::Overloaded, detail.to_owned()));
        }
    };
    // The record is made from the log while the read models follow: who lists right after this answer
    // finds the ending there.
    let (followed, record) = tokio::join!(
        app.wait_for(ended, WAIT_FOR_MAX),
        app.views().execution_by_log(&may.caller.scope, ended, id),
    );
    followed?;
    let record = record?
        .ok_or_else(|| Problem::internal(&format!("the ended execution {id} is not in the log")))?;
    Ok(with_position(app, ended, axum::Json(record)))
}
