//! Agents: registering, settings, pausing, retiring.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::agent::Command;
use execution_ledger_domain::{AgentName, Caller, Right, Scope};
use execution_ledger_projections::{AgentRow, At};
use serde::Serialize;
use utoipa::ToSchema;

use super::agent_body::{AgentAnswer, AgentBody};
use super::answers::created;
use crate::auth::{ManageAgents, ManageQueues, May, Read};
use crate::extract::{AgentPath, Json, NoBody, Params, Partial};
use crate::faults::agent_refused;
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause, no_agent};

/// All agents.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentList {
    agents: Vec<AgentAnswer>,
    /// Other agents that the caller may give tasks to, by name and status alone; empty for all but
    /// agents.
    callable: Vec<Callable>,
    /// Always null: all agents are on one page.
    next_cursor: Option<String>,
}

/// An agent that another one may give tasks to.
#[derive(Serialize, ToSchema)]
pub(super) struct Callable {
    #[schema(value_type = String)]
    name: AgentName,
    /// active, paused or retired.
    status: &'static str,
}

impl Callable {
    fn of(caller: &Caller, row: &AgentRow) -> Option<Self> {
        let may = caller.may_call.as_ref().is_some_and(|names| names.contains(&row.name));
        may.then(|| Self { name: row.name.clone(), status: row.status.as_str() })
    }
}

/// Whether the caller sees all of an agent's settings: whoever reads the log finds them there.
fn sees_settings(caller: &Caller) -> bool {
    caller.role.has(Right::ReadLog)
}

/// Agents that the caller may see, by name.
#[utoipa::path(
    get, path = "/api/agents", operation_id = "list_agents", tag = "agents", params(MomentParams),
    responses((status = 200, description = "The agents", body = AgentList)),
)]
pub(super) async fn list(
    may: May<Read>,
    State(app): State<App>,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let caller = &may.caller;
    let seen = app.views().agents(&Scope::All, at).await?;
    let foreign = |row: &&AgentRow| !caller.sees_agent(&row.name);
    let (others, visible): (Vec<_>, Vec<_>) = seen.value.iter().partition(foreign);
    let callable = others.into_iter().filter_map(|row| Callable::of(caller, row)).collect();
    let whole = sees_settings(caller);
    let agents = visible.into_iter().map(|row| AgentAnswer::of(&app, row, whole)).collect();
    let list = AgentList { agents, callable, next_cursor: None };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// One agent.
#[utoipa::path(
    get, path = "/api/agents/{name}", operation_id = "get_agent", tag = "agents",
    params(("name" = String, Path, description = "The agent"), MomentParams),
    responses(
        (status = 200, description = "The agent", body = AgentAnswer),
        (status = 404, description = "No such agent", body = ProblemSchema),
    ),
)]
pub(super) async fn detail(
    may: May<Read>,
    State(app): State<App>,
    AgentPath(name): AgentPath,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    answer(&app, &may.caller, at, &name).await
}

async fn answer(app: &App, caller: &Caller, at: At, name: &AgentName) -> Result<Response, Problem> {
    let seen = app.views().agent(&caller.scope, at, name).await?;
    let row =
        seen.value.filter(|row| caller.sees_agent(&row.name)).ok_or_else(|| no_agent(name))?;
    let body = AgentAnswer::of(app, &row, sees_settings(caller));
    Ok(with_position(app, seen.position, axum::Json(body)))
}

/// Changes an agent, and answers it as it is then.
async fn change<R>(
    app: &App,
    may: &May<R>,
    name: &AgentName,
    change: Command,
) -> Result<Response, Problem> {
    let changed = app.tasks().change_agent(&may.caller, name, change, &cause(&may.request)).await;
    let position = changed.map_err(|error| agent_refused(name, error))?;
    app.wait_for(position, WAIT_FOR_MAX).await?;
    answer(app, &may.caller, At::Now, name).await
}

/// Makes an agent known.
#[utoipa::path(
    post, path = "/api/agents", operation_id = "register_agent", tag = "agents",
    request_body = AgentBody,
    responses(
        (status = 201, description = "The agent", body = AgentAnswer),
        (status = 403, description = "The key does not allow it", body = ProblemSchema),
        (status = 409, description = "An agent of this name is registered already", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn register(
    may: May<ManageAgents>,
    State(app): State<App>,
    Params(()): Params<()>,
    Json(body): Json<AgentBody>,
) -> Result<Response, Problem> {
    let Some(name) = body.name.clone() else {
        return Err(Problem::new(Code::MissingField, "an agent needs a name").field("name"));
    };
    let config = Box::new(body.into_config()?);
    let registered = change(&app, &may, &name, Command::Register(config)).await?;
    Ok(created(registered, &format!("/api/agents/{name}")))
}

/// Changes an agent's settings: what is left out stays as it is, and null puts an optional setting
/// back to its default.
#[utoipa::path(
    put, path = "/api/agents/{name}", operation_id = "configure_agent", tag = "agents",
    params(("name" = String, Path, description = "The agent")),
    request_body = AgentBody,
    responses(
        (status = 200, description = "The agent", body = AgentAnswer),
        (status = 404, description = "No such agent", body = ProblemSchema),
        (status = 409, description = "The agent was retired", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn configure(
    may: May<ManageAgents>,
    State(app): State<App>,
    AgentPath(name): AgentPath,
    Params(()): Params<()>,
    Partial { body, given }: Partial<AgentBody>,
) -> Result<Response, Problem> {
    if body.name.as_ref().is_some_and(|given| *given != name) {
        return Err(Problem::invalid_field("name", "an agent keeps its name"));
    }
    let current = app.agent_now(&name).await?;
    let config = Box::new(body.over(&given, current).into_config()?);
    change(&app, &may, &name, Command::Configure(config)).await
}

/// Lets an agent take no more tasks: what waits is cancelled, what runs may end.
#[utoipa::path(
    delete, path = "/api/agents/{name}", operation_id = "retire_agent", tag = "agents",
    params(("name" = String, Path, description = "The agent")),
    responses(
        (status = 200, description = "The agent", body = AgentAnswer),
        (status = 404, description = "No such agent", body = ProblemSchema),
    ),
)]
pub(super) async fn retire(
    may: May<ManageQueues>,
    State(app): State<App>,
    AgentPath(name): AgentPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    change(&app, &may, &name, Command::Retire).await
}

/// Lets an agent start nothing new; tasks are accepted and wait.
#[utoipa::path(
    post, path = "/api/agents/{name}/pause", operation_id = "pause_agent", tag = "agents",
    params(("name" = String, Path, description = "The agent")),
    responses(
        (status = 200, description = "The agent", body = AgentAnswer),
        (status = 404, description = "No such agent", body = ProblemSchema),
        (status = 409, description = "The agent was retired", body = ProblemSchema),
    ),
)]
pub(super) async fn pause(
    may: May<ManageQueues>,
    State(app): State<App>,
    AgentPath(name): AgentPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    change(&app, &may, &name, Command::Pause).await
}

/// Lets an agent start waiting tasks again.
#[utoipa::path(
    post, path = "/api/agents/{name}/resume", operation_id = "resume_agent", tag = "agents",
    params(("name" = String, Path, description = "The agent")),
    responses(
        (status = 200, description = "The agent", body = AgentAnswer),
        (status = 404, description = "No such agent", body = ProblemSchema),
        (status = 409, description = "The agent was retired", body = ProblemSchema),
    ),
)]
pub(super) async fn resume(
    may: May<ManageQueues>,
    State(app): State<App>,
    AgentPath(name): AgentPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    change(&app, &may, &name, Command::Resume).await
}
