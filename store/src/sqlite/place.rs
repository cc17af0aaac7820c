//! Placing one append in a transaction: the expected revision, repeats, and the rows.

use std::collections::HashSet;

use execution_ledger_domain::{EventId, StreamName, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::is_constraint;
use super::heads::Heads;
use super::rows::{first_content_id, signed, unsigned};
use crate::port::{AppendError, Appended, ContentPlace, ExpectedRevision, Position, Recorded};

const INSERT_EVENT: &str = "INSERT INTO events (position, stream, revision, event_id, type, version, \
    recorded_at, metadata, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const INSERT_CONTENT: &str =
    "INSERT INTO contents (id, sha256, salt, body) VALUES (?1, ?2, ?3, ?4)";
const LAST_REVISION: &str =
    "SELECT revision FROM events WHERE stream = ?1 ORDER BY revision DESC LIMIT 1";
const PLACE_OF_ID: &str = "SELECT stream, revision FROM events WHERE event_id = ?1";
const AT_REVISION: &str =
    "SELECT event_id, position, recorded_at FROM events WHERE stream = ?1 AND revision = ?2";

const POSITION_OF_ID: &str = "SELECT position FROM events WHERE event_id = ?1";
const ERASE: &str = "UPDATE contents SET salt = NULL, body = NULL \
    WHERE id >= ?1 AND id < ?1 + 16 AND sha256 = ?2 AND salt IS NOT NULL";

/// How an append came to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Placed {
    /// By this transaction.
    Now(Appended),
    /// Before: this is a repeat.
    Before(Appended),
}

/// A refusal that leaves the transaction as it was, or a failure of the whole transaction.
pub(super) type Placing = rusqlite::Result<Result<Placed, AppendError>>;

/// Where the next events go: the state of the transaction that is being written.
pub(super) struct Place<'a> {
    /// The transaction's connection.
    pub tx: &'a Connection,
    /// What is known of the ends of streams.
    pub heads: &'a mut Heads,
    /// The last position taken.
    pub last: Position,
    /// The time of every event that is placed.
    pub now: Timestamp,
}

impl Place<'_> {
    /// Stores the events of one append, or says why not. Their positions, revisions and times are
    /// filled in. Answers a repeat of a stored append as the first time.
    pub(super) fn append(
        &mut self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: &mut [Recorded],
    ) -> Placing {
        let current = last_revision(self.tx, self.heads, stream)?;
        let fits = match expected {
            ExpectedRevision::NoStream => current.is_none(),
            ExpectedRevision::Exact(revision) => current == Some(revision),
            ExpectedRevision::Any => true,
        };
        if !fits {
            let first = match expected {
                ExpectedRevision::Exact(revision) => revision.saturating_add(1),
                ExpectedRevision::NoStream | ExpectedRevision::Any => 0,
            };
            let repeated = self.stored_at(stream, first, events)?;
            return Ok(repeated
                .map(Placed::Before)
                .ok_or(AppendError::WrongExpectedRevision { current }));
        }
        if let Some(taken) = self.taken_id(events)? {
            return self.repeat_or_duplicate(stream, expected, events, taken);
        }
        let first = current.map_or(0, |revision| revision + 1);
        for (revision, event) in (first..).zip(events.iter_mut()) {
            event.position = Position::new(self.last.number() + 1);
            event.revision = revision;
            event.recorded_at = self.now;
            match insert(self.tx, event) {
                Ok(()) => self.last = event.position,
                // Only the first event of an append can meet this: of several, all ids were checked.
                Err(error) if is_constraint(&error) && self.place_of(event.id)?.is_some() => {
                    let taken = event.id;
                    return self.repeat_or_duplicate(stream, expected, events, taken);
                }
                Err(error) => return Err(error),
            }
        }
        let revision = first + events.len() as u64 - 1;
        self.heads.set(stream, revision);
        Ok(Ok(Placed::Now(Appended { position: self.last, revision, recorded_at: self.now })))
    }

    /// Takes texts away, with their salts; what is not there any more is left as it is.
    pub(super) fn erase(&self, places: &[ContentPlace]) -> rusqlite::Result<()> {
        for place in places {
            let position = self
                .tx
                .prepare_cached(POSITION_OF_ID)?
                .query_row([place.event_id.0.as_bytes().as_slice()], |row| unsigned(row, 0))
                .optional()?;
            let Some(position) = position else { continue };
            let first = first_content_id(Position::new(position))?;
            self.tx.prepare_cached(ERASE)?.execute(params![first, place.sha256.0.as_slice()])?;
        }
        Ok(())
    }

    /// The answer of an append that is stored from this revision on with the same ids.
    fn stored_at(
        &self,
        stream: &StreamName,
        first: u64,
        events: &[Recorded],
    ) -> rusqlite::Result<Option<Appended>> {
        // No stream is as long as SQLite's largest number.
        let Ok(from) = i64::try_from(first) else { return Ok(None) };
        let mut statement = self.tx.prepare_cached(AT_REVISION)?;
        let mut answer = None;
        for (number, event) in (from..i64::MAX).zip(events) {
            let stored = statement
                .query_row(params![stream.as_str(), number], |row| {
                    let same = row.get_ref(0)?.as_blob()? == event.id.0.as_bytes();
                    let recorded_at = Timestamp::from_micros(row.get(2)?);
                    Ok((same, Position::new(unsigned(row, 1)?), recorded_at))
                })
                .optional()?;
            let Some((true, position, recorded_at)) = stored else { return Ok(None) };
            let revision = number.cast_unsigned();
            answer = Some(Appended { position, revision, recorded_at });
        }
        Ok(answer)
    }

    /// An id of a longer append that is stored already or that it brings twice. The id of a single
    /// event is left to the index, which refuses it without a trace.
    fn taken_id(&self, events: &[Recorded]) -> rusqlite::Result<Option<EventId>> {
        if events.len() < 2 {
            return Ok(None);
        }
        let mut own = HashSet::with_capacity(events.len());
        for event in events {
            if !own.insert(event.id) || self.place_of(event.id)?.is_some() {
                return Ok(Some(event.id));
            }
        }
        Ok(None)
    }

    fn place_of(&self, id: EventId) -> rusqlite::Result<Option<(String, u64)>> {
        let mut statement = self.tx.prepare_cached(PLACE_OF_ID)?;
        statement
            .query_row([id.0.as_bytes().as_slice()], |row| Ok((row.get(0)?, unsigned(row, 1)?)))
            .optional()
    }

    /// Without an expected revision a repeat shows only by its ids.
    fn repeat_or_duplicate(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: &[Recorded],
        taken: EventId,
    ) -> Placing {
        if expected == ExpectedRevision::Any
            && let Some(first) = events.first()
            && let Some((in_stream, revision)) = self.place_of(first.id)?
            && in_stream == stream.as_str()
            && let Some(appended) = self.stored_at(stream, revision, events)?
        {
            return Ok(Ok(Placed::Before(appended)));
        }
        Ok(Err(AppendError::DuplicateEventId(taken)))
    }
}

/// The last revision of a stream; from memory, where it is remembered.
pub(super) fn last_revision(
    tx: &Connection,
    heads: &Heads,
    stream: &StreamName,
) -> rusqlite::Result<Option<u64>> {
    if let Some(revision) = heads.get(stream) {
        return Ok(Some(revision));
    }
    let mut statement = tx.prepare_cached(LAST_REVISION)?;
    statement.query_row([stream.as_str()], |row| unsigned(row, 0)).optional()
}

/// Stores one event with its texts, just as it is.
pub(super) fn insert(tx: &Connection, event: &Recorded) -> rusqlite::Result<()> {
    tx.prepare_cached(INSERT_EVENT)?.execute(params![
        signed(event.position.number())?,
        event.stream.as_str(),
        signed(event.revision)?,
        event.id.0.as_bytes().as_slice(),
        event.type_name,
        event.version,
        event.recorded_at.micros(),
        event.metadata,
        event.data,
    ])?;
    for (id, stored) in (first_content_id(event.position)?..).zip(&event.contents) {
        let content = stored.content.as_ref();
        tx.prepare_cached(INSERT_CONTENT)?.execute(params![
            id,
            stored.sha256.0.as_slice(),
            content.map(|content| content.salt.as_slice()),
            content.map(|content| content.text.as_str()),
        ])?;
    }
    Ok(())
}
