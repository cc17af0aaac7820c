//! Executions: lists, details, sums.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::{AgentName, ExecutionId, Scope, StreamName, Timestamp};
use execution_ledger_projections::{
    At, Bucket, ExecutionFilters, ExecutionQuery, ExecutionRecord, Page, Seen, Stats, Status,
    Timeline,
};
use execution_ledger_store::With;
use serde::Serialize;
use utoipa::ToSchema;

use super::event_answer::EventAnswer;
use super::filters::{FilterParams, PageParams};
use crate::auth::{May, Read};
use crate::extract::{AgentPath, ExecutionPath, FromQuery, Params, Query};
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, no_agent, no_execution};

/// What keeps a waiting execution, in short.
#[derive(Serialize, ToSchema)]
pub(super) struct Waits {
    /// What keeps it: starting, agent_paused, agent_retired, slots_taken, max_parallel_total_reached,
    /// session_busy, disk_nearly_full, server_stopping, behind_others or retry_backoff.
    reason: &'static str,
    /// Its place in the queue, from 1; 0 while it is being started. New attempts that wait for their
    /// time stand behind all others.
    place: u32,
    /// Until when, where that is known: with retry_backoff.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// An execution of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    #[serde(flatten)]
    record: ExecutionRecord,
    /// Why it waits, while it does; null in answers as of another moment.
    waiting: Option<Waits>,
}

/// A page of executions. Long texts are cut; the execution itself has them whole.
#[derive(Serialize, ToSchema)]
pub(super) struct ExecutionList {
    executions: Vec<Listed>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// Executions that the caller may see, the newest first.
#[utoipa::path(
    get, path = "/api/executions", operation_id = "list_executions", tag = "executions",
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
    Ok(page(&app, at, seen).await)
}

async fn page(app: &App, at: At, seen: Seen<Page<ExecutionRecord>>) -> Response {
    let waits = |record: &ExecutionRecord| at == At::Now && record.status == Status::Pending;
    let waiting: Vec<_> =
        seen.value.items.iter().filter(|r| waits(r)).map(|r| r.execution_id).collect();
    if !waiting.is_empty() {
        app.desk_follows(seen.position).await;
    }
    let why = app.tasks().why_each_waits(&waiting);
    let listed = |record: ExecutionRecord| {
        let why = why.get(&record.execution_id);
        let waiting = why.map(|(blocker, place)| Waits {
            reason: blocker.as_str(),
            place: *place,
            until: blocker.until(),
        });
        Listed { record, waiting }
    };
    let executions = seen.value.items.into_iter().map(listed).collect();
    let list = ExecutionList { executions, next_cursor: seen.value.next_cursor };
    with_position(app, seen.position, axum::Json(list))
}

/// Executions of one agent.
#[utoipa::path(
    get, path = "/api/agents/{name}/executions", operation_id = "list_executions_of_agent", tag = "executions",
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
    Ok(page(&app, at, seen).await)
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
    /// session_busy, disk_nearly_full, server_stopping, behind_others or retry_backoff.
    reason: &'static str,
    /// Its place in the queue, from 1; 0 while it is being started. New attempts that wait for their
    /// time stand behind all others.
    place: u32,
    /// Until when, where that is known: with retry_backoff.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Who holds the agent's slots.
    slot_holders: Vec<Holder>,
}

impl WhyWaiting {
    async fn of(
        app: &App,
        scope: &Scope,
        record: &ExecutionRecord,
    ) -> Result<Option<Self>, Problem> {
        let Some(waiting) = app.tasks().why_waiting(record.execution_id) else { return Ok(None) };
        let holders = waiting.holders.iter().map(|holder| holder.execution).collect();
        let named = app.views().covered(scope, holders).await?;
        let holder = |holder: &execution_ledger_domain::policy::SlotHolder| Holder {
            execution_id: named.contains(&holder.execution).then(|| holder.execution.to_string()),
            slot_until: holder.slot_until,
        };
        Ok(Some(Self {
            reason: waiting.blocker.as_str(),
            place: waiting.place,
            until: waiting.blocker.until(),
            slot_holders: waiting.holders.iter().map(holder).collect(),
        }))
    }
}

/// An execution that another one's run asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct Child {
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    /// The agent that runs it.
    #[schema(value_type = String)]
    agent_name: AgentName,
}

/// An execution with its events.
#[derive(Serialize, ToSchema)]
pub(super) struct ExecutionDetail {
    #[serde(flatten)]
    record: ExecutionRecord,
    /// Why it waits, while it does.
    waiting: Option<WhyWaiting>,
    /// The new attempts at it, by hand and by themselves, the oldest first; at most 100.
    #[schema(value_type = Vec<String>)]
    retries: Vec<ExecutionId>,
    /// The executions that its run asked for, the oldest first; at most 100.
    children: Vec<Child>,
    /// What happened to it, in order.
    events: Vec<EventAnswer>,
}

/// One execution with its events.
#[utoipa::path(
    get, path = "/api/agents/{name}/executions/{id}", operation_id = "get_execution", tag = "executions",
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
        let first = app
            .store()
            .read_stream(&StreamName::execution(path.id), 0, 1, With::EventsOnly)
            .await?;
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
    let waiting = if waits {
        app.desk_follows(seen.position).await;
        WhyWaiting::of(&app, scope, &record).await?
    } else {
        None
    };
    let retries = app.views().retries_of(scope, At::Position(seen.position), path.id).await?.value;
    let children =
        app.views().children_of(scope, At::Position(seen.position), path.id).await?.value;
    let child = |(execution_id, agent_name)| Child { execution_id, agent_name };
    let children = children.into_iter().map(child).collect();
    let detail = ExecutionDetail { record, waiting, retries, children, events };
    Ok(with_position(&app, seen.position, axum::Json(detail)))
}

/// Counts and sums over executions.
#[utoipa::path(
    get, path = "/api/executions/stats", operation_id = "get_execution_stats", tag = "executions",
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
    get, path = "/api/executions/timeline", operation_id = "get_execution_timeline", tag = "executions",
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
