//! The tables of the open store.

use rusqlite::Connection;

/// Marks a database as an open store (`PRAGMA application_id`): "XLOS" in ASCII.
const APPLICATION_ID: i32 = 0x584c_4f53;
/// The schema that this version knows (`PRAGMA user_version`).
const SCHEMA_VERSION: i32 = 1;

const VERSION_1: &str = "
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    revision INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    type TEXT NOT NULL,
    json INTEGER NOT NULL,
    created INTEGER NOT NULL,
    metadata BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_stream ON events (stream, revision);
CREATE INDEX events_by_id ON events (event_id);
CREATE TABLE streams (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL,
    tombstoned INTEGER NOT NULL DEFAULT 0,
    max_count INTEGER,
    max_age_s INTEGER,
    truncated_before INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
";

/// Why a file is no open store of this version.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Another program's, or another version's.
    #[error("it is no open store of this version (application id {application}, schema {schema})")]
    Foreign {
        /// `PRAGMA application_id`.
        application: i32,
        /// `PRAGMA user_version`.
        schema: i32,
    },
    /// SQLite refuses.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Makes the tables of a new store, or sees that they are ours; true where it was new.
pub(super) fn prepare(connection: &mut Connection) -> Result<bool, SchemaError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, schema) = (number("application_id")?, number("user_version")?);
    match (application, schema) {
        (APPLICATION_ID, SCHEMA_VERSION) => Ok(false),
        (0, 0) if is_blank(connection)? => {
            let tx = connection.transaction()?;
            tx.execute_batch(VERSION_1)?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            tx.commit()?;
            Ok(true)
        }
        _ => Err(SchemaError::Foreign { application, schema }),
    }
}

fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0)
}
