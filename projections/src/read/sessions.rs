//! Chat sessions: lists, and one with its entries.

use execution_ledger_domain::{AgentName, ExecutionId, Scope, SessionId, Timestamp, UserName};
use execution_ledger_store::{Position, With};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::list::check_limit;
use crate::columns::{self, Bad};
use crate::cursor::Cursor;
use crate::model::{ChatSession, Continues, EntryKind, SessionDetail, SessionEntry, SessionStatus};
use crate::query::{
    At, Page, QueryError, SESSION_TEXT_MAX_CHARS, SESSION_TITLE_MAX_CHARS, Seen, SessionQuery,
};
use crate::views::Views;

/// Background tasks of a session that an answer shows: most.
const BACKGROUND_SHOWN_MAX: u32 = 200;

const COLUMNS: &str = "s.no, s.id, s.agent, s.user, s.opened_at, s.continues_execution,
  s.continues_session, CASE WHEN s.closed_position <= ?1 THEN s.closed_at END,
  (SELECT e.execution FROM session_entries e WHERE e.session = s.id AND e.kind = 0
     AND e.position <= ?1 ORDER BY e.position LIMIT 1)";

/// A session and the execution of its first turn.
struct Found {
    no: u64,
    session: ChatSession,
    first: Option<ExecutionId>,
}

/// An entry before its execution is read.
struct Entry {
    position: u64,
    kind: EntryKind,
    execution: ExecutionId,
    told: bool,
}

/// One session as rows have it.
struct Rows {
    found: Found,
    entries: Vec<Entry>,
    background: Vec<ExecutionId>,
}

impl Views {
    /// A page of chat sessions, the newest first.
    pub async fn sessions(
        &self,
        scope: &Scope,
        at: At,
        query: &SessionQuery,
    ) -> Result<Seen<Page<ChatSession>>, QueryError> {
        check_limit(query.limit)?;
        let log = self.log_id().clone();
        let question = format!(
            "sessions {scope:?} {at:?} {:?} {:?} {:?}",
            query.agent, query.status, query.user
        );
        let after = query.cursor.as_deref();
        let after = after.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let (scope, asked) = (scope.clone(), query.clone());
        let seen =
            self.ask(at, move |connection, at| list(connection, at, &scope, &asked, after)).await?;
        let Seen { position, value: mut found } = seen;
        let limit = query.limit as usize;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next_cursor = last.map(|last| Cursor { key: 0, no: last.no }.encode(&log, &question));
        let items = self.titled(found, position).await?;
        Ok(Seen { position, value: Page { items, next_cursor } })
    }

    /// One session with the newest of its entries, at most `limit`, or those before a cursor; nothing
    /// where there is none that the scope covers.
    pub async fn session(
        &self,
        scope: &Scope,
        at: At,
        id: SessionId,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Seen<Option<SessionDetail>>, QueryError> {
        check_limit(limit)?;
        let log = self.log_id().clone();
        let question = format!("session {id} {scope:?} {at:?}");
        let before = cursor.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let scope = scope.clone();
        let seen = self
            .ask(at, move |connection, at| one(connection, at, &scope, id, limit, before))
            .await?;
        let Seen { position, value: Some(mut rows) } = seen else {
            return Ok(seen.map(|_| None));
        };
        // One more was asked for than is shown: the oldest.
        let more = rows.entries.len() > limit as usize;
        if more {
            rows.entries.remove(0);
        }
        let first = rows.entries.first().filter(|_| more);
        let next_cursor =
            first.map(|first| Cursor { key: 0, no: first.position }.encode(&log, &question));
        let session = self.titled(vec![rows.found], position).await?.pop();
        let entries = self.entries(rows.entries, position).await?;
        let mut background = Vec::new();
        let records = self.records(&rows.background, position, With::Contents).await?;
        for mut record in records.into_iter().flatten() {
            record.cut_texts(SESSION_TEXT_MAX_CHARS);
            background.push(record);
        }
        let detail =
            session.map(|session| SessionDetail { session, entries, next_cursor, background });
        Ok(Seen { position, value: detail })
    }

    async fn titled(
        &self,
        found: Vec<Found>,
        position: Position,
    ) -> Result<Vec<ChatSession>, QueryError> {
        let first: Vec<ExecutionId> = found.iter().filter_map(|found| found.first).collect();
        let records = self.records(&first, position, With::Contents).await?;
        let mut records = records.into_iter();
        let titled = found.into_iter().map(|mut found| {
            if found.first.is_some() {
                let mut record = records.next().flatten();
                if let Some(record) = &mut record {
                    record.cut_texts(SESSION_TITLE_MAX_CHARS);
                }
                found.session.title = record.and_then(|record| record.message);
            }
            found.session
        });
        Ok(titled.collect())
    }

    async fn entries(
        &self,
        entries: Vec<Entry>,
        position: Position,
    ) -> Result<Vec<SessionEntry>, QueryError> {
        let ids: Vec<ExecutionId> = entries.iter().map(|entry| entry.execution).collect();
        let records = self.records(&ids, position, With::Contents).await?;
        let both = entries.into_iter().zip(records);
        let whole = both.filter_map(|(entry, record)| {
            let mut execution = record?;
            execution.cut_texts(SESSION_TEXT_MAX_CHARS);
            let is_result = entry.kind == EntryKind::BackgroundResult;
            Some(SessionEntry {
                kind: entry.kind,
                told: is_result.then_some(entry.told),
                execution,
            })
        });
        Ok(whole.collect())
    }
}

pub(super) fn position_of(at: Option<Position>) -> i64 {
    at.map_or(i64::MAX, |at| columns::number(at.number()))
}

fn list(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    query: &SessionQuery,
    after: Option<Cursor>,
) -> Result<Vec<Found>, QueryError> {
    // Exclusive: a cursor is the last row that was shown.
    let before = after.map_or(i64::MAX, |after| columns::number(after.no));
    let mut values = vec![Value::Integer(position_of(at)), Value::Integer(before)];
    let mut conditions = vec!["s.no <= ?1".to_owned(), "s.no < ?2".to_owned()];
    let users = match scope {
        Scope::All => vec![query.user.as_ref()],
        Scope::User(own) => vec![Some(own), query.user.as_ref()],
        Scope::Agent(_) | Scope::AgentFor { .. } => return Ok(Vec::new()),
    };
    for user in users.into_iter().flatten() {
        values.push(Value::Text(user.as_str().to_owned()));
        conditions.push(format!("s.user = ?{}", values.len()));
    }
    if let Some(agent) = &query.agent {
        values.push(Value::Text(agent.as_str().to_owned()));
        conditions.push(format!("s.agent = ?{}", values.len()));
    }
    match query.status {
        None => {}
        Some(SessionStatus::Open) => {
            conditions.push("(s.closed_position IS NULL OR s.closed_position > ?1)".to_owned());
        }
        Some(SessionStatus::Closed) => conditions.push("s.closed_position <= ?1".to_owned()),
    }
    let index = match (scope, query) {
        (Scope::User(_), _) | (_, SessionQuery { user: Some(_), .. }) => "INDEXED BY sessions_user",
        (_, SessionQuery { agent: Some(_), .. }) => "INDEXED BY sessions_agent",
        _ => "NOT INDEXED",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions s {index} WHERE {} ORDER BY s.no DESC LIMIT {}",
        conditions.join(" AND "),
        query.limit + 1
    );
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(&values), found)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn one(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    id: SessionId,
    limit: u32,
    before: Option<Cursor>,
) -> Result<Option<Rows>, QueryError> {
    let position = position_of(at);
    let sql = format!("SELECT {COLUMNS} FROM sessions s WHERE s.no <= ?1 AND s.id = ?2");
    let mut select = connection.prepare_cached(&sql)?;
    let found = select.query_row(params![position, id.0.as_bytes()], found).optional()?;
    let covered = |found: &Found| match scope {
        Scope::All => true,
        Scope::User(user) => found.session.user == *user,
        Scope::Agent(_) | Scope::AgentFor { .. } => false,
    };
    let Some(found) = found.filter(covered) else { return Ok(None) };
    let before = before.map_or(i64::MAX, |before| columns::number(before.no));
    let mut select = connection.prepare_cached(
        "SELECT position, kind, execution, told_position <= ?2 FROM session_entries
         WHERE session = ?1 AND position <= ?2 AND position < ?3 ORDER BY position DESC LIMIT ?4",
    )?;
    let rows = select.query_map(params![id.0.as_bytes(), position, before, limit + 1], entry)?;
    let mut entries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    entries.reverse();
    let mut select = connection.prepare_cached(
        "SELECT execution FROM session_tasks
         WHERE session = ?1 AND is_turn = 0 AND no <= ?2
           AND (over_position IS NULL OR over_position > ?2) ORDER BY no LIMIT ?3",
    )?;
    let rows = select
        .query_map(params![id.0.as_bytes(), position, BACKGROUND_SHOWN_MAX], |row| {
            columns::uuid(row, 0).map(ExecutionId)
        })?;
    let background = rows.collect::<rusqlite::Result<_>>()?;
    Ok(Some(Rows { found, entries, background }))
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    let closed_at = time(row.get(7)?);
    let continued: Option<String> = row.get(6)?;
    let from = columns::optional_uuid(row, 5)?.map(ExecutionId);
    let continues = from
        .zip(continued)
        .map(|(execution_id, agent_session_id)| Continues { execution_id, agent_session_id });
    Ok(Found {
        no: columns::unsigned(row, 0)?,
        session: ChatSession {
            session_id: SessionId(columns::uuid(row, 1)?),
            agent_name: columns::text(row, 2, AgentName::new)?,
            user: columns::text(row, 3, UserName::new)?,
            status: match closed_at {
                None => SessionStatus::Open,
                Some(_) => SessionStatus::Closed,
            },
            title: None,
            opened_at: Timestamp::from_micros(row.get(4)?),
            closed_at,
            continues,
        },
        first: columns::optional_uuid(row, 8)?.map(ExecutionId),
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let told: Option<bool> = row.get(3)?;
    Ok(Entry {
        position: columns::unsigned(row, 0)?,
        kind: EntryKind::from_code(row.get(1)?).ok_or_else(|| Bad::at(1))?,
        execution: ExecutionId(columns::uuid(row, 2)?),
        told: told.unwrap_or(false),
    })
}
