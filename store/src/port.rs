//! The port: what an event store must be able to do, and the words for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::wire::WireError;
use execution_ledger_domain::{Actor, Content, ContentRef, Event, EventId, StreamName, Timestamp};
use serde::{Deserialize, Serialize};

/// Which log this is. A log restored from a backup is another log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogId(Arc<str>);

impl LogId {
    /// From its text: 1 to 32 lower-case letters and digits.
    pub fn new(text: &str) -> Result<Self, PositionError> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if fits { Ok(Self(text.into())) } else { Err(PositionError::Malformed) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a log. Only its order has a meaning: adapters choose the numbers, gaps are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);
    /// After every event.
    pub const END: Self = Self(u64::MAX);

    /// From an adapter's number, which is above zero for every event and below 2^63.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The adapter's number: for adapters and for columns of read models.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A position with its log's id: the opaque text that clients are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// Which log.
    pub log: LogId,
    /// Where in it.
    pub position: Position,
}

/// Why a text is no position of this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// Not made by this ledger.
    #[error("this is no position that a ledger gave out")]
    Malformed,
    /// Made by another log, for example before a restore from a backup.
    #[error("this position belongs to the log {given}, but this ledger holds the log {own}")]
    OtherLog {
        /// The log of the position.
        given: LogId,
        /// The log of this ledger.
        own: LogId,
    },
}

impl LogPosition {
    /// The position that a client's text stands for, if it is one of the log `own`.
    pub fn parse_for(own: &LogId, text: &str) -> Result<Position, PositionError> {
        let parsed: Self = text.parse()?;
        if parsed.log == *own {
            Ok(parsed.position)
        } else {
            Err(PositionError::OtherLog { given: parsed.log, own: own.clone() })
        }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.log, self.position.0)
    }
}

impl FromStr for LogPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (log, number) = text.split_once('-').ok_or(PositionError::Malformed)?;
        let canonical = !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
            && (number == "0" || !number.starts_with('0'));
        let number: i64 = number.parse().map_err(|_| PositionError::Malformed)?;
        if !canonical {
            return Err(PositionError::Malformed);
        }
        let position = Position(u64::try_from(number).map_err(|_| PositionError::Malformed)?);
        Ok(Self { log: LogId::new(log)?, position })
    }
}

/// What an event's metadata says: who, in which story, because of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Who caused the event.
    pub actor: Actor,
    /// The story that it belongs to: the root execution, or the request where there is none.
    #[serde(rename = "$correlationId")]
    pub correlation_id: String,
    /// The event or request that led to it.
    #[serde(rename = "$causationId")]
    pub causation_id: String,
    /// W3C trace context of the request, where the caller sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// An event to be appended, in its stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Made once for an append and kept by its retries.
    pub id: EventId,
    /// `category.fact`.
    pub type_name: String,
    /// Schema version of the data.
    pub version: u32,
    /// [`Metadata`] as JSON.
    pub metadata: String,
    /// The event's data as JSON.
    pub data: String,
    /// The texts that lie beside it, in the order in which the event refers to them.
    pub contents: Vec<Content>,
}

impl NewEvent {
    /// What the event counts towards the limit of an append, in bytes.
    pub fn bytes(&self) -> usize {
        let contents: usize = self.contents.iter().map(|content| content.text.len()).sum();
        self.type_name.len() + self.metadata.len() + self.data.len() + contents
    }
}

/// A text beside a stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredContent {
    /// The digest that the event refers to it by.
    pub sha256: Digest,
    /// The text; absent once it was erased.
    pub content: Option<Content>,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its id.
    pub id: EventId,
    /// `category.fact`.
    pub type_name: String,
    /// Schema version of the data.
    pub version: u32,
    /// When the store took it; never decreases along the log.
    pub recorded_at: Timestamp,
    /// [`Metadata`] as JSON, byte for byte as stored.
    pub metadata: String,
    /// The event's data as JSON, byte for byte as stored.
    pub data: String,
    /// The texts beside it; empty where the read did not ask for them.
    pub contents: Vec<StoredContent>,
}

impl Recorded {
    /// The event, through upcasters where it is an old version.
    pub fn event(&self) -> Result<Event, WireError> {
        Event::from_stored(&self.type_name, self.version, &self.data)
    }

    /// The metadata.
    pub fn parsed_metadata(&self) -> Result<Metadata, serde_json::Error> {
        serde_json::from_str(&self.metadata)
    }

    /// The text that the event refers to, unless it was erased or not asked for.
    pub fn text(&self, reference: &ContentRef) -> Option<&str> {
        self.contents
            .iter()
            .find(|stored| stored.sha256 == reference.sha256)
            .and_then(|stored| stored.content.as_ref())
            .map(|content| content.text.as_str())
    }
}

/// What the appender believes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedRevision {
    /// It has no event yet.
    NoStream,
    /// Its last event has this revision.
    Exact(u64),
    /// Anything: for imports, tests of adapters, and streams without rules.
    Any,
}

/// A text beside a stored event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentPlace {
    /// The event.
    pub event_id: EventId,
    /// The digest that it refers to the text by.
    pub sha256: Digest,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the last of its events.
    pub position: Position,
    /// Revision of the last of its events.
    pub revision: u64,
    /// When the store took them.
    pub recorded_at: Timestamp,
}

/// Whether a read brings the texts beside the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// Events and their texts.
    Contents,
    /// Events alone.
    EventsOnly,
}

/// Why the store can't do what it should: a fault, not a rule.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room left; nothing was changed.
    #[error("the disk is full: the event log can't grow; free some space, nothing was changed")]
    DiskFull,
    /// It takes no more work: it is closing, or its writer has failed.
    #[error("the event log takes no more work: {0}")]
    Closed(String),
    /// More is waiting than it takes; nothing was changed.
    #[error("the event log is busy: {0} appends are waiting; try again")]
    Busy(usize),
    /// It did not answer in time; whether the append happened is unknown.
    #[error("the event log did not answer within {0} s")]
    TimedOut(u64),
    /// Nobody answers where it is; nothing was changed.
    #[error("the event log can't be reached: {0}; nothing was changed")]
    Unreachable(String),
    /// Anything else that went wrong below.
    #[error("the event log failed: {0}")]
    Fault(String),
}

/// Since when a store can't be reached, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub problem: String,
}

/// Why an append was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended first.
    #[error("the stream is at another revision than expected ({current:?})")]
    WrongExpectedRevision {
        /// Its last revision; `None` where it has no event.
        current: Option<u64>,
    },
    /// Larger than one append may be.
    #[error("an append of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// No event, or more events or texts than a store takes; says which limit.
    #[error("{0}")]
    Malformed(&'static str),
    /// An event id that stands at another place already.
    #[error("an event with the id {0} is stored already")]
    DuplicateEventId(EventId),
    /// A fault of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Events in the order of the log, shared between all that follow it.
pub type Batch = Arc<[Recorded]>;

/// What a [`Subscription`] reads from: an adapter's side of it.
#[async_trait]
pub trait Feed: Send {
    /// The next events, never empty, without a gap or a duplicate; waits for new ones at the head.
    /// `None` once the store is closed.
    async fn next(&mut self) -> Option<Result<Batch, StoreError>>;
}

/// A reader of the log from a position on: first what is stored, then what comes, each event once.
/// Batches bring the texts beside the events.
pub struct Subscription(Box<dyn Feed>);

impl Subscription {
    /// Around an adapter's feed.
    pub fn new(feed: impl Feed + 'static) -> Self {
        Self(Box::new(feed))
    }

    /// The next events; waits for new ones at the head. `None` once the store is closed. Safe to
    /// cancel: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Batch, StoreError>> {
        self.0.next().await
    }
}

/// Texts that one append takes away: most.
pub const ERASE_MAX_PLACES: usize = 1_024;

/// Events that [`EventStore::read_at`] reads of a stream at a time.
const KNOWN_PAGE_EVENTS: usize = 100;

/// An event store.
///
/// Guarantees that every adapter gives and the contract suite checks:
/// - an acknowledged append is durable; all of its events are stored, one after the other, or none;
/// - revisions of a stream are 0, 1, 2, … without gaps; positions grow along the log;
/// - a read or a subscription never sees an event before it is durable;
/// - repeating an append with the same event ids at the same expected revision answers as the first
///   time and stores nothing;
/// - `recorded_at` never decreases along the log.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Which log this is.
    fn log_id(&self) -> &LogId;

    /// Appends events to one stream: 1 or more, together at most
    /// [`execution_ledger_domain::limits::APPEND_MAX_BYTES`].
    async fn append(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<Appended, AppendError> {
        self.append_erasing(stream, expected, events, Vec::new()).await
    }

    /// Appends events to one stream and takes texts away, with their salts: both or neither. The
    /// digests of the texts stay. A place that holds no text of that digest any more is left as it
    /// is, so repeating this does no harm. A store that can't do both at once first appends, and
    /// finishes what it began when it is opened the next time.
    ///
    /// Nobody is served such a text from then on; [`EventStore::scrub`] sees to what is left of it in
    /// files. At most [`ERASE_MAX_PLACES`] places.
    async fn append_erasing(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
        places: Vec<ContentPlace>,
    ) -> Result<Appended, AppendError>;

    /// Overwrites what is left of erased texts in the store's files: free room, journals. False where
    /// readers that hold an old state kept it from doing so; then the next opening does it.
    async fn scrub(&self) -> Result<bool, StoreError>;

    /// Events of one stream from a revision on, at most `limit`; empty where there are none.
    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// The first events of several streams, at most `limit` of each, in the order of the streams.
    /// An adapter may read them at once; this reads one after the other.
    async fn read_streams(
        &self,
        streams: &[StreamName],
        limit: usize,
        with: With,
    ) -> Result<Vec<Vec<Recorded>>, StoreError> {
        let mut all = Vec::with_capacity(streams.len());
        for stream in streams {
            all.push(self.read_stream(stream, 0, limit, with).await?);
        }
        Ok(all)
    }

    /// Of each of these streams the events at positions that the caller knows, which ascend; what
    /// stands elsewhere is left out. An adapter may go straight to the positions; this reads the
    /// streams up to the last of them.
    async fn read_at(
        &self,
        known: &[(StreamName, Vec<Position>)],
        with: With,
    ) -> Result<Vec<Vec<Recorded>>, StoreError> {
        let mut all = Vec::with_capacity(known.len());
        for (stream, positions) in known {
            let mut events = Vec::with_capacity(positions.len());
            let (mut revision, mut more) = (0, !positions.is_empty());
            while more {
                let page = self.read_stream(stream, revision, KNOWN_PAGE_EVENTS, with).await?;
                revision += page.len() as u64;
                more = page.last().is_some_and(|last| Some(&last.position) < positions.last());
                events.extend(page.into_iter().filter(|e| positions.contains(&e.position)));
            }
            all.push(events);
        }
        Ok(all)
    }

    /// Events of all streams after a position, at most `limit`; empty at the head, and only there.
    /// Fewer than `limit` need not mean the head: large events make short pages.
    async fn read_all(
        &self,
        after: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// Events of one stream from a revision on, backwards, at most `limit`; from its end where the
    /// revision is above the last. Empty where there are none.
    async fn read_stream_backwards(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// Events of all streams before a position, backwards, at most `limit`; from the head where the
    /// position is above it. Empty before the first event, and only there; fewer than `limit` need
    /// not mean that: large events make short pages.
    async fn read_all_backwards(
        &self,
        before: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// Position of the last event that was recorded at `time` or before, of those up to `until`;
    /// [`Position::START`] where there is none. This reads one event for each halving of the log; an
    /// adapter that can't read from any position finds it otherwise.
    async fn position_at(&self, time: Timestamp, until: Position) -> Result<Position, StoreError> {
        // `low` is recorded in time, or the start; whatever comes after `high` is not, or too far.
        let (mut low, mut high) = (0, until.min(self.head().await?).number());
        while low < high {
            let middle = low + (high - low) / 2;
            let read = self.read_all(Position(middle), 1, With::EventsOnly).await?;
            match read.first() {
                Some(next) if next.recorded_at <= time && next.position.0 <= high => {
                    low = next.position.0;
                }
                Some(_) | None => high = middle,
            }
        }
        Ok(Position(low))
    }

    /// Position of the last event; [`Position::START`] of an empty log.
    async fn head(&self) -> Result<Position, StoreError>;

    /// Follows the log from after a position.
    async fn subscribe(&self, after: Position) -> Result<Subscription, StoreError>;

    /// Since when the store can't be reached, and why; none where it can. A store on this machine
    /// always can.
    fn unreachable(&self) -> Option<Unreachable> {
        None
    }

    /// Takes no more appends, finishes those that wait, ends all subscriptions.
    async fn close(&self);
}
