//! Pages of executions whose texts hold words: the rows of the filters and the hits of the text index,
//! both in the order of the page, leap from one that both may have to the next.

use execution_ledger_store::Position;
use rusqlite::{Connection, ToSql};

use super::ranges::{FEW_ROWS, Place, Rows};
use crate::query::QueryError;

/// Numbers of rows that are read at a time: fewest.
const ROWS_MIN: usize = 64;
/// Numbers of the text index that are read at a time: fewest.
const HITS_MIN: usize = 8;
/// Numbers that are read at a time: most.
const CHUNK_MAX: usize = 1_024;
/// Numbers that are read one after the other in the time of one leap, about.
const LEAP: usize = 32;

/// The first rows from a number on whose message, or whose response, holds the words.
pub(super) fn find(
    connection: &Connection,
    rows: &Rows,
    words: &str,
    at: Option<Position>,
    start: i64,
    limit: usize,
) -> Result<Vec<Place>, QueryError> {
    if rows.chosen.ranges.is_empty() {
        return Ok(Vec::new());
    }
    let newest_first = rows.newest_first;
    // A response counts from the end of its execution on.
    let answered = if at.is_some() { "ifnull(e.ended_position <= ?1, 0)" } else { "1" };
    let select = format!("e.no, {answered}");
    let sql = rows.sql(&select);
    let of_rows = |from: i64, size: i64| {
        let (first, last) = rows.bounds(from);
        let mut values = rows.conditions.values();
        values.extend([&first as &dyn ToSql, &last, &size]);
        numbers(connection, &sql, values.as_slice())
    };
    let of_table = |table: &'static str| {
        move |from: i64, size: i64| {
            let (comparison, order) = if newest_first { ("<=", "DESC") } else { (">=", "ASC") };
            let sql = format!(
                "SELECT rowid, 1 FROM {table} WHERE {table} MATCH ?1 AND rowid {comparison} ?2
                 ORDER BY rowid {order} LIMIT ?3"
            );
            numbers(connection, &sql, &[&words, &from, &size])
        }
    };
    // Few rows are read at once: they would be sorted for each chunk.
    let (least, most) = if rows.chosen.few { (FEW_ROWS, FEW_ROWS) } else { (ROWS_MIN, CHUNK_MAX) };
    let mut rows = Numbers::new(newest_first, least, most, of_rows);
    let mut messages = Numbers::new(newest_first, HITS_MIN, CHUNK_MAX, of_table("search_messages"));
    let mut responses =
        Numbers::new(newest_first, HITS_MIN, CHUNK_MAX, of_table("search_responses"));
    let next = |no: i64| if newest_first { no.saturating_sub(1) } else { no.saturating_add(1) };
    let nearest = |message: Found, response: Found| {
        let hits = message.into_iter().chain(response).map(|(no, _)| no);
        if newest_first { hits.max() } else { hits.min() }
    };
    let hit = |no: i64| Some((no, true));
    let mut found = Vec::with_capacity(limit);
    // A rare word's first hit may be far away.
    let mut leap = nearest(messages.seek(start)?, responses.seek(start)?);
    while let Some(target) = leap
        && found.len() < limit
        && let Some((no, answered)) = rows.seek(target)?
    {
        let message = messages.seek(no)?;
        // Most hits are messages' already; the responses' are looked up where they decide.
        let response = if message == hit(no) { None } else { responses.seek(no)? };
        if message == hit(no) || (response == hit(no) && answered) {
            found.push((no, 0));
        }
        let met = message == hit(no) || response == hit(no);
        leap = if met { Some(next(no)) } else { nearest(message, response) };
    }
    Ok(found)
}

/// A number and, of a row, whether its response counts.
type Found = Option<(i64, bool)>;

/// Numbers in the order of the page, read in chunks: larger ones where each number is looked at,
/// smaller ones where most are leapt over.
struct Numbers<F> {
    newest_first: bool,
    least: usize,
    most: usize,
    read: F,
    chunk: Vec<(i64, bool)>,
    place: usize,
    size: usize,
    /// How many of the chunk's numbers were looked at.
    seen: usize,
    /// Whether nothing comes after the chunk.
    last: bool,
}

impl<F> Numbers<F>
where
    F: FnMut(i64, i64) -> rusqlite::Result<Vec<(i64, bool)>>,
{
    fn new(newest_first: bool, least: usize, most: usize, read: F) -> Self {
        let size = least.saturating_mul(2).min(most);
        Self {
            newest_first,
            least,
            most,
            read,
            chunk: Vec::new(),
            place: 0,
            size,
            seen: 0,
            last: false,
        }
    }

    /// The first number that is `target` or comes after it. Targets never go back.
    fn seek(&mut self, target: i64) -> rusqlite::Result<Found> {
        loop {
            let newest_first = self.newest_first;
            let is_before = |no: i64| if newest_first { no > target } else { no < target };
            let rest = self.chunk.get(self.place..).unwrap_or_default();
            self.place += rest.partition_point(|(no, _)| is_before(*no));
            if let Some(found) = self.chunk.get(self.place) {
                self.seen += 1;
                return Ok(Some(*found));
            }
            if self.last {
                return Ok(None);
            }
            if !self.chunk.is_empty() {
                let leaps_are_dearer = self.seen * LEAP >= self.chunk.len();
                let size = if leaps_are_dearer { self.size * 2 } else { self.size / 2 };
                self.size = size.clamp(self.least, self.most);
            }
            self.chunk = (self.read)(target, i64::try_from(self.size).unwrap_or(i64::MAX))?;
            self.last = self.chunk.len() < self.size;
            (self.place, self.seen) = (0, 0);
        }
    }
}

fn numbers(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
) -> rusqlite::Result<Vec<(i64, bool)>> {
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
