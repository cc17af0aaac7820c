//! The list of executions at a moment, and what happened between two.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::{AgentName, Event, ExecutionId, StreamName};
use execution_ledger_projections::{ExecutionRecord, Status};
use execution_ledger_store::{EventStore, LogPosition, Position, Recorded, With};
use serde::Serialize;

use super::{HistoryError, READ_AT_ONCE};

/// Executions that a list names: most.
pub const LIST_MAX: usize = 10_000;
/// Events of an execution that are folded: far more than any rule lets there be.
const STREAM_EVENTS_MAX: usize = 1_000;
/// Executions whose streams are read at a time.
const STREAMS_AT_ONCE: usize = 100;
/// Texts of a list are cut here, in characters.
const TEXT_MAX_CHARS: usize = 1_000;

/// How many executions there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// In all.
    pub total: u64,
    /// By their status.
    pub by_status: BTreeMap<&'static str, u64>,
}

/// The executions at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct List {
    /// The moment.
    pub position: String,
    /// All that there were.
    pub counts: Counts,
    /// The newest of them, the newest first.
    pub executions: Vec<ExecutionRecord>,
}

/// The newest executions, at most `limit` (and [`LIST_MAX`]), of one agent or of all, as they were
/// at a position. Reads the log up to there; memory grows with `limit` and with what is open at
/// once, not with the log. `progress` is told the position that was reached.
///
/// # Errors
/// [`HistoryError`].
pub async fn list_at(
    store: &Arc<dyn EventStore>,
    until: Position,
    agent: Option<&AgentName>,
    limit: usize,
    mut progress: impl FnMut(Position),
) -> Result<List, HistoryError> {
    let limit = limit.min(LIST_MAX);
    let mut fold =
        Fold { agent, limit, open: HashMap::new(), newest: VecDeque::new(), counts: [0; 5] };
    let mut at = Position::START;
    while at < until {
        let page = store.read_all(at, READ_AT_ONCE, With::EventsOnly).await?;
        if page.is_empty() {
            break;
        }
        for recorded in &page {
            at = recorded.position;
            if at > until {
                break;
            }
            fold.take(recorded)?;
        }
        progress(at.min(until));
    }
    let by_status = Status::ALL.iter().zip(fold.counts);
    let counts = Counts {
        total: fold.counts.iter().sum(),
        by_status: by_status.map(|(status, count)| (status.as_str(), count)).collect(),
    };
    let newest: Vec<_> = fold.newest.into_iter().rev().collect();
    let executions = records(store, &newest, until).await?;
    let position = LogPosition { log: store.log_id().clone(), position: until }.to_string();
    Ok(List { position, counts, executions })
}

/// What is kept of the log while it is read.
struct Fold<'a> {
    agent: Option<&'a AgentName>,
    limit: usize,
    /// What has not ended.
    open: HashMap<ExecutionId, Status>,
    /// The newest, the oldest of them first.
    newest: VecDeque<ExecutionId>,
    counts: [u64; 5],
}

impl Fold<'_> {
    fn take(&mut self, recorded: &Recorded) -> Result<(), HistoryError> {
        let Some(id) = recorded.stream.execution_id() else { return Ok(()) };
        let event = recorded.event().map_err(|source| HistoryError::Event {
            position: recorded.position.number(),
            source,
        })?;
        let Event::Execution(event) = event else { return Ok(()) };
        match (&event, self.open.get(&id).copied()) {
            (ExecutionEvent::Pending(pending), None)
                if recorded.revision == 0
                    && self.agent.is_none_or(|agent| *agent == pending.agent) =>
            {
                self.open.insert(id, Status::Pending);
                self.counts[Status::Pending as usize] += 1;
                self.newest.push_back(id);
                if self.newest.len() > self.limit {
                    self.newest.pop_front();
                }
            }
            (ExecutionEvent::Running(_), Some(Status::Pending)) => {
                self.open.insert(id, Status::Running);
                self.moved(Status::Pending, Status::Running);
            }
            (ExecutionEvent::Completed(_), Some(before)) => self.end(id, before, Status::Completed),
            (ExecutionEvent::Failed(_), Some(before)) => self.end(id, before, Status::Failed),
            (ExecutionEvent::Cancelled(_), Some(before)) => self.end(id, before, Status::Cancelled),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, id: ExecutionId, before: Status, after: Status) {
        self.open.remove(&id);
        self.moved(before, after);
    }

    fn moved(&mut self, before: Status, after: Status) {
        self.counts[before as usize] -= 1;
        self.counts[after as usize] += 1;
    }
}

/// The records of executions at a position, in the order of the ids; what was not there then is
/// left out. Long texts are cut.
pub(crate) async fn records(
    store: &Arc<dyn EventStore>,
    ids: &[ExecutionId],
    until: Position,
) -> Result<Vec<ExecutionRecord>, HistoryError> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(STREAMS_AT_ONCE) {
        let streams: Vec<_> = ids.iter().map(|id| StreamName::execution(*id)).collect();
        for events in store.read_streams(&streams, STREAM_EVENTS_MAX, With::Contents).await? {
            let record = ExecutionRecord::fold(&events, until).map_err(|source| {
                let position = events.first().map_or(0, |event| event.position.number());
                HistoryError::Event { position, source }
            })?;
            if let Some(mut record) = record {
                record.cut_texts(TEXT_MAX_CHARS);
                found.push(record);
            }
        }
    }
    Ok(found)
}
