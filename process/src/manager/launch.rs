//! Carrying out effects: taking slots, starting supervisors, stopping runs, ending waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::agent::{AgentConfig, Runtime};
use execution_ledger_domain::execution::{
    Command, Execution, ExecutionEvent, FailureCode, Pending, Rejection, Running, TurnContext,
};
use execution_ledger_domain::policy::Effect;
use execution_ledger_domain::{
    Actor, AgentName, ClaimId, Content, Event, ExecutionId, NodeId, StreamName, limits,
};
use execution_ledger_store::{Context, ExecuteError, StoreError, With};
use uuid::Uuid;

use super::cost_limit::CostLimit;
use super::observe::StartedAs;
use super::{Shared, injection, retry, runs, turns};
use crate::failpoint;
use crate::orders::{FORMAT_VERSION, MARKER_VARIABLE, Orders, RunFiles, supervisor_signal};
use crate::runtimes::{self, Plan, RunRequest};
use crate::salt;
use crate::supervisor::{Handle, Room, StartError};

/// How long output is drained after the first process has ended.
const DRAIN_MS: u64 = 2_000;
/// How long an effect rests after a rule refused it for now.
const REST_AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// How long an effect rests after the store failed it.
const REST_AFTER_FAULT: Duration = Duration::from_secs(1);
/// How often a claim is tried that the store failed. What is stored all the same after the last
/// attempt is found by the manager's next round.
const CLAIM_ATTEMPTS_MAX: u32 = 10;

/// Does what an effect says. Answers the effect where it led to no event and is to be begun again.
pub(super) async fn carry_out(shared: Arc<Shared>, effect: Effect) -> Option<Effect> {
    let done = match &effect {
        Effect::Start { execution, agent } => {
            let Some(fence) = fence(&shared, *execution, agent).await else {
                tokio::time::sleep(REST_AFTER_REFUSAL).await;
                return Some(effect);
            };
            start(&shared, *execution, agent, fence).await
        }
        Effect::Stop { execution, claim } => {
            if runs::signal(&shared, *execution, *claim, supervisor_signal::CANCEL) {
                return None;
            }
            tokio::time::sleep(REST_AFTER_REFUSAL).await;
            return Some(effect);
        }
        Effect::Lapse { execution, claim } => {
            return runs::lapse(&shared, *execution, *claim).await.then_some(effect);
        }
        Effect::Expire { execution } => expire(&shared, *execution).await,
        Effect::CancelWaiting { execution, cause } => {
            let command = Command::Cancel { cause: *cause };
            command_on(&shared, *execution, command, &[]).await.map(|_| ())
        }
        Effect::Inject { execution, session } => {
            injection::settle(&shared, *execution, *session).await
        }
        Effect::Retry { execution } => retry::follow_up(&shared, *execution).await,
    };
    match done {
        Ok(())
        | Err(ExecuteError::Refused(
            Rejection::AlreadyEnded | Rejection::AlreadyStarted | Rejection::NotFound,
        )) => None,
        Err(ExecuteError::Refused(refused)) => {
            tracing::debug!(?effect, %refused, "an effect came too late");
            tokio::time::sleep(REST_AFTER_REFUSAL).await;
            Some(effect)
        }
        Err(error) => {
            tracing::error!(?effect, %error, "an effect failed and will be repeated");
            tokio::time::sleep(REST_AFTER_FAULT).await;
            Some(effect)
        }
    }
}

/// Gives a command about an execution in the manager's own name; answers its state after it.
pub(super) async fn command_on(
    shared: &Shared,
    execution: ExecutionId,
    command: Command,
    contents: &[Content],
) -> Result<Execution, ExecuteError<Rejection>> {
    let context = Context {
        actor: Actor::system("process_manager"),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
    };
    let stream = StreamName::execution(execution);
    let done = shared.ledger.execute::<Execution>(&stream, command, contents, &context).await?;
    Ok(done.state)
}

async fn expire(shared: &Shared, execution: ExecutionId) -> Result<(), ExecuteError<Rejection>> {
    let message = Content::new(salt()?, FailureCode::QueueExpired.describe());
    let command = Command::Expire { now: shared.ledger.now(), message: message.reference() };
    command_on(shared, execution, command, &[message]).await.map(|_| ())
}

/// By what a start is told from others, and kept from starting beside them.
struct Fence {
    claim: ClaimId,
    node: Option<NodeId>,
    /// The file of the term of this node in which it is claimed.
    term: Option<PathBuf>,
}

/// Where several nodes share the log, takes the slot in the agent's lease before anything is claimed.
/// Nothing where that is not this node's to take, or where it is not known whether it was taken.
async fn fence(shared: &Shared, execution: ExecutionId, agent: &AgentName) -> Option<Fence> {
    let claim = ClaimId(Uuid::now_v7());
    let Some(station) = &shared.station else {
        return Some(Fence { claim, node: None, term: None });
    };
    let epoch = shared.desk.policy().start_epoch(execution);
    let (_, term) = station.term()?;
    match station.take_slot(agent, epoch, execution, claim).await {
        Ok(()) => Some(Fence { claim, node: Some(station.me()), term: Some(term) }),
        Err(refused) => {
            tracing::info!(%execution, %agent, %refused, "a start is left to whoever hosts the agent");
            None
        }
    }
}

async fn start(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    agent: &AgentName,
    fence: Fence,
) -> Result<(), ExecuteError<Rejection>> {
    let Some(config) = shared.desk.config(agent) else { return Ok(()) };
    let session = shared.desk.policy().turn_of(execution);
    let turn = match session {
        None => TurnContext::default(),
        Some(session) => match turns::context(shared, execution, session, &config).await? {
            Some(turn) => turn,
            None => return Ok(()),
        },
    };
    let Fence { claim, node, term } = fence;
    // Looked after from before its claim is in the log, so that nobody else takes it up.
    let entered = runs::enter(shared, execution, claim).in_term(term);
    // What needs no claim is done while it is being made durable.
    let won = win_claim(shared, execution, (claim, node), config.runtime, turn);
    let (running, task) = tokio::join!(won, prepare(shared, execution));
    let running = running?;
    failpoint::reach("manager.claimed");
    // Known at once, not only when the event comes back from the log: the run's token holds while the
    // desk knows of its slot, and the run may be quicker.
    let event = ExecutionEvent::Running(running.clone());
    shared.desk.policy().apply_execution(0, execution, &event);
    // What could not be prepared now is tried again.
    tokio::spawn(runs::begin(entered, running, task.ok()));
    Ok(())
}

/// Appends the claim. Where the store did not say whether it took it, the same claim is tried again,
/// and finding it in the log is a win.
async fn win_claim(
    shared: &Shared,
    execution: ExecutionId,
    (claim, node): (ClaimId, Option<NodeId>),
    runtime: Runtime,
    turn: TurnContext,
) -> Result<Running, ExecuteError<Rejection>> {
    let stream = StreamName::execution(execution);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let command =
            Command::Start { claim, now: shared.ledger.now(), runtime, turn: turn.clone(), node };
        match command_on(shared, execution, command, &[]).await {
            Err(ExecuteError::Refused(Rejection::AlreadyStarted)) => {
                return match shared.ledger.load::<Execution>(&stream).await? {
                    Execution::Running { running, .. } if running.claim == claim => Ok(running),
                    _ => Err(ExecuteError::Refused(Rejection::AlreadyStarted)),
                };
            }
            Err(error @ (ExecuteError::Store(_) | ExecuteError::Contended))
                if attempt < CLAIM_ATTEMPTS_MAX =>
            {
                tracing::error!(%execution, %error, "a claim waits for the log");
                tokio::time::sleep(REST_AFTER_FAULT).await;
            }
            Err(error) => return Err(error),
            Ok(Execution::Running { running, .. }) => return Ok(running),
            Ok(_) => return Err(ExecuteError::Refused(Rejection::NotRunning)),
        }
    }
}

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
