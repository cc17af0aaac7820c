//! Stopping all executions that a filter finds, or saying which these would be.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::scope::Ownership;
use execution_ledger_domain::{AgentName, Caller, ExecutionId, Scope, Timestamp};
use execution_ledger_process::tasks::{Request, StopError, Stopped};
use execution_ledger_projections::{
    At, ExecutionFilters, ExecutionQuery, ExecutionRecord, PAGE_MAX, Status,
};
use execution_ledger_store::Position;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tasks::dollars;
use crate::auth::{May, Operate};
use crate::extract::{Json, Params};
use crate::position::{WAIT_FOR_MAX, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, cause};

/// Executions that one request stops: most, and as many as where nobody asks for a number.
const BULK_MAX: u32 = 1_000;
/// Of these, how many are being stopped at the same moment.
const STOPS_AT_ONCE: usize = 16;

/// Where an execution is in its life that can still be stopped.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OpenStatus {
    /// It waits.
    Pending,
    /// It runs.
    Running,
}

/// Which executions to stop: the filters of the list. At least one, or `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopBody {
    /// Run by this agent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    agent: Option<AgentName>,
    /// pending or running; both by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    status: Option<OpenStatus>,
    /// Triggered in this way.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    triggered_by: Option<Trigger>,
    /// Accepted at this time (RFC 3339) or later.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Accepted before this time.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Words of the message; `word*` stands for all words that begin so.
    #[serde(default)]
    q: Option<String>,
    /// Known to have cost at least so many dollars.
    #[serde(default)]
    min_cost: Option<f64>,
    /// The model that was asked for.
    #[serde(default)]
    model: Option<String>,
    /// All that the caller may stop, where no filter is given.
    #[serde(default)]
    all: bool,
    /// Change nothing, and say what would be.
    #[serde(default)]
    dry_run: bool,
    /// How many, at most: 1 to 1000, which is the default.
    #[serde(default)]
    limit: Option<u32>,
}

impl StopBody {
    fn filters(&self) -> Result<ExecutionFilters, Problem> {
        if self.min_cost.is_some_and(|usd| usd < 0.0) {
            let detail = "it must be a number of dollars from 0, as 0.25";
            return Err(Problem::invalid_field("min_cost", detail));
        }
        Ok(ExecutionFilters {
            agent: self.agent.clone(),
            status: None,
            triggered_by: self.triggered_by,
            from: self.from,
            to: self.to,
            q: self.q.clone(),
            min_cost: dollars("min_cost", self.min_cost)?,
            model: self.model.clone(),
        })
    }

    /// What waits comes first: what runs would only make room for it.
    fn statuses(&self) -> &'static [Status] {
        match self.status {
            None => &[Status::Pending, Status::Running],
            Some(OpenStatus::Pending) => &[Status::Pending],
            Some(OpenStatus::Running) => &[Status::Running],
        }
    }
}

/// What became, or would become, of one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// It waited, and never starts.
    Cancelled,
    /// It runs, and is being stopped.
    Cancelling,
    /// It has ended meanwhile.
    AlreadyFinished,
    /// The ledger could not stop it; nothing was changed.
    Failed,
}

/// An execution that the filters found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Found {
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    #[schema(value_type = String)]
    agent_name: AgentName,
    /// Where it was: pending or running.
    status: Status,
    /// What became of it; with `dry_run`, what would.
    outcome: Outcome,
}

/// What was stopped, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoppedAll {
    /// Whether nothing was changed.
    dry_run: bool,
    /// Executions that the filters found, up to `limit`.
    matched: usize,
    /// Of these: waited, and never start.
    cancelled: usize,
    /// Run, and are being stopped.
    cancelling: usize,
    /// Had ended meanwhile.
    already_finished: usize,
    /// Could not be stopped.
    failed: usize,
    /// Whether the filters find more: ask again.
    truncated: bool,
    /// Each of them.
    executions: Vec<Found>,
    /// Position of the last event that this led to.
    position: String,
}

/// Stops all executions that the filters find and that the caller may stop.
///
/// With `dry_run` nothing is changed, and the answer says what would be. At least one filter must be
/// given, or `all`: an empty body stops nothing.
#[utoipa::path(
    post, path = "/api/executions/terminate", operation_id = "terminate_executions", tag = "executions",
    request_body = StopBody,
    responses(
        (status = 200, description = "What was stopped, or would be", body = StoppedAll),
        (status = 422, description = "No filter, or one that can't be", body = ProblemSchema),
    ),
)]
pub(super) async fn terminate_all(
    may: May<Operate>,
    State(app): State<App>,
    Params(()): Params<()>,
    Json(body): Json<StopBody>,
) -> Result<Response, Problem> {
    let filters = body.filters()?;
    let narrowed = filters != ExecutionFilters::default() || body.status.is_some();
    if narrowed == body.all {
        let detail = if narrowed {
            "give filters or all: true, not both"
        } else {
            "give at least one filter, or all: true for everything that you may stop"
        };
        return Err(Problem::invalid_field("all", detail));
    }
    let limit = body.limit.unwrap_or(BULK_MAX);
    if !(1..=BULK_MAX).contains(&limit) {
        let detail = format!("it must be a whole number from 1 to {BULK_MAX}");
        return Err(Problem::invalid_field("limit", detail).limit(BULK_MAX.into()));
    }
    // Whatever was accepted before this request is found by it.
    app.wait_for(app.store().head().await?, WAIT_FOR_MAX).await?;
    let (records, truncated) =
        find(&app, &may.caller, &filters, body.statuses(), limit as usize).await?;
    let position = app.views().position();
    let (executions, position) = if body.dry_run {
        (records.iter().map(|record| Found::of(record, would(record.status))).collect(), position)
    } else {
        stop(&app, &may.caller, records, &cause(&may.request), position).await
    };
    let answer = StoppedAll::of(&app, body.dry_run, truncated, executions, position);
    Ok(with_position(&app, position, axum::Json(answer)))
}

/// The executions that the filters find and that the caller may stop, and whether there are more.
async fn find(
    app: &App,
    caller: &Caller,
    filters: &ExecutionFilters,
    statuses: &[Status],
    limit: usize,
) -> Result<(Vec<ExecutionRecord>, bool), Problem> {
    // An agent may stop only what it does for the caller's user: that user's, and of these its own.
    let user = &caller.actor.user;
    let scope = match &caller.scope {
        Scope::Agent(_) => Scope::User(user.clone()),
        Scope::All | Scope::User(_) | Scope::AgentFor { .. } => caller.scope.clone(),
    };
    let mut found: Vec<ExecutionRecord> = Vec::new();
    for status in statuses {
        let filters = ExecutionFilters { status: Some(*status), ..filters.clone() };
        let mut query =
            ExecutionQuery { filters, limit: PAGE_MAX, texts: false, ..ExecutionQuery::default() };
        // Ends: every page but the last has rows, and one more than `limit` is enough.
        loop {
            let page = app.views().executions(&scope, At::Now, &query).await;
            let page = page.map_err(in_body)?.value;
            found.extend(page.items.into_iter().filter(|record| {
                let (agent, source_agent) = (&record.agent_name, record.source_agent.as_ref());
                caller.may_change(&Ownership { agent, user, source_agent })
            }));
            if found.len() > limit {
                found.truncate(limit);
                return Ok((found, true));
            }
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
    }
    Ok((found, false))
}

/// A filter that can't be stands in the body here, not in the query.
fn in_body(error: execution_ledger_projections::QueryError) -> Problem {
    match error {
        execution_ledger_projections::QueryError::Invalid { field, problem } => {
            Problem::invalid_field(field, problem)
        }
        other => other.into(),
    }
}

async fn stop(
    app: &App,
    caller: &Caller,
    records: Vec<ExecutionRecord>,
    request: &Request,
    seen: Position,
) -> (Vec<Found>, Position) {
    let stops = records.into_iter().map(|record| async move {
        let (outcome, position) = match app.tasks().stop(caller, record.execution_id, request).await
        {
            Ok((Stopped::Cancelled, position)) => (Outcome::Cancelled, position),
            Ok((Stopped::Cancelling, position)) => (Outcome::Cancelling, position),
            Ok((Stopped::AlreadyFinished, position)) => (Outcome::AlreadyFinished, position),
            // Its stream was there a moment ago, and whose it is never changes.
            Err(StopError::NotFound | StopError::OtherUser) => (Outcome::Failed, Position::START),
            Err(StopError::Write(error)) => {
                let execution = record.execution_id;
                tracing::error!(%execution, %error, "one of many could not be stopped");
                (Outcome::Failed, Position::START)
            }
        };
        (Found::of(&record, outcome), position)
    });
    let done: Vec<_> = stream::iter(stops).buffered(STOPS_AT_ONCE).collect().await;
    let last = done.iter().map(|(_, position)| *position).fold(seen, Position::max);
    (done.into_iter().map(|(found, _)| found).collect(), last)
}

fn would(status: Status) -> Outcome {
    match status {
        Status::Pending => Outcome::Cancelled,
        Status::Running => Outcome::Cancelling,
        Status::Completed | Status::Failed | Status::Cancelled => Outcome::AlreadyFinished,
    }
}

impl Found {
    fn of(record: &ExecutionRecord, outcome: Outcome) -> Self {
        Self {
            execution_id: record.execution_id,
            agent_name: record.agent_name.clone(),
            status: record.status,
            outcome,
        }
    }
}

impl StoppedAll {
    fn of(
        app: &App,
        dry_run: bool,
        truncated: bool,
        executions: Vec<Found>,
        position: Position,
    ) -> Self {
        let count = |wanted| executions.iter().filter(|found| found.outcome == wanted).count();
        Self {
            dry_run,
            matched: executions.len(),
            cancelled: count(Outcome::Cancelled),
            cancelling: count(Outcome::Cancelling),
            already_finished: count(Outcome::AlreadyFinished),
            failed: count(Outcome::Failed),
            truncated,
            executions,
            position: app.position_text(position),
        }
    }
}
