//! The event store: the port, its adapters, and [`Ledger`], the one write path.
//!
//! The port is as narrow as an event store can be: append to one stream at an expected revision,
//! read a stream, read everything after a position, follow everything from a position. Nothing
//! needs two streams in one transaction, so an embedded file and a cluster can both stand behind it.

mod clock;
pub mod contract;
mod import;
pub mod kurrentdb;
mod ledger;
mod nodes;
mod port;
pub mod readers;
pub mod sqlite;

pub use clock::{Clock, ManualClock, SystemClock};
pub use import::{ImportError, NewLog};
pub use ledger::{Context, ExecuteError, Executed, Ledger, StreamHead};
pub use nodes::{Beat, LastBeat, MemoryBoard, NodeBoard};
pub use port::{
    AppendError, Appended, Batch, ContentPlace, ERASE_MAX_PLACES, EventStore, ExpectedRevision,
    Feed, LogId, LogPosition, Metadata, NewEvent, Position, PositionError, Recorded, StoreError,
    StoredContent, Subscription, Unreachable, With,
};
pub use sqlite::{OpenError, SqliteOptions, SqliteStore};
