//! Records of executions, folded from the events that made them. Those of one answer lie far apart in
//! both files, so several readers fetch them side by side.

use std::future::Future;

use execution_ledger_domain::{ExecutionId, StreamName};
use execution_ledger_store::{Position, Recorded, StoreError, With};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::task::JoinSet;

use crate::columns;
use crate::model::ExecutionRecord;
use crate::query::{At, QueryError};
use crate::views::Views;

/// Events of an execution's stream that are read: far more than the rules let one become, but for
/// corrections of its cost.
pub(super) const STREAM_EVENTS_MAX: usize = 1_000;
/// Readers that fetch the records of one answer: most. Each waits for the disk where what it reads is
/// not in memory.
const PARTS_MAX: usize = 4;
/// Records that are worth a reader of their own.
const PART_MIN: usize = 8;

/// The events that a record is folded from: its stream and where in the log they stand. What is not
/// among them changes no record: moves within a queue, and signals.
const EVENTS_OF_ROW: &str = "SELECT id, started_position, cancellation_position, ended_position, \
    settled_position, corrected FROM executions WHERE no = ?";
/// The last correction is the one that counts.
const CORRECTION: &str =
    "SELECT max(position) FROM cost_corrections WHERE no = ?1 AND position <= ?2";

impl Views {
    /// The records of these executions as of `position`, in their order; nothing for one that the log
    /// did not hold by then.
    pub(super) async fn records(
        &self,
        ids: &[ExecutionId],
        position: Position,
        with: With,
    ) -> Result<Vec<Option<ExecutionRecord>>, QueryError> {
        let streams = ids.iter().map(|id| StreamName::execution(*id)).collect();
        let views = self.clone();
        in_parts(streams, move |part| {
            let views = views.clone();
            async move {
                let events = views.store().read_streams(&part, STREAM_EVENTS_MAX, with).await?;
                events.iter().map(|events| fold(events, position)).collect()
            }
        })
        .await
    }

    /// The same of executions by their numbers, which a question as of that position, or a later one,
    /// has found.
    pub(super) async fn records_by_number(
        &self,
        numbers: Vec<i64>,
        position: Position,
        with: With,
    ) -> Result<Vec<Option<ExecutionRecord>>, QueryError> {
        let views = self.clone();
        in_parts(numbers, move |part| {
            let views = views.clone();
            async move {
                let find = move |connection: &Connection, _| events_of(connection, &part, position);
                let known = views.ask(At::Now, find).await?.value;
                let events = views.store().read_at(&known, with).await?;
                events.iter().map(|events| fold(events, position)).collect()
            }
        })
        .await
    }
}

/// Where the events of these executions up to a position stand.
fn events_of(
    connection: &Connection,
    numbers: &[i64],
    until: Position,
) -> Result<Vec<(StreamName, Vec<Position>)>, QueryError> {
    let until = columns::number(until.number());
    let mut select = connection.prepare_cached(EVENTS_OF_ROW)?;
    let mut correction = connection.prepare_cached(CORRECTION)?;
    let mut known = Vec::with_capacity(numbers.len());
    for no in numbers {
        let row = select.query_row([no], |row| {
            let changed: [Option<i64>; 4] = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
            Ok((ExecutionId(columns::uuid(row, 0)?), changed, row.get::<_, bool>(5)?))
        });
        let Some((id, changed, corrected)) = row.optional()? else { continue };
        let mut positions = vec![*no];
        positions.extend(changed.into_iter().flatten().filter(|position| *position <= until));
        if corrected {
            let last: Option<i64> = correction.query_row(params![no, until], |row| row.get(0))?;
            positions.extend(last);
        }
        positions.sort_unstable();
        positions.dedup();
        let place = |number: i64| Position::new(number.unsigned_abs());
        known.push((StreamName::execution(id), positions.into_iter().map(place).collect()));
    }
    Ok(known)
}

/// The record after these events up to a position.
pub(super) fn fold(
    events: &[Recorded],
    position: Position,
) -> Result<Option<ExecutionRecord>, QueryError> {
    ExecutionRecord::fold(events, position)
        .map_err(|error| QueryError::Unreadable(error.to_string()))
}

/// Does a job with parts of the items side by side, where there are enough of them, and answers what it
/// makes of them in their order.
async fn in_parts<T, R, J, F>(items: Vec<T>, job: J) -> Result<Vec<R>, QueryError>
where
    T: Send + 'static,
    R: Send + 'static,
    J: Fn(Vec<T>) -> F,
    F: Future<Output = Result<Vec<R>, QueryError>> + Send + 'static,
{
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let parts = (items.len() / PART_MIN).clamp(1, PARTS_MAX);
    if parts == 1 {
        return job(items).await;
    }
    let size = items.len().div_ceil(parts);
    let mut jobs = JoinSet::new();
    let mut items = items.into_iter();
    for number in 0..parts {
        let part = job(items.by_ref().take(size).collect());
        jobs.spawn(async move { (number, part.await) });
    }
    let mut done: Vec<Vec<R>> = (0..parts).map(|_| Vec::new()).collect();
    while let Some(joined) = jobs.join_next().await {
        let (number, part) =
            joined.map_err(|panic| StoreError::Fault(format!("a reader panicked: {panic}")))?;
        done[number] = part?;
    }
    Ok(done.into_iter().flatten().collect())
}
