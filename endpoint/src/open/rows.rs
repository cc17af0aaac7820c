//! Events, from rows.

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};
use uuid::Uuid;

use super::metadata;
use crate::log::{AllFrom, AllPage, LogEvent, StreamFrom, StreamPage};

/// Size after which a page takes no further event, in bytes.
const PAGE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// `$tb` of a deleted stream: everything is before it.
pub(super) const ALL_TRUNCATED: i64 = i64::MAX;
/// Ticks of 100 ns in a second.
pub(super) const TICKS_PER_S: i64 = 10_000_000;

/// What is known of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamRow {
    /// Its last revision, if it has an event.
    pub last: Option<i64>,
    pub tombstoned: bool,
    pub max_count: Option<i64>,
    pub max_age_s: Option<i64>,
    pub truncated_before: i64,
}

impl StreamRow {
    /// Whether it was deleted and not appended to since.
    pub fn deleted(&self) -> bool {
        self.truncated_before == ALL_TRUNCATED
    }

    /// The first revision that readers see.
    fn first_visible(&self, stream: &str) -> i64 {
        let max_count = if stream.starts_with("$$") { Some(1) } else { self.max_count };
        let kept = max_count.map_or(0, |count| (self.last.unwrap_or(-1) + 1 - count).max(0));
        self.truncated_before.max(kept)
    }
}

/// What is known of a stream; nothing of one that never was.
pub(super) fn stream(connection: &Connection, name: &str) -> rusqlite::Result<StreamRow> {
    let mut statement = connection.prepare_cached(
        "SELECT last, tombstoned, max_count, max_age_s, truncated_before FROM streams WHERE name = ?1",
    )?;
    let found = statement
        .query_row([name], |row| {
            let last: i64 = row.get(0)?;
            Ok(StreamRow {
                last: (last >= 0).then_some(last),
                tombstoned: row.get(1)?,
                max_count: row.get(2)?,
                max_age_s: row.get(3)?,
                truncated_before: row.get(4)?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Position of the last event and when it was taken; zeros in an empty store.
pub(super) fn tail(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection
        .query_row(
            "SELECT position, created FROM events ORDER BY position DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map(Option::unwrap_or_default)
}

/// Whether an event has this position.
pub(super) fn stands_at(connection: &Connection, position: u64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM events WHERE position = ?1")?
        .exists([signed(position)])
}

const COLUMNS: &str = "position, stream, revision, event_id, type, json, created, metadata, data";

/// A page of the whole log.
pub(super) fn of_all(
    connection: &Connection,
    from: AllFrom,
    limit: usize,
) -> rusqlite::Result<AllPage> {
    let (bound, position) = match from {
        AllFrom::After(position) => ("position > ?1 ORDER BY position", position),
        AllFrom::Before(position) => ("position < ?1 ORDER BY position DESC", position),
    };
    let query = format!("SELECT {COLUMNS} FROM events WHERE {bound} LIMIT ?2");
    let mut statement = connection.prepare_cached(&query)?;
    let (events, cut) = taken(statement.query(params![signed(position), signed_len(limit)])?)?;
    let last = !cut && events.len() < limit;
    Ok(AllPage { events, last })
}

/// A page of a stream, as its metadata let it be seen at `now` (ticks).
pub(super) fn of_stream(
    connection: &Connection,
    name: &str,
    from: StreamFrom,
    limit: usize,
    now: i64,
) -> rusqlite::Result<StreamPage> {
    let row = stream(connection, name)?;
    // Whoever asks for the metadata of a stream that is gone for ever is told that it is gone.
    let buried = match metadata::described_by(name) {
        Some(described) => stream(connection, described)?.tombstoned,
        None => row.tombstoned,
    };
    let last = match row.last {
        _ if buried => return Ok(StreamPage::Tombstoned),
        Some(last) if !row.deleted() => last,
        _ => return Ok(StreamPage::Missing),
    };
    let first = row.first_visible(name);
    let (low, high, order) = match from {
        StreamFrom::UpFrom(revision) => (signed(revision).max(first), last, "ASC"),
        StreamFrom::DownFrom(revision) => (first, signed(revision).min(last), "DESC"),
    };
    let query = format!(
        "SELECT {COLUMNS} FROM events WHERE stream = ?1 AND revision BETWEEN ?2 AND ?3 \
         ORDER BY revision {order} LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query(params![name, low, high, signed_len(limit)])?;
    let (mut events, cut) = taken(rows)?;
    let more = cut || events.len() == limit;
    let next = match (events.last(), from) {
        (Some(event), StreamFrom::UpFrom(_)) if more => {
            Some(StreamFrom::UpFrom(event.revision + 1))
        }
        (Some(event), StreamFrom::DownFrom(_)) if more => {
            event.revision.checked_sub(1).map(StreamFrom::DownFrom)
        }
        _ => None,
    };
    if let Some(age) = row.max_age_s {
        let oldest = now.saturating_sub(age.saturating_mul(TICKS_PER_S));
        events.retain(|event| event.created >= oldest);
    }
    Ok(StreamPage::Found { events, next })
}

/// The data of the newest event of a stream.
pub(super) fn newest_data(
    connection: &Connection,
    stream: &str,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT data FROM events WHERE stream = ?1 ORDER BY revision DESC LIMIT 1")?
        .query_row([stream], |row| row.get(0))
        .optional()
}

/// Events as far as a page goes, and whether it was cut for its size.
fn taken(mut rows: Rows) -> rusqlite::Result<(Vec<LogEvent>, bool)> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        bytes += event.bytes();
        events.push(event);
        if bytes >= PAGE_MAX_BYTES {
            return Ok((events, true));
        }
    }
    Ok((events, false))
}

fn event(row: &Row) -> rusqlite::Result<LogEvent> {
    let unfit = |column| rusqlite::Error::IntegralValueOutOfRange(column, -1);
    let unsigned = |column| u64::try_from(row.get::<_, i64>(column)?).map_err(|_| unfit(column));
    let blob = |column| {
        let value = row.get_ref(column)?;
        value.as_blob().map(Bytes::copy_from_slice).map_err(rusqlite::Error::from)
    };
    let id = Uuid::from_slice(row.get_ref(3)?.as_blob()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, Type::Blob, error.into()))?;
    Ok(LogEvent {
        position: unsigned(0)?,
        stream: row.get(1)?,
        revision: unsigned(2)?,
        id,
        type_name: row.get(4)?,
        json: row.get(5)?,
        created: row.get(6)?,
        metadata: blob(7)?,
        data: blob(8)?,
    })
}

/// A number of a client as SQLite holds it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn signed_len(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
