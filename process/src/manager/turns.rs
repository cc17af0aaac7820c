//! Turns of chat sessions: what one goes on from, and what its agent is given.

use execution_ledger_domain::agent::{AgentConfig, PromptBy, Runtime};
use execution_ledger_domain::execution::{
    CancelCause, Command, ExecutionEvent, Outcome, Pending, Rejection, TurnContext,
};
use execution_ledger_domain::session::Session;
use execution_ledger_domain::{Event, ExecutionId, SessionId, StreamName, limits};
use execution_ledger_store::{EventStore, ExecuteError, Position, Recorded, StoreError, With};

use super::Shared;
use super::effects::command_on;
use super::told::{self, ToldResult};

/// Turns of a session that are looked through at a time for an agent's session to resume.
const LOOK_BACK_PAGE: usize = 20;
/// Turns that are looked through in all. A session whose last turns all failed before their agent
/// said in which session of its own it was goes on without one.
const LOOK_BACK_MAX: usize = 200;
/// Events of an execution that are read from its beginning, so that its ending is among them: moves
/// in its queue are the most that can come before.
const TURN_EVENTS_MAX: usize = 2 * limits::QUEUE_MOVES_MAX as usize;

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
    let resumed_session_id =
        match last_agent_session(&**shared.ledger.store(), execution, &turns, config.runtime)
            .await?
        {
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
    store: &dyn EventStore,
    execution: ExecutionId,
    turns: &[ExecutionId],
    runtime: Runtime,
) -> Result<Option<String>, StoreError> {
    let others: Vec<_> = turns.iter().rev().filter(|turn| **turn != execution).copied().collect();
    let looked_at = &others[..others.len().min(LOOK_BACK_MAX)];
    for page in looked_at.chunks(LOOK_BACK_PAGE) {
        let streams: Vec<_> = page.iter().map(|turn| StreamName::execution(*turn)).collect();
        let read = store.read_streams(&streams, TURN_EVENTS_MAX, With::EventsOnly).await?;
        let mut found = Vec::new();
        for events in read {
            found.extend(ended_in(&events, runtime)?);
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
) -> Result<Option<(Position, String)>, StoreError> {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use execution_ledger_domain::execution::{Evidence, Execution, Exit, FailureCode, Observation};
    use execution_ledger_domain::{Actor, AgentName, ClaimId, Content, Timestamp, UserName};
    use execution_ledger_store::{Context, Ledger, SqliteOptions, SqliteStore, SystemClock};
    use uuid::Uuid;

    use super::*;

    struct World {
        ledger: Ledger,
        _folder: tempfile::TempDir,
    }

    fn id(number: u128) -> ExecutionId {
        ExecutionId(Uuid::from_u128(number))
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("events.db");
            let store = SqliteStore::open(&path, SqliteOptions::default()).expect("a log");
            Self { ledger: Ledger::new(store, Arc::new(SystemClock)), _folder: folder }
        }

        async fn give(&self, number: u128, command: Command, texts: &[Content]) {
            let context = Context {
                actor: Actor::system("test"),
                correlation_id: Some("story".to_owned()),
                causation_id: None,
                traceparent: None,
            };
            let stream = StreamName::execution(id(number));
            let done = self.ledger.execute::<Execution>(&stream, command, texts, &context).await;
            done.expect("allowed");
        }

        /// A turn that runs.
        async fn begin(&self, number: u128, runtime: Runtime) {
            let (agent, user) = (AgentName::new("a"), UserName::new("u"));
            let (agent, user) = (agent.expect("a name"), user.expect("a name"));
            let text = Content::new([7; 16], "hello");
            let task = execution_ledger_domain::given::task(agent, user, Timestamp::MAX);
            let task = Pending { message: text.reference(), ..task };
            self.give(number, Command::Submit(Box::new(task)), &[text]).await;
            let (claim, now) = (ClaimId(id(number).0), self.ledger.now());
            let turn = TurnContext::default();
            self.give(number, Command::Start { claim, now, runtime, turn, node: None }, &[]).await;
        }

        /// Ends it in one of the agent's own sessions, or in none.
        async fn end(&self, number: u128, agent_session: Option<&str>) {
            let now = self.ledger.now();
            let observed = Observation {
                exit: Some(Exit::Code(1)),
                evidence: Evidence::Failure { code: FailureCode::AgentError, message: None },
                agent_session_id: agent_session.map(str::to_owned),
                ..execution_ledger_domain::given::observed(ClaimId(id(number).0), now)
            };
            self.give(number, Command::Finish(Box::new(observed)), &[]).await;
        }

        async fn resumed_by(&self, number: u128, turns: &[u128]) -> Option<String> {
            let turns: Vec<_> = turns.iter().copied().map(id).collect();
            let store = &**self.ledger.store();
            let found = last_agent_session(store, id(number), &turns, Runtime::Demo).await;
            found.expect("read")
        }
    }

    #[tokio::test]
    async fn a_turn_goes_on_with_what_ended_last_and_not_with_what_was_posted_last() {
        let world = World::new();
        for number in 1..=3 {
            world.begin(number, Runtime::Demo).await;
        }
        world.end(2, Some("two")).await;
        world.end(1, Some("one")).await;
        assert_eq!(world.resumed_by(4, &[1, 2, 3, 4]).await.as_deref(), Some("one"));
        world.end(3, None).await;
        assert_eq!(world.resumed_by(4, &[1, 2, 3, 4]).await.as_deref(), Some("one"));
    }

    #[tokio::test]
    async fn messages_without_an_execution_and_turns_of_another_program_are_passed_over() {
        let world = World::new();
        world.begin(1, Runtime::Demo).await;
        world.end(1, Some("one")).await;
        world.begin(2, Runtime::ClaudeCode).await;
        world.end(2, Some("two")).await;
        // As many as are looked at together, and one more.
        let mut turns = vec![1, 2];
        turns.extend((0..=LOOK_BACK_PAGE as u128).map(|number| 100 + number));
        assert_eq!(world.resumed_by(9, &turns).await.as_deref(), Some("one"));
        assert_eq!(world.resumed_by(9, &[2]).await, None);
        assert_eq!(world.resumed_by(9, &[]).await, None);
        turns.extend((0..LOOK_BACK_MAX as u128).map(|number| 1_000 + number));
        assert_eq!(world.resumed_by(9, &turns).await, None, "not for ever");
    }
}
