//! Carrying out effects: taking slots, claiming, stopping runs, ending waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{
    Command, Execution, ExecutionEvent, FailureCode, Rejection, Running, TurnContext,
};
use execution_ledger_domain::policy::Effect;
use execution_ledger_domain::{
    Actor, AgentName, ClaimId, Content, ExecutionId, NodeId, StreamName,
};
use execution_ledger_store::{Context, ExecuteError};
use uuid::Uuid;

use super::launch::prepare;
use super::{Shared, injection, retry, runs, turns};
use crate::failpoint;
use crate::orders::supervisor_signal;
use crate::salt;

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
        Ok(()) => {
            failpoint::reach("manager.slot_taken");
            Some(Fence { claim, node: Some(station.me()), term: Some(term) })
        }
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
