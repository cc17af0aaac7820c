//! Schedules: making, looking, what they decided.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::schedule::{Cron, tidy};
use execution_ledger_domain::{Caller, ScheduleId, Timestamp};
use execution_ledger_process::scheduler::Draft;
use execution_ledger_projections::{At, PageQuery, ScheduleQuery, ScheduleRow};
use execution_ledger_store::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answers::created;
use super::filters::{PageParams, limit};
use super::schedule_body::{Moment as Tick, ScheduleAnswer, ScheduleBody, TickAnswer, needed};
use crate::auth::{ManageSchedules, May, ReadSchedules};
use crate::extract::{FromQuery, Json, Params, Partial, Query, SchedulePath};
use crate::faults::schedule_refused;
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, cause, no_schedule};

/// Coming ticks, and decided ones, that a schedule's own answer shows.
const SHOWN: u32 = 10;

/// A page of schedules. Long texts are cut; the schedule itself has them whole.
#[derive(Serialize, ToSchema)]
pub(super) struct ScheduleList {
    schedules: Vec<ScheduleAnswer>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// A schedule with what it decided last and when it comes next.
#[derive(Serialize, ToSchema)]
pub(super) struct ScheduleDetail {
    #[serde(flatten)]
    schedule: ScheduleAnswer,
    /// The next ten times at which it comes; none while it is disabled, and in answers as of another
    /// moment.
    upcoming: Vec<Tick>,
    /// The last ten decisions, the latest first.
    ticks: Vec<TickAnswer>,
}

/// A page of decisions.
#[derive(Serialize, ToSchema)]
pub(super) struct TickList {
    ticks: Vec<TickAnswer>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

impl FromQuery for ScheduleQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            agent: query.parsed("agent")?,
            enabled: query.one_of("enabled", &[("true", true), ("false", false)])?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
        })
    }
}

impl FromQuery for PageQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self { limit: limit(query)?, cursor: query.text("cursor") })
    }
}

/// Schedules that the caller may see, the newest first.
#[utoipa::path(
    get, path = "/api/schedules", operation_id = "list_schedules", tag = "schedules",
    params(
        ("agent" = Option<String>, Query, description = "Of this agent"),
        ("enabled" = Option<bool>, Query, description = "Enabled, or not"),
        PageParams, MomentParams,
    ),
    responses(
        (status = 200, description = "A page", body = ScheduleList),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list(
    may: May<ReadSchedules>,
    State(app): State<App>,
    Params((query, moment)): Params<(ScheduleQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().schedules(&may.caller.scope, at, &query).await?;
    let schedules = seen.value.items.into_iter().map(|row| {
        let next = if at == At::Now { upcoming(&app, &row, 1).pop() } else { None };
        ScheduleAnswer::of(&app, row, next)
    });
    let list = ScheduleList { schedules: schedules.collect(), next_cursor: seen.value.next_cursor };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// One schedule, with its last decisions and its next runs.
#[utoipa::path(
    get, path = "/api/schedules/{id}", operation_id = "get_schedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule"), MomentParams),
    responses(
        (status = 200, description = "The schedule", body = ScheduleDetail),
        (status = 404, description = "No such schedule", body = ProblemSchema),
    ),
)]
pub(super) async fn detail(
    may: May<ReadSchedules>,
    State(app): State<App>,
    SchedulePath(id): SchedulePath,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    answer(&app, &may.caller, at, id).await
}

pub(super) async fn answer(
    app: &App,
    caller: &Caller,
    at: At,
    id: ScheduleId,
) -> Result<Response, Problem> {
    let seen = app.views().schedule(&caller.scope, at, id).await?;
    let row = seen.value.ok_or_else(no_schedule)?;
    let page = PageQuery { limit: SHOWN, cursor: None };
    let at_seen = At::Position(seen.position);
    let ticks = app.views().schedule_ticks(&caller.scope, at_seen, id, &page).await?;
    let ticks = ticks.value.map(|page| page.items).unwrap_or_default();
    let upcoming = match at {
        At::Now => upcoming(app, &row, SHOWN as usize),
        At::Position(_) => Vec::new(),
    };
    let cron = row.settings.cron();
    let next = upcoming.first().copied();
    let upcoming = cron
        .map(|cron| upcoming.into_iter().map(|tick| Tick::of(&cron, tick)).collect())
        .unwrap_or_default();
    let detail = ScheduleDetail {
        schedule: ScheduleAnswer::of(app, row, next),
        upcoming,
        ticks: ticks.into_iter().map(|tick| TickAnswer::of(app, tick)).collect(),
    };
    Ok(with_position(app, seen.position, axum::Json(detail)))
}

/// The next ticks of a schedule, by what the read models know, which every node has: only those that are
/// not decided, and none in the past.
fn upcoming(app: &App, row: &ScheduleRow, count: usize) -> Vec<Timestamp> {
    let Some(cron) = row.settings.cron().filter(|_| row.enabled) else { return Vec::new() };
    let now = app.now();
    let decided = row.last.as_ref().map(|last| last.until.unwrap_or(last.tick));
    cron.upcoming(decided.map_or(now, |decided| decided.max(now)), count)
}

/// The schedule as it is after a change.
pub(super) async fn changed(
    app: &App,
    caller: &Caller,
    id: ScheduleId,
    position: Position,
) -> Result<Response, Problem> {
    app.wait_for(position, WAIT_FOR_MAX).await?;
    answer(app, caller, At::Now, id).await
}

/// What a schedule decided, the latest first.
#[utoipa::path(
    get, path = "/api/schedules/{id}/ticks", operation_id = "list_schedule_ticks", tag = "schedules",
    params(("id" = String, Path, description = "The schedule"), PageParams, MomentParams),
    responses(
        (status = 200, description = "A page", body = TickList),
        (status = 404, description = "No such schedule", body = ProblemSchema),
    ),
)]
pub(super) async fn ticks(
    may: May<ReadSchedules>,
    State(app): State<App>,
    SchedulePath(id): SchedulePath,
    Params((page, moment)): Params<(PageQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().schedule_ticks(&may.caller.scope, at, id, &page).await?;
    let page = seen.value.ok_or_else(no_schedule)?;
    let ticks = page.items.into_iter().map(|tick| TickAnswer::of(&app, tick)).collect();
    let list = TickList { ticks, next_cursor: page.next_cursor };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// Makes a schedule: of a task for an agent, or of an execution that has ended (`execution_id`), with
/// all settings that it had.
#[utoipa::path(
    post, path = "/api/schedules", operation_id = "create_schedule", tag = "schedules",
    request_body = ScheduleBody,
    responses(
        (status = 201, description = "The schedule", body = ScheduleDetail),
        (status = 404, description = "No such agent or execution", body = ProblemSchema),
        (status = 409, description = "The agent was retired, the execution goes on, or there are too many", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn create(
    may: May<ManageSchedules>,
    State(app): State<App>,
    Params(()): Params<()>,
    Partial { mut body, given }: Partial<ScheduleBody>,
) -> Result<Response, Problem> {
    let draft = if let Some(execution) = body.execution_id {
        app.schedules().draft_from(&may.caller, execution).await.map_err(schedule_refused)?
    } else {
        let agent = needed("agent_name", body.agent_name.take())?;
        body.agent_name = Some(agent.clone());
        Draft::new(agent, body.message.clone().unwrap_or_default())
    };
    let draft = body.over(&given, draft)?;
    let request = cause(&may.request);
    let made = app.schedules().create(&may.caller, draft, &request).await;
    let (id, position) = made.map_err(schedule_refused)?;
    let made = changed(&app, &may.caller, id, position).await?;
    Ok(created(made, &format!("/api/schedules/{id}")))
}

/// A cron expression to be looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewBody {
    /// Five fields: minute, hour, day of the month, month, day of the week.
    #[serde(default)]
    #[schema(required = true, example = "30 2 * * MON-FRI")]
    cron: Option<String>,
    /// The IANA name of the time zone in which they are meant; UTC by default.
    #[serde(default)]
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
}

/// What a cron expression means.
#[derive(Serialize, ToSchema)]
pub(super) struct Preview {
    /// The expression, tidied up.
    cron: String,
    timezone: String,
    /// The same in words.
    description: String,
    /// The next ten times at which it comes.
    next: Vec<Tick>,
}

/// What a cron expression means, in words and as its next ten times. Changes nothing.
#[utoipa::path(
    post, path = "/api/schedules/preview", operation_id = "preview_schedule", tag = "schedules",
    request_body = PreviewBody,
    responses(
        (status = 200, description = "What it means", body = Preview),
        (status = 422, description = "It is none, or its date never comes", body = ProblemSchema),
    ),
)]
pub(super) async fn preview(
    _: May<ReadSchedules>,
    State(app): State<App>,
    Params(()): Params<()>,
    Json(body): Json<PreviewBody>,
) -> Result<axum::Json<Preview>, Problem> {
    let text = tidy(&needed("cron", body.cron)?);
    let timezone = body.timezone.unwrap_or_else(|| "UTC".to_owned());
    let cron = Cron::parse(&text, &timezone);
    let cron = cron.map_err(|error| Problem::invalid_field(error.field, error.problem))?;
    let next = cron.upcoming(app.schedules().now(), SHOWN as usize);
    let next = next.into_iter().map(|tick| Tick::of(&cron, tick)).collect();
    Ok(axum::Json(Preview { cron: text, timezone, description: cron.describe(), next }))
}
