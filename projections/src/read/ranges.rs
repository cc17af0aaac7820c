//! Rows of the executions from parts of indexes: which parts, and the SQL that merges them.

use rusqlite::{Connection, ToSql};

use super::filters::{COST_INDEXES, Conditions, Range};
use crate::columns;
use crate::query::QueryError;

/// Rows up to which a choice of ranges is counted: one with fewer is read whole and sorted.
pub(super) const FEW_ROWS: usize = 4_000;

/// The ranges that a page is read from.
#[derive(Default)]
pub(super) struct Chosen {
    pub ranges: Vec<Range>,
    /// Whether they hold fewer rows than [`FEW_ROWS`], which may be in another order than their
    /// numbers'.
    pub few: bool,
}

/// Rows that are looked at before choices are counted, for each row of the page: most.
const PROBED_ROWS_PER_HIT: usize = 8;

/// The choice with the fewest rows, if that is a few; else the first one whose rows come in order.
pub(super) fn choose(
    connection: &Connection,
    mut choices: Vec<Vec<Range>>,
) -> Result<Chosen, QueryError> {
    if choices.len() > 1 {
        if let Some(index) = fewest(connection, &choices)? {
            return Ok(Chosen { ranges: choices.swap_remove(index), few: true });
        }
        // Rows in the order of cost would all have to be sorted.
        choices.retain(|ranges| ranges.iter().all(|range| !COST_INDEXES.contains(&range.index)));
    }
    Ok(Chosen { ranges: choices.into_iter().next().unwrap_or_default(), few: false })
}

/// The choice with the fewest rows, if that is a few.
pub(super) fn fewest(
    connection: &Connection,
    choices: &[Vec<Range>],
) -> Result<Option<usize>, QueryError> {
    let mut best: Option<(usize, usize)> = None;
    for (index, ranges) in choices.iter().enumerate() {
        // The whole table as a range is never few.
        if ranges.iter().any(|range| range.sql == "1") {
            continue;
        }
        let rows = count(connection, ranges)?;
        if rows < best.map_or(FEW_ROWS, |(_, rows)| rows) {
            best = Some((index, rows));
        }
    }
    Ok(best.map(|(index, _)| index))
}

fn count(connection: &Connection, ranges: &[Range]) -> Result<usize, QueryError> {
    if ranges.is_empty() {
        return Ok(0);
    }
    let rows = merged("1", ranges, "1");
    let sql = format!("SELECT count(*) FROM ({rows} LIMIT {FEW_ROWS})");
    let rows = connection.query_row(&sql, [], |row| columns::unsigned(row, 0))?;
    Ok(usize::try_from(rows).unwrap_or(usize::MAX))
}

/// SQL for the rows of all ranges to which the conditions apply. With an ORDER BY that the ranges'
/// indexes have too, SQLite merges them row by row and reads no more than a LIMIT takes.
pub(super) fn merged(select: &str, ranges: &[Range], conditions: &str) -> String {
    let arm = |range: &Range| {
        let hint = match range.index {
            "" => "NOT INDEXED".to_owned(),
            index => format!("INDEXED BY {index}"),
        };
        format!("SELECT {select} FROM executions e {hint} WHERE {} AND {conditions}", range.sql)
    };
    ranges.iter().map(arm).collect::<Vec<_>>().join(" UNION ALL ")
}

/// The rows that a list holds, in the order of their numbers.
pub(super) struct Rows {
    pub conditions: Conditions,
    pub chosen: Chosen,
    pub newest_first: bool,
}

impl Rows {
    /// SQL for `select` of the rows from a number on; its first column is the number. Three parameters
    /// come after the conditions' values: the first and the last number, see [`Self::bounds`], and how
    /// many rows.
    pub fn sql(&self, select: &str) -> String {
        let first = self.conditions.values().len() + 1;
        let (last, limit) = (first + 1, first + 2);
        let conditions = &self.conditions.sql;
        let bounded = format!("{conditions} AND e.no >= ?{first} AND e.no <= ?{last}");
        let rows = merged(select, &self.chosen.ranges, &bounded);
        format!("{rows} ORDER BY 1 {} LIMIT ?{limit}", self.order())
    }

    /// The first and the last number from `start` on, in the order of the page.
    pub fn bounds(&self, start: i64) -> (i64, i64) {
        let (first, last) = (self.conditions.first_no, self.conditions.end_no.saturating_sub(1));
        if self.newest_first { (first, last.min(start)) } else { (first.max(start), last) }
    }

    /// As SQL says the order.
    pub fn order(&self) -> &'static str {
        if self.newest_first { "DESC" } else { "ASC" }
    }

    /// The first rows from a number on, if not many rows have to be looked at for them: most often
    /// counting would take longer than the page.
    pub fn probed_page(
        &self,
        connection: &Connection,
        start: i64,
        limit: usize,
    ) -> Result<Option<Vec<Place>>, QueryError> {
        let first = self.conditions.values().len() + 1;
        let last = first + 1;
        let bounds = format!("e.no >= ?{first} AND e.no <= ?{last}");
        let select = format!("e.no AS no, ({}) AS fits", self.conditions.sql);
        let rows = merged(&select, &self.chosen.ranges, &bounds);
        let sql = format!("{rows} ORDER BY 1 {}", self.order());
        let (first, last) = self.bounds(start);
        let mut values = self.conditions.values();
        values.extend([&first as &dyn ToSql, &last]);
        probe(connection, &sql, &values, limit, |row| Ok((row.get(0)?, 0)))
    }

    /// The first rows from a number on.
    pub fn page(
        &self,
        connection: &Connection,
        start: i64,
        limit: usize,
    ) -> Result<Vec<Place>, QueryError> {
        if self.chosen.ranges.is_empty() {
            return Ok(Vec::new());
        }
        let sql = self.sql("e.no AS no");
        let mut select = connection.prepare_cached(&sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (first, last) = self.bounds(start);
        let mut values = self.conditions.values();
        values.extend([&first as &dyn ToSql, &last, &limit]);
        let rows = select.query_map(values.as_slice(), |row| Ok((row.get(0)?, 0)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// A row's number, and what else it is sorted by.
pub(super) type Place = (i64, i64);

/// The first rows that fit, along rows in the order of the page, whose last column says whether they
/// do; nothing where too many would have to be looked at.
pub(super) fn probe(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    limit: usize,
    place: fn(&rusqlite::Row<'_>) -> rusqlite::Result<Place>,
) -> Result<Option<Vec<Place>>, QueryError> {
    let mut select = connection.prepare_cached(sql)?;
    let fits = select.column_count().saturating_sub(1);
    let mut rows = select.query(values)?;
    let mut found = Vec::with_capacity(limit);
    let mut left = limit.saturating_mul(PROBED_ROWS_PER_HIT);
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        if left == 0 {
            return Ok(None);
        }
        left -= 1;
        if row.get::<_, Option<bool>>(fits)? == Some(true) {
            found.push(place(row)?);
        }
    }
    Ok(Some(found))
}
