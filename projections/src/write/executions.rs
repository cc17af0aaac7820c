//! The executions: one row each, with the positions at which it changed, so that its status, cost and
//! model can be told for every position.

use std::collections::HashMap;

use execution_ledger_domain::execution::{ExecutionEvent, Pending, RunReport, Trigger};
use execution_ledger_domain::{AgentName, ExecutionId, NanoUsd, Timestamp, UserName};
use execution_ledger_store::Recorded;
use rusqlite::{Connection, OptionalExtension, params};

use super::projection::{ProjectionError, Transition};
use crate::columns::{self, Bad};
use crate::model::{OpenExecution, Status, trigger_code};

/// Its name.
pub(super) const NAME: &str = "executions";
/// Raised whenever the same events would lead to other rows.
pub(super) const VERSION: u32 = 1;
/// Open executions that are kept in memory: most. More are read back when they are needed.
const CACHE_MAX: usize = 20_000;

/// `executions`: the columns before `status` never change. `started_position` and `ended_position`
/// bound the intervals in which it was pending, running and ended. `open`: those that have not ended.
/// `cost_corrections`: what a cost was from a position on.
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
  model TEXT
);
CREATE UNIQUE INDEX executions_id ON executions(id);
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
/// shows, whatever its filters are.
pub(super) const INDEXES: &str = "
CREATE INDEX executions_agent_status ON executions(agent, status, triggered_by, no);
CREATE INDEX executions_status ON executions(status, triggered_by, no);
CREATE INDEX executions_agent ON executions(agent, no);
CREATE INDEX executions_user ON executions(user, no);
CREATE INDEX executions_source ON executions(source_agent, no) WHERE source_agent IS NOT NULL;
CREATE INDEX executions_model ON executions(model, no) WHERE model IS NOT NULL;
CREATE INDEX executions_cost ON executions(cost, no) WHERE cost IS NOT NULL;
CREATE INDEX open_queue ON open(agent, running, chat, rank DESC, no);
";

/// One execution, as far as rows are made from it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub no: u64,
    pub id: ExecutionId,
    pub agent: AgentName,
    pub triggered_by: Trigger,
    pub user: UserName,
    pub source_agent: Option<AgentName>,
    pub created_at: Timestamp,
    pub model_requested: Option<String>,
    pub status: Status,
    pub started_position: Option<u64>,
    pub cancellation_position: Option<u64>,
    pub ended_position: Option<u64>,
    pub duration_ms: Option<u64>,
    /// Whether a run was observed: then it cost something, known or not.
    pub ran: bool,
    pub cost_at_end: Option<NanoUsd>,
    pub cost: Option<NanoUsd>,
    pub corrected: bool,
    /// The model that answered, or else was asked for.
    pub model: Option<String>,
    pub open: Option<OpenExecution>,
}

struct Cached {
    row: Row,
    /// Whether the table has a row of it.
    stored: bool,
    /// Whether the table of open executions has one.
    stored_open: bool,
    dirty: bool,
}

/// The executions that changed, or are open, since the last flush.
#[derive(Default)]
pub(crate) struct Executions {
    rows: HashMap<ExecutionId, Cached>,
    corrections: Vec<(u64, u64, NanoUsd)>,
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
        if !self.rows.contains_key(&id) {
            match (load(connection, id)?, event) {
                (Some(cached), _) => {
                    self.rows.insert(id, cached);
                }
                (None, ExecutionEvent::Pending(pending)) => {
                    let row = Row::accepted(id, recorded, pending);
                    let cached = Cached { row, stored: false, stored_open: false, dirty: true };
                    let cached = self.rows.entry(id).or_insert(cached);
                    return Ok(Some(Transition { before: None, row: &cached.row }));
                }
                (None, _) => return Ok(None),
            }
        }
        let Some(cached) = self.rows.get_mut(&id) else { return Ok(None) };
        let before = cached.row.status;
        if !cached.row.apply(recorded, event) {
            return Ok(None);
        }
        cached.dirty = true;
        if let ExecutionEvent::CostCorrected(corrected) = event {
            let position = recorded.position.number();
            self.corrections.push((cached.row.no, position, corrected.cost_nano_usd));
        }
        Ok(Some(Transition { before: Some(before), row: &cached.row }))
    }

    /// Writes what changed, in the order of the rows.
    pub fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut dirty: Vec<&mut Cached> =
            self.rows.values_mut().filter(|cached| cached.dirty).collect();
        dirty.sort_unstable_by_key(|cached| cached.row.no);
        {
            let mut insert = connection.prepare_cached(INSERT)?;
            let mut update = connection.prepare_cached(UPDATE)?;
            let mut open = connection.prepare_cached(
                "INSERT OR REPLACE INTO open(no, agent, running, chat, rank, data) VALUES(?,?,?,?,?,?)",
            )?;
            let mut close = connection.prepare_cached("DELETE FROM open WHERE no = ?")?;
            for cached in dirty {
                if cached.stored {
                    cached.row.update(&mut update)?;
                } else {
                    cached.row.insert(&mut insert)?;
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
            }
        }
        let mut correct = connection
            .prepare_cached("INSERT INTO cost_corrections(no, position, cost) VALUES(?,?,?)")?;
        for (no, position, cost) in self.corrections.drain(..) {
            correct.execute([columns::number(no), columns::number(position), cost.nanos()])?;
        }
        self.rows.retain(|_, cached| cached.row.open.is_some());
        if self.rows.len() > CACHE_MAX {
            self.rows.clear();
        }
        Ok(())
    }

    /// Forgets what is in memory.
    pub fn forget(&mut self) {
        self.rows.clear();
        self.corrections.clear();
    }
}

const INSERT: &str = "INSERT INTO executions(no, id, agent, triggered_by, user, source_agent,
  created_at, model_requested, status, started_position, cancellation_position, ended_position,
  duration_ms, ran, cost_at_end, cost, corrected, model)
  VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";

const UPDATE: &str = "UPDATE executions SET status = ?2, started_position = ?3,
  cancellation_position = ?4, ended_position = ?5, duration_ms = ?6, ran = ?7, cost_at_end = ?8,
  cost = ?9, corrected = ?10, model = ?11 WHERE no = ?1";

impl Row {
    fn accepted(id: ExecutionId, recorded: &Recorded, pending: &Pending) -> Self {
        let no = recorded.position.number();
        Self {
            no,
            id,
            agent: pending.agent.clone(),
            triggered_by: pending.triggered_by,
            user: pending.user.clone(),
            source_agent: pending.source_agent.clone(),
            created_at: recorded.recorded_at,
            model_requested: pending.model_requested.clone(),
            status: Status::Pending,
            started_position: None,
            cancellation_position: None,
            ended_position: None,
            duration_ms: None,
            ran: false,
            cost_at_end: None,
            cost: None,
            corrected: false,
            model: pending.model_requested.clone(),
            open: Some(OpenExecution {
                id,
                no,
                agent: pending.agent.clone(),
                running: false,
                triggered_by: pending.triggered_by,
                user: pending.user.clone(),
                created_at: recorded.recorded_at,
                expires_at: pending.expires_at,
                rank: 0,
                timeout_s: pending.timeout_s,
                source_agent: pending.source_agent.clone(),
                parent: pending.parent_execution_id,
                depth: pending.depth,
                chat_session_id: pending.chat_session_id,
                inject_result: pending.inject_result,
                claim: None,
                runtime: None,
                started_at: None,
                slot_until: None,
                cancellation_requested_at: None,
            }),
        }
    }

    /// Takes in one more event; whether it changed anything.
    fn apply(&mut self, recorded: &Recorded, event: &ExecutionEvent) -> bool {
        use ExecutionEvent as E;
        let position = recorded.position.number();
        match (self.open.as_mut(), event) {
            (Some(open), E::QueueMoved(moved)) if !open.running => open.rank = moved.rank,
            (Some(open), E::Running(running)) if !open.running => {
                open.running = true;
                open.claim = Some(running.claim);
                open.runtime = Some(running.runtime);
                open.started_at = Some(recorded.recorded_at);
                open.slot_until = Some(running.slot_until);
                self.status = Status::Running;
                self.started_position = Some(position);
            }
            (Some(open), E::CancellationRequested(_))
                if open.running && open.cancellation_requested_at.is_none() =>
            {
                open.cancellation_requested_at = Some(recorded.recorded_at);
                self.cancellation_position = Some(position);
            }
            (Some(_), E::Completed(ended)) => {
                self.end(Status::Completed, position, Some(&ended.report));
            }
            (Some(_), E::Failed(ended)) => {
                self.end(Status::Failed, position, ended.report.as_ref());
            }
            (Some(_), E::Cancelled(ended)) => {
                self.end(Status::Cancelled, position, ended.report.as_ref());
            }
            (None, E::CostCorrected(corrected)) => {
                self.cost = Some(corrected.cost_nano_usd);
                self.corrected = true;
            }
            (None, E::ResultInjected(_) | E::InjectionRefused(_)) => {}
            (Some(_) | None, _) => return false,
        }
        true
    }

    fn end(&mut self, status: Status, position: u64, report: Option<&RunReport>) {
        self.status = status;
        self.ended_position = Some(position);
        self.open = None;
        let Some(report) = report else { return };
        self.ran = true;
        self.duration_ms = Some(report.duration_ms);
        self.cost_at_end = report.cost_nano_usd;
        self.cost = report.cost_nano_usd;
        if report.model_used.is_some() {
            self.model.clone_from(&report.model_used);
        }
    }

    fn insert(&self, statement: &mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<usize> {
        statement.execute(params![
            columns::number(self.no),
            self.id.0.as_bytes(),
            self.agent.as_str(),
            trigger_code(self.triggered_by),
            self.user.as_str(),
            self.source_agent.as_ref().map(AgentName::as_str),
            self.created_at.micros(),
            self.model_requested,
            self.status.code(),
            self.started_position.map(columns::number),
            self.cancellation_position.map(columns::number),
            self.ended_position.map(columns::number),
            self.duration_ms.map(columns::number),
            self.ran,
            self.cost_at_end.map(NanoUsd::nanos),
            self.cost.map(NanoUsd::nanos),
            self.corrected,
            self.model,
        ])
    }

    fn update(&self, statement: &mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<usize> {
        statement.execute(params![
            columns::number(self.no),
            self.status.code(),
            self.started_position.map(columns::number),
            self.cancellation_position.map(columns::number),
            self.ended_position.map(columns::number),
            self.duration_ms.map(columns::number),
            self.ran,
            self.cost_at_end.map(NanoUsd::nanos),
            self.cost.map(NanoUsd::nanos),
            self.corrected,
            self.model,
        ])
    }
}

fn load(connection: &Connection, id: ExecutionId) -> Result<Option<Cached>, ProjectionError> {
    let mut select = connection.prepare_cached(
        "SELECT no, agent, triggered_by, user, source_agent, created_at, model_requested, status,
           started_position, cancellation_position, ended_position, duration_ms, ran, cost_at_end,
           cost, corrected, model FROM executions WHERE id = ?",
    )?;
    let row = select
        .query_row([id.0.as_bytes()], |row| {
            Ok(Row {
                no: columns::unsigned(row, 0)?,
                id,
                agent: columns::text(row, 1, AgentName::new)?,
                triggered_by: columns::trigger(row, 2)?,
                user: columns::text(row, 3, UserName::new)?,
                source_agent: columns::optional_text(row, 4, AgentName::new)?,
                created_at: Timestamp::from_micros(row.get(5)?),
                model_requested: row.get(6)?,
                status: Status::from_code(row.get(7)?).ok_or_else(|| Bad::at(7))?,
                started_position: columns::optional_unsigned(row, 8)?,
                cancellation_position: columns::optional_unsigned(row, 9)?,
                ended_position: columns::optional_unsigned(row, 10)?,
                duration_ms: columns::optional_unsigned(row, 11)?,
                ran: row.get(12)?,
                cost_at_end: columns::optional_money(row, 13)?,
                cost: columns::optional_money(row, 14)?,
                corrected: row.get(15)?,
                model: row.get(16)?,
                open: None,
            })
        })
        .optional()?;
    let Some(mut row) = row else { return Ok(None) };
    if !row.status.is_terminal() {
        let mut select = connection.prepare_cached("SELECT data FROM open WHERE no = ?")?;
        row.open = Some(
            select.query_row([columns::number(row.no)], |found| columns::from_json(found, 0))?,
        );
    }
    let stored_open = row.open.is_some();
    Ok(Some(Cached { row, stored: true, stored_open, dirty: false }))
}
