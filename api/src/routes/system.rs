//! What machines ask: alive? ready? how is it going? And the interface's own description.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use execution_ledger_domain::Right;
use execution_ledger_projections::Health;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Recognised, recognise_head};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::App;

/// When it is worth asking again whether the ledger is ready, in seconds.
const READY_RETRY_S: u64 = 1;

/// That the ledger answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    /// `ok` or `ready`.
    status: &'static str,
    /// Of `/readyz`: what the notary does: `catching_up`, `live`, `waiting`, or `alarm` where the log is
    /// not what it once signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    notary: Option<&'static str>,
}

/// Whether the process answers. Needs no key.
#[utoipa::path(
    get, path = "/healthz", operation_id = "get_health", tag = "system", security(()),
    responses((status = 200, description = "It does", body = Alive)),
)]
pub(super) async fn alive() -> axum::Json<Alive> {
    axum::Json(Alive { status: "ok", notary: None })
}

/// Whether the read models have caught up with the log. Needs no key.
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readiness", tag = "system", security(()),
    responses(
        (status = 200, description = "They have", body = Alive),
        (status = 503, description = "Not yet, or not any more", body = ProblemSchema),
    ),
)]
pub(super) async fn ready(State(app): State<App>) -> Result<axum::Json<Alive>, Problem> {
    if app.gate().stopping().is_cancelled() {
        return Err(Problem::new(Code::ShuttingDown, "the server is being stopped"));
    }
    if let Some(trouble) = app.store().unreachable() {
        let reason =
            format!("the event log can't be reached since {}: {}", trouble.since, trouble.problem);
        return Err(Problem::new(Code::NotReady, reason).retry_after(READY_RETRY_S));
    }
    let reason = match app.views().health() {
        Health::Live => {
            let notary = app.notary().map(|notary| notary.state().as_str());
            return Ok(axum::Json(Alive { status: "ready", notary }));
        }
        Health::Rebuilding(progress) => {
            format!("the read models are being rebuilt: {} of {}", progress.done, progress.head)
        }
        Health::CatchingUp { .. } => "the read models are catching up with the log".to_owned(),
        Health::Waiting(_) => "the read models wait and try again".to_owned(),
        Health::Stopped(_) => {
            "the read models stopped at an event; see the ledger's log".to_owned()
        }
        Health::Failed(_) => "the read models failed; see the ledger's log".to_owned(),
        Health::Closed => "the read models are closed".to_owned(),
    };
    Err(Problem::new(Code::NotReady, reason).retry_after(READY_RETRY_S))
}

/// Metrics in the text format of Prometheus, of the whole ledger: for keys that may read its log.
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "system",
    responses(
        (status = 200, description = "The metrics", content((String = "text/plain"))),
        (status = 401, description = "No valid key", body = ProblemSchema),
        (status = 403, description = "The key does not allow it", body = ProblemSchema),
    ),
)]
pub(super) async fn metrics(
    State(app): State<App>,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    if !app.gate().options.metrics_without_key {
        recognise_head(&parts, &app, Right::ReadLog).await?;
    }
    let Some(handle) = app.metrics() else {
        return Err(Problem::new(Code::NotFound, "metrics are switched off"));
    };
    let (running, waiting) = app.tasks().totals();
    metrics::gauge!("ledger_executions_running").set(running);
    metrics::gauge!("ledger_executions_waiting").set(waiting);
    let mut response = handle.render().into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// The interface's description, as JSON that was written once.
#[derive(Clone)]
pub(super) struct Description(pub Bytes);

pub(super) fn description(Description(json): Description) -> Response {
    let mut response = json.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// There is nothing at that path. Strangers are not told even that.
pub(super) async fn nothing_there(Recognised(_): Recognised) -> Problem {
    Problem::new(Code::NotFound, "see /docs for what there is")
}

/// The path does not know the method; the router adds which ones it knows.
pub(super) async fn wrong_method(
    Recognised(_): Recognised,
    method: Method,
    _: HeaderMap,
) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("this path does not know {method}"))
}
