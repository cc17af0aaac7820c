//! The one write path: load, fold, decide, append; on a conflict, again.

use std::convert::Infallible;
use std::sync::Arc;

use execution_ledger_domain::{
    Actor, Aggregate, Content, ContentRef, Digest, Event, EventId, StreamName, Timestamp,
};
use uuid::Uuid;

use crate::clock::Clock;
use crate::port::{
    AppendError, Appended, ContentPlace, EventStore, ExpectedRevision, Metadata, NewEvent,
    Position, Recorded, StoreError, With,
};

/// How often a command is decided again after somebody else appended first.
const CONFLICTS_MAX: u32 = 16;
/// Events of a stream read at a time.
const STREAM_PAGE: usize = 1_000;
/// Longest stream that is folded, in events: far above what any rule lets a stream become.
const STREAM_EVENTS_MAX: usize = 100_000;

/// Who gives a command, and in which story.
#[derive(Clone, Debug)]
pub struct Context {
    /// Who.
    pub actor: Actor,
    /// The story: the root execution, or the request where there is none.
    ///
    /// Without it, the story of the stream's first event.
    pub correlation_id: Option<String>,
    /// The event or request that led to the command.
    ///
    /// Without it, the last event of the stream: the ledger's own acts follow from what it saw there.
    pub causation_id: Option<String>,
    /// W3C trace context of the request, where the caller sent one.
    pub traceparent: Option<String>,
}

/// What a command led to.
#[derive(Clone, Debug)]
pub struct Executed<A: Aggregate> {
    /// The events that it appended; empty where it was so already.
    pub events: Vec<A::Event>,
    /// The state after them.
    pub state: A,
    /// Position of the stream's last event.
    pub position: Position,
    /// When that one was recorded.
    pub recorded_at: Timestamp,
    /// The stream's last event; none where it has no event.
    pub head: Option<StreamHead>,
}

/// Why a command led to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R: std::error::Error + 'static> {
    /// A rule refused it.
    #[error(transparent)]
    Refused(R),
    /// Others kept appending first.
    #[error("the stream changed {CONFLICTS_MAX} times while the command was decided; try again")]
    Contended,
    /// A stored event of the stream can't be read.
    #[error("a stored event of this stream can't be read: {0}")]
    Unreadable(String),
    /// Larger than one append may be.
    #[error("an append of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The one write path. Nothing else appends.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
}

struct Loaded<A> {
    state: A,
    /// Metadata of the first event.
    first: Option<String>,
    last: Option<StreamHead>,
}

/// The last event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHead {
    /// Its place in the stream.
    pub revision: u64,
    /// Its place in the log.
    pub position: Position,
    /// When the store took it.
    pub recorded_at: Timestamp,
    /// Its id.
    pub id: EventId,
}

impl StreamHead {
    /// Of a stream that ends with this event.
    pub fn of(recorded: &Recorded) -> Self {
        Self {
            revision: recorded.revision,
            position: recorded.position,
            recorded_at: recorded.recorded_at,
            id: recorded.id,
        }
    }
}

impl Ledger {
    /// Over a store and a clock.
    pub fn new(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The state of a stream, folded from its events.
    pub async fn load<A: Aggregate>(
        &self,
        stream: &StreamName,
    ) -> Result<A, ExecuteError<A::Rejection>> {
        Ok(self.loaded::<A>(stream).await?.state)
    }

    /// Decides a command on a stream and appends what follows, with the texts that the events refer
    /// to.
    pub async fn execute<A: Aggregate>(
        &self,
        stream: &StreamName,
        command: A::Command,
        contents: &[Content],
        context: &Context,
    ) -> Result<Executed<A>, ExecuteError<A::Rejection>> {
        let loaded = self.loaded::<A>(stream).await?;
        self.decide_and_append(stream, loaded, command, contents, context).await
    }

    /// Like [`Ledger::execute`], for a stream that most likely has no event yet: not read before.
    pub async fn execute_new<A: Aggregate>(
        &self,
        stream: &StreamName,
        command: A::Command,
        contents: &[Content],
        context: &Context,
    ) -> Result<Executed<A>, ExecuteError<A::Rejection>> {
        let loaded = Loaded { state: A::default(), first: None, last: None };
        self.decide_and_append(stream, loaded, command, contents, context).await
    }

    /// Like [`Ledger::execute`], from a state that the caller knows already: what the stream's events
    /// up to `head` lead to. Only what has been appended since is read, and only on a conflict, so
    /// the stream may be of any length. The context must name the story.
    pub async fn execute_from<A: Aggregate>(
        &self,
        stream: &StreamName,
        (state, head): (A, StreamHead),
        command: A::Command,
        contents: &[Content],
        context: &Context,
    ) -> Result<Executed<A>, ExecuteError<A::Rejection>> {
        let loaded = Loaded { state, first: None, last: Some(head) };
        self.decide_and_append(stream, loaded, command, contents, context).await
    }

    /// Appends facts to a stream that has no rules: nothing is decided, so nothing is read before.
    /// One append, one story.
    pub async fn note(
        &self,
        stream: &StreamName,
        facts: &[Event],
        context: &Context,
    ) -> Result<Position, ExecuteError<Infallible>> {
        let metadata = metadata(context, None, None);
        let new = facts.iter().map(|fact| stored_form(fact, &[], &metadata)).collect();
        match self.store.append(stream, ExpectedRevision::Any, new).await {
            Ok(appended) => Ok(appended.position),
            Err(AppendError::TooLarge { bytes, max }) => Err(ExecuteError::TooLarge { bytes, max }),
            Err(AppendError::Store(fault)) => Err(fault.into()),
            Err(other) => Err(StoreError::Fault(other.to_string()).into()),
        }
    }

    /// Like [`Ledger::execute`]; with what is appended, the texts at the places that `erases` names
    /// are gone, both or neither. Where nothing follows from the command nothing is erased.
    pub async fn execute_erasing<A: Aggregate>(
        &self,
        stream: &StreamName,
        command: A::Command,
        contents: &[Content],
        context: &Context,
        erases: impl Fn(&[A::Event]) -> Vec<ContentPlace> + Send + Sync,
    ) -> Result<Executed<A>, ExecuteError<A::Rejection>> {
        let loaded = self.loaded::<A>(stream).await?;
        let append = |expected, decided: &[A::Event], new| {
            let places = erases(decided);
            self.store.append_erasing(stream, expected, new, places)
        };
        self.decide_until_stored(stream, loaded, command, contents, context, append).await
    }

    async fn decide_and_append<A: Aggregate>(
        &self,
        stream: &StreamName,
        loaded: Loaded<A>,
        command: A::Command,
        contents: &[Content],
        context: &Context,
    ) -> Result<Executed<A>, ExecuteError<A::Rejection>> {
        let append = |expected, _: &[A::Event], new| self.store.append(stream, expected, new);
        self.decide_until_stored(stream, loaded, command, contents, context, append).await
    }

    async fn decide_until_stored<A: Aggregate, F>(
        &self,
        stream: &StreamName,
        mut loaded: Loaded<A>,
        command: A::Command,
        contents: &[Content],
        context: &Context,
        append: impl Fn(ExpectedRevision, &[A::Event], Vec<NewEvent>) -> F,
    ) -> Result<Executed<A>, ExecuteError<A::Rejection>>
    where
        F: Future<Output = Result<Appended, AppendError>>,
    {
        let contents: Vec<_> = contents.iter().map(|c| (c.reference().sha256, c)).collect();
        for _ in 0..CONFLICTS_MAX {
            let decided = loaded.state.decide(command.clone()).map_err(ExecuteError::Refused)?;
            if decided.is_empty() {
                let position = loaded.last.map_or(Position::START, |last| last.position);
                let recorded_at = loaded.last.map_or_else(|| self.now(), |last| last.recorded_at);
                return Ok(Executed {
                    events: decided,
                    state: loaded.state,
                    position,
                    recorded_at,
                    head: loaded.last,
                });
            }
            let expected = loaded
                .last
                .map_or(ExpectedRevision::NoStream, |last| ExpectedRevision::Exact(last.revision));
            let metadata = metadata(context, loaded.first.as_deref(), loaded.last);
            let new = decided
                .iter()
                .map(|event| stored_form(&event.clone().into(), &contents, &metadata));
            let new: Vec<NewEvent> = new.collect();
            let last_id = new.last().map(|event| event.id);
            match append(expected, &decided, new).await {
                Ok(appended) => {
                    let state = decided.iter().fold(loaded.state, A::evolve);
                    let Appended { position, revision, recorded_at } = appended;
                    let head = |id| StreamHead { revision, position, recorded_at, id };
                    let head = last_id.map(head);
                    return Ok(Executed { events: decided, state, position, recorded_at, head });
                }
                Err(AppendError::WrongExpectedRevision { .. }) => {
                    metrics::counter!("ledger_append_conflicts_total").increment(1);
                    loaded = self.loaded_after(stream, loaded).await?;
                }
                Err(AppendError::TooLarge { bytes, max }) => {
                    return Err(ExecuteError::TooLarge { bytes, max });
                }
                Err(AppendError::Malformed(problem)) => {
                    return Err(StoreError::Fault(problem.to_owned()).into());
                }
                Err(AppendError::DuplicateEventId(id)) => {
                    let fault = format!("a fresh event id {id} is stored already");
                    return Err(StoreError::Fault(fault).into());
                }
                Err(AppendError::Store(fault)) => return Err(fault.into()),
            }
        }
        Err(ExecuteError::Contended)
    }

    async fn loaded<A: Aggregate>(
        &self,
        stream: &StreamName,
    ) -> Result<Loaded<A>, ExecuteError<A::Rejection>> {
        let nothing = Loaded { state: A::default(), first: None, last: None };
        self.loaded_after(stream, nothing).await
    }

    /// The same with what has been appended since.
    async fn loaded_after<A: Aggregate>(
        &self,
        stream: &StreamName,
        known: Loaded<A>,
    ) -> Result<Loaded<A>, ExecuteError<A::Rejection>> {
        let Loaded { mut state, mut first, mut last } = known;
        let start = last.map_or(0, |last| last.revision + 1);
        let mut next_revision = start;
        loop {
            let page = self
                .store
                .read_stream(stream, next_revision, STREAM_PAGE, With::EventsOnly)
                .await?;
            for recorded in &page {
                state = state.evolve(&own_event::<A>(recorded)?);
                if recorded.revision == 0 {
                    first = Some(recorded.metadata.clone());
                }
                last = Some(StreamHead::of(recorded));
                next_revision = recorded.revision + 1;
            }
            if page.len() < STREAM_PAGE {
                return Ok(Loaded { state, first, last });
            }
            if next_revision - start >= STREAM_EVENTS_MAX as u64 {
                let problem = format!("{stream} has more than {STREAM_EVENTS_MAX} events");
                return Err(ExecuteError::Unreadable(problem));
            }
        }
    }
}

fn own_event<A: Aggregate>(recorded: &Recorded) -> Result<A::Event, ExecuteError<A::Rejection>> {
    let problem = |why: &dyn std::fmt::Display| {
        ExecuteError::Unreadable(format!("{}@{}: {why}", recorded.stream, recorded.revision))
    };
    let event = recorded.event().map_err(|error| problem(&error))?;
    A::Event::try_from(event).map_err(|_| problem(&"it belongs to another kind of stream"))
}

fn metadata(context: &Context, first: Option<&str>, last: Option<StreamHead>) -> String {
    let of_first = || Some(serde_json::from_str::<Metadata>(first?).ok()?.correlation_id);
    let correlation_id = context.correlation_id.clone().or_else(of_first).unwrap_or_default();
    let last_event = || last.map(|last| last.id.to_string());
    let causation_id = context.causation_id.clone().or_else(last_event);
    let metadata = Metadata {
        actor: context.actor.clone(),
        causation_id: causation_id.unwrap_or_else(|| correlation_id.clone()),
        correlation_id,
        traceparent: context.traceparent.clone(),
    };
    serde_json::to_string(&metadata)
        .unwrap_or_else(|error| unreachable!("metadata is plain structs and strings: {error}"))
}

/// The event as it is appended, with those of the texts beside it that it refers to.
fn stored_form(event: &Event, contents: &[(Digest, &Content)], metadata: &str) -> NewEvent {
    let (type_name, version) = event.type_and_version();
    let own = |reference: &ContentRef| {
        let (_, content) = contents.iter().find(|(sha256, _)| *sha256 == reference.sha256)?;
        Some((*content).clone())
    };
    NewEvent {
        id: EventId(Uuid::now_v7()),
        type_name: type_name.to_owned(),
        version,
        metadata: metadata.to_owned(),
        data: event.to_json(),
        contents: event.content_refs().iter().filter_map(own).collect(),
    }
}
