//! New attempts at executions: those that there are, and those that may have to follow; and what runs
//! asked for.

use execution_ledger_domain::{AgentName, ExecutionId, Scope, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::filters::{first_no_since, scope_condition};
use crate::columns;
use crate::query::{At, CHILDREN_SHOWN_MAX, QueryError, RETRIES_SHOWN_MAX, Seen};
use crate::views::Views;

/// Failed executions on which another attempt may have to follow after a start: most, the newest
/// first.
const RETRIES_OWED_MAX: u32 = 10_000;

impl Views {
    /// The new attempts at an execution that the scope covers, the oldest first; at most
    /// [`RETRIES_SHOWN_MAX`].
    pub async fn retries_of(
        &self,
        scope: &Scope,
        at: At,
        id: ExecutionId,
    ) -> Result<Seen<Vec<ExecutionId>>, QueryError> {
        let scope = scope.clone();
        self.ask(at, move |connection, at| {
            let until = at.map_or(i64::MAX, |at| columns::number(at.number()));
            let (covered, covering) = scope_condition("e", &scope, 3);
            let id = Value::Blob(id.0.as_bytes().to_vec());
            let values = [id, Value::Integer(until)].into_iter().chain(covering);
            let mut select = connection.prepare_cached(&format!(
                "SELECT e.id FROM executions e WHERE e.retry_of = ?1 AND e.no <= ?2 AND {covered}
                 ORDER BY e.no LIMIT {RETRIES_SHOWN_MAX}"
            ))?;
            let rows = select.query_map(params_from_iter(values), |row| {
                Ok(ExecutionId(columns::uuid(row, 0)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The executions that this one's run asked for and that the scope covers, the oldest first, each
    /// with its agent; at most [`CHILDREN_SHOWN_MAX`].
    pub async fn children_of(
        &self,
        scope: &Scope,
        at: At,
        id: ExecutionId,
    ) -> Result<Seen<Vec<(ExecutionId, AgentName)>>, QueryError> {
        let scope = scope.clone();
        self.ask(at, move |connection, at| {
            let until = at.map_or(i64::MAX, |at| columns::number(at.number()));
            let (covered, covering) = scope_condition("e", &scope, 3);
            let id = Value::Blob(id.0.as_bytes().to_vec());
            let values = [id, Value::Integer(until)].into_iter().chain(covering);
            let mut select = connection.prepare_cached(&format!(
                "SELECT e.id, e.agent FROM executions e WHERE e.parent = ?1 AND e.no <= ?2
                 AND {covered} ORDER BY e.no LIMIT {CHILDREN_SHOWN_MAX}"
            ))?;
            let rows = select.query_map(params_from_iter(values), |row| {
                Ok((ExecutionId(columns::uuid(row, 0)?), columns::text(row, 1, AgentName::new)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Executions accepted at `since` or later that failed so that another attempt is to follow by
    /// itself, where there is none yet: for the process manager, whose predecessor may have died
    /// between the two.
    pub async fn retries_owed(&self, since: Timestamp) -> Result<Vec<ExecutionId>, QueryError> {
        let seen = self.ask(At::Now, move |connection, _| owed(connection, since)).await?;
        Ok(seen.value)
    }
}

fn owed(connection: &Connection, since: Timestamp) -> Result<Vec<ExecutionId>, QueryError> {
    let first = first_no_since(connection, since)?;
    let mut select = connection.prepare(&format!(
        "SELECT id FROM executions WHERE retry_owed = 1 AND no >= ? ORDER BY no DESC
         LIMIT {RETRIES_OWED_MAX}"
    ))?;
    let mut follows = connection.prepare("SELECT 1 FROM executions WHERE id = ?")?;
    let mut owed = Vec::new();
    let failed = select.query_map([first], |row| Ok(ExecutionId(columns::uuid(row, 0)?)))?;
    for failed in failed {
        let failed = failed?;
        if !follows.exists([failed.next_attempt().0.as_bytes()])? {
            owed.push(failed);
        }
    }
    Ok(owed)
}
