//! Events and their texts, from rows.

use execution_ledger_domain::content::Digest;
use execution_ledger_domain::{Content, EventId, StreamName, Timestamp};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{CachedStatement, Connection, Params, Row, Rows, Transaction, params};
use uuid::Uuid;

use super::recent::bytes_of;
use crate::port::{Position, Recorded, StoreError, StoredContent, With};

/// Texts of one event at most: a content's id has four bits for its ordinal.
pub(super) const CONTENTS_PER_EVENT_MAX: usize = 16;
/// Rows that room is made for in advance, whatever the caller's limit.
const ROOM_MAX: usize = 1_024;
/// Rows that room is made for where few come.
const ROOM_FEW: usize = 4;

const OF_STREAM: &str = "SELECT position, stream, revision, event_id, type, version, recorded_at, \
    metadata, data FROM events WHERE stream = ?1 AND revision >= ?2 ORDER BY revision LIMIT ?3";
const AFTER: &str = "SELECT position, stream, revision, event_id, type, version, recorded_at, \
    metadata, data FROM events WHERE position > ?1 ORDER BY position LIMIT ?2";
const DOWN_STREAM: &str = "SELECT position, stream, revision, event_id, type, version, recorded_at, \
    metadata, data FROM events WHERE stream = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT ?3";
const BEFORE: &str = "SELECT position, stream, revision, event_id, type, version, recorded_at, \
    metadata, data FROM events WHERE position < ?1 ORDER BY position DESC LIMIT ?2";
const OF_ID: &str = "SELECT position, stream, revision, event_id, type, version, recorded_at, \
    metadata, data FROM events WHERE event_id = ?1";
const BETWEEN: &str = "SELECT position, stream, revision, event_id, type, version, recorded_at, \
    metadata, data FROM events WHERE position >= ?1 AND position <= ?2 ORDER BY position";
const CONTENTS_FROM: &str =
    "SELECT sha256, salt, body, id FROM contents WHERE id >= ?1 ORDER BY id";
const CONTENTS_OF: &str =
    "SELECT sha256, salt, body FROM contents WHERE id >= ?1 AND id < ?1 + 16 ORDER BY id";

/// Most that a read takes: a number of events, and a size after which no further event is read.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// Events.
    pub events: usize,
    /// Events and texts, in bytes.
    pub bytes: usize,
}

/// Events of one stream from a revision on.
pub(super) fn of_stream(
    connection: &mut Connection,
    stream: &StreamName,
    from_revision: u64,
    limit: usize,
    with: With,
) -> Result<Vec<Recorded>, StoreError> {
    let tx = connection.transaction()?;
    let events = stream_from(&tx, stream, from_revision, limit, with)?;
    tx.commit()?;
    Ok(events)
}

/// The first events of several streams, in the order of the streams.
pub(super) fn of_streams(
    connection: &mut Connection,
    streams: &[StreamName],
    limit: usize,
    with: With,
) -> Result<Vec<Vec<Recorded>>, StoreError> {
    let tx = connection.transaction()?;
    let first = |stream| stream_from(&tx, stream, 0, limit, with);
    let events = streams.iter().map(first).collect::<rusqlite::Result<_>>()?;
    tx.commit()?;
    Ok(events)
}

fn stream_from(
    tx: &Transaction,
    stream: &StreamName,
    from_revision: u64,
    limit: usize,
    with: With,
) -> rusqlite::Result<Vec<Recorded>> {
    let Ok(from) = i64::try_from(from_revision) else { return Ok(Vec::new()) };
    let limit = Limit { events: limit, bytes: usize::MAX };
    one_by_one(tx, OF_STREAM, params![stream.as_str(), from, rows(limit)], limit, with)
}

/// Events of one stream from a revision on, backwards.
pub(super) fn of_stream_backwards(
    connection: &mut Connection,
    stream: &StreamName,
    from_revision: u64,
    limit: usize,
    with: With,
) -> Result<Vec<Recorded>, StoreError> {
    let from = i64::try_from(from_revision).unwrap_or(i64::MAX);
    let limit = Limit { events: limit, bytes: usize::MAX };
    let tx = connection.transaction()?;
    let parameters = params![stream.as_str(), from, rows(limit)];
    let events = one_by_one(&tx, DOWN_STREAM, parameters, limit, with)?;
    tx.commit()?;
    Ok(events)
}

/// Events of all streams before a position, backwards.
pub(super) fn before(
    connection: &mut Connection,
    position: Position,
    limit: Limit,
    with: With,
) -> Result<Vec<Recorded>, StoreError> {
    let before = i64::try_from(position.number()).unwrap_or(i64::MAX);
    let tx = connection.transaction()?;
    let events = one_by_one(&tx, BEFORE, params![before, rows(limit)], limit, with)?;
    tx.commit()?;
    Ok(events)
}

/// The event of that id, with its texts.
pub(super) fn of_id(
    connection: &mut Connection,
    id: EventId,
) -> Result<Option<Recorded>, StoreError> {
    let tx = connection.transaction()?;
    let limit = Limit { events: 1, bytes: usize::MAX };
    let parameters = params![id.0.as_bytes().as_slice()];
    let found = one_by_one(&tx, OF_ID, parameters, limit, With::Contents)?.pop();
    tx.commit()?;
    Ok(found)
}

/// Events, and the texts of each looked up by themselves.
fn one_by_one(
    tx: &Transaction,
    query: &str,
    parameters: impl Params,
    limit: Limit,
    with: With,
) -> rusqlite::Result<Vec<Recorded>> {
    match with {
        With::EventsOnly => read(tx, query, parameters, limit, |_| Ok(Vec::new())),
        With::Contents => {
            let mut contents = tx.prepare_cached(CONTENTS_OF)?;
            read(tx, query, parameters, limit, |position| contents_of(&mut contents, position))
        }
    }
}

/// Events of all streams after a position.
pub(super) fn after(
    connection: &mut Connection,
    position: Position,
    limit: Limit,
    with: With,
) -> Result<Vec<Recorded>, StoreError> {
    let Ok(after) = i64::try_from(position.number()) else { return Ok(Vec::new()) };
    let parameters = params![after, rows(limit)];
    let tx = connection.transaction()?;
    let events = match with {
        With::EventsOnly => read(&tx, AFTER, parameters, limit, |_| Ok(Vec::new()))?,
        With::Contents => {
            // The texts stand in the order of the events, so one walk along them is enough.
            let mut contents = tx.prepare_cached(CONTENTS_FROM)?;
            // Where a text's number would be too large, no event stands either.
            let next = Position::new(position.number().saturating_add(1));
            let first = first_content_id(next).unwrap_or(i64::MAX);
            let mut contents = contents.query([first])?;
            contents.advance()?;
            read(&tx, AFTER, parameters, limit, |position| contents_until(&mut contents, position))?
        }
    };
    tx.commit()?;
    Ok(events)
}

/// Of each stream the events at these positions: by the positions alone, which costs less than to look
/// up the stream.
pub(super) fn at(
    connection: &mut Connection,
    known: &[(StreamName, Vec<Position>)],
    with: With,
) -> Result<Vec<Vec<Recorded>>, StoreError> {
    let tx = connection.transaction()?;
    let mut all = Vec::with_capacity(known.len());
    for (stream, positions) in known {
        let mut events = Vec::with_capacity(positions.len());
        let mut rest = positions.as_slice();
        while let Some((first, last, after)) = adjacent(rest) {
            rest = after;
            events.extend(between(&tx, first, last, with)?);
        }
        events.retain(|event| event.stream == *stream);
        all.push(events);
    }
    tx.commit()?;
    Ok(all)
}

/// The first of these positions, the last of those that follow it without a gap, and the rest.
fn adjacent(positions: &[Position]) -> Option<(Position, Position, &[Position])> {
    let first = *positions.first()?;
    let follows = |pair: &&[Position]| pair[1].number() == pair[0].number().saturating_add(1);
    let count = 1 + positions.windows(2).take_while(follows).count();
    Some((first, positions[count - 1], &positions[count..]))
}

/// The events between two positions, with both of them.
fn between(
    tx: &Transaction,
    first: Position,
    last: Position,
    with: With,
) -> rusqlite::Result<Vec<Recorded>> {
    let limit = Limit { events: ROOM_FEW, bytes: usize::MAX };
    let parameters = params![signed(first.number())?, signed(last.number())?];
    if with == With::EventsOnly {
        return read(tx, BETWEEN, parameters, limit, |_| Ok(Vec::new()));
    }
    let mut contents = tx.prepare_cached(CONTENTS_FROM)?;
    let mut contents = contents.query([first_content_id(first)?])?;
    contents.advance()?;
    read(tx, BETWEEN, parameters, limit, |position| contents_until(&mut contents, position))
}

/// Position and time of the last event.
pub(super) fn tail(connection: &Connection) -> rusqlite::Result<(Position, Timestamp)> {
    let query = "SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([])?;
    match rows.next()? {
        Some(row) => Ok((Position::new(unsigned(row, 0)?), Timestamp::from_micros(row.get(1)?))),
        None => Ok((Position::START, Timestamp::EPOCH)),
    }
}

fn rows(limit: Limit) -> i64 {
    i64::try_from(limit.events).unwrap_or(i64::MAX)
}

/// Within one transaction, so that an erasure between two reads can't part an event from its texts.
fn read(
    tx: &Transaction,
    query: &str,
    parameters: impl Params,
    limit: Limit,
    mut contents_of: impl FnMut(Position) -> rusqlite::Result<Vec<StoredContent>>,
) -> rusqlite::Result<Vec<Recorded>> {
    let mut events = Vec::with_capacity(limit.events.min(ROOM_MAX));
    let mut statement = tx.prepare_cached(query)?;
    let mut rows = statement.query(parameters)?;
    let mut bytes = 0;
    while bytes < limit.bytes
        && let Some(row) = rows.next()?
    {
        let mut event = recorded(row)?;
        event.contents = contents_of(event.position)?;
        bytes += bytes_of(&event);
        events.push(event);
    }
    Ok(events)
}

fn recorded(row: &Row) -> rusqlite::Result<Recorded> {
    let stream = row.get_ref(1)?.as_str()?.parse::<StreamName>();
    let id = Uuid::from_slice(row.get_ref(3)?.as_blob()?);
    Ok(Recorded {
        position: Position::new(unsigned(row, 0)?),
        stream: stream.map_err(|error| unfit(1, Type::Text, error))?,
        revision: unsigned(row, 2)?,
        id: EventId(id.map_err(|error| unfit(3, Type::Blob, error))?),
        type_name: row.get(4)?,
        version: row.get(5)?,
        recorded_at: Timestamp::from_micros(row.get(6)?),
        metadata: row.get(7)?,
        data: row.get(8)?,
        contents: Vec::new(),
    })
}

fn contents_of(
    statement: &mut CachedStatement,
    position: Position,
) -> rusqlite::Result<Vec<StoredContent>> {
    let mut rows = statement.query([first_content_id(position)?])?;
    let mut contents = Vec::new();
    while let Some(row) = rows.next()? {
        contents.push(content(row)?);
    }
    Ok(contents)
}

/// The texts of the event at `position`, along rows that stand at the first text after the event
/// before; they are left at the first one after this event.
fn contents_until(rows: &mut Rows, position: Position) -> rusqlite::Result<Vec<StoredContent>> {
    let first = first_content_id(position)?;
    let mut contents = Vec::new();
    while let Some(row) = rows.get() {
        let id: i64 = row.get(3)?;
        if id >= first.saturating_add(CONTENTS_PER_EVENT_MAX as i64) {
            break;
        }
        // One before it would belong to no event.
        if id >= first {
            contents.push(content(row)?);
        }
        rows.advance()?;
    }
    Ok(contents)
}

fn content(row: &Row) -> rusqlite::Result<StoredContent> {
    let salt: Option<[u8; 16]> = row.get(1)?;
    let text: Option<String> = row.get(2)?;
    let content = salt.zip(text).map(|(salt, text)| Content { salt, text });
    Ok(StoredContent { sha256: Digest(row.get(0)?), content })
}

/// The id of an event's first text.
pub(super) fn first_content_id(position: Position) -> rusqlite::Result<i64> {
    signed(position.number())?
        .checked_mul(CONTENTS_PER_EVENT_MAX as i64)
        .ok_or_else(|| rusqlite::Error::ToSqlConversionFailure("a position is too large".into()))
}

/// A number as SQLite holds it.
pub(super) fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A column that is never negative.
pub(super) fn unsigned(row: &Row, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number)
        .map_err(|_| unfit(column, Type::Integer, FromSqlError::OutOfRange(number)))
}

fn unfit(
    column: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
