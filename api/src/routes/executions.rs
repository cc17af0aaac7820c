//! Executions: lists, details, sums.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{NanoUsd, Scope, StreamName, Timestamp};
use execution_ledger_process::tasks::Tasks;
use execution_ledger_projections::{
    At, Bucket, ExecutionFilters, ExecutionQuery, ExecutionRecord, PAGE_DEFAULT, PAGE_MAX, Seen,
    Sort, Stats, Status, Timeline,
};
use execution_ledger_store::With;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::events::EventAnswer;
use crate::auth::{May, Read};
use crate::extract::{AgentPath, ExecutionPath, FromQuery, Params, Query};
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, no_agent, no_execution};

/// Which executions are meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes what is read by name")]
pub(super) struct FilterParams {
    /// Run by this agent.
    agent: Option<String>,
    /// pending, running, completed, failed or cancelled.
    status: Option<String>,
    /// self_task, mcp, agent, chat, schedule, paid, retry or manual.
    triggered_by: Option<String>,
    /// Accepted at this time (RFC 3339) or later.
    from: Option<String>,
    /// Accepted before this time.
    to: Option<String>,
    /// Words of the message or the response; `word*` stands for all words that begin so.
    q: Option<String>,
    /// Known to have cost at least so many dollars.
    min_cost: Option<f64>,
    /// The model that answered, or was asked for.
    model: Option<String>,
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes what is read by name")]
pub(super) struct PageParams {
    /// Rows, 1 to 200; 50 by default.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl FromQuery for ExecutionFilters {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            agent: query.parsed("agent")?,
            status: query.one_of("status", &Status::ALL.map(|status| (status.as_str(), status)))?,
            triggered_by: query
                .one_of("triggered_by", &Trigger::ALL.map(|trigger| (trigger.as_str(), trigger)))?,
            from: time(query, "from")?,
            to: time(query, "to")?,
            q: query.text("q"),
            min_cost: min_cost(query)?,
            model: query.text("model"),
        })
    }
}

/// A time in a query, where a `+` of its offset may have become a space.
pub(super) fn time(query: &mut Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.text(name) else { return Ok(None) };
    text.replace(' ', "+").parse().map(Some).map_err(|_| {
        Problem::invalid_parameter(name, "it must be an RFC 3339 time, as 2026-11-21T09:30:00Z")
    })
}

fn min_cost(query: &mut Query) -> Result<Option<NanoUsd>, Problem> {
    let Some(usd) = query.parsed::<f64>("min_cost")? else { return Ok(None) };
    let amount = NanoUsd::from_usd(usd);
    amount.map(Some).map_err(|error| Problem::invalid_parameter("min_cost", error.to_string()))
}

/// How many rows a page has.
pub(super) fn limit(query: &mut Query) -> Result<u32, Problem> {
    let number = query.number("limit", (1, PAGE_MAX.into()), PAGE_DEFAULT.into())?;
    Ok(u32::try_from(number).unwrap_or(PAGE_MAX))
}

const SORTS: [(&str, Sort); 3] = [
    ("-created_at", Sort::NewestFirst),
    ("created_at", Sort::OldestFirst),
    ("-cost", Sort::DearestFirst),
];

impl FromQuery for ExecutionQuery {
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem> {
        Ok(Self {
            filters: ExecutionFilters::from_query(query, app)?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
            sort: query.one_of("sort", &SORTS)?.unwrap_or_default(),
            texts: true,
        })
    }
}

/// A page of executions. Long texts are cut; the execution itself has them whole.
#[derive(Serialize, ToSchema)]
pub(super) struct ExecutionList {
    executions: Vec<ExecutionRecord>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// Executions that the caller may see, the newest first.
#[utoipa::path(
    get, path = "/api/executions", tag = "executions",
    params(FilterParams, PageParams, MomentParams,
        ("sort" = Option<String>, Query, description = "-created_at (default), created_at or -cost")),
    responses(
        (status = 200, description = "A page", body = ExecutionList),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list(
    may: May<Read>,
    State(app): State<App>,
    Params((query, moment)): Params<(ExecutionQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().executions(&may.caller.scope, at, &query).await?;
    Ok(page(&app, seen))
}

fn page(
    app: &App,
    seen: Seen<execution_ledger_projections::Page<ExecutionRecord>>,
) -> Response {
    let list = ExecutionList { executions: seen.value.items, next_cursor: seen.value.next_cursor };
    with_position(app, seen.position, axum::Json(list))
}

/// Executions of one agent.
#[utoipa::path(
    get, path = "/api/agents/{name}/executions", tag = "executions",
    params(("name" = String, Path, description = "The agent"), FilterParams, PageParams, MomentParams,
        ("sort" = Option<String>, Query, description = "-created_at (default), created_at or -cost")),
    responses(
        (status = 200, description = "A page", body = ExecutionList),
        (status = 404, description = "No such agent", body = ProblemSchema),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list_of_agent(
    may: May<Read>,
    State(app): State<App>,
    AgentPath(agent): AgentPath,
    Params((mut query, moment)): Params<(ExecutionQuery, Moment)>,
) -> Result<Response, Problem> {
    if query.filters.agent.as_ref().is_some_and(|filter| *filter != agent) {
        return Err(Problem::invalid_parameter("agent", "the path names another agent"));
    }
    query.filters.agent = Some(agent.clone());
    let at = moment.reach(&app).await?;
    let scope = &may.caller.scope;
    let seen = app.views().executions(scope, at, &query).await?;
    // An agent whose runs the caller started is known to the caller, even where its row is not.
    if seen.value.items.is_empty() && app.views().agent(scope, at, &agent).await?.value.is_none() {
        return Err(no_agent(&agent));
    }
    Ok(page(&app, seen))
}

/// Who holds a slot that others wait for.
#[derive(Serialize, ToSchema)]
pub(super) struct Holder {
    /// The execution; null where it is not the caller's to see.
    execution_id: Option<String>,
    /// When the slot lapses if nothing is heard; null while it is being started.
    #[schema(value_type = Option<String>, format = DateTime)]
    slot_until: Option<Timestamp>,
}

/// Why an execution waits.
#[derive(Serialize, ToSchema)]
pub(super) struct WhyWaiting {
    /// What keeps it: starting, agent_paused, agent_retired, slots_taken, max_parallel_total_reached,
    /// session_busy, disk_nearly_full or behind_others.
    reason: &'static str,
    /// Its place in the queue, from 1; 0 while it is being started.
    place: u32,
    /// Who holds the agent's slots.
    slot_holders: Vec<Holder>,
}

impl WhyWaiting {
    fn of(tasks: &Tasks, scope: &Scope, record: &ExecutionRecord) -> Option<Self> {
        let waiting = tasks.why_waiting(record.execution_id)?;
        let named = matches!(scope, Scope::All)
            || matches!(scope, Scope::Agent(agent) if *agent == record.agent_name);
        let holder = |holder: &execution_ledger_domain::policy::SlotHolder| Holder {
            execution_id: named.then(|| holder.execution.to_string()),
            slot_until: holder.slot_until,
        };
        Some(Self {
            reason: waiting.blocker.as_str(),
            place: waiting.place,
            slot_holders: waiting.holders.iter().map(holder).collect(),
        })
    }
}

/// An execution with its events.
#[derive(Serialize, ToSchema)]
pub(super) struct ExecutionDetail {
    #[serde(flatten)]
    record: ExecutionRecord,
    /// Why it waits, while it does.
    waiting: Option<WhyWaiting>,
    /// What happened to it, in order.
    events: Vec<EventAnswer>,
}

/// One execution with its events.
#[utoipa::path(
    get, path = "/api/agents/{name}/executions/{id}", tag = "executions",
    params(
        ("name" = String, Path, description = "The agent"),
        ("id" = String, Path, description = "The execution"),
        MomentParams,
    ),
    responses(
        (status = 200, description = "The record and its events", body = ExecutionDetail),
        (status = 404, description = "No such execution", body = ProblemSchema),
    ),
)]
pub(super) async fn detail(
    may: May<Read>,
    State(app): State<App>,
    path: ExecutionPath,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let scope = &may.caller.scope;
    let mut seen = app.views().execution_with_events(scope, at, path.id).await?;
    if seen.value.is_none() && at == At::Now {
        // Accepted a moment ago: the caller that was given its id is not told that there is none.
        let first =
            app.store().read_stream(&StreamName::execution(path.id), 0, 1, With::EventsOnly).await?;
        if let Some(first) = first.first().filter(|first| first.position > seen.position) {
            app.wait_for(first.position, WAIT_FOR_MAX).await?;
            seen = app.views().execution_with_events(scope, at, path.id).await?;
        }
    }
    let (record, recorded) = seen
        .value
        .filter(|(record, _)| record.agent_name == path.agent)
        .ok_or_else(no_execution)?;
    let events = recorded.iter().map(|event| EventAnswer::of(&app, event));
    let events = events.collect::<Result<_, _>>()?;
    let waits = at == At::Now && record.status == Status::Pending;
    let waiting = waits.then(|| WhyWaiting::of(app.tasks(), scope, &record)).flatten();
    let detail = ExecutionDetail { record, waiting, events };
    Ok(with_position(&app, seen.position, axum::Json(detail)))
}

/// Counts and sums over executions.
#[utoipa::path(
    get, path = "/api/executions/stats", tag = "executions",
    params(FilterParams, MomentParams),
    responses(
        (status = 200, description = "Counts and sums", body = Stats),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn stats(
    may: May<Read>,
    State(app): State<App>,
    Params((filters, moment)): Params<(ExecutionFilters, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().stats(&may.caller.scope, at, &filters).await?;
    Ok(with_position(&app, seen.position, axum::Json(seen.value)))
}

pub(super) struct By(Bucket);

const BUCKETS: [(&str, Bucket); 5] = [
    ("hour", Bucket::Hour),
    ("day", Bucket::Day),
    ("agent", Bucket::Agent),
    ("trigger", Bucket::Trigger),
    ("model", Bucket::Model),
];

impl FromQuery for By {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self(query.one_of("bucket", &BUCKETS)?.unwrap_or(Bucket::Day)))
    }
}

/// Executions divided into parts, without gaps in time.
#[utoipa::path(
    get, path = "/api/executions/timeline", tag = "executions",
    params(FilterParams, MomentParams,
        ("bucket" = Option<String>, Query, description = "hour, day (default), agent, trigger or model")),
    responses(
        (status = 200, description = "The parts", body = Timeline),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn timeline(
    may: May<Read>,
    State(app): State<App>,
    Params(query): Params<((ExecutionFilters, By), Moment)>,
) -> Result<Response, Problem> {
    let ((filters, By(bucket)), moment) = query;
    let at = moment.reach(&app).await?;
    let seen = app.views().timeline(&may.caller.scope, at, &filters, bucket).await?;
    Ok(with_position(&app, seen.position, axum::Json(seen.value)))
}
