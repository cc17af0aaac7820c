//! Pages of executions, the dearest first.

use execution_ledger_domain::Scope;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::filters::{self, Conditions, Range};
use super::ranges::{self, FEW_ROWS, Place, merged, probe};
use crate::columns;
use crate::cursor::Cursor;
use crate::query::{ExecutionFilters, QueryError};

/// As of now: where few rows can be meant, these, sorted; else along the indexes on costs, merged.
/// The one reads few rows, the other soon has a page, because many rows are meant.
pub(super) fn now(
    connection: &Connection,
    mut conditions: Conditions,
    scope: &Scope,
    filters: &ExecutionFilters,
    limit: usize,
    after: Option<Cursor>,
) -> Result<Vec<Place>, QueryError> {
    let after = after_row(&mut conditions, after);
    if let Some(hits) = probed(connection, &conditions, &after, filters, limit)? {
        return Ok(hits);
    }
    let ranges = match few(connection, &mut conditions, scope, filters)? {
        Some(ranges) => ranges,
        None => filters::by_cost(filters),
    };
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    conditions.and_sql(&format!("e.cost IS NOT NULL AND {after}"));
    let rows = merged("e.cost AS cost, e.no AS no", &ranges, &conditions.all());
    let sql = format!("{rows} ORDER BY 1 DESC, 2 DESC LIMIT {limit}");
    places(connection, &sql, &conditions)
}

/// The first rows along the indexes on costs, if not many have to be looked at for them. Not for
/// words, which are dear to look for in one row after the other.
fn probed(
    connection: &Connection,
    conditions: &Conditions,
    after: &str,
    filters: &ExecutionFilters,
    limit: usize,
) -> Result<Option<Vec<Place>>, QueryError> {
    let ranges = filters::by_cost(filters);
    if conditions.words.is_some() || ranges.is_empty() {
        return Ok(None);
    }
    let select = format!("e.cost AS cost, e.no AS no, ({}) AS fits", conditions.all());
    let rows = merged(&select, &ranges, after);
    let sql = format!("{rows} ORDER BY 1 DESC, 2 DESC");
    probe(connection, &sql, &conditions.values(), limit, place)
}

/// As of a position, at which no index holds the costs.
pub(super) fn then(
    connection: &Connection,
    mut conditions: Conditions,
    limit: usize,
    after: Option<Cursor>,
) -> Result<Vec<Place>, QueryError> {
    conditions.and_words();
    let after = after_row(&mut conditions, after);
    conditions.and_sql(&after);
    let cost = conditions.columns.cost;
    let sql = format!(
        "SELECT {cost}, e.no FROM executions e WHERE {} AND {cost} IS NOT NULL
         ORDER BY {cost} DESC, e.no DESC LIMIT {limit}",
        conditions.all()
    );
    places(connection, &sql, &conditions)
}

/// Ranges that hold all rows that are meant, if there are some with few rows. Sees to the words.
fn few(
    connection: &Connection,
    conditions: &mut Conditions,
    scope: &Scope,
    filters: &ExecutionFilters,
) -> Result<Option<Vec<Range>>, QueryError> {
    if let Some(words) = &conditions.words {
        let Some(numbers) = few_hits(connection, words)? else {
            conditions.and_words_of_each();
            return Ok(None);
        };
        let sql = format!("e.no IN ({numbers})");
        return Ok(Some(vec![Range { index: "", sql }]));
    }
    // First of all those whose index holds the costs: others would read the rows themselves.
    let mut choices = filters::ranges(None, scope, filters);
    choices.insert(0, filters::by_cost(filters));
    if filters.from.is_some() || filters.to.is_some() {
        let (first, end) = (conditions.first_no, conditions.end_no);
        let sql = format!("e.no >= {first} AND e.no < {end}");
        choices.push(vec![Range { index: "", sql }]);
    }
    let fewest = ranges::fewest(connection, &choices)?;
    Ok(fewest.map(|index| choices.swap_remove(index)))
}

/// The numbers of all rows whose texts hold the words, as SQL, if they are few.
fn few_hits(connection: &Connection, words: &str) -> Result<Option<String>, QueryError> {
    let mut select = connection.prepare_cached(
        "SELECT rowid FROM search_messages WHERE search_messages MATCH ?1
         UNION ALL SELECT rowid FROM search_responses WHERE search_responses MATCH ?1 LIMIT ?2",
    )?;
    let limit = i64::try_from(FEW_ROWS).unwrap_or(i64::MAX);
    let rows = select.query_map(rusqlite::params![words, limit], |row| row.get::<_, i64>(0))?;
    let numbers: Vec<i64> = rows.collect::<rusqlite::Result<_>>()?;
    if numbers.len() == FEW_ROWS {
        return Ok(None);
    }
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    Ok(Some(numbers.join(",")))
}

/// The condition that rows come after the last one of the page before.
fn after_row(conditions: &mut Conditions, after: Option<Cursor>) -> String {
    let Some(after) = after else { return "1".to_owned() };
    let cost = conditions.columns.cost;
    let key = conditions.parameter(Value::Integer(after.key));
    let no = conditions.parameter(Value::Integer(columns::number(after.no)));
    format!("({cost}, e.no) < ({key}, {no})")
}

/// The rows of a statement whose columns are the cost and the number.
fn places(
    connection: &Connection,
    sql: &str,
    conditions: &Conditions,
) -> Result<Vec<Place>, QueryError> {
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map(conditions.values().as_slice(), place)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<Place> {
    Ok((row.get(1)?, row.get(0)?))
}
