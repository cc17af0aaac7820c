//! What of chat sessions is to be done, or goes on: for the process manager, and for those who follow.

use execution_ledger_domain::{ExecutionId, SessionId};
use rusqlite::params;

use super::sessions::position_of;
use crate::columns;
use crate::model::OpenTask;
use crate::query::{At, QueryError, Seen};
use crate::views::Views;

/// Open turns and background tasks of a session that a stream begins with: most.
const OPEN_TASKS_MAX: u32 = 10_000;

impl Views {
    /// The turns and background tasks of a session that are not over, the oldest first. Not scoped.
    pub async fn session_tasks(
        &self,
        at: At,
        id: SessionId,
    ) -> Result<Seen<Vec<OpenTask>>, QueryError> {
        self.ask(at, move |connection, at| {
            let position = position_of(at);
            let mut select = connection.prepare_cached(
                "SELECT execution, is_turn FROM session_tasks
                 WHERE session = ?1 AND no <= ?2 AND (over_position IS NULL OR over_position > ?2)
                 ORDER BY no LIMIT ?3",
            )?;
            let values = params![id.0.as_bytes(), position, OPEN_TASKS_MAX];
            let rows = select.query_map(values, |row| {
                let execution = ExecutionId(columns::uuid(row, 0)?);
                Ok(OpenTask { execution, is_turn: row.get(1)? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The executions whose results were put into a session and that no turn was told of, the oldest
    /// first, at most `most`. Not scoped.
    pub async fn untold_results(
        &self,
        id: SessionId,
        most: usize,
    ) -> Result<Seen<Vec<ExecutionId>>, QueryError> {
        self.ask(At::Now, move |connection, _| {
            let mut select = connection.prepare_cached(
                "SELECT execution FROM session_entries INDEXED BY session_untold
                 WHERE session = ? AND kind = 1 AND told_position IS NULL
                 ORDER BY position LIMIT ?",
            )?;
            let values = params![id.0.as_bytes(), columns::number(most as u64)];
            let rows = select.query_map(values, |row| columns::uuid(row, 0).map(ExecutionId))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// All ended executions whose result is owed to a session, and the session. As many as there are.
    pub async fn injections_owed(&self) -> Result<Vec<(ExecutionId, SessionId)>, QueryError> {
        let seen = self.ask(At::Now, |connection, _| {
            let mut select = connection.prepare_cached(
                "SELECT id, chat_session FROM executions INDEXED BY executions_injection_owed
                 WHERE injects = 1 AND settled_position IS NULL AND ended_position IS NOT NULL
                   AND chat_session IS NOT NULL ORDER BY no",
            )?;
            let rows = select.query_map([], |row| {
                Ok((ExecutionId(columns::uuid(row, 0)?), SessionId(columns::uuid(row, 1)?)))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        });
        Ok(seen.await?.value)
    }

    /// Closed sessions that have open turns. As many as there are.
    pub async fn closed_with_turns(&self) -> Result<Vec<SessionId>, QueryError> {
        let seen = self.ask(At::Now, |connection, _| {
            let mut select = connection.prepare_cached(
                "SELECT DISTINCT s.id FROM session_tasks t JOIN sessions s ON s.id = t.session
                 WHERE t.over_position IS NULL AND t.is_turn = 1 AND s.closed_position IS NOT NULL",
            )?;
            let rows = select.query_map([], |row| columns::uuid(row, 0).map(SessionId))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        });
        Ok(seen.await?.value)
    }
}
