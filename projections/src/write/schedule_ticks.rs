//! What schedules decided, which of their executions are open, and from where the scheduler goes on.

use std::collections::{HashMap, HashSet};

use execution_ledger_domain::execution::{ExecutionEvent, Pending};
use execution_ledger_domain::schedule::{Schedule, ScheduleEvent};
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{Aggregate, EventId, ExecutionId, ScheduleId, Timestamp};
use execution_ledger_store::{Position, Recorded, StreamHead};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::projection::{Change, Projection, ProjectionError};
use crate::columns;

/// A tick holds for ever, so it needs no interval: as of a position there are those up to it. Of a run
/// there is a row while it has not ended, which holds the revision at which it was fired until it is
/// submitted. New attempts are runs like those that were fired.
const TABLES: &str = "
CREATE TABLE schedule_ticks(
  schedule BLOB NOT NULL,
  no INTEGER NOT NULL,
  tick INTEGER NOT NULL,
  until INTEGER,
  count INTEGER NOT NULL,
  fired INTEGER NOT NULL,
  reason TEXT NOT NULL,
  code TEXT,
  execution BLOB,
  decided_at INTEGER NOT NULL,
  PRIMARY KEY(schedule, no)
) WITHOUT ROWID;
CREATE TABLE schedule_heads(
  schedule BLOB PRIMARY KEY,
  revision INTEGER NOT NULL,
  position INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  event BLOB NOT NULL,
  settings_revision INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  state TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE schedule_runs(
  execution BLOB PRIMARY KEY,
  schedule BLOB NOT NULL,
  owed INTEGER
) WITHOUT ROWID;
";

/// Schedules whose state is kept in memory: most.
const HEADS_MAX: usize = 2_000;

/// Where the scheduler goes on with a schedule.
#[derive(Clone)]
pub(crate) struct Head {
    pub state: Schedule,
    pub last: StreamHead,
    pub settings_revision: u64,
}

/// Heads that were read or changed since the last flush, and the runs that are open.
#[derive(Default)]
pub(super) struct ScheduleTicks {
    heads: HashMap<ScheduleId, Head>,
    changed: HashSet<ScheduleId>,
    open: Option<HashSet<ExecutionId>>,
}

impl Projection for ScheduleTicks {
    fn name(&self) -> &'static str {
        "schedule_ticks"
    }

    fn version(&self) -> u32 {
        2
    }

    fn tables(&self) -> &'static str {
        TABLES
    }

    fn indexes(&self) -> &'static str {
        ""
    }

    fn apply(
        &mut self,
        connection: &Connection,
        change: &Change<'_>,
    ) -> Result<(), ProjectionError> {
        match change.event {
            Event::Schedule(event) => self.take_in(connection, change.recorded, event),
            Event::Execution(ExecutionEvent::Pending(pending)) => {
                match (&change.execution, pending.schedule_id) {
                    (Some(transition), Some(schedule)) => {
                        self.submitted(connection, transition.row.id, schedule, pending)
                    }
                    _ => Ok(()),
                }
            }
            Event::Execution(_) => match &change.execution {
                Some(transition) if transition.is_ending() => {
                    self.ended(connection, transition.row.id)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for id in self.changed.drain() {
            if let Some(head) = self.heads.get(&id) {
                write(connection, id, head)?;
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

impl ScheduleTicks {
    fn take_in(
        &mut self,
        connection: &Connection,
        recorded: &Recorded,
        event: &ScheduleEvent,
    ) -> Result<(), ProjectionError> {
        let Some(id) = recorded.stream.schedule_id() else {
            let problem = format!("a schedule's event in the stream {}", recorded.stream);
            return Err(ProjectionError::Poison(problem));
        };
        if self.heads.len() >= HEADS_MAX {
            self.flush(connection)?;
            self.heads.clear();
        }
        let before = match self.heads.remove(&id) {
            Some(head) => Some(head),
            None => load(connection, id)?,
        };
        let settings = matches!(event, ScheduleEvent::Created(_) | ScheduleEvent::Changed(_));
        let (state, settings_revision) =
            before.map_or((Schedule::default(), 0), |head| (head.state, head.settings_revision));
        let settings_revision = if settings { recorded.revision } else { settings_revision };
        let last = StreamHead::of(recorded);
        let head = Head { state: state.evolve(event), last, settings_revision };
        self.heads.insert(id, head);
        self.changed.insert(id);
        self.tick(connection, id, recorded, event)?;
        Ok(())
    }

    fn tick(
        &mut self,
        connection: &Connection,
        id: ScheduleId,
        recorded: &Recorded,
        event: &ScheduleEvent,
    ) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO schedule_ticks(schedule, no, tick, until, count, fired, reason, code,
               execution, decided_at) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let no = columns::number(recorded.position.number());
        let decided_at = recorded.recorded_at.micros();
        match event {
            ScheduleEvent::Fired(fired) => {
                let (cause, execution) = (fired.cause.as_str(), fired.execution_id);
                insert.execute(params![
                    id.0.as_bytes(),
                    no,
                    fired.tick.micros(),
                    None::<i64>,
                    1,
                    true,
                    cause,
                    None::<&str>,
                    execution.0.as_bytes(),
                    decided_at
                ])?;
                self.enter(connection, execution, id, Some(recorded.revision))?;
            }
            ScheduleEvent::Skipped(skipped) => {
                insert.execute(params![
                    id.0.as_bytes(),
                    no,
                    skipped.tick.micros(),
                    skipped.until.map(Timestamp::micros),
                    columns::number(skipped.count),
                    false,
                    skipped.reason.as_str(),
                    skipped.code,
                    None::<&[u8]>,
                    decided_at
                ])?;
            }
            _ => {}
        }
        Ok(())
    }

    fn submitted(
        &mut self,
        connection: &Connection,
        execution: ExecutionId,
        schedule: ScheduleId,
        pending: &Pending,
    ) -> Result<(), ProjectionError> {
        if pending.retry_of.is_some() {
            self.enter(connection, execution, schedule, None)?;
        } else {
            let sql = "UPDATE schedule_runs SET owed = NULL WHERE execution = ?";
            connection.prepare_cached(sql)?.execute([execution.0.as_bytes()])?;
        }
        Ok(())
    }

    fn enter(
        &mut self,
        connection: &Connection,
        execution: ExecutionId,
        schedule: ScheduleId,
        owed: Option<u64>,
    ) -> rusqlite::Result<()> {
        let sql = "INSERT OR IGNORE INTO schedule_runs(execution, schedule, owed) VALUES(?, ?, ?)";
        connection.prepare_cached(sql)?.execute(params![
            execution.0.as_bytes(),
            schedule.0.as_bytes(),
            owed.map(columns::number)
        ])?;
        self.open(connection)?.insert(execution);
        Ok(())
    }

    fn ended(&mut self, connection: &Connection, id: ExecutionId) -> Result<(), ProjectionError> {
        if self.open(connection)?.remove(&id) {
            let sql = "DELETE FROM schedule_runs WHERE execution = ?";
            connection.prepare_cached(sql)?.execute([id.0.as_bytes()])?;
        }
        Ok(())
    }

    /// The runs that are open: as many as there are rows.
    fn open(&mut self, connection: &Connection) -> rusqlite::Result<&mut HashSet<ExecutionId>> {
        let open = if let Some(open) = self.open.take() {
            open
        } else {
            let mut select = connection.prepare_cached("SELECT execution FROM schedule_runs")?;
            let rows = select.query_map([], |row| columns::uuid(row, 0).map(ExecutionId))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        Ok(self.open.insert(open))
    }
}

fn write(connection: &Connection, id: ScheduleId, head: &Head) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO schedule_heads(schedule, revision, position, recorded_at, event,
               settings_revision, deleted, state) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id.0.as_bytes(),
            columns::number(head.last.revision),
            columns::number(head.last.position.number()),
            head.last.recorded_at.micros(),
            head.last.id.0.as_bytes(),
            columns::number(head.settings_revision),
            head.state.active().is_none(),
            columns::json(&head.state),
        ])?;
    Ok(())
}

/// The columns that [`head`] reads, in its order.
pub(crate) const HEAD_COLUMNS: &str =
    "revision, position, recorded_at, event, settings_revision, state, schedule";

/// Reads a row of [`HEAD_COLUMNS`].
pub(crate) fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        last: StreamHead {
            revision: columns::unsigned(row, 0)?,
            position: Position::new(columns::unsigned(row, 1)?),
            recorded_at: Timestamp::from_micros(row.get(2)?),
            id: EventId(columns::uuid(row, 3)?),
        },
        settings_revision: columns::unsigned(row, 4)?,
        state: columns::from_json(row, 5)?,
    })
}

fn load(connection: &Connection, id: ScheduleId) -> rusqlite::Result<Option<Head>> {
    let sql = format!("SELECT {HEAD_COLUMNS} FROM schedule_heads WHERE schedule = ?");
    connection.prepare_cached(&sql)?.query_row([id.0.as_bytes()], head).optional()
}
