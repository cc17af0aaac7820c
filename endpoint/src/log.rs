//! What can be served: a log of events in streams.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

/// Revision of a tombstone, which is the last event of a stream that will never have another.
pub const TOMBSTONE_REVISION: u64 = i64::MAX as u64;

/// An event as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Its place in the log, above 0.
    pub position: u64,
    /// Its stream.
    pub stream: String,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its id, chosen by who appended it.
    pub id: Uuid,
    /// Its type.
    pub type_name: String,
    /// Whether the data are JSON.
    pub json: bool,
    /// When the log took it, in ticks of 100 ns since 1970.
    pub created: i64,
    /// Custom metadata.
    pub metadata: Bytes,
    /// Data.
    pub data: Bytes,
}

impl LogEvent {
    /// About what it takes in memory and on the wire, in bytes.
    pub fn bytes(&self) -> usize {
        /// Ids, numbers and names of fields.
        const OVERHEAD: usize = 160;
        OVERHEAD + self.stream.len() + self.type_name.len() + self.metadata.len() + self.data.len()
    }
}

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Its id; a repeated append has the same ones.
    pub id: Uuid,
    /// Its type.
    pub type_name: String,
    /// Whether the data are JSON.
    pub json: bool,
    /// Custom metadata.
    pub metadata: Bytes,
    /// Data.
    pub data: Bytes,
}

/// What an appender believes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// It has no event.
    NoStream,
    /// It has one.
    Exists,
    /// Its last event has this revision.
    Exact(u64),
}

impl Expected {
    /// The number that stands for it in the protocol's texts.
    pub fn number(self) -> i64 {
        match self {
            Self::Any => -2,
            Self::NoStream => -1,
            Self::Exists => -4,
            Self::Exact(revision) => i64::try_from(revision).unwrap_or(i64::MAX),
        }
    }
}

/// Where a page of the whole log lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllFrom {
    /// Forwards, after this position.
    After(u64),
    /// Backwards, before this position.
    Before(u64),
}

/// Where a page of a stream lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFrom {
    /// Forwards, from this revision on.
    UpFrom(u64),
    /// Backwards, from this revision on.
    DownFrom(u64),
}

/// A page of the whole log.
#[derive(Debug, Default)]
pub struct AllPage {
    /// The events, in the order in which they were asked for.
    pub events: Vec<LogEvent>,
    /// Whether the log ends here, or begins, read backwards.
    pub last: bool,
}

/// A page of a stream.
#[derive(Debug)]
pub enum StreamPage {
    /// There is no such stream, or it was deleted.
    Missing,
    /// It was deleted for ever.
    Tombstoned,
    /// It is there.
    Found {
        /// Its events, in the order in which they were asked for; perhaps none though more follow.
        events: Vec<LogEvent>,
        /// Where the next page lies; `None` at the end.
        next: Option<StreamFrom>,
    },
}

/// What an append or a removal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The stream's last revision; `None` where it has no event.
    pub revision: Option<u64>,
    /// Position of the last event that it wrote, now or the first time; `None` where it wrote none.
    pub position: Option<u64>,
}

/// Why the log could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// It is closing, or busy; trying again helps.
    #[error("the log can't answer now: {0}")]
    Unavailable(String),
    /// Something else went wrong.
    #[error("the log failed: {0}")]
    Fault(String),
}

/// Why nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The stream is not as expected.
    #[error("the stream is at another revision than expected ({current:?})")]
    WrongExpected {
        /// Its last revision; `None` where it has no event.
        current: Option<u64>,
    },
    /// The stream was deleted.
    #[error("the stream is deleted")]
    StreamDeleted,
    /// More than an append may hold.
    #[error("an append holds at most {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// Nobody may write there.
    #[error("{0}")]
    Denied(String),
    /// It can't be understood.
    #[error("{0}")]
    Malformed(String),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// How a stream is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its events are hidden; it may be appended to again.
    Delete,
    /// It is gone for ever.
    Tombstone,
}

/// A log that can be served. All calls are bounded in time and in what they answer.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// A page of the whole log, of at most `limit` events. Empty only where the log ends.
    async fn read_all(&self, from: AllFrom, limit: usize) -> Result<AllPage, LogError>;

    /// Whether the whole log can be read from a position: it is an event's, or lies outside of the
    /// log.
    async fn is_place(&self, position: u64) -> Result<bool, LogError>;

    /// A page of a stream, of at most `limit` events.
    async fn read_stream(
        &self,
        stream: &str,
        from: StreamFrom,
        limit: usize,
    ) -> Result<StreamPage, LogError>;

    /// Position of the last event, told to whoever follows; ends when the log is closed.
    fn head(&self) -> watch::Receiver<u64>;

    /// Changes whenever a stream may have new events; ends when the log is closed.
    fn changes(&self, stream: &str) -> watch::Receiver<u64>;

    /// Appends events to a stream: all or none. Repeated with the same ids it answers as before.
    async fn append(
        &self,
        stream: String,
        expected: Expected,
        events: Vec<Proposed>,
    ) -> Result<Written, WriteError>;

    /// Removes a stream.
    async fn remove(
        &self,
        stream: String,
        expected: Expected,
        removal: Removal,
    ) -> Result<Written, WriteError>;
}
