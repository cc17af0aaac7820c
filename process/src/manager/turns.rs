//! Turns of chat sessions: what one goes on from, and what its agent is given.

use execution_ledger_domain::agent::{AgentConfig, PromptBy, Runtime};
use execution_ledger_domain::execution::{
    CancelCause, Command, ExecutionEvent, Outcome, Pending, Rejection, TurnContext,
};
use execution_ledger_domain::session::Session;
use execution_ledger_domain::{Event, ExecutionId, SessionId, StreamName, limits};
use execution_ledger_store::{ExecuteError, Recorded, StoreError, With};

use super::Shared;
use super::launch::command_on;
use super::told::{self, ToldResult};

/// Turns of a session that are looked through at a time for an agent's session to resume.
const LOOK_BACK_PAGE: usize = 20;
/// Turns that are looked through in all. A session whose last turns all failed before their agent
/// said in which session of its own it was goes on without one.
const LOOK_BACK_MAX: usize = 200;
/// Events of a turn that are read: far more than a turn has.
const TURN_EVENTS_MAX: usize = 200;

/// What a chat turn goes on from; nothing where its session was closed before it could start: then it
/// is cancelled here.
///
/// # Errors
/// Where the log or the read models can't say it now: then the turn waits, because an agent that is
/// not told of a result once is never told of it.
pub(super) async fn context(
    shared: &Shared,
    execution: ExecutionId,
    session_id: SessionId,
    config: &AgentConfig,
) -> Result<Option<TurnContext>, ExecuteError<Rejection>> {
    let session = load(shared, session_id).await?;
    let Session::Open { opened, turns } = session else {
        let cause = CancelCause::SessionClosed;
        command_on(shared, execution, Command::Cancel { cause }, &[]).await?;
        return Ok(None);
    };
    let resumed_session_id = match last_agent_session(shared, execution, &turns, config).await? {
        Some(last) => Some(last),
        None => opened.continues.map(|continued| continued.agent_session_id),
    };
    let told = untold(shared, execution, session_id, config).await?;
    Ok(Some(TurnContext { resumed_session_id, told }))
}

/// A session as the log has it now.
pub(super) async fn load(shared: &Shared, session: SessionId) -> Result<Session, StoreError> {
    let stream = StreamName::session(session);
    shared.ledger.load::<Session>(&stream).await.map_err(|error| match error {
        ExecuteError::Store(fault) => fault,
        other => StoreError::Fault(other.to_string()),
    })
}

/// The agent's own session of the turn that ended last, run by the same program.
async fn last_agent_session(
    shared: &Shared,
    execution: ExecutionId,
    turns: &[ExecutionId],
    config: &AgentConfig,
) -> Result<Option<String>, StoreError> {
    let others: Vec<_> = turns.iter().rev().filter(|turn| **turn != execution).copied().collect();
    let looked_at = &others[..others.len().min(LOOK_BACK_MAX)];
    for page in looked_at.chunks(LOOK_BACK_PAGE) {
        let streams: Vec<_> = page.iter().map(|turn| StreamName::execution(*turn)).collect();
        let with = With::EventsOnly;
        let read = shared.ledger.store().read_streams(&streams, TURN_EVENTS_MAX, with).await?;
        let mut found = Vec::new();
        for events in read {
            found.extend(ended_in(&events, config.runtime)?);
        }
        // The order of their endings may be another than that of their messages: queues are changed.
        if let Some((_, session)) = found.into_iter().max_by_key(|(position, _)| *position) {
            return Ok(Some(session));
        }
    }
    Ok(None)
}

/// When a turn ended, and in which of the agent's own sessions.
fn ended_in(
    events: &[Recorded],
    wanted: Runtime,
) -> Result<Option<(execution_ledger_store::Position, String)>, StoreError> {
    let mut runtime = None;
    for recorded in events {
        let Event::Execution(event) = event_of(recorded)? else { continue };
        if let ExecutionEvent::Running(running) = &event {
            runtime = Some(running.runtime);
        }
        let session = event.report().and_then(|report| report.agent_session_id.clone());
        if let (Some(session), true) = (session, runtime == Some(wanted)) {
            return Ok(Some((recorded.position, session)));
        }
    }
    Ok(None)
}

fn event_of(recorded: &Recorded) -> Result<Event, StoreError> {
    recorded
        .event()
        .map_err(|error| StoreError::Fault(format!("an event of {}: {error}", recorded.stream)))
}

/// The results that the turn's agent is told of: as many of those that no turn was told of as find
/// room beside the message.
async fn untold(
    shared: &Shared,
    execution: ExecutionId,
    session: SessionId,
    config: &AgentConfig,
) -> Result<Vec<ExecutionId>, StoreError> {
    let head = shared.ledger.store().head().await?;
    let untold = shared.sessions.untold_results(session, head, told::RESULTS_MAX).await?;
    if untold.is_empty() {
        return Ok(untold);
    }
    let stream = StreamName::execution(execution);
    let first = shared.ledger.store().read_stream(&stream, 0, 1, With::EventsOnly).await?;
    let message_bytes = match first.first().map(event_of).transpose()? {
        Some(Event::Execution(ExecutionEvent::Pending(pending))) => {
            usize::try_from(pending.message.bytes).unwrap_or(usize::MAX)
        }
        _ => usize::MAX,
    };
    let results = results(shared, &untold).await?;
    let count = told::fitting(&results, message_bytes, longest(config));
    Ok(untold[..count.min(untold.len())].to_vec())
}

/// How long a message may be together with the note, in bytes.
fn longest(config: &AgentConfig) -> usize {
    match (config.runtime, config.prompt) {
        // Long messages go by standard input, which has no limit; the note has one of its own.
        (Runtime::ClaudeCode | Runtime::Demo, _) | (_, PromptBy::Stdin) => usize::MAX,
        (_, PromptBy::Argument) => limits::MESSAGE_AS_ARGUMENT_MAX_BYTES,
    }
}

/// What the agent is given: the message, and before it the results that it is told of.
pub(super) async fn message(
    shared: &Shared,
    told: &[ExecutionId],
    message: String,
) -> Result<String, StoreError> {
    if told.is_empty() {
        return Ok(message);
    }
    Ok(told::with_note(&results(shared, told).await?, &message))
}

async fn results(
    shared: &Shared,
    executions: &[ExecutionId],
) -> Result<Vec<ToldResult>, StoreError> {
    let streams: Vec<_> = executions.iter().map(|id| StreamName::execution(*id)).collect();
    let with = With::Contents;
    let read = shared.ledger.store().read_streams(&streams, TURN_EVENTS_MAX, with).await?;
    executions.iter().zip(read).map(|(id, events)| result(*id, &events)).collect()
}

fn result(execution: ExecutionId, events: &[Recorded]) -> Result<ToldResult, StoreError> {
    let mut result =
        ToldResult { execution, outcome: Outcome::Failed, code: None, asked: None, result: None };
    for recorded in events {
        let Event::Execution(event) = event_of(recorded)? else { continue };
        let text = |reference| recorded.text(reference).map(str::to_owned);
        if let ExecutionEvent::Pending(pending) = &event {
            let Pending { message, .. } = &**pending;
            result.asked = text(message);
        }
        let Some(outcome) = event.outcome() else { continue };
        result.outcome = outcome;
        let answer = event.report().and_then(|report| report.response);
        result.result = answer.as_ref().and_then(text);
        if let ExecutionEvent::Failed(failed) = &event {
            result.code = Some(failed.code.as_str());
            result.result = result.result.or_else(|| failed.message.as_ref().and_then(text));
        }
    }
    Ok(result)
}
