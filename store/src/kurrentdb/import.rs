//! Filling a log on a server with the events of another one, just as they were stored there.
//!
//! The log's own stream says that it is being filled before the first event comes, and which log it is
//! after the last: between the two nobody opens it. Events are sent one after the other, those of one
//! stream that follow on one another together; texts come before them, many at once. What was sent and
//! not answered is stored or not: whoever goes on compares, and sends the next ones with the ids and the
//! revisions that they have, which the server takes once.

use std::sync::Arc;

use async_trait::async_trait;
use eventstore::EventData;
use execution_ledger_domain::Timestamp;
use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::appending::wire;
use super::delivery::Parcel;
use super::form::CustomMetadata;
use super::identity::{LOG_BEGUN, LogBegun};
use super::reading::From;
use super::{KurrentOptions, KurrentStore, OpenError, Shared};
use crate::import::{ImportError, NewLog};
use crate::port::{
    AppendError, EventStore as _, ExpectedRevision, LogId, Position, Recorded, StoreError, With,
};

/// Texts of an event that are taken: most; as many as an embedded log holds.
const TEXTS_PER_EVENT_MAX: usize = 16;
/// Events whose texts are sent at once.
const TEXTS_AT_ONCE: usize = 32;
/// Events of one stream that are sent together: most.
const GROUP_EVENTS_MAX: usize = 100;
/// Type of the event that says that a log is being filled.
pub(super) const LOG_FILLING: &str = "log.filling";
/// The id of a log that has none yet.
const NO_LOG_YET: &str = "filling";

/// Says that a log is being filled.
#[derive(Serialize)]
struct LogFilling {}

/// A log on a server that is being filled. Nothing else may write it meanwhile.
pub struct KurrentImport {
    store: Arc<KurrentStore>,
    last_recorded_at: Timestamp,
}

impl KurrentImport {
    /// Begins a log of the prefix, or goes on with one that was not filled to its end.
    ///
    /// # Errors
    /// The server can't be reached, or what it holds can't be used.
    pub async fn open(options: KurrentOptions) -> Result<Self, OpenError> {
        let place = options.connection.to_string();
        let server = |problem: String| OpenError::Server { place: place.clone(), problem };
        let (shared, orders) = Shared::new(options)?;
        let birth = shared.filling().await.map_err(|error| server(error.to_string()))?;
        let nameless = LogId::new(NO_LOG_YET).map_err(|error| server(error.to_string()))?;
        let store = KurrentStore::begun(place, (shared, orders), (nameless, birth), true).await?;
        Ok(Self { store, last_recorded_at: Timestamp::EPOCH })
    }

    /// Events that follow on one another in one stream, as they stand in a row.
    async fn push_group(&self, group: &[Recorded]) -> Result<(), ImportError> {
        let shared = &self.store.shared;
        match shared.deliver_stored(group).await {
            // An attempt that was cut off may have sent the first of them in other company.
            Err(AppendError::WrongExpectedRevision { .. }) if group.len() > 1 => {
                for event in group {
                    let one = std::slice::from_ref(event);
                    shared.deliver_stored(one).await.map_err(|error| refused(event, error))?;
                }
                Ok(())
            }
            delivered => match group.first() {
                Some(first) => delivered.map_err(|error| refused(first, error)),
                None => Ok(()),
            },
        }
    }
}

#[async_trait]
impl NewLog for KurrentImport {
    async fn held(&mut self, after: Position, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        let held = self.store.read_all(after, limit, With::Contents).await?;
        if let Some(last) = held.last() {
            self.last_recorded_at = last.recorded_at;
        }
        Ok(held)
    }

    async fn push(&mut self, events: Vec<Recorded>) -> Result<(), ImportError> {
        let mut before = self.last_recorded_at;
        for event in &events {
            if event.recorded_at < before {
                return Err(ImportError::Time { found: event.recorded_at, before });
            }
            if event.contents.len() > TEXTS_PER_EVENT_MAX {
                let (found, max) = (event.contents.len(), TEXTS_PER_EVENT_MAX);
                return Err(ImportError::TooManyContents { found, max });
            }
            before = event.recorded_at;
        }
        self.store.shared.deliver_texts(&events).await?;
        for group in groups(&events) {
            self.push_group(group).await?;
            let last = group.last().map(|event| event.recorded_at);
            if self.store.shared.marks.is_due(group.len()) {
                self.store.shared.mark(last).await?;
            }
        }
        self.last_recorded_at = before;
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<LogId, ImportError> {
        let log_id = self.store.shared.filled().await;
        self.store.close().await;
        Ok(log_id?)
    }
}

/// Events in a row that can be sent together.
fn groups(events: &[Recorded]) -> Vec<&[Recorded]> {
    let mut groups = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let size = event.type_name.len() + event.metadata.len() + event.data.len();
        let follows = index > from
            && event.stream == events[from].stream
            && event.revision == events[index - 1].revision.saturating_add(1)
            && index - from < GROUP_EVENTS_MAX
            && bytes + size <= APPEND_MAX_BYTES;
        if !follows && index > from {
            groups.push(&events[from..index]);
            (from, bytes) = (index, 0);
        }
        bytes += size;
    }
    if from < events.len() {
        groups.push(&events[from..]);
    }
    groups
}

/// What a refusal means to who fills a log.
fn refused(event: &Recorded, error: AppendError) -> ImportError {
    match error {
        AppendError::Store(fault) => fault.into(),
        AppendError::WrongExpectedRevision { current } => ImportError::Revision {
            stream: event.stream.to_string(),
            found: event.revision,
            expected: current.map_or(0, |revision| revision.saturating_add(1)),
        },
        AppendError::DuplicateEventId(id) => ImportError::DuplicateEventId(id),
        other => StoreError::Fault(other.to_string()).into(),
    }
}

impl Shared {
    /// Sends the texts beside events, of many events at once; those that are there already stay.
    async fn deliver_texts(&self, events: &[Recorded]) -> Result<(), ImportError> {
        let with_texts = events.iter().filter(|event| !event.contents.is_empty());
        let sending: Vec<BoxFuture<'_, _>> =
            with_texts.map(|event| self.deliver_texts_of(event).boxed()).collect();
        futures::stream::iter(sending)
            .buffer_unordered(TEXTS_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await
            .map(drop)
            .map_err(|error| fault(error).into())
    }

    async fn deliver_texts_of(&self, event: &Recorded) -> Result<(), AppendError> {
        for content in event.contents.iter().filter_map(|stored| stored.content.as_ref()) {
            let deadline = Instant::now() + self.line().waits.answer;
            self.append_text(event.id, content, deadline).await?;
        }
        Ok(())
    }

    /// Sends events just as they were stored, their times with them.
    async fn deliver_stored(&self, events: &[Recorded]) -> Result<(), AppendError> {
        let Some(first) = events.first() else { return Ok(()) };
        let expected = match first.revision.checked_sub(1) {
            Some(before) => ExpectedRevision::Exact(before),
            None => ExpectedRevision::NoStream,
        };
        let parcel = Parcel {
            name: self.prefix.stream(&first.stream),
            expected,
            ids: events.iter().map(|event| event.id.0).collect(),
            events: &|_| events.iter().map(as_stored).collect(),
        };
        let deadline = Instant::now() + self.line().waits.answer;
        let placed = self.deliver(&parcel, deadline).await?;
        self.saw(placed.position);
        Ok(())
    }

    /// Says in the log's own stream that it is being filled, where nothing is said of it yet; where that
    /// stands.
    async fn filling(&self) -> Result<Position, StoreError> {
        let name = self.prefix.identity_stream();
        if let Some(first) = self.events_of(&name, From::Revision(0), 1).await?.first() {
            return Ok(Position::new(first.position.commit));
        }
        let id = Uuid::now_v7();
        let event = |_| of_the_log(LOG_FILLING, &LogFilling {}, id);
        match self.append_first(name.clone(), id, &event).await {
            // Somebody else was first: what there is then is compared.
            Ok(()) | Err(AppendError::WrongExpectedRevision { .. }) => {}
            Err(error) => return Err(fault(error)),
        }
        let first = self.events_of(&name, From::Revision(0), 1).await?;
        let first = first.first().map(|first| Position::new(first.position.commit));
        first.ok_or_else(|| StoreError::Fault(format!("{name} can't be read back")))
    }

    /// Says in the log's own stream which log it is now; the id that it has where that was said before.
    async fn filled(&self) -> Result<LogId, StoreError> {
        let name = self.prefix.identity_stream();
        let last = self.events_of(&name, From::End, 1).await?;
        if last.first().is_some_and(|last| last.event_type == LOG_FILLING) {
            let (begun, id) = (LogBegun::draw()?, Uuid::now_v7());
            let deadline = Instant::now() + self.line().waits.answer;
            let event = |_| of_the_log(LOG_BEGUN, &begun, id);
            self.append_own(name.clone(), id, &event, deadline).await.map_err(fault)?;
        }
        let known = self.known_identity(&name).await?.map(|(log_id, _)| log_id);
        known.ok_or_else(|| StoreError::Fault(format!("{name} can't be read back")))
    }
}

/// An event of the log's own stream.
fn of_the_log(type_name: &str, what: &impl Serialize, id: Uuid) -> Vec<EventData> {
    EventData::json(type_name, what).map(|event| event.id(id)).into_iter().collect()
}

fn fault(error: AppendError) -> StoreError {
    match error {
        AppendError::Store(fault) => fault,
        other => StoreError::Fault(other.to_string()),
    }
}

/// An event as it was stored, in the server's form.
fn as_stored(event: &Recorded) -> EventData {
    let custom = CustomMetadata {
        version: event.version,
        recorded_at: event.recorded_at,
        texts: event.contents.iter().map(|stored| stored.sha256).collect(),
        stored: event.metadata.clone(),
    };
    wire(event.id.0, &event.type_name, &event.data, custom.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{event, stream};

    fn recorded(name: &str, revision: u64, bytes: usize) -> Recorded {
        let new = event(0);
        Recorded {
            position: Position::START,
            stream: stream(name),
            revision,
            id: new.id,
            type_name: new.type_name,
            version: new.version,
            recorded_at: Timestamp::EPOCH,
            metadata: new.metadata,
            data: format!("\"{}\"", "x".repeat(bytes)),
            contents: Vec::new(),
        }
    }

    fn sizes(events: &[Recorded]) -> Vec<usize> {
        groups(events).iter().map(|group| group.len()).collect()
    }

    #[test]
    fn what_follows_in_one_stream_goes_together_and_the_order_of_the_log_stays() {
        assert!(sizes(&[]).is_empty());
        let events = [("a", 0), ("a", 1), ("b", 0), ("a", 2), ("a", 3), ("a", 5), ("b", 1)];
        let events: Vec<_> = events.map(|(name, revision)| recorded(name, revision, 1)).into();
        assert_eq!(sizes(&events), [2, 1, 2, 1, 1]);
        let together: Vec<_> = groups(&events).concat();
        assert_eq!(together, events);
    }

    #[test]
    fn no_group_is_larger_than_an_append_may_be() {
        let small: Vec<_> = (0..250).map(|revision| recorded("a", revision, 1)).collect();
        assert_eq!(sizes(&small), [100, 100, 50]);
        let large: Vec<_> =
            (0..3).map(|revision| recorded("a", revision, APPEND_MAX_BYTES / 2)).collect();
        assert_eq!(sizes(&large), [1, 1, 1]);
    }
}
