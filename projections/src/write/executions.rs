//! The executions: one row each, with the positions at which it changed, so that its status, cost and
//! model can be told for every position.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use execution_ledger_domain::execution::{ExecutionEvent, Trigger};
use execution_ledger_domain::{ExecutionId, NanoUsd};
use execution_ledger_store::Recorded;
use rusqlite::{Connection, params};

use super::execution_sums::{Counted, Sums};
use super::projection::{ProjectionError, Transition};
use super::row::{self, Row};
use crate::columns;

/// Its name.
pub(super) const NAME: &str = "executions";
/// Raised whenever the same events would lead to other rows.
pub(super) const VERSION: u32 = 7;
/// Open executions that are kept in memory: most. More are read back when they are needed.
const CACHE_MAX: usize = 20_000;

/// `executions`: the columns before `status` never change. `started_position` and `ended_position`
/// bound the intervals in which it was pending, running and ended. `open`: those that have not ended.
/// `cost_corrections`: what a cost was from a position on. The indexes here hold few of the rows: to go
/// over all of them once for each would take longer than to keep them as rows come.
pub(super) const TABLES: &str = "
CREATE TABLE executions(
  no INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  agent TEXT NOT NULL,
  triggered_by INTEGER NOT NULL,
  user TEXT NOT NULL,
  source_agent TEXT,
  created_at INTEGER NOT NULL,
  model_requested TEXT,
  status INTEGER NOT NULL,
  started_position INTEGER,
  cancellation_position INTEGER,
  ended_position INTEGER,
  duration_ms INTEGER,
  ran INTEGER NOT NULL,
  cost_at_end INTEGER,
  cost INTEGER,
  corrected INTEGER NOT NULL,
  model TEXT,
  retry_of BLOB,
  retry_owed INTEGER NOT NULL,
  chat_session BLOB,
  injects INTEGER NOT NULL,
  settled_position INTEGER,
  parent BLOB
);
CREATE UNIQUE INDEX executions_id ON executions(id);
CREATE INDEX executions_source ON executions(source_agent, no) WHERE source_agent IS NOT NULL;
CREATE INDEX executions_retries ON executions(retry_of, no) WHERE retry_of IS NOT NULL;
CREATE INDEX executions_parent ON executions(parent, no) WHERE parent IS NOT NULL;
CREATE INDEX executions_retry_owed ON executions(no) WHERE retry_owed = 1;
CREATE INDEX executions_injection_owed ON executions(no)
  WHERE injects = 1 AND settled_position IS NULL;
CREATE TABLE open(
  no INTEGER PRIMARY KEY,
  agent TEXT NOT NULL,
  running INTEGER NOT NULL,
  chat INTEGER NOT NULL,
  rank INTEGER NOT NULL,
  data TEXT NOT NULL
);
CREATE TABLE cost_corrections(
  no INTEGER NOT NULL,
  position INTEGER NOT NULL,
  cost INTEGER NOT NULL,
  PRIMARY KEY(no, position)
) WITHOUT ROWID;
";

/// A page is read from one of these, or from a few ranges of one of them, so that it costs what it
/// shows, whatever its filters are. What stands after the number spares a look at the rows, and is not
/// compared while the index is made.
pub(super) const INDEXES: &str = "
CREATE INDEX executions_agent_status ON executions(agent, status, triggered_by, no, model);
CREATE INDEX executions_status ON executions(status, triggered_by, no);
CREATE INDEX executions_agent ON executions(agent, no);
CREATE INDEX executions_user ON executions(user, no);
CREATE INDEX executions_model ON executions(model, no) WHERE model IS NOT NULL;
CREATE INDEX executions_agent_cost ON executions(agent, status, triggered_by, cost, no)
  WHERE cost IS NOT NULL;
CREATE INDEX executions_status_cost ON executions(status, triggered_by, cost, no)
  WHERE cost IS NOT NULL;
CREATE INDEX executions_duration
  ON executions(duration_ms, no, agent, status, triggered_by, model, user)
  WHERE duration_ms IS NOT NULL;
CREATE INDEX open_queue ON open(agent, running, chat, rank DESC, no);
";

struct Cached {
    row: Row,
    /// Whether the table has a row of it.
    stored: bool,
    /// Whether the table of open executions has one.
    stored_open: bool,
    dirty: bool,
    /// As what the sums count it; before it was written they don't.
    counted: Option<Counted>,
}

/// The executions that changed, or are open, since the last flush.
#[derive(Default)]
pub(crate) struct Executions {
    rows: HashMap<ExecutionId, Cached>,
    /// What is to be written, by number.
    dirty: Vec<(u64, ExecutionId)>,
    corrections: Vec<(u64, u64, NanoUsd)>,
    sums: Sums,
}

impl Executions {
    /// Takes in an event of an execution. Nothing where it does not fit, as in the domain's fold.
    pub fn fold(
        &mut self,
        connection: &Connection,
        recorded: &Recorded,
        event: &ExecutionEvent,
    ) -> Result<Option<Transition<'_>>, ProjectionError> {
        let Some(id) = recorded.stream.execution_id() else {
            let problem = format!("an execution's event in the stream {}", recorded.stream);
            return Err(ProjectionError::Poison(problem));
        };
        let cached = match self.rows.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match (stored(connection, id, recorded)?, event) {
                (Some(row), _) => {
                    let stored_open = row.open.is_some();
                    let counted = Some(Counted::of(&row));
                    place.insert(Cached { row, stored: true, stored_open, dirty: false, counted })
                }
                (None, ExecutionEvent::Pending(pending)) => {
                    let row = Row::accepted(id, recorded, pending);
                    self.dirty.push((row.no, id));
                    let new = Cached {
                        row,
                        stored: false,
                        stored_open: false,
                        dirty: true,
                        counted: None,
                    };
                    return Ok(Some(Transition { before: None, row: &place.insert(new).row }));
                }
                (None, _) => return Ok(None),
            },
        };
        let before = cached.row.status;
        if !cached.row.apply(recorded, event) {
            return Ok(None);
        }
        if !cached.dirty {
            cached.dirty = true;
            self.dirty.push((cached.row.no, id));
        }
        if let ExecutionEvent::CostCorrected(corrected) = event {
            let position = recorded.position.number();
            self.corrections.push((cached.row.no, position, corrected.cost_nano_usd));
        }
        Ok(Some(Transition { before: Some(before), row: &cached.row }))
    }

    /// Writes what changed, in the order of the rows.
    pub fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.dirty.sort_unstable();
        let mut insert = connection.prepare_cached(row::INSERT)?;
        let mut update = connection.prepare_cached(row::UPDATE)?;
        let mut open = connection.prepare_cached(
            "INSERT OR REPLACE INTO open(no, agent, running, chat, rank, data) VALUES(?,?,?,?,?,?)",
        )?;
        let mut close = connection.prepare_cached("DELETE FROM open WHERE no = ?")?;
        for (_, id) in std::mem::take(&mut self.dirty) {
            let Some(cached) = self.rows.get_mut(&id) else { continue };
            if cached.stored {
                cached.row.update(&mut update)?;
            } else {
                cached.row.insert(&mut insert)?;
            }
            if !cached.counted.as_ref().is_some_and(|counted| counted.is_of(&cached.row)) {
                let now = Counted::of(&cached.row);
                self.sums.count(&cached.row, cached.counted.as_ref(), &now);
                cached.counted = Some(now);
            }
            match (&cached.row.open, cached.stored_open) {
                (Some(data), _) => open.execute(params![
                    columns::number(cached.row.no),
                    data.agent.as_str(),
                    data.running,
                    data.triggered_by == Trigger::Chat,
                    columns::number(data.rank),
                    columns::json(data),
                ])?,
                (None, true) => close.execute([columns::number(cached.row.no)])?,
                (None, false) => 0,
            };
            cached.stored = true;
            cached.stored_open = cached.row.open.is_some();
            cached.dirty = false;
            if !cached.stored_open {
                self.rows.remove(&id);
            }
        }
        let mut correct = connection
            .prepare_cached("INSERT INTO cost_corrections(no, position, cost) VALUES(?,?,?)")?;
        for (no, position, cost) in self.corrections.drain(..) {
            correct.execute([columns::number(no), columns::number(position), cost.nanos()])?;
        }
        if self.rows.len() > CACHE_MAX {
            self.rows.clear();
        }
        Ok(())
    }

    /// Writes what the rows come to. Once for each transaction is enough: nobody sees more of them.
    pub fn write_sums(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.sums.write(connection)
    }

    /// Forgets what is in memory.
    pub fn forget(&mut self) {
        self.sums.forget();
        self.rows.clear();
        self.dirty.clear();
        self.corrections.clear();
    }
}

/// The row as it was last written; none before the first event of its stream.
fn stored(
    connection: &Connection,
    id: ExecutionId,
    recorded: &Recorded,
) -> rusqlite::Result<Option<Row>> {
    if recorded.revision == 0 { Ok(None) } else { row::load(connection, id) }
}
