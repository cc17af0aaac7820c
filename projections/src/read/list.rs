//! Pages of executions.

use execution_ledger_domain::{ExecutionId, Scope, StreamName};
use execution_ledger_store::{Position, Recorded, With};
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};

use super::filters::{self, COST_INDEX, Conditions, Range};
use crate::columns;
use crate::cursor::Cursor;
use crate::model::ExecutionRecord;
use crate::query::{
    At, ExecutionQuery, LIST_TEXT_MAX_CHARS, PAGE_MAX, Page, QueryError, Seen, Sort,
};
use crate::views::Views;

/// Events of an execution's stream that are read: far more than the rules let one become, but for
/// corrections of its cost.
pub(super) const STREAM_EVENTS_MAX: usize = 1_000;
/// Rows up to which a choice of ranges is counted: one with fewer is read whole and sorted.
const FEW_ROWS: usize = 4_000;

/// A row of a page before its stream is read.
#[derive(Clone, Copy)]
pub(super) struct Hit {
    pub no: u64,
    pub id: ExecutionId,
    pub key: i64,
}

impl Views {
    /// A page of executions.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] names the filter that can't be.
    pub async fn executions(
        &self,
        scope: &Scope,
        at: At,
        query: &ExecutionQuery,
    ) -> Result<Seen<Page<ExecutionRecord>>, QueryError> {
        check_limit(query.limit)?;
        let log = self.log_id().clone();
        let question = question_of(scope, at, query);
        let after = query.cursor.as_deref();
        let after = after.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let (scope, asked) = (scope.clone(), query.clone());
        let hits =
            self.ask(at, move |connection, at| find(connection, at, &scope, &asked, after)).await?;
        let Seen { position, value: mut hits } = hits;
        let limit = query.limit as usize;
        let more = hits.len() > limit;
        hits.truncate(limit);
        let last = hits.last().filter(|_| more);
        let next_cursor =
            last.map(|hit| Cursor { key: hit.key, no: hit.no }.encode(&log, &question));
        let with = if query.texts { With::Contents } else { With::EventsOnly };
        let ids: Vec<ExecutionId> = hits.iter().map(|hit| hit.id).collect();
        let records = self.records(&ids, position, with).await?;
        let mut items: Vec<ExecutionRecord> = records.into_iter().flatten().collect();
        for record in &mut items {
            record.cut_texts(LIST_TEXT_MAX_CHARS);
        }
        Ok(Seen { position, value: Page { items, next_cursor } })
    }

    /// The records of these executions as of `position`, in their order; nothing for one that the log
    /// did not hold by then.
    pub(super) async fn records(
        &self,
        ids: &[ExecutionId],
        position: Position,
        with: With,
    ) -> Result<Vec<Option<ExecutionRecord>>, QueryError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let streams: Vec<StreamName> = ids.iter().map(|id| StreamName::execution(*id)).collect();
        let events = self.store().read_streams(&streams, STREAM_EVENTS_MAX, with).await?;
        events.iter().map(|events| fold(events, position)).collect()
    }
}

/// The record after these events up to a position.
pub(super) fn fold(
    events: &[Recorded],
    position: Position,
) -> Result<Option<ExecutionRecord>, QueryError> {
    ExecutionRecord::fold(events, position)
        .map_err(|error| QueryError::Unreadable(error.to_string()))
}

pub(super) fn check_limit(limit: u32) -> Result<(), QueryError> {
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(())
    } else {
        Err(QueryError::invalid("limit", format!("is not between 1 and {PAGE_MAX}")))
    }
}

/// What tells a question from others: a cursor is good for the same one alone. The limit may differ
/// from page to page.
fn question_of(scope: &Scope, at: At, query: &ExecutionQuery) -> String {
    format!("executions {scope:?} {at:?} {:?} {:?}", query.sort, query.filters)
}

fn find(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    query: &ExecutionQuery,
    after: Option<Cursor>,
) -> Result<Vec<Hit>, QueryError> {
    let mut conditions = Conditions::of(connection, at, scope, &query.filters)?;
    let limit = query.limit as usize + 1;
    if query.sort == Sort::DearestFirst {
        conditions.and_words();
        return dearest(connection, at, conditions, limit, after);
    }
    let newest_first = query.sort == Sort::NewestFirst;
    if let Some(after) = after {
        let comparison = if newest_first { "e.no <" } else { "e.no >" };
        conditions.and(comparison, Value::Integer(columns::number(after.no)));
    }
    if conditions.words.is_some() {
        return with_words(connection, &conditions, newest_first, limit, after);
    }
    let choices = filters::ranges(at, scope, &query.filters);
    let ranges = smallest(connection, choices)?;
    in_ranges(connection, &conditions, &ranges, newest_first, limit)
}

/// The choice with the fewest rows, if that is a few; else the first one whose rows come in order.
fn smallest(
    connection: &Connection,
    mut choices: Vec<Vec<Range>>,
) -> Result<Vec<Range>, QueryError> {
    if choices.len() > 1 {
        let mut best: Option<(usize, usize)> = None;
        for (index, ranges) in choices.iter().enumerate() {
            // The whole table as a range is never few.
            if ranges.iter().any(|range| range.index.is_empty()) {
                continue;
            }
            let rows = count(connection, ranges)?;
            if rows < best.map_or(FEW_ROWS, |(_, rows)| rows) {
                best = Some((index, rows));
            }
        }
        if let Some((index, _)) = best {
            return Ok(choices.swap_remove(index));
        }
        // Rows in the order of cost would all have to be sorted.
        choices.retain(|ranges| ranges.iter().all(|range| range.index != COST_INDEX));
    }
    Ok(choices.into_iter().next().unwrap_or_default())
}

fn count(connection: &Connection, ranges: &[Range]) -> Result<usize, QueryError> {
    let mut rows = 0;
    for range in ranges {
        let left = FEW_ROWS.saturating_sub(rows);
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM executions e INDEXED BY {} WHERE {} LIMIT {left})",
            range.index, range.sql
        );
        let counted = connection.query_row(&sql, [], |row| columns::unsigned(row, 0))?;
        rows += usize::try_from(counted).unwrap_or(usize::MAX);
    }
    Ok(rows)
}

/// The first rows of all ranges: of each as many as the page may hold, and of these the first.
fn in_ranges(
    connection: &Connection,
    conditions: &Conditions,
    ranges: &[Range],
    newest_first: bool,
    limit: usize,
) -> Result<Vec<Hit>, QueryError> {
    let order = if newest_first { "DESC" } else { "ASC" };
    let arms: Vec<String> = ranges
        .iter()
        .map(|range| {
            let hint = match range.index {
                "" => "NOT INDEXED".to_owned(),
                index => format!("INDEXED BY {index}"),
            };
            format!(
                "SELECT * FROM (SELECT e.no, e.id, 0 FROM executions e {hint}
                   WHERE {} AND {} ORDER BY e.no {order} LIMIT {limit})",
                range.sql, conditions.sql
            )
        })
        .collect();
    let sql = format!("{} ORDER BY 1 {order} LIMIT {limit}", arms.join(" UNION ALL "));
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(conditions.values().as_slice(), hit)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The dearest first, by the index on costs where it is about now.
fn dearest(
    connection: &Connection,
    at: Option<Position>,
    mut conditions: Conditions,
    limit: usize,
    after: Option<Cursor>,
) -> Result<Vec<Hit>, QueryError> {
    let cost = conditions.columns.cost;
    if let Some(after) = after {
        let key = conditions.parameter(Value::Integer(after.key));
        let no = conditions.parameter(Value::Integer(columns::number(after.no)));
        conditions.and_sql(&format!("({cost}, e.no) < ({key}, {no})"));
    }
    let hint = if at.is_none() { format!("INDEXED BY {COST_INDEX}") } else { String::new() };
    let sql = format!(
        "SELECT e.no, e.id, {cost} FROM executions e {hint} WHERE {} AND {cost} IS NOT NULL
         ORDER BY {cost} DESC, e.no DESC LIMIT {limit}",
        conditions.sql
    );
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(conditions.values().as_slice(), hit)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Takes the hits of the text index one by one, in the order of the page, and asks of each whether
/// the conditions hold: as many as the page needs, however many there are.
fn with_words(
    connection: &Connection,
    conditions: &Conditions,
    newest_first: bool,
    limit: usize,
    after: Option<Cursor>,
) -> Result<Vec<Hit>, QueryError> {
    let words = conditions.words.clone().unwrap_or_default();
    let (order, comparison, start) =
        if newest_first { ("DESC", "<", i64::MAX) } else { ("ASC", ">", -1) };
    let start = after.map_or(start, |after| columns::number(after.no));
    let arm = |table: &str, response: i64| {
        format!(
            "SELECT rowid, {response} FROM {table}
             WHERE {table} MATCH ?1 AND rowid {comparison} ?2"
        )
    };
    let hits_sql = format!(
        "{} UNION ALL {} ORDER BY 1 {order}",
        arm("search_messages", 0),
        arm("search_responses", 1)
    );
    // The hit's number and whether it is a response's come last among the parameters.
    let values = conditions.values();
    let (no_parameter, response_parameter) = (values.len() + 1, values.len() + 2);
    let check_sql = format!(
        "SELECT e.no, e.id, 0 FROM executions e WHERE e.no = ?{no_parameter}
           AND (?{response_parameter} = 0 OR e.ended_position <= ?1) AND {}",
        conditions.sql
    );
    let mut hits = connection.prepare_cached(&hits_sql)?;
    let mut check = connection.prepare_cached(&check_sql)?;
    let mut rows = hits.query(rusqlite::params![words, start])?;
    let mut found: Vec<Hit> = Vec::with_capacity(limit);
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let (no, response): (i64, i64) = (row.get(0)?, row.get(1)?);
        if found.last().is_some_and(|last| columns::number(last.no) == no) {
            continue;
        }
        let mut values = values.clone();
        values.extend([&no as &dyn ToSql, &response]);
        let mut checked = check.query_map(values.as_slice(), hit)?;
        found.extend(checked.next().transpose()?);
    }
    Ok(found)
}

fn hit(row: &rusqlite::Row<'_>) -> rusqlite::Result<Hit> {
    Ok(Hit {
        no: columns::unsigned(row, 0)?,
        id: ExecutionId(columns::uuid(row, 1)?),
        key: row.get(2)?,
    })
}
