//! The tables of the log, and what makes a file ours.

use execution_ledger_domain::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use rusqlite_migration::{HookError, M, Migrations};

use crate::port::LogId;

/// Marks a database as a log of this program (`PRAGMA application_id`): "XLED" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x584c_4544;
/// The newest schema that this version knows (`PRAGMA user_version`).
pub(super) const SCHEMA_VERSION: i32 = 1;
/// Characters of a log's id.
const LOG_ID_CHARACTERS: usize = 12;
/// Rounds of drawing random bytes for a log id: each gives far more than a character on average.
const LOG_ID_DRAWS_MAX: usize = 64;

/// Events and texts only ever come in; a text can lose its words, and nothing else changes.
/// A content's id is its event's position * 16 + its ordinal among the event's texts.
const VERSION_1: &str = "
PRAGMA application_id = 1481393476;
CREATE TABLE log (
    ordinal INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    since INTEGER NOT NULL
) STRICT;
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    revision INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_stream ON events (stream, revision);
CREATE UNIQUE INDEX events_by_id ON events (event_id);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL,
    salt BLOB,
    body TEXT
) STRICT;
CREATE TRIGGER events_stay_as_they_are BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;
CREATE TRIGGER contents_stay BEFORE DELETE ON contents
BEGIN SELECT RAISE(ABORT, 'a content is never deleted, only erased'); END;
CREATE TRIGGER contents_are_only_erased BEFORE UPDATE ON contents
WHEN NEW.id IS NOT OLD.id OR NEW.sha256 IS NOT OLD.sha256
    OR NEW.salt IS NOT NULL OR NEW.body IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a content is never changed, only erased'); END;
CREATE VIEW events_readable AS
SELECT position, stream, revision,
    strftime('%Y-%m-%dT%H:%M:%S', recorded_at / 1000000, 'unixepoch')
        || printf('.%06dZ', recorded_at % 1000000) AS recorded_at,
    type, version,
    lower(printf('%s-%s-%s-%s-%s', substr(hex(event_id), 1, 8), substr(hex(event_id), 9, 4),
        substr(hex(event_id), 13, 4), substr(hex(event_id), 17, 4), substr(hex(event_id), 21)))
        AS event_id,
    metadata, data
FROM events;
";

/// Brings the database to today's schema, and gives a new log its id.
pub(super) fn migrate(
    connection: &mut Connection,
    now: Timestamp,
) -> rusqlite_migration::Result<()> {
    let first = M::up_with_hook(VERSION_1, move |tx: &Transaction| {
        begin_log(tx, now).map(|_| ()).map_err(|error| HookError::Hook(error.to_string()))
    });
    Migrations::new(vec![first]).to_latest(connection)
}

/// Why a log could not be given an id.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogIdError {
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Gives the log a new id from now on.
pub(super) fn begin_log(connection: &Connection, now: Timestamp) -> Result<LogId, LogIdError> {
    let id = random_id()?;
    connection.execute("INSERT INTO log (id, since) VALUES (?1, ?2)", params![id, now.micros()])?;
    LogId::new(&id).map_err(|_| unfit_log_id().into())
}

/// The log's id: the last that it was given.
pub(super) fn log_id(connection: &Connection) -> rusqlite::Result<LogId> {
    let query = "SELECT id FROM log ORDER BY ordinal DESC LIMIT 1";
    let id: String = connection.query_row(query, [], |row| row.get(0))?;
    LogId::new(&id).map_err(|_| unfit_log_id())
}

fn unfit_log_id() -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(0, "id".to_owned(), rusqlite::types::Type::Text)
}

fn random_id() -> Result<String, LogIdError> {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    /// The largest multiple of 36 in a byte: larger values would favour the first characters.
    const FAIR_BELOW: u8 = 252;
    let mut id = String::with_capacity(LOG_ID_CHARACTERS);
    for _ in 0..LOG_ID_DRAWS_MAX {
        let mut drawn = [0_u8; LOG_ID_CHARACTERS];
        getrandom::fill(&mut drawn).map_err(LogIdError::Random)?;
        for byte in drawn.into_iter().filter(|byte| *byte < FAIR_BELOW) {
            id.push(char::from(ALPHABET[usize::from(byte % 36)]));
            if id.len() == LOG_ID_CHARACTERS {
                return Ok(id);
            }
        }
    }
    Err(LogIdError::Random(getrandom::Error::UNEXPECTED))
}

/// What a database says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// No tables: just created, or its creation was interrupted.
    Blank,
    /// A log with this schema.
    Log {
        /// `PRAGMA user_version`.
        schema: i32,
    },
    /// Somebody else's.
    Other,
}

/// Looks at a database without changing it.
pub(super) fn identify(connection: &Connection) -> rusqlite::Result<Identity> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, schema) = (number("application_id")?, number("user_version")?);
    if application == APPLICATION_ID && schema > 0 {
        return Ok(Identity::Log { schema });
    }
    let table = connection
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |row| row.get::<_, i64>(0))
        .optional()?;
    let blank = application == 0 && schema == 0 && table.is_none();
    Ok(if blank { Identity::Blank } else { Identity::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_sound_and_end_at_the_known_schema() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(identify(&connection).unwrap(), Identity::Blank);
        migrate(&mut connection, Timestamp::EPOCH).unwrap();
        assert_eq!(identify(&connection).unwrap(), Identity::Log { schema: SCHEMA_VERSION });
        assert_eq!(log_id(&connection).unwrap().as_str().len(), LOG_ID_CHARACTERS);
    }

    #[test]
    fn the_newest_id_of_a_log_counts() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Timestamp::EPOCH).unwrap();
        let first = log_id(&connection).unwrap();
        let second = begin_log(&connection, Timestamp::EPOCH).unwrap();
        assert_ne!(first, second);
        assert_eq!(log_id(&connection).unwrap(), second);
    }

    #[test]
    fn sqlite_itself_refuses_to_change_or_delete_an_event_and_to_change_a_text() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Timestamp::EPOCH).unwrap();
        connection
            .execute_batch(
                "INSERT INTO events VALUES (1, 'a-1', 0, x'00', 't', 1, 0, '{}', '{}');
                 INSERT INTO contents VALUES (16, x'01', x'02', 'words');",
            )
            .unwrap();
        for refused in [
            "UPDATE events SET data = '[]'",
            "DELETE FROM events",
            "UPDATE contents SET body = 'other words'",
            "DELETE FROM contents",
        ] {
            assert!(connection.execute(refused, []).is_err(), "{refused}");
        }
        connection.execute("UPDATE contents SET salt = NULL, body = NULL", []).unwrap();
    }

    #[test]
    fn the_readable_view_shows_times_and_ids_as_people_write_them() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Timestamp::EPOCH).unwrap();
        connection
            .execute_batch(
                "INSERT INTO events VALUES (1, 'a-1', 0, x'0193f6f0a1b27c3d8e9f001122334455', 't', 1, \
                 1795254825000250, '{}', '{}')",
            )
            .unwrap();
        let shown: (String, String) = connection
            .query_row("SELECT recorded_at, event_id FROM events_readable", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(shown.0, "2026-11-21T09:53:45.000250Z");
        assert_eq!(shown.1, "0193f6f0-a1b2-7c3d-8e9f-001122334455");
    }
}
