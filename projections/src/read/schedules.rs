//! Schedules: which there are and were, what they decided, and from where the scheduler goes on.

use execution_ledger_domain::{ExecutionId, ScheduleId, Scope, StreamName, Timestamp};
use execution_ledger_store::{Position, With};
use rusqlite::{Connection, Row, params};

use super::list::check_limit;
use super::versions::{VersionRow, Which, version, versions};
use crate::columns;
use crate::cursor::Cursor;
use crate::model::{ScheduleHead, ScheduleRow, ScheduleRun, TickRow};
use crate::query::{At, LIST_TEXT_MAX_CHARS, Page, PageQuery, QueryError, ScheduleQuery, Seen};
use crate::views::Views;
use crate::write::{HEAD_COLUMNS, ScheduleVersion, Schedules, head, schedule_kind};

/// How much of its message names a schedule that was given no name, in characters.
const NAME_FROM_MESSAGE_CHARS: usize = 60;
/// What a schedule without a name is called once its message was erased.
const NAME_WITHOUT_MESSAGE: &str = "Schedule";

/// A version of a schedule and what it decided last.
type Found = (VersionRow<ScheduleVersion>, Option<TickRow>);

impl Views {
    /// A page of schedules, the newest first, with their texts cut to [`LIST_TEXT_MAX_CHARS`].
    ///
    /// # Errors
    /// [`QueryError::InvalidCursor`] and [`QueryError::OtherLog`] for a cursor that is not this list's.
    pub async fn schedules(
        &self,
        scope: &Scope,
        at: At,
        query: &ScheduleQuery,
    ) -> Result<Seen<Page<ScheduleRow>>, QueryError> {
        check_limit(query.limit)?;
        let limit = query.limit as usize;
        let question = format!("schedules {scope:?} {:?} {:?}", query.agent, query.enabled);
        let log = self.log_id().clone();
        let cursor = query.cursor.as_deref();
        let cursor = cursor.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let Some(user) = user_of(scope) else {
            let page = Page { items: Vec::new(), next_cursor: None };
            return Ok(Seen { position: self.position_for(at)?, value: page });
        };
        let which = Which {
            user,
            agent: query.agent.as_ref().map(|agent| agent.as_str().to_owned()),
            kind: query.enabled.map(|enabled| schedule_kind(enabled).to_owned()),
            active: Some(true),
            before: cursor.map(|cursor| cursor.no),
            ..Which::default()
        };
        let found = self
            .ask(at, move |connection, at| {
                let mut rows = versions::<Schedules>(connection, at, &which, limit + 1)?;
                let more = rows.len() > limit;
                rows.truncate(limit);
                let last = rows.last().filter(|_| more).map(|row| row.created);
                let next_cursor = last.map(|no| Cursor { key: 0, no }.encode(&log, &question));
                let with_last = rows.into_iter().map(|row| with_last(connection, at, row));
                Ok((with_last.collect::<Result<Vec<_>, _>>()?, next_cursor))
            })
            .await?;
        let (rows, next_cursor) = found.value;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let mut row = self.with_texts(row).await?;
            for text in row.message.iter_mut().chain(&mut row.system_prompt) {
                if let Some((end, _)) = text.char_indices().nth(LIST_TEXT_MAX_CHARS) {
                    text.truncate(end);
                }
            }
            items.push(row);
        }
        Ok(Seen { position: found.position, value: Page { items, next_cursor } })
    }

    /// One schedule with its texts; nothing where there is none that the scope covers.
    ///
    /// # Errors
    /// [`QueryError::NotReady`] while the read models are made anew.
    pub async fn schedule(
        &self,
        scope: &Scope,
        at: At,
        id: ScheduleId,
    ) -> Result<Seen<Option<ScheduleRow>>, QueryError> {
        let scope = scope.clone();
        let found = self
            .ask(at, move |connection, at| {
                let row = visible(connection, at, &scope, id)?;
                row.map(|row| with_last(connection, at, row)).transpose()
            })
            .await?;
        let row = match found.value {
            Some(row) => Some(self.with_texts(row).await?),
            None => None,
        };
        Ok(Seen { position: found.position, value: row })
    }

    /// A page of what a schedule decided, the latest first; nothing where there is no schedule that
    /// the scope covers.
    ///
    /// # Errors
    /// As [`Views::schedules`].
    pub async fn schedule_ticks(
        &self,
        scope: &Scope,
        at: At,
        id: ScheduleId,
        page: &PageQuery,
    ) -> Result<Seen<Option<Page<TickRow>>>, QueryError> {
        check_limit(page.limit)?;
        let limit = page.limit as usize;
        let question = format!("schedule_ticks {id}");
        let log = self.log_id().clone();
        let cursor = page.cursor.as_deref();
        let cursor = cursor.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let scope = scope.clone();
        self.ask(at, move |connection, at| {
            if visible(connection, at, &scope, id)?.is_none() {
                return Ok(None);
            }
            let before = cursor.map_or(i64::MAX, |cursor| columns::number(cursor.no));
            let mut items = ticks(connection, at, id, before, limit + 1)?;
            let more = items.len() > limit;
            items.truncate(limit);
            let last = items.last().filter(|_| more).map(|row| row.position.number());
            let next_cursor = last.map(|no| Cursor { key: 0, no }.encode(&log, &question));
            Ok(Some(Page { items, next_cursor }))
        })
        .await
    }

    /// From where the scheduler goes on: one consistent read of all schedules that are not deleted, or
    /// that still have executions to submit, and of their executions that have not ended.
    ///
    /// # Errors
    /// [`QueryError::NotReady`] while the read models are made anew.
    pub async fn schedule_work(
        &self,
    ) -> Result<(Position, Vec<ScheduleHead>, Vec<ScheduleRun>), QueryError> {
        let seen = self
            .ask(At::Now, |connection, _| {
                let mut select = connection.prepare_cached(&format!(
                    "SELECT {HEAD_COLUMNS} FROM schedule_heads WHERE NOT deleted
                       OR schedule IN (SELECT schedule FROM schedule_runs WHERE owed NOT NULL)"
                ))?;
                let heads = select.query_map([], schedule_head)?;
                let heads: Vec<_> = heads.collect::<rusqlite::Result<_>>()?;
                let mut select = connection
                    .prepare_cached("SELECT execution, schedule, owed FROM schedule_runs")?;
                let runs = select.query_map([], schedule_run)?;
                Ok((heads, runs.collect::<rusqlite::Result<Vec<_>>>()?))
            })
            .await?;
        let (heads, runs) = seen.value;
        Ok((seen.position, heads, runs))
    }

    async fn with_texts(&self, (row, last): Found) -> Result<ScheduleRow, QueryError> {
        let VersionRow { id, since, state, .. } = row;
        let id: ScheduleId = id.parse().map_err(|_| {
            QueryError::Unreadable(format!("the stream schedule-{id} has no schedule's id"))
        })?;
        let stream = StreamName::schedule(id);
        let revision = state.settings_revision;
        let read = self.store().read_stream(&stream, revision, 1, With::Contents).await?;
        let text = |reference| read.first().and_then(|event| event.text(reference));
        let message = text(&state.settings.message);
        let given = state.settings.name.clone();
        Ok(ScheduleRow {
            id,
            name: given.unwrap_or_else(|| name_from(message.unwrap_or_default())),
            message: message.map(str::to_owned),
            system_prompt: state.settings.system_prompt.as_ref().and_then(text).map(str::to_owned),
            settings: state.settings,
            user: state.user,
            enabled: state.enabled,
            created_at: state.created_at,
            changed_at: state.changed_at,
            position: since,
            last,
        })
    }
}

/// The beginning of a message, as a name.
fn name_from(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().unwrap_or(NAME_WITHOUT_MESSAGE);
    line.chars().filter(|c| !c.is_control()).take(NAME_FROM_MESSAGE_CHARS).collect()
}

/// The user whose schedules a scope covers: all of them, or none at all.
#[expect(clippy::option_option, reason = "nobody's, everybody's or one user's")]
fn user_of(scope: &Scope) -> Option<Option<String>> {
    match scope {
        Scope::All => Some(None),
        Scope::User(user) => Some(Some(user.as_str().to_owned())),
        Scope::Agent(_) | Scope::AgentFor { .. } => None,
    }
}

fn visible(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    id: ScheduleId,
) -> Result<Option<VersionRow<ScheduleVersion>>, QueryError> {
    let row = version::<Schedules>(connection, at, &id.to_string())?;
    let covers = |user: &str| match scope {
        Scope::All => true,
        Scope::User(own) => own.as_str() == user,
        Scope::Agent(_) | Scope::AgentFor { .. } => false,
    };
    Ok(row.filter(|row| !row.state.deleted && covers(row.state.user.as_str())))
}

fn with_last(
    connection: &Connection,
    at: Option<Position>,
    row: VersionRow<ScheduleVersion>,
) -> Result<Found, QueryError> {
    let last = match row.id.parse() {
        Ok(id) => ticks(connection, at, id, i64::MAX, 1)?.pop(),
        Err(_) => None,
    };
    Ok((row, last))
}

fn ticks(
    connection: &Connection,
    at: Option<Position>,
    id: ScheduleId,
    before: i64,
    limit: usize,
) -> rusqlite::Result<Vec<TickRow>> {
    let upto = at.map_or(i64::MAX, |at| columns::number(at.number()));
    let mut select = connection.prepare_cached(
        "SELECT tick, until, count, fired, reason, code, execution, decided_at, no
         FROM schedule_ticks WHERE schedule = ?1 AND no <= min(?2, ?3) ORDER BY no DESC LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let before = before.saturating_sub(1);
    select.query_map(params![id.0.as_bytes(), upto, before, limit], tick)?.collect()
}

fn tick(row: &Row<'_>) -> rusqlite::Result<TickRow> {
    let until: Option<i64> = row.get(1)?;
    let execution: Option<[u8; 16]> = row.get(6)?;
    Ok(TickRow {
        tick: Timestamp::from_micros(row.get(0)?),
        until: until.map(Timestamp::from_micros),
        count: columns::unsigned(row, 2)?,
        fired: row.get(3)?,
        reason: row.get(4)?,
        code: row.get(5)?,
        execution_id: execution.map(|bytes| ExecutionId(uuid::Uuid::from_bytes(bytes))),
        decided_at: Timestamp::from_micros(row.get(7)?),
        position: Position::new(columns::unsigned(row, 8)?),
    })
}

fn schedule_head(row: &Row<'_>) -> rusqlite::Result<ScheduleHead> {
    let found = head(row)?;
    Ok(ScheduleHead {
        id: ScheduleId(columns::uuid(row, 6)?),
        state: found.state,
        head: found.last,
        settings_revision: found.settings_revision,
    })
}

fn schedule_run(row: &Row<'_>) -> rusqlite::Result<ScheduleRun> {
    Ok(ScheduleRun {
        execution_id: ExecutionId(columns::uuid(row, 0)?),
        schedule_id: ScheduleId(columns::uuid(row, 1)?),
        owed: columns::optional_unsigned(row, 2)?,
    })
}
