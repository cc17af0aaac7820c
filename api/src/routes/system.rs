//! What machines ask: alive? ready? how is it going? And the interface's own description.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use execution_ledger_domain::{NodeId, Right};
use execution_ledger_process::nodes::{Outlook, Station};
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
    /// Of `/readyz` of a node among others: how it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeStanding>,
}

/// A node among others, as far as it knows itself.
#[derive(Serialize, ToSchema)]
struct NodeStanding {
    /// Its id.
    #[schema(value_type = String)]
    node_id: NodeId,
    /// For how long it may hold what it holds, unless it is heard of again.
    term_left_ms: u64,
    /// Which node does what is done once, this one or another that lives; null while none does:
    /// reads are answered then, and changes are 503 `no_leader`.
    #[schema(value_type = Option<String>)]
    leader: Option<NodeId>,
    /// How long ago it began to look which nodes live, the last time that it was told; null before
    /// the first time.
    looked_ms_ago: Option<u64>,
}

impl NodeStanding {
    /// Nothing where its term is over.
    fn of(app: &App, station: &Station) -> Option<Self> {
        let outlook = station.outlook();
        Some(Self {
            node_id: station.me(),
            term_left_ms: in_ms(outlook.term_left?),
            leader: at_work(app, station, &outlook),
            looked_ms_ago: outlook.looked_ago.map(in_ms),
        })
    }
}

/// Whoever does what is done once: who leads here does not before all parts are at work.
fn at_work(app: &App, station: &Station, outlook: &Outlook) -> Option<NodeId> {
    outlook.leader.filter(|leader| *leader != station.me() || app.is_on_duty())
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the process answers. Needs no key.
#[utoipa::path(
    get, path = "/healthz", operation_id = "get_health", tag = "system", security(()),
    responses((status = 200, description = "It does", body = Alive)),
)]
pub(super) async fn alive() -> axum::Json<Alive> {
    axum::Json(Alive { status: "ok", notary: None, node: None })
}

/// Whether the read models have caught up with the log, and of a node among others whether it was heard
/// of within its lease. Needs no key.
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readiness", tag = "system", security(()),
    responses(
        (status = 200, description = "They have, and it was", body = Alive),
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
    let node = app.station().map(|station| NodeStanding::of(&app, station));
    if let Some(None) = node {
        let reason = "this node was not heard of within its lease: others may have what it held";
        return Err(Problem::new(Code::NotReady, reason).retry_after(READY_RETRY_S));
    }
    let reason = match app.views().health() {
        Health::Live => {
            let notary = app.notary().map(|notary| notary.state().as_str());
            return Ok(axum::Json(Alive { status: "ready", notary, node: node.flatten() }));
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
    app.station().inspect(|station| measure(&app, station));
    let mut response = handle.render().into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// How this node stands among the others, in numbers.
fn measure(app: &App, station: &Station) {
    let outlook = station.outlook();
    let leader = at_work(app, station, &outlook);
    let truth = |is: bool| f64::from(u8::from(is));
    metrics::gauge!("ledger_node_term_holds").set(truth(outlook.term_left.is_some()));
    metrics::gauge!("ledger_node_leader_known").set(truth(leader.is_some()));
    metrics::gauge!("ledger_node_leads").set(truth(leader == Some(station.me())));
    let leases = u32::try_from(outlook.leases).unwrap_or(u32::MAX);
    metrics::gauge!("ledger_node_leases").set(leases);
    if let Some(ago) = outlook.looked_ago {
        metrics::gauge!("ledger_node_look_age_seconds").set(ago.as_secs_f64());
    }
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
