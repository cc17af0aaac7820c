//! The handle by which the read models are run and asked.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::{AgentName, ExecutionId, Scope, Timestamp};
use execution_ledger_store::{EventStore, LogId, Position, Recorded};
use tokio::sync::watch;

use crate::health::{Behind, Health};
use crate::model::{
    Activity, AgentRow, Announcement, Bucket, Capacity, Costs, ExecutionRecord, OpenExecution,
    Stats, Timeline,
};
use crate::query::{
    ActivityQuery, At, CostsQuery, ExecutionFilters, ExecutionQuery, Page, QueryError, Seen,
};

/// How the read models are kept.
#[derive(Clone, Copy, Debug)]
pub struct ViewsOptions {
    /// Connections that read at once.
    pub readers: usize,
}

impl Default for ViewsOptions {
    fn default() -> Self {
        Self { readers: 4 }
    }
}

/// Why the read models can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be used.
    #[error("the read models' file can't be used: {0}")]
    File(#[from] std::io::Error),
    /// The file can't be used.
    #[error("the read models' file can't be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// The read models. Cheap to clone.
#[derive(Clone)]
pub struct Views {}

#[expect(unused_variables, clippy::unused_async, reason = "signatures first")]
impl Views {
    /// Over the file at `path`, which is made, or made anew, as needed by [`Views::run`].
    pub fn open(path: &Path, store: Arc<dyn EventStore>, options: ViewsOptions) -> Result<Self, OpenError> { todo!() }

    /// Follows the log until `shutdown` is done: first a rebuild where one is needed, then what was
    /// missed, then live. Returns early only where the read models can't go on; [`Views::health`]
    /// says why. To be called once.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send + 'static) { todo!() }

    /// Which log.
    pub fn log_id(&self) -> &LogId { todo!() }

    /// Position of the last event that the read models have seen; all of them move together.
    pub fn position(&self) -> Position { todo!() }

    /// The same, to be watched.
    pub fn positions(&self) -> watch::Receiver<Position> { todo!() }

    /// What the read models are doing.
    pub fn health(&self) -> Health { todo!() }

    /// The same, to be watched; also how far a rebuild is.
    pub fn health_changes(&self) -> watch::Receiver<Health> { todo!() }

    /// Waits until the read models have seen `position`.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Behind> { todo!() }

    /// Position of the last event that was recorded at `time` or before: what `as_of=TIME` means.
    pub async fn position_at(&self, time: Timestamp) -> Result<Position, QueryError> { todo!() }

    /// A page of executions.
    pub async fn executions(&self, scope: &Scope, at: At, query: &ExecutionQuery) -> Result<Seen<Page<ExecutionRecord>>, QueryError> { todo!() }

    /// One execution with its texts whole; nothing where there is none that the scope covers.
    pub async fn execution(&self, scope: &Scope, at: At, id: ExecutionId) -> Result<Seen<Option<ExecutionRecord>>, QueryError> { todo!() }

    /// One execution and the events of its stream that it was folded from, with their texts.
    pub async fn execution_with_events(&self, scope: &Scope, at: At, id: ExecutionId) -> Result<Seen<Option<(ExecutionRecord, Vec<Recorded>)>>, QueryError> { todo!() }

    /// Counts and sums.
    pub async fn stats(&self, scope: &Scope, at: At, filters: &ExecutionFilters) -> Result<Seen<Stats>, QueryError> { todo!() }

    /// Executions divided into parts, without gaps in time.
    pub async fn timeline(&self, scope: &Scope, at: At, filters: &ExecutionFilters, bucket: Bucket) -> Result<Seen<Timeline>, QueryError> { todo!() }

    /// A page of the activity panel, the newest first.
    pub async fn activities(&self, scope: &Scope, at: At, query: &ActivityQuery) -> Result<Seen<Page<Activity>>, QueryError> { todo!() }

    /// What an event means to those who watch activities; nothing for most events. Reads the
    /// execution's stream, so it needs no projection to have seen the event.
    pub async fn announcement(&self, recorded: &Recorded) -> Result<Option<Announcement>, QueryError> { todo!() }

    /// Sums of costs.
    pub async fn costs(&self, scope: &Scope, at: At, query: &CostsQuery) -> Result<Seen<Costs>, QueryError> { todo!() }

    /// All agents, by name. An agent's scope covers itself alone.
    pub async fn agents(&self, scope: &Scope, at: At) -> Result<Seen<Vec<AgentRow>>, QueryError> { todo!() }

    /// One agent.
    pub async fn agent(&self, scope: &Scope, at: At, name: &AgentName) -> Result<Seen<Option<AgentRow>>, QueryError> { todo!() }

    /// An agent's slots and queue, now. Executions beyond the scope are counted, not named.
    pub async fn capacity(&self, scope: &Scope, name: &AgentName) -> Result<Seen<Option<Capacity>>, QueryError> { todo!() }

    /// All executions that have not ended, the oldest first, and all agents: one consistent read.
    pub async fn open_work(&self) -> Result<(Position, Vec<OpenExecution>, Vec<AgentRow>), QueryError> { todo!() }
}
