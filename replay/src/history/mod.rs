//! What was, at any moment: states folded from the log, event by event, and from nothing else.

mod compare;
mod list;
mod moment;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use execution_ledger_domain::wire::WireError;
use execution_ledger_domain::{
    Actor, AgentName, Event, EventId, ExecutionId, KeyId, ScheduleId, SessionId, StreamName,
    Timestamp,
};
use execution_ledger_store::{EventStore, LogPosition, Position, Recorded, StoreError, With};
use serde::Serialize;
use serde_json::Value;

pub use compare::{Change, changes};
pub(crate) use list::records;
pub use list::{Counts, LIST_MAX, List, list_at};
pub use moment::{Moment, MomentError};
pub use state::State;

/// The longest stream that is replayed, in events.
pub const REPLAY_EVENTS_MAX: usize = 100_000;
/// Events of a stream that are read at a time.
pub(crate) const READ_AT_ONCE: usize = 1_000;

/// What is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A run of a task.
    Execution(ExecutionId),
    /// A chat.
    Session(SessionId),
    /// An agent and its settings.
    Agent(AgentName),
    /// A schedule.
    Schedule(ScheduleId),
    /// A key.
    Key(KeyId),
}

impl Subject {
    /// The stream of its events.
    pub fn stream(&self) -> StreamName {
        match self {
            Self::Execution(id) => StreamName::execution(*id),
            Self::Session(id) => StreamName::session(*id),
            Self::Agent(name) => StreamName::agent(name),
            Self::Schedule(id) => StreamName::schedule(*id),
            Self::Key(id) => StreamName::key(*id),
        }
    }
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event can't be understood.
    #[error("event {position} can't be understood: {source}")]
    Event {
        /// Its number in the log.
        position: u64,
        /// Why.
        source: WireError,
    },
    /// An event's metadata can't be understood.
    #[error("the metadata of event {position} can't be understood: {source}")]
    Metadata {
        /// Its number in the log.
        position: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// The stream is longer than any rule lets one become.
    #[error("the stream has more than {REPLAY_EVENTS_MAX} events")]
    TooLong,
}

/// One event, and what it changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its place in the log, with the log's id.
    pub position: String,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its id.
    pub event_id: EventId,
    /// `category.fact`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// The event or request that led to it.
    pub causation_id: String,
    /// What it changed in the state.
    pub changes: Vec<Change>,
}

/// The events of one stream up to a moment.
pub struct Replay {
    log: Arc<dyn EventStore>,
    events: Vec<(Recorded, Event)>,
}

impl Replay {
    /// Reads the events up to and including a position; none where there were none by then.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn read(
        store: &Arc<dyn EventStore>,
        subject: &Subject,
        until: Position,
    ) -> Result<Self, HistoryError> {
        let (stream, mut events) = (subject.stream(), Vec::new());
        loop {
            let from = events.len() as u64;
            let page = store.read_stream(&stream, from, READ_AT_ONCE, With::Contents).await?;
            let whole = page.len() < READ_AT_ONCE;
            for recorded in page {
                if recorded.position > until {
                    return Ok(Self { log: Arc::clone(store), events });
                }
                let event = recorded.event().map_err(|source| {
                    let position = recorded.position.number();
                    HistoryError::Event { position, source }
                })?;
                events.push((recorded, event));
            }
            if whole {
                return Ok(Self { log: Arc::clone(store), events });
            }
            if events.len() >= REPLAY_EVENTS_MAX {
                return Err(HistoryError::TooLong);
            }
        }
    }

    /// How many events there were.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The data of the event of this number, from 0.
    pub(crate) fn data(&self, number: usize) -> Option<Value> {
        self.events.get(number).and_then(|(recorded, _)| serde_json::from_str(&recorded.data).ok())
    }

    /// The state after the first `events` events; null before there was any.
    pub fn state(&self, events: usize) -> Value {
        let first = self.events.iter().take(events);
        first.fold(State::default(), |state, (recorded, event)| state.after(recorded, event)).told()
    }

    /// The event of this number, from 0, and what it changed; none where there are not so many.
    ///
    /// # Errors
    /// [`HistoryError::Metadata`].
    pub fn step(&self, number: usize) -> Result<Option<Step>, HistoryError> {
        let Some((recorded, _)) = self.events.get(number) else { return Ok(None) };
        let changes = changes(&self.state(number), &self.state(number + 1));
        self.told(recorded, changes).map(Some)
    }

    /// All events in their order, each with what it changed.
    ///
    /// # Errors
    /// [`HistoryError::Metadata`].
    pub fn steps(&self) -> Result<Vec<Step>, HistoryError> {
        let (mut state, mut before) = (State::default(), Value::Null);
        let mut steps = Vec::with_capacity(self.events.len());
        for (recorded, event) in &self.events {
            state = state.after(recorded, event);
            let after = state.told();
            steps.push(self.told(recorded, changes(&before, &after))?);
            before = after;
        }
        Ok(steps)
    }

    fn told(&self, recorded: &Recorded, changes: Vec<Change>) -> Result<Step, HistoryError> {
        let metadata = recorded.parsed_metadata().map_err(|source| HistoryError::Metadata {
            position: recorded.position.number(),
            source,
        })?;
        let log = self.log.log_id().clone();
        Ok(Step {
            position: LogPosition { log, position: recorded.position }.to_string(),
            revision: recorded.revision,
            event_id: recorded.id,
            type_name: recorded.type_name.clone(),
            recorded_at: recorded.recorded_at,
            actor: metadata.actor,
            causation_id: metadata.causation_id,
            changes,
        })
    }
}
