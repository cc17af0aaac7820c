//! Webhooks: registering, looking, changing.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::WebhookId;
use execution_ledger_domain::webhook::{Kind, WebhookSettings};
use execution_ledger_process::webhooks::{Change, Registered};
use execution_ledger_projections::{At, WebhookQuery};
use execution_ledger_store::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answers::created;
use super::filters::{PageParams, limit};
use super::webhook_answer::WebhookAnswer;
use crate::auth::{ManageWebhooks, May, ReadWebhooks};
use crate::extract::{FromQuery, Json, NoBody, Params, Query, WebhookPath};
use crate::faults::webhook_refused;
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause, no_webhook};

/// A webhook as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookBody {
    /// What people call it: 1 to 100 characters.
    #[serde(default)]
    #[schema(example = "Billing")]
    name: Option<String>,
    /// Where it is told: https, or http to networks of the setting `webhooks_allow_private`.
    #[serde(default)]
    #[schema(example = "https://billing.example.org/ledger")]
    url: Option<String>,
    /// The kinds of messages that it gets: run_cost, cost_corrected, payment_settled, refund_owed,
    /// budget.threshold_reached, execution.completed, execution.failed, execution.cancelled.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, example = json!(["run_cost", "cost_corrected"]))]
    kinds: Option<BTreeSet<Kind>>,
    /// Whether it is told at all; true by default. What happens while it is not is never told later.
    #[serde(default)]
    enabled: Option<bool>,
}

impl WebhookBody {
    fn into_new(self) -> Result<WebhookSettings, Problem> {
        let missing = |field, detail: &'static str| {
            move || Problem::new(Code::MissingField, detail).field(field)
        };
        Ok(WebhookSettings {
            name: self.name.ok_or_else(missing("name", "a webhook needs a name"))?,
            url: self.url.ok_or_else(missing("url", "say where it is told"))?,
            kinds: self.kinds.ok_or_else(missing("kinds", "say which messages it gets"))?,
            enabled: self.enabled.unwrap_or(true),
        })
    }
}

/// A webhook with a secret that was not shown before: no other answer ever holds it.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretAnswer {
    /// The secret by which its messages are signed, as Standard Webhooks writes it. It is kept nowhere
    /// and can't be shown again.
    secret: String,
    #[serde(flatten)]
    webhook: WebhookAnswer,
}

/// A page of webhooks.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookList {
    webhooks: Vec<WebhookAnswer>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// A webhook that is gone.
#[derive(Serialize, ToSchema)]
pub(super) struct DeletedWebhook {
    #[schema(value_type = String, format = Uuid)]
    webhook_id: WebhookId,
    /// deleted.
    status: &'static str,
    /// Position of the event.
    position: String,
}

impl FromQuery for WebhookQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            enabled: query.one_of("enabled", &[("true", true), ("false", false)])?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
        })
    }
}

/// Webhooks, the newest first.
#[utoipa::path(
    get, path = "/api/webhooks", operation_id = "list_webhooks", tag = "webhooks",
    params(
        ("enabled" = Option<bool>, Query, description = "Enabled, or not"),
        PageParams, MomentParams,
    ),
    responses(
        (status = 200, description = "A page", body = WebhookList),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list(
    _may: May<ReadWebhooks>,
    State(app): State<App>,
    Params((query, moment)): Params<(WebhookQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().webhooks(at, &query).await?;
    let mut webhooks = Vec::with_capacity(seen.value.items.len());
    for row in seen.value.items {
        webhooks.push(WebhookAnswer::of(&app, at, row).await?);
    }
    let list = WebhookList { webhooks, next_cursor: seen.value.next_cursor };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// One webhook.
#[utoipa::path(
    get, path = "/api/webhooks/{id}", operation_id = "get_webhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook"), MomentParams),
    responses(
        (status = 200, description = "The webhook", body = WebhookAnswer),
        (status = 404, description = "No such webhook", body = ProblemSchema),
    ),
)]
pub(super) async fn detail(
    _may: May<ReadWebhooks>,
    State(app): State<App>,
    WebhookPath(id): WebhookPath,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let (position, webhook) = found(&app, at, id).await?;
    Ok(with_position(&app, position, axum::Json(webhook)))
}

async fn found(app: &App, at: At, id: WebhookId) -> Result<(Position, WebhookAnswer), Problem> {
    let seen = app.views().webhook(at, id).await?;
    let row = seen.value.ok_or_else(no_webhook)?;
    Ok((seen.position, WebhookAnswer::of(app, at, row).await?))
}

/// Registers a webhook. Its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/api/webhooks", operation_id = "register_webhook", tag = "webhooks",
    request_body = WebhookBody,
    responses(
        (status = 201, description = "The webhook, with its secret", body = SecretAnswer),
        (status = 409, description = "There are as many as may be", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn register(
    may: May<ManageWebhooks>,
    State(app): State<App>,
    Params(()): Params<()>,
    Json(body): Json<WebhookBody>,
) -> Result<Response, Problem> {
    let settings = body.into_new()?;
    let request = cause(&may.request);
    let registered = app.webhooks().register(&may.caller, settings, &request).await;
    let registered = registered.map_err(webhook_refused)?;
    let path = format!("/api/webhooks/{}", registered.id);
    Ok(created(with_secret(&app, registered).await?, &path))
}

async fn with_secret(app: &App, registered: Registered) -> Result<Response, Problem> {
    let Registered { id, secret, position } = registered;
    app.wait_for(position, WAIT_FOR_MAX).await?;
    let (position, webhook) = found(app, At::Now, id).await?;
    let answer = SecretAnswer { secret, webhook };
    Ok(with_position(app, position, axum::Json(answer)))
}

/// Changes a webhook: what is left out stays as it is.
#[utoipa::path(
    put, path = "/api/webhooks/{id}", operation_id = "change_webhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    request_body = WebhookBody,
    responses(
        (status = 200, description = "The webhook", body = WebhookAnswer),
        (status = 404, description = "No such webhook", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn change(
    may: May<ManageWebhooks>,
    State(app): State<App>,
    WebhookPath(id): WebhookPath,
    Params(()): Params<()>,
    Json(body): Json<WebhookBody>,
) -> Result<Response, Problem> {
    let WebhookBody { name, url, kinds, enabled } = body;
    let change = Change { name, url, kinds, enabled };
    let request = cause(&may.request);
    let changed = app.webhooks().change(&may.caller, id, change, &request).await;
    app.wait_for(changed.map_err(webhook_refused)?, WAIT_FOR_MAX).await?;
    let (position, webhook) = found(&app, At::Now, id).await?;
    Ok(with_position(&app, position, axum::Json(webhook)))
}

/// Deletes a webhook: it is told nothing any more. What it was told can still be asked for as of an
/// earlier moment.
#[utoipa::path(
    delete, path = "/api/webhooks/{id}", operation_id = "delete_webhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    responses(
        (status = 200, description = "It is gone", body = DeletedWebhook),
        (status = 404, description = "No such webhook", body = ProblemSchema),
    ),
)]
pub(super) async fn delete(
    may: May<ManageWebhooks>,
    State(app): State<App>,
    WebhookPath(id): WebhookPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let deleted = app.webhooks().delete(&may.caller, id, &cause(&may.request)).await;
    let position = deleted.map_err(webhook_refused)?;
    let answer =
        DeletedWebhook { webhook_id: id, status: "deleted", position: app.position_text(position) };
    Ok(with_position(&app, position, axum::Json(answer)))
}

/// Gives a webhook another secret, which is in this answer and nowhere else. For a day messages are
/// signed with the one before too.
#[utoipa::path(
    post, path = "/api/webhooks/{id}/rotate", operation_id = "rotate_webhook_secret", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")),
    responses(
        (status = 200, description = "The webhook, with its new secret", body = SecretAnswer),
        (status = 404, description = "No such webhook", body = ProblemSchema),
    ),
)]
pub(super) async fn rotate(
    may: May<ManageWebhooks>,
    State(app): State<App>,
    WebhookPath(id): WebhookPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let rotated = app.webhooks().rotate(&may.caller, id, &cause(&may.request)).await;
    with_secret(&app, rotated.map_err(webhook_refused)?).await
}
