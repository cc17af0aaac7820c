//! Chat sessions: when each was open, its turns and injected results in order, and what of it goes on.

use execution_ledger_domain::execution::{ExecutionEvent, RunReport, Trigger};
use execution_ledger_domain::session::{Opened, SessionEvent};
use execution_ledger_domain::wire::Event;
use execution_ledger_store::Recorded;
use rusqlite::{Connection, params};

use super::projection::{Change, Projection, ProjectionError, Transition};
use crate::columns;
use crate::model::EntryKind;

/// `sessions`: `no` is the position at which it was opened. `session_entries`: a turn stands at the
/// position of its acceptance, a result at that of its injection; `told_position` is the end of the
/// turn whose agent was told of it. `session_tells`: the results that running turns tell; a turn whose
/// agent gave no sign of itself told nothing. `session_tasks`: turns and background tasks, each until it is
/// over: ended, and its injection settled where one was asked for.
const TABLES: &str = "
CREATE TABLE sessions(
  no INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  agent TEXT NOT NULL,
  user TEXT NOT NULL,
  opened_at INTEGER NOT NULL,
  continues_execution BLOB,
  continues_session TEXT,
  closed_at INTEGER,
  closed_position INTEGER
);
CREATE UNIQUE INDEX sessions_id ON sessions(id);
CREATE TABLE session_entries(
  session BLOB NOT NULL,
  position INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  execution BLOB NOT NULL,
  told_position INTEGER,
  PRIMARY KEY(session, position)
) WITHOUT ROWID;
CREATE INDEX session_results ON session_entries(execution) WHERE kind = 1;
CREATE TABLE session_tells(
  turn INTEGER NOT NULL,
  execution BLOB NOT NULL,
  PRIMARY KEY(turn, execution)
) WITHOUT ROWID;
CREATE TABLE session_tasks(
  no INTEGER PRIMARY KEY,
  session BLOB NOT NULL,
  execution BLOB NOT NULL,
  is_turn INTEGER NOT NULL,
  over_position INTEGER
);
";

const INDEXES: &str = "
CREATE INDEX sessions_user ON sessions(user, no);
CREATE INDEX sessions_agent ON sessions(agent, no);
CREATE INDEX session_untold ON session_entries(session, position)
  WHERE kind = 1 AND told_position IS NULL;
CREATE INDEX session_tasks_session ON session_tasks(session, no);
CREATE INDEX session_tasks_open ON session_tasks(session, no) WHERE over_position IS NULL;
";

/// A write that the next flush does.
enum Write {
    Open { no: u64, id: uuid::Uuid, opened: Box<Opened>, at: i64 },
    Close { id: uuid::Uuid, at: i64, position: u64 },
    Entry { session: uuid::Uuid, position: u64, kind: EntryKind, execution: uuid::Uuid },
    Tells { turn: u64, execution: uuid::Uuid },
    Told { turn: u64, position: u64 },
    ToldNothing { turn: u64 },
    Begin { no: u64, session: uuid::Uuid, execution: uuid::Uuid, is_turn: bool },
    Over { no: u64, position: u64 },
}

/// What happened in sessions since the last flush, in order.
#[derive(Default)]
pub(super) struct Sessions {
    writes: Vec<Write>,
}

impl Projection for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
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
        match (change.event, &change.execution) {
            (Event::Session(event), _) => self.session(change.recorded, event),
            (Event::Execution(event), Some(transition)) => {
                self.execution(change.recorded, event, transition);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.writes.drain(..).try_for_each(|write| write.execute(connection))
    }

    fn forget(&mut self) {
        self.writes.clear();
    }
}

impl Sessions {
    fn session(
        &mut self,
        recorded: &Recorded,
        event: &SessionEvent,
    ) -> Result<(), ProjectionError> {
        let Some(id) = recorded.stream.session_id() else {
            let problem = format!("a session's event in the stream {}", recorded.stream);
            return Err(ProjectionError::Poison(problem));
        };
        let (id, position, at) = (id.0, recorded.position.number(), recorded.recorded_at.micros());
        match event {
            SessionEvent::Opened(opened) if recorded.revision == 0 => {
                self.writes.push(Write::Open { no: position, id, opened: opened.clone(), at });
            }
            // A session is opened once, as in the domain; and what it holds is told by its executions,
            // because a message may have none.
            SessionEvent::Opened(_) | SessionEvent::MessagePosted(_) => {}
            SessionEvent::Closed(_) => self.writes.push(Write::Close { id, at, position }),
        }
        Ok(())
    }

    fn execution(
        &mut self,
        recorded: &Recorded,
        event: &ExecutionEvent,
        transition: &Transition<'_>,
    ) {
        let row = transition.row;
        let (position, execution) = (recorded.position.number(), row.id.0);
        match event {
            ExecutionEvent::Pending(_) => {
                let Some(session) = row.chat_session.map(|session| session.0) else { return };
                let is_turn = row.triggered_by == Trigger::Chat;
                self.writes.push(Write::Begin { no: row.no, session, execution, is_turn });
                if is_turn {
                    let kind = EntryKind::Turn;
                    self.writes.push(Write::Entry { session, position, kind, execution });
                }
            }
            ExecutionEvent::Running(running) => {
                let told = running.told.iter().map(|told| told.0);
                let turn = row.no;
                self.writes.extend(told.map(|execution| Write::Tells { turn, execution }));
            }
            ExecutionEvent::ResultInjected(injected) => {
                let (session, kind) = (injected.session_id.0, EntryKind::BackgroundResult);
                self.writes.push(Write::Entry { session, position, kind, execution });
                self.writes.push(Write::Over { no: row.no, position });
            }
            ExecutionEvent::InjectionRefused(_) => {
                self.writes.push(Write::Over { no: row.no, position });
            }
            _ if transition.is_ending() && row.chat_session.is_some() => {
                if row.triggered_by == Trigger::Chat {
                    let turn = row.no;
                    let told = has_told(event).then_some(Write::Told { turn, position });
                    self.writes.extend(told);
                    self.writes.push(Write::ToldNothing { turn });
                }
                if !row.injects {
                    self.writes.push(Write::Over { no: row.no, position });
                }
            }
            _ => {}
        }
    }
}

/// Whether the agent of a turn that ends was given its message, as far as anybody knows: it succeeded,
/// or said in which session of its own it was. There is a report also of a run that was stopped before
/// its program was started, or whose supervisor was lost. To be told twice is better than never.
fn has_told(ending: &ExecutionEvent) -> bool {
    let in_session = |report: &RunReport| report.agent_session_id.is_some();
    matches!(ending, ExecutionEvent::Completed(_)) || ending.report().is_some_and(in_session)
}

impl Write {
    fn execute(self, connection: &Connection) -> rusqlite::Result<()> {
        let changed = match self {
            Self::Open { no, id, opened, at } => connection
                .prepare_cached(
                    "INSERT INTO sessions(no, id, agent, user, opened_at, continues_execution,
                       continues_session) VALUES(?,?,?,?,?,?,?)",
                )?
                .execute(params![
                    columns::number(no),
                    id.as_bytes(),
                    opened.agent.as_str(),
                    opened.user.as_str(),
                    at,
                    opened.continues.as_ref().map(|from| from.execution_id.0.as_bytes()),
                    opened.continues.as_ref().map(|from| from.agent_session_id.as_str()),
                ]),
            Self::Close { id, at, position } => connection
                .prepare_cached(
                    "UPDATE sessions SET closed_at = ?2, closed_position = ?3
                     WHERE id = ?1 AND closed_position IS NULL",
                )?
                .execute(params![id.as_bytes(), at, columns::number(position)]),
            Self::Entry { session, position, kind, execution } => connection
                .prepare_cached(
                    "INSERT INTO session_entries(session, position, kind, execution)
                     VALUES(?,?,?,?)",
                )?
                .execute(params![
                    session.as_bytes(),
                    columns::number(position),
                    kind.code(),
                    execution.as_bytes()
                ]),
            Self::Tells { turn, execution } => connection
                .prepare_cached("INSERT OR IGNORE INTO session_tells(turn, execution) VALUES(?,?)")?
                .execute(params![columns::number(turn), execution.as_bytes()]),
            Self::Told { turn, position } => connection
                .prepare_cached(
                    "UPDATE session_entries SET told_position = ?2
                     WHERE execution IN (SELECT t.execution FROM session_tells t WHERE t.turn = ?1)
                       AND kind = 1 AND told_position IS NULL",
                )?
                .execute(params![columns::number(turn), columns::number(position)]),
            Self::ToldNothing { turn } => connection
                .prepare_cached("DELETE FROM session_tells WHERE turn = ?")?
                .execute([columns::number(turn)]),
            Self::Begin { no, session, execution, is_turn } => connection
                .prepare_cached(
                    "INSERT INTO session_tasks(no, session, execution, is_turn) VALUES(?,?,?,?)",
                )?
                .execute(params![
                    columns::number(no),
                    session.as_bytes(),
                    execution.as_bytes(),
                    is_turn
                ]),
            Self::Over { no, position } => connection
                .prepare_cached(
                    "UPDATE session_tasks SET over_position = ?2
                     WHERE no = ?1 AND over_position IS NULL",
                )?
                .execute(params![columns::number(no), columns::number(position)]),
        };
        changed.map(drop)
    }
}
