//! The row of one execution: how it follows from events, and how it is written and read back.

use execution_ledger_domain::execution::{ExecutionEvent, Pending, RunReport, Trigger};
use execution_ledger_domain::{AgentName, ExecutionId, NanoUsd, SessionId, Timestamp, UserName};
use execution_ledger_store::Recorded;
use rusqlite::{Connection, OptionalExtension, params};

use crate::columns::{self, Bad};
use crate::model::{OpenExecution, Status, trigger_code};

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
    /// The execution that it is a new attempt at.
    pub retry_of: Option<ExecutionId>,
    /// The execution whose run asked for it.
    pub parent: Option<ExecutionId>,
    /// Whether it ended so that another attempt is to follow by itself.
    pub retry_owed: bool,
    /// The chat session that it belongs to.
    pub chat_session: Option<SessionId>,
    /// Whether its result is to be put into that session.
    pub injects: bool,
    /// When it was settled whether the session has the result.
    pub settled_position: Option<u64>,
    pub open: Option<OpenExecution>,
}

pub(super) const INSERT: &str =
    "INSERT INTO executions(no, id, agent, triggered_by, user, source_agent,
  created_at, model_requested, status, started_position, cancellation_position, ended_position,
  duration_ms, ran, cost_at_end, cost, corrected, model, retry_of, retry_owed,
  chat_session, injects, settled_position, parent)
  VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";

pub(super) const UPDATE: &str = "UPDATE executions SET status = ?2, started_position = ?3,
  cancellation_position = ?4, ended_position = ?5, duration_ms = ?6, ran = ?7, cost_at_end = ?8,
  cost = ?9, corrected = ?10, model = ?11, retry_owed = ?12, settled_position = ?13 WHERE no = ?1";

impl Row {
    /// The row of an execution that was accepted.
    pub(super) fn accepted(id: ExecutionId, recorded: &Recorded, pending: &Pending) -> Self {
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
            retry_of: pending.retry_of,
            parent: pending.parent_execution_id,
            retry_owed: false,
            chat_session: pending.chat_session_id,
            injects: pending.inject_result,
            settled_position: None,
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
                not_before: pending.not_before,
                is_retried: pending.is_retried(),
                claim: None,
                runtime: None,
                started_at: None,
                slot_until: None,
                cancellation_requested_at: None,
            }),
        }
    }

    /// Takes in one more event; whether it changed anything.
    pub(super) fn apply(&mut self, recorded: &Recorded, event: &ExecutionEvent) -> bool {
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
            (Some(open), E::Failed(ended)) => {
                self.retry_owed = open.is_retried && ended.code.can_pass();
                self.end(Status::Failed, position, ended.report.as_ref());
            }
            (Some(_), E::Cancelled(ended)) => {
                self.end(Status::Cancelled, position, ended.report.as_ref());
            }
            (None, E::CostCorrected(corrected)) => {
                self.cost = Some(corrected.cost_nano_usd);
                self.corrected = true;
            }
            (None, E::ResultInjected(_) | E::InjectionRefused(_))
                if self.settled_position.is_none() =>
            {
                self.settled_position = Some(position);
            }
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

    /// Writes it for the first time.
    pub(super) fn insert(
        &self,
        statement: &mut rusqlite::CachedStatement<'_>,
    ) -> rusqlite::Result<usize> {
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
            self.retry_of.as_ref().map(|of| of.0.as_bytes()),
            self.retry_owed,
            self.chat_session.as_ref().map(|session| session.0.as_bytes()),
            self.injects,
            self.settled_position.map(columns::number),
            self.parent.as_ref().map(|of| of.0.as_bytes()),
        ])
    }

    /// Writes what may have changed.
    pub(super) fn update(
        &self,
        statement: &mut rusqlite::CachedStatement<'_>,
    ) -> rusqlite::Result<usize> {
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
            self.retry_owed,
            self.settled_position.map(columns::number),
        ])
    }
}

/// The row of an execution as it was last written.
pub(super) fn load(connection: &Connection, id: ExecutionId) -> rusqlite::Result<Option<Row>> {
    let mut select = connection.prepare_cached(
        "SELECT no, agent, triggered_by, user, source_agent, created_at, model_requested, status,
           started_position, cancellation_position, ended_position, duration_ms, ran, cost_at_end,
           cost, corrected, model, retry_of, retry_owed, chat_session, injects, settled_position,
           parent
         FROM executions WHERE id = ?",
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
                retry_of: columns::optional_uuid(row, 17)?.map(ExecutionId),
                parent: columns::optional_uuid(row, 22)?.map(ExecutionId),
                retry_owed: row.get(18)?,
                chat_session: columns::optional_uuid(row, 19)?.map(SessionId),
                injects: row.get(20)?,
                settled_position: columns::optional_unsigned(row, 21)?,
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
    Ok(Some(row))
}
