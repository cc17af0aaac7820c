//! Messages to webhooks: what has become of them, redriving them, trying one.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::webhook::{Kind, Message};
use execution_ledger_domain::{EventId, WebhookId};
use execution_ledger_process::webhooks::{Fault, Tried};
use execution_ledger_projections::{DeliveryQuery, DeliveryState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filters::{PageParams, limit};
use super::webhook_answer::DeliveryAnswer;
use crate::auth::{ManageWebhooks, May, ReadWebhooks};
use crate::extract::{FromQuery, Json, NoBody, Params, Query, WebhookPath};
use crate::faults::webhook_refused;
use crate::position::{Moment, MomentParams, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause, no_webhook};

/// A page of messages.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryList {
    deliveries: Vec<DeliveryAnswer>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// Which messages are to be tried again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RedriveBody {
    /// The event that the message tells of; left out with `kind`: all that were given up.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Uuid)]
    event_id: Option<EventId>,
    /// The kind of the message.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "run_cost")]
    kind: Option<Kind>,
}

/// What is tried again.
#[derive(Serialize, ToSchema)]
pub(super) struct RedrivenAnswer {
    #[schema(value_type = String, format = Uuid)]
    webhook_id: WebhookId,
    /// How many messages are tried again.
    redriven: usize,
    /// Position of the last event.
    position: String,
}

/// What came of a test message.
#[derive(Serialize, ToSchema)]
pub(super) struct TestedAnswer {
    #[schema(value_type = String, format = Uuid)]
    webhook_id: WebhookId,
    /// The id under which it was sent.
    message_id: String,
    /// Whether it was taken: any status of 200 to 299.
    taken: bool,
    /// The status that came; null where none did. The answer's body is not shown.
    status: Option<u16>,
    /// What was wrong; null where it was taken.
    reason: Option<&'static str>,
    duration_ms: u64,
}

impl FromQuery for DeliveryQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        let states = DeliveryState::ALL.map(|state| (state.as_str(), state));
        Ok(Self {
            state: query.one_of("state", &states)?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
        })
    }
}

/// What a webhook is owed and what has become of it, the latest events first.
#[utoipa::path(
    get, path = "/api/webhooks/{id}/deliveries", operation_id = "list_webhook_deliveries",
    tag = "webhooks",
    params(
        ("id" = String, Path, description = "The webhook"),
        ("state" = Option<String>, Query, description = "pending, delivered or dead"),
        PageParams, MomentParams,
    ),
    responses(
        (status = 200, description = "A page", body = DeliveryList),
        (status = 404, description = "No such webhook", body = ProblemSchema),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list(
    _may: May<ReadWebhooks>,
    State(app): State<App>,
    WebhookPath(id): WebhookPath,
    Params((query, moment)): Params<(DeliveryQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().webhook_deliveries(at, id, &query).await?;
    let page = seen.value.ok_or_else(no_webhook)?;
    let deliveries = page.items.into_iter().map(|row| DeliveryAnswer::of(&app, row)).collect();
    let list = DeliveryList { deliveries, next_cursor: page.next_cursor };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// Has messages that were given up tried again: one, or all of them.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/redrive", operation_id = "redrive_webhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    request_body = RedriveBody,
    responses(
        (status = 200, description = "What is tried again", body = RedrivenAnswer),
        (status = 404, description = "No such webhook", body = ProblemSchema),
        (status = 409, description = "That message was not given up", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn redrive(
    may: May<ManageWebhooks>,
    State(app): State<App>,
    WebhookPath(id): WebhookPath,
    Params(()): Params<()>,
    Json(body): Json<RedriveBody>,
) -> Result<Response, Problem> {
    let missing = |field| {
        let detail = "a message is named by its event and its kind";
        Problem::new(Code::MissingField, detail).field(field)
    };
    let which = match (body.event_id, body.kind) {
        (None, None) => None,
        (Some(event_id), Some(kind)) => Some(Message { event_id, kind }),
        (None, Some(_)) => return Err(missing("event_id")),
        (Some(_), None) => return Err(missing("kind")),
    };
    let done = app.webhooks().redrive(&may.caller, id, which, &cause(&may.request)).await;
    let (redriven, position) = done.map_err(webhook_refused)?;
    let answer = RedrivenAnswer { webhook_id: id, redriven, position: app.position_text(position) };
    Ok(with_position(&app, position, axum::Json(answer)))
}

/// Sends a webhook a test message, now and once, and answers what came of it. Nothing is recorded.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/test", operation_id = "test_webhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    responses(
        (status = 200, description = "What came of it", body = TestedAnswer),
        (status = 404, description = "No such webhook", body = ProblemSchema),
        (status = 503, description = "Too many test messages are under way", body = ProblemSchema),
    ),
)]
pub(super) async fn test(
    _may: May<ManageWebhooks>,
    State(app): State<App>,
    WebhookPath(id): WebhookPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<axum::Json<TestedAnswer>, Problem> {
    let tested = app.webhooks().test(id).await.map_err(webhook_refused)?;
    let (taken, status, reason) = match tested.tried {
        Tried::Taken(status) => (true, Some(status), None),
        Tried::Gone => (false, Some(410), Some(Fault::Gone)),
        Tried::Failed { status, reason } => (false, status, Some(reason)),
    };
    Ok(axum::Json(TestedAnswer {
        webhook_id: id,
        message_id: tested.message_id,
        taken,
        status,
        reason: reason.map(Fault::as_str),
        duration_ms: tested.duration_ms,
    }))
}
