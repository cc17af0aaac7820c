//! One append or removal, inside the writer's transaction: decide, then write.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::metadata::{self, METADATA_TYPE, Metadata};
use super::rows::{self, ALL_TRUNCATED, StreamRow, signed};
use crate::log::{Expected, Proposed, Removal, TOMBSTONE_REVISION, WriteError, Written};

/// What a record takes beside its names and bytes: positions have gaps of the size of their events, as
/// they have on a KurrentDB.
const RECORD_BYTES: i64 = 64;
/// Type of the event that ends a stream for ever.
const TOMBSTONE_TYPE: &str = "$streamDeleted";

/// Writes behind the last position. Nothing is written where it answers with a refusal.
pub(super) struct Place<'a> {
    pub connection: &'a Connection,
    /// Position of the last event.
    pub last: i64,
    /// When the events are taken, in ticks; never decreases.
    pub now: i64,
}

/// An answer within a transaction: its error is SQLite's, which undoes the whole group.
pub(super) type Answer = rusqlite::Result<Result<Written, WriteError>>;

/// What is to be done with an append.
enum Decision {
    Write,
    Written(Written),
    Refused(WriteError),
}

/// What of an append stands in its stream already, as KurrentDB looks where no revision is expected.
enum Known {
    /// Not the first event; nobody looks at those after it.
    New,
    /// The first event, but not all: another append with ids of an earlier one.
    Part,
    /// All, in whatever order; the last of them stands there.
    All(Written),
}

/// What an append was answered with whose last event this is: the first columns are its revision and
/// its position.
fn written_at(row: &Row) -> rusqlite::Result<Written> {
    let (revision, position): (i64, i64) = (row.get(0)?, row.get(1)?);
    Ok(Written { revision: Some(revision.unsigned_abs()), position: Some(position.unsigned_abs()) })
}

impl Place<'_> {
    pub fn append(&mut self, stream: &str, expected: Expected, events: &[Proposed]) -> Answer {
        let row = rows::stream(self.connection, stream)?;
        match self.decide(stream, &row, expected, events)? {
            Decision::Written(written) => Ok(Ok(written)),
            Decision::Refused(refusal) => Ok(Err(refusal)),
            Decision::Write => {
                let mut revision = row.last.unwrap_or(-1);
                if row.deleted() && !events.is_empty() {
                    self.truncate(stream, revision + 1)?;
                }
                for event in events {
                    revision += 1;
                    self.write(stream, revision, event)?;
                }
                let position = (!events.is_empty()).then(|| self.last.unsigned_abs());
                self.advance(stream, revision)?;
                if let (Some(described), Some(event)) =
                    (metadata::described_by(stream), events.last())
                {
                    self.describe(described, event)?;
                }
                Ok(Ok(Written { revision: u64::try_from(revision).ok(), position }))
            }
        }
    }

    pub fn remove(&mut self, stream: &str, expected: Expected, removal: Removal) -> Answer {
        let row = rows::stream(self.connection, stream)?;
        let current = row.last.map(i64::unsigned_abs);
        let wrong = Ok(Err(WriteError::WrongExpected { current }));
        if row.tombstoned {
            return Ok(Err(WriteError::StreamDeleted));
        }
        match expected {
            Expected::Exists if row.deleted() => return Ok(Err(WriteError::StreamDeleted)),
            Expected::Any if current.is_some() || removal == Removal::Tombstone => {}
            Expected::NoStream if current.is_none() && removal == Removal::Tombstone => {}
            Expected::Exists if current.is_some() => {}
            Expected::Exact(revision) if current == Some(revision) => {}
            _ => return wrong,
        }
        match removal {
            Removal::Delete => self.truncate(stream, ALL_TRUNCATED)?,
            Removal::Tombstone => self.tombstone(stream)?,
        }
        Ok(Ok(Written { revision: current, position: Some(self.last.unsigned_abs()) }))
    }

    fn decide(
        &self,
        stream: &str,
        row: &StreamRow,
        expected: Expected,
        events: &[Proposed],
    ) -> rusqlite::Result<Decision> {
        let current = row.last.map(i64::unsigned_abs);
        let gone = current.is_none() || row.deleted();
        let wrong = Decision::Refused(WriteError::WrongExpected { current });
        // Where the same events would stand, had they been appended before.
        let first = match expected {
            _ if row.tombstoned => return Ok(Decision::Refused(WriteError::StreamDeleted)),
            Expected::Exists if row.deleted() => {
                return Ok(Decision::Refused(WriteError::StreamDeleted));
            }
            Expected::Any | Expected::Exists => {
                let fits = expected == Expected::Any || current.is_some();
                return Ok(match self.known(stream, events)? {
                    Known::All(written) => Decision::Written(written),
                    Known::New if fits => Decision::Write,
                    Known::New | Known::Part => wrong,
                });
            }
            Expected::NoStream if gone => return Ok(Decision::Write),
            Expected::NoStream => row.truncated_before,
            Expected::Exact(revision) if current == Some(revision) => return Ok(Decision::Write),
            Expected::Exact(revision) => signed(revision).saturating_add(1),
        };
        Ok(self.repeated(stream, first, events)?.map_or(wrong, Decision::Written))
    }

    /// Whether these events stand in the stream already, wherever.
    fn known(&self, stream: &str, events: &[Proposed]) -> rusqlite::Result<Known> {
        let mut newest = self.connection.prepare_cached(
            "SELECT revision, position FROM events WHERE event_id = ?1 AND stream = ?2 \
             ORDER BY revision DESC LIMIT 1",
        )?;
        let mut known = Known::New;
        for event in events {
            let found =
                newest.query_row(params![event.id.as_bytes(), stream], written_at).optional()?;
            known = match (found, known) {
                (Some(written), _) => Known::All(written),
                (None, Known::New) => return Ok(Known::New),
                (None, _) => return Ok(Known::Part),
            };
        }
        Ok(known)
    }

    /// What these events were answered with, if they all stand there already, from `first` on.
    fn repeated(
        &self,
        stream: &str,
        first: i64,
        events: &[Proposed],
    ) -> rusqlite::Result<Option<Written>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT revision, position, event_id FROM events \
             WHERE stream = ?1 AND revision >= ?2 ORDER BY revision LIMIT ?3",
        )?;
        let limit = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let mut found = statement.query(params![stream, first, limit])?;
        let mut last = None;
        for event in events {
            let Some(row) = found.next()? else { return Ok(None) };
            if row.get_ref(2)?.as_blob()? != event.id.as_bytes() {
                return Ok(None);
            }
            last = Some(written_at(row)?);
        }
        Ok(last)
    }

    fn write(&mut self, stream: &str, revision: i64, event: &Proposed) -> rusqlite::Result<()> {
        self.last += step(stream, event);
        self.connection
            .prepare_cached(
                "INSERT INTO events (position, stream, revision, event_id, type, json, created, \
                 metadata, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                self.last,
                stream,
                revision,
                event.id.as_bytes(),
                event.type_name,
                event.json,
                self.now,
                &event.metadata[..],
                &event.data[..],
            ])?;
        Ok(())
    }

    fn advance(&self, stream: &str, last: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO streams (name, last) VALUES (?1, ?2) \
                 ON CONFLICT (name) DO UPDATE SET last = excluded.last",
            )?
            .execute(params![stream, last])?;
        Ok(())
    }

    /// Takes over what metadata say of a stream.
    fn describe(&self, stream: &str, event: &Proposed) -> rusqlite::Result<()> {
        if event.type_name != METADATA_TYPE {
            return Ok(());
        }
        let said = Metadata::from_bytes(&event.data);
        self.connection
            .prepare_cached(
                "INSERT INTO streams (name, last, max_count, max_age_s, truncated_before) \
                 VALUES (?1, -1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET \
                 max_count = excluded.max_count, max_age_s = excluded.max_age_s, \
                 truncated_before = excluded.truncated_before",
            )?
            .execute(params![
                stream,
                said.max_count(),
                said.max_age_s(),
                said.truncated_before()
            ])?;
        Ok(())
    }

    /// Hides what stands before a revision, as a client could by the stream's metadata.
    fn truncate(&mut self, stream: &str, before: i64) -> rusqlite::Result<()> {
        let described_in = metadata::stream_of(stream);
        let last = rows::stream(self.connection, &described_in)?.last.unwrap_or(-1);
        let said = rows::newest_data(self.connection, &described_in)?.unwrap_or_default();
        let event = Proposed {
            id: Uuid::now_v7(),
            type_name: METADATA_TYPE.to_owned(),
            json: true,
            metadata: Bytes::new(),
            data: Metadata::from_bytes(&said).truncating_before(before).into(),
        };
        self.write(&described_in, last + 1, &event)?;
        self.advance(&described_in, last + 1)?;
        self.describe(stream, &event)
    }

    fn tombstone(&mut self, stream: &str) -> rusqlite::Result<()> {
        let event = Proposed {
            id: Uuid::now_v7(),
            type_name: TOMBSTONE_TYPE.to_owned(),
            json: false,
            metadata: Bytes::new(),
            data: Bytes::new(),
        };
        self.write(stream, signed(TOMBSTONE_REVISION), &event)?;
        self.connection
            .prepare_cached(
                "INSERT INTO streams (name, last, tombstoned) VALUES (?1, -1, 1) \
                 ON CONFLICT (name) DO UPDATE SET tombstoned = 1",
            )?
            .execute([stream])?;
        Ok(())
    }
}

/// How far the position of an event is from the one before.
fn step(stream: &str, event: &Proposed) -> i64 {
    let bytes = stream.len() + event.type_name.len() + event.metadata.len() + event.data.len();
    i64::try_from(bytes).unwrap_or_default().saturating_add(RECORD_BYTES)
}
