//! The activity panel: one row for each execution that started or ended without that, and one for each
//! wish to stop one.

use std::collections::BTreeMap;

use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::wire::Event;
use rusqlite::{Connection, params};

use super::projection::{Change, Projection, ProjectionError, Transition};
use super::row::Row;
use crate::columns;
use crate::model::{ActivityState, ActivityType, Status};

/// `place` follows from the event that started the activity, `ended_position` is the one's that ended
/// it: before that, its state was `started`.
const TABLES: &str = "
CREATE TABLE activities(
  place INTEGER PRIMARY KEY,
  execution_no INTEGER NOT NULL,
  activity_id BLOB NOT NULL,
  execution_id BLOB NOT NULL,
  type INTEGER NOT NULL,
  agent TEXT NOT NULL,
  user TEXT NOT NULL,
  source_agent TEXT,
  state INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  ended_position INTEGER
);
CREATE INDEX activities_source ON activities(source_agent, place) WHERE source_agent IS NOT NULL;
";

const INDEXES: &str = "
CREATE INDEX activities_agent ON activities(agent, place);
CREATE INDEX activities_type ON activities(type, place);
CREATE INDEX activities_state ON activities(state, place);
CREATE INDEX activities_user ON activities(user, place);
";

/// The place of the activity that the event of that position started.
fn place(position: u64) -> u64 {
    position.saturating_mul(2)
}

/// The last place that belongs to that position: that of an execution which ended there and had never
/// started. Where it was cancelled, the event started the cancellation as well.
pub(crate) fn last_place(position: u64) -> u64 {
    place(position).saturating_add(1)
}

struct Start {
    execution_no: u64,
    activity_id: uuid::Uuid,
    execution_id: uuid::Uuid,
    activity_type: ActivityType,
    agent: String,
    user: String,
    source_agent: Option<String>,
    /// Absent where the execution never started.
    at: Option<i64>,
}

struct End {
    state: ActivityState,
    at: i64,
    position: u64,
}

/// The activities that started or ended since the last flush, by their places.
#[derive(Default)]
pub(super) struct Activities {
    started: BTreeMap<u64, Start>,
    ended: BTreeMap<u64, End>,
}

impl Projection for Activities {
    fn name(&self) -> &'static str {
        "activities"
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static str {
        TABLES
    }

    fn indexes(&self) -> &'static str {
        INDEXES
    }

    fn apply(&mut self, _: &Connection, change: &Change<'_>) -> Result<(), ProjectionError> {
        let Some(transition) = &change.execution else { return Ok(()) };
        let Event::Execution(event) = change.event else { return Ok(()) };
        let row = transition.row;
        let position = change.recorded.position.number();
        let at = change.recorded.recorded_at.micros();
        let run = ActivityType::of_run(row.triggered_by, row.source_agent.as_ref());
        match event {
            ExecutionEvent::Running(_) => {
                self.started.insert(place(position), Start::of(row, run, row.id.0, Some(at)));
            }
            ExecutionEvent::CancellationRequested(_) => {
                let id = change.recorded.id.0;
                let cancellation = ActivityType::Cancellation;
                self.started.insert(place(position), Start::of(row, cancellation, id, Some(at)));
            }
            ExecutionEvent::Completed(_)
            | ExecutionEvent::Failed(_)
            | ExecutionEvent::Cancelled(_)
                if transition.is_ending() =>
            {
                self.end(change, transition, run);
            }
            ExecutionEvent::ResultInjected(_) | ExecutionEvent::InjectionRefused(_)
                if row.settled_position == Some(position) =>
            {
                self.end_run(change, transition, run);
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO activities(place, execution_no, activity_id, execution_id, type, agent,
               user, source_agent, state, started_at, ended_at, ended_position)
             VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
        )?;
        for (place, started) in std::mem::take(&mut self.started) {
            let ended = self.ended.remove(&place);
            insert.execute(params![
                columns::number(place),
                columns::number(started.execution_no),
                started.activity_id.as_bytes(),
                started.execution_id.as_bytes(),
                started.activity_type.code(),
                started.agent,
                started.user,
                started.source_agent,
                ended.as_ref().map_or(ActivityState::Started, |ended| ended.state).code(),
                started.at,
                ended.as_ref().map(|ended| ended.at),
                ended.as_ref().map(|ended| columns::number(ended.position)),
            ])?;
        }
        let mut update = connection.prepare_cached(
            "UPDATE activities SET state = ?2, ended_at = ?3, ended_position = ?4
             WHERE place = ?1",
        )?;
        for (place, ended) in std::mem::take(&mut self.ended) {
            update.execute(params![
                columns::number(place),
                ended.state.code(),
                ended.at,
                columns::number(ended.position)
            ])?;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.started.clear();
        self.ended.clear();
    }
}

impl Activities {
    fn end(&mut self, change: &Change<'_>, transition: &Transition<'_>, run: ActivityType) {
        let row = transition.row;
        let position = change.recorded.position.number();
        let at = change.recorded.recorded_at.micros();
        if row.started_position.is_none() && row.status == Status::Cancelled {
            // A cancelled wait is the cancellation itself, done at once.
            let id = change.recorded.id.0;
            let cancellation = ActivityType::Cancellation;
            let place = place(position);
            self.started.insert(place, Start::of(row, cancellation, id, Some(at)));
            self.ended.insert(place, End { state: ActivityState::Completed, at, position });
        }
        // What is to be put into a session is over once that is settled: its end tells how.
        if !row.injects {
            self.end_run(change, transition, run);
        }
        if let Some(asked) = row.cancellation_position {
            let state = cancellation_state(row.status);
            self.ended.insert(place(asked), End { state, at, position });
        }
    }

    /// Ends the activity of a run, or makes one of an execution that ended before it could start.
    fn end_run(&mut self, change: &Change<'_>, transition: &Transition<'_>, run: ActivityType) {
        let row = transition.row;
        let position = change.recorded.position.number();
        let at = change.recorded.recorded_at.micros();
        let state = run_state(row.status);
        if let Some(started) = row.started_position {
            self.ended.insert(place(started), End { state, at, position });
        } else {
            let place = last_place(position);
            self.started.insert(place, Start::of(row, run, row.id.0, None));
            self.ended.insert(place, End { state, at, position });
        }
    }
}

/// What the activity of a run is in at an execution's status.
pub(crate) fn run_state(status: Status) -> ActivityState {
    match status {
        Status::Pending | Status::Running => ActivityState::Started,
        Status::Completed => ActivityState::Completed,
        Status::Failed => ActivityState::Failed,
        Status::Cancelled => ActivityState::Cancelled,
    }
}

/// What a cancellation is in at an execution's status: it failed where the run ended otherwise.
pub(crate) fn cancellation_state(status: Status) -> ActivityState {
    match status {
        Status::Pending | Status::Running => ActivityState::Started,
        Status::Cancelled => ActivityState::Completed,
        Status::Completed | Status::Failed => ActivityState::Failed,
    }
}

impl Start {
    fn of(
        row: &Row,
        activity_type: ActivityType,
        activity_id: uuid::Uuid,
        at: Option<i64>,
    ) -> Self {
        Self {
            execution_no: row.no,
            activity_id,
            execution_id: row.id.0,
            activity_type,
            agent: row.agent.as_str().to_owned(),
            user: row.user.as_str().to_owned(),
            source_agent: row.source_agent.as_ref().map(|agent| agent.as_str().to_owned()),
            at,
        }
    }
}
