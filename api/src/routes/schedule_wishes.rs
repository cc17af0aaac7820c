//! Changing, enabling, triggering and deleting schedules.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use execution_ledger_domain::ScheduleId;
use execution_ledger_process::tasks::Submitted;
use serde::Serialize;
use utoipa::ToSchema;

use super::answers::{Accepted, answered};
use super::schedule_body::ScheduleBody;
use super::schedules::{ScheduleDetail, changed};
use super::tasks::idempotency_key;
use crate::auth::{ManageSchedules, May};
use crate::extract::{NoBody, Params, Partial, SchedulePath};
use crate::faults::schedule_refused;
use crate::position::with_position;
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, cause};

/// Changes a schedule: what is left out stays as it is, and null puts a setting back to its default.
/// Where its times change, ticks that are due and not decided are skipped with the reason `changed`.
#[utoipa::path(
    put, path = "/api/schedules/{id}", operation_id = "change_schedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule")),
    request_body = ScheduleBody,
    responses(
        (status = 200, description = "The schedule", body = ScheduleDetail),
        (status = 404, description = "No such schedule or agent", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn change(
    may: May<ManageSchedules>,
    State(app): State<App>,
    SchedulePath(id): SchedulePath,
    Params(()): Params<()>,
    Partial { body, given }: Partial<ScheduleBody>,
) -> Result<Response, Problem> {
    if body.execution_id.is_some() {
        let detail = "only a new schedule is made from an execution";
        return Err(Problem::invalid_field("execution_id", detail));
    }
    let draft = app.schedules().draft_of(&may.caller, id).await.map_err(schedule_refused)?;
    let draft = body.over(&given, draft)?;
    let request = cause(&may.request);
    let position = app.schedules().change(&may.caller, id, draft, &request).await;
    changed(&app, &may.caller, id, position.map_err(schedule_refused)?).await
}

/// Lets a schedule's ticks fire. Those that came while it was disabled are not missed.
#[utoipa::path(
    post, path = "/api/schedules/{id}/enable", operation_id = "enable_schedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule")),
    responses(
        (status = 200, description = "The schedule", body = ScheduleDetail),
        (status = 404, description = "No such schedule", body = ProblemSchema),
    ),
)]
pub(super) async fn enable(
    may: May<ManageSchedules>,
    State(app): State<App>,
    SchedulePath(id): SchedulePath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    set_enabled(&app, &may, id, true).await
}

/// Lets a schedule's ticks not fire until it is enabled. What it started goes on.
#[utoipa::path(
    post, path = "/api/schedules/{id}/disable", operation_id = "disable_schedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule")),
    responses(
        (status = 200, description = "The schedule", body = ScheduleDetail),
        (status = 404, description = "No such schedule", body = ProblemSchema),
    ),
)]
pub(super) async fn disable(
    may: May<ManageSchedules>,
    State(app): State<App>,
    SchedulePath(id): SchedulePath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    set_enabled(&app, &may, id, false).await
}

async fn set_enabled(
    app: &App,
    may: &May<ManageSchedules>,
    id: ScheduleId,
    enabled: bool,
) -> Result<Response, Problem> {
    let request = cause(&may.request);
    let position = app.schedules().set_enabled(&may.caller, id, enabled, &request).await;
    changed(app, &may.caller, id, position.map_err(schedule_refused)?).await
}

/// A schedule that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedAnswer {
    #[schema(value_type = String, format = Uuid)]
    schedule_id: ScheduleId,
    /// deleted.
    status: &'static str,
    /// Position of the event.
    position: String,
}

/// Deletes a schedule: no tick of it comes any more. What it started goes on, and what it was can
/// still be asked for as of an earlier moment.
#[utoipa::path(
    delete, path = "/api/schedules/{id}", operation_id = "delete_schedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule")),
    responses(
        (status = 200, description = "It is gone", body = DeletedAnswer),
        (status = 404, description = "No such schedule", body = ProblemSchema),
    ),
)]
pub(super) async fn delete(
    may: May<ManageSchedules>,
    State(app): State<App>,
    SchedulePath(id): SchedulePath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let request = cause(&may.request);
    let position = app.schedules().delete(&may.caller, id, &request).await;
    let position = position.map_err(schedule_refused)?;
    let answer =
        DeletedAnswer { schedule_id: id, status: "deleted", position: app.position_text(position) };
    Ok(with_position(&app, position, axum::Json(answer)))
}

/// Fires a schedule now, also a disabled one, whatever of it is still open. No tick is decided by it.
#[utoipa::path(
    post, path = "/api/schedules/{id}/trigger", operation_id = "trigger_schedule", tag = "schedules",
    params(
        ("id" = String, Path, description = "The schedule"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters: the same key by the same caller gives the same execution"),
    ),
    responses(
        (status = 202, description = "Accepted", body = Accepted),
        (status = 404, description = "No such schedule", body = ProblemSchema),
        (status = 409, description = "The agent was retired", body = ProblemSchema),
        (status = 422, description = "Its agent does not allow its settings any more", body = ProblemSchema),
        (status = 429, description = "The queue is full", body = ProblemSchema),
    ),
)]
pub(super) async fn trigger(
    may: May<ManageSchedules>,
    State(app): State<App>,
    SchedulePath(id): SchedulePath,
    Params(()): Params<()>,
    headers: HeaderMap,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let request = cause(&may.request);
    let triggered = app.schedules().trigger(&may.caller, id, key.as_deref(), &request).await;
    let triggered = triggered.map_err(schedule_refused)?;
    let submitted = Submitted {
        execution_id: triggered.execution_id,
        position: triggered.position,
        redactions: triggered.redactions,
        replayed: triggered.replayed,
    };
    answered(&app, &may, &triggered.agent, &submitted, None).await
}
