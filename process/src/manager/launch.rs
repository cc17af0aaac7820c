//! Starting the supervisor of a claim: what was accepted is read, and becomes its orders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use execution_ledger_domain::agent::AgentConfig;
use execution_ledger_domain::execution::{ExecutionEvent, Pending, Running};
use execution_ledger_domain::{ClaimId, Event, ExecutionId, StreamName, limits};
use execution_ledger_store::{StoreError, With};

use super::cost_limit::CostLimit;
use super::observe::StartedAs;
use super::{Shared, turns};
use crate::orders::{FORMAT_VERSION, MARKER_VARIABLE, Orders, RunFiles};
use crate::runtimes::{self, Plan, RunRequest};
use crate::supervisor::{Handle, Room, StartError};

/// How long output is drained after the first process has ended.
const DRAIN_MS: u64 = 2_000;

/// Why a supervisor was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    /// The log can't be read: try again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was cancelled before it was started: then it never is.
    #[error("it was cancelled before it began")]
    Cancelled,
    /// This run can't be started.
    #[error("{0}")]
    Impossible(String),
    /// A supervisor was started and is gone again, but may have begun: its files say how it stands.
    #[error("{0}")]
    Uncertain(std::io::Error),
}

/// What was accepted and its texts, and where its run lies.
pub(super) struct Task {
    room: Room,
    pending: Pending,
    message: String,
    system_prompt: Option<String>,
}

/// A supervisor that has its orders.
pub(super) struct Begun {
    /// The supervisor.
    pub handle: Handle,
    /// What it runs.
    pub program: StartedAs,
    /// What it may cost, where that is looked at while it runs.
    pub limit: Option<CostLimit>,
}

/// Starts the supervisor of a claim.
pub(super) async fn launch(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    running: &Running,
    task: Task,
    term: Option<&Path>,
) -> Result<Begun, LaunchError> {
    let claim = running.claim;
    let Task { room, mut pending, message, system_prompt } = task;
    let gone = || LaunchError::Impossible(format!("there is no agent {}", pending.agent));
    let config = shared.desk.config(&pending.agent).ok_or_else(gone)?;
    if config.runtime != running.runtime {
        let reason = "its agent's runtime was changed between its claim and its start";
        return Err(LaunchError::Impossible(reason.to_owned()));
    }
    narrow_again(&mut pending, &config)?;
    let message = turns::message(shared, &running.told, message).await?;
    let resumed = running.resumed_session_id.as_deref();
    let files = RunFiles::new(&shared.options.runs, execution, claim);
    let mcp_config = files.mcp_config();
    let request = RunRequest {
        execution_id: execution,
        message: &message,
        model: pending.model_requested.as_deref(),
        allowed_tools: pending.allowed_tools.as_deref(),
        system_prompt: system_prompt.as_deref(),
        max_turns: pending.max_turns,
        resume_session_id: resumed.or(pending.resume_session_id.as_deref()),
        max_cost: pending.max_cost_nano_usd,
        mcp_config_path: &mcp_config,
        ledger_url: &shared.options.ledger_url,
        has_mcp: true,
    };
    let mut plan = runtimes::plan(&config, &request)
        .map_err(|error| LaunchError::Impossible(error.to_string()))?;
    let plan_files = std::mem::take(&mut plan.files);
    let (mut orders, stdin) = orders(shared, &config, &pending, plan, (execution, claim));
    orders.node_term = term.map(Path::to_owned);
    let handle = give_orders(shared, room, orders, stdin, plan_files).await?;
    prepare_next(shared);
    let program = StartedAs::of(running, &pending);
    let limit = CostLimit::of(pending.max_cost_nano_usd, &program);
    Ok(Begun { handle, program, limit })
}

async fn give_orders(
    shared: &Shared,
    room: Room,
    orders: Orders,
    stdin: Option<String>,
    files: Vec<(PathBuf, String)>,
) -> Result<Handle, LaunchError> {
    let starter = Arc::clone(&shared.starter);
    tokio::task::spawn_blocking(move || starter.start(&room, &orders, stdin.as_deref(), &files))
        .await
        // It may have given the orders before.
        .map_err(|panic| LaunchError::Uncertain(std::io::Error::other(panic)))?
        .map_err(|error| match error {
            StartError::NotStarted(error) => {
                LaunchError::Impossible(format!("its supervisor could not be started: {error}"))
            }
            StartError::Uncertain(error) => LaunchError::Uncertain(error),
        })
}

/// Has a supervisor ready for the next start, in the background.
pub(super) fn prepare_next(shared: &Shared) {
    let starter = Arc::clone(&shared.starter);
    tokio::task::spawn_blocking(move || starter.prepare());
}

/// What was accepted under earlier settings gets no more than today's settings give.
fn narrow_again(pending: &mut Pending, config: &AgentConfig) -> Result<(), LaunchError> {
    if let Some(model) = &pending.model_requested
        && !config.models.contains(model)
    {
        let reason = format!("its agent does not list the model {model} any more");
        return Err(LaunchError::Impossible(reason));
    }
    if let (Some(wanted), Some(own)) = (&mut pending.allowed_tools, &config.allowed_tools) {
        wanted.retain(|tool| own.contains(tool));
    }
    pending.timeout_s = pending.timeout_s.min(config.timeout_s);
    pending.max_turns = least(pending.max_turns, config.max_turns);
    pending.max_cost_nano_usd = least(pending.max_cost_nano_usd, config.max_cost_nano_usd);
    if !config.allow_system_prompt && pending.system_prompt.is_some() {
        let reason = "its agent does not permit a system prompt any more";
        return Err(LaunchError::Impossible(reason.to_owned()));
    }
    Ok(())
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Does what a start needs beside a claim: reads what was accepted, and makes room for the run.
pub(super) async fn prepare(shared: &Shared, execution: ExecutionId) -> Result<Task, LaunchError> {
    let starter = Arc::clone(&shared.starter);
    let room = tokio::task::spawn_blocking(move || starter.make_room(execution));
    let (room, accepted) = tokio::join!(room, accepted(shared, execution));
    let (pending, message, system_prompt) = accepted?;
    let failed =
        |why: String| LaunchError::Impossible(format!("its directory can't be made: {why}"));
    let room = room
        .map_err(|panic| failed(panic.to_string()))?
        .map_err(|error| failed(error.to_string()))?;
    Ok(Task { room, pending, message, system_prompt })
}

async fn accepted(
    shared: &Shared,
    execution: ExecutionId,
) -> Result<(Pending, String, Option<String>), LaunchError> {
    let stream = StreamName::execution(execution);
    let first = shared.ledger.store().read_stream(&stream, 0, 1, With::Contents).await?;
    let unreadable =
        || LaunchError::Impossible(format!("the first event of {stream} is not readable"));
    let recorded = first.first().ok_or_else(unreadable)?;
    let event = recorded.event().map_err(|_| unreadable())?;
    let Event::Execution(ExecutionEvent::Pending(pending)) = event else {
        return Err(unreadable());
    };
    let erased =
        || LaunchError::Impossible("its message was erased before it was started".to_owned());
    let message = recorded.text(&pending.message).ok_or_else(erased)?.to_owned();
    let system_prompt = match &pending.system_prompt {
        Some(reference) => Some(recorded.text(reference).ok_or_else(erased)?.to_owned()),
        None => None,
    };
    Ok((*pending, message, system_prompt))
}

/// What the supervisor is told, and what its agent is given on standard input.
fn orders(
    shared: &Shared,
    config: &AgentConfig,
    pending: &Pending,
    plan: Plan,
    (execution, claim): (ExecutionId, ClaimId),
) -> (Orders, Option<String>) {
    let mut env = plan.env;
    env.extend(config.env.clone());
    let own = [
        ("EXECUTION_LEDGER_URL", shared.options.ledger_url.clone()),
        ("EXECUTION_LEDGER_KEY", shared.secret.token(execution, claim)),
        ("EXECUTION_LEDGER_AGENT", pending.agent.to_string()),
        (MARKER_VARIABLE, execution.to_string()),
    ];
    env.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    if let Some(session) = pending.chat_session_id {
        env.insert("EXECUTION_LEDGER_SESSION_ID".to_owned(), session.to_string());
    }
    let mut env_allow = plan.env_allow;
    env_allow.extend(config.env_allow.iter().cloned());
    let default_cwd = || shared.options.work.join(pending.agent.as_str());
    let orders = Orders {
        version: FORMAT_VERSION,
        execution_id: execution,
        claim,
        agent: pending.agent.clone(),
        argv: plan.argv,
        env,
        env_allow,
        env_from: config.env_from.clone(),
        cwd: config.cwd.as_ref().map_or_else(default_cwd, PathBuf::from),
        make_cwd: config.cwd.is_none(),
        run_as: config.run_as.clone(),
        stdin_from_file: plan.stdin.is_some(),
        timeout_ms: pending.timeout_s.saturating_mul(1_000),
        lease_ms: pending.timeout_s.saturating_add(limits::LEASE_MARGIN_S).saturating_mul(1_000),
        grace_ms: config.grace_s.saturating_mul(1_000),
        drain_ms: DRAIN_MS,
        output_max_bytes: shared.options.output_max_bytes,
        memory_max_bytes: config.memory_max_bytes,
        node_term: None,
    };
    (orders, plan.stdin)
}
