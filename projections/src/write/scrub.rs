//! Overwriting what is left of forgotten texts in the file: a deleted row of the text index is only
//! marked at first, and rows that were moved leave their bytes in free pages.
//!
//! All segments of the index are merged into one, which leaves out what is marked; then zeros are
//! written over every free page; then the write-ahead log is emptied. In steps, so that events are taken
//! in between; what was cut off begins anew with the next start.

use std::time::Duration;

use rusqlite::Connection;

/// Pages of the text index that one step merges, about.
const MERGE_PAGES: i64 = 500;
/// What one step writes over free pages, in bytes: most.
const FILL_BYTES: i64 = 4 * 1024 * 1024;
/// How long one step waits for readers that hold an old state.
const READERS_WAIT: Duration = Duration::from_millis(200);
/// How often the write-ahead log is tried to be emptied; then the next start does it.
const EMPTY_TRIES: u32 = 50;

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Messages { begun: bool },
    Responses { begun: bool },
    Fill,
    Empty { tries: u32 },
}

/// Work that is under way.
#[derive(Debug)]
pub(super) struct Scrub(Stage);

impl Scrub {
    /// From the beginning.
    pub fn new() -> Self {
        Self(Stage::Begin)
    }

    /// Whether words of forgotten texts may be left in the file.
    pub fn is_owed(connection: &Connection) -> rusqlite::Result<bool> {
        connection.prepare_cached("SELECT owed FROM search_scrub")?.query_row([], |row| row.get(0))
    }

    /// Does a part of the work; false when nothing more is to be done.
    ///
    /// # Errors
    /// The file can't be written; the next step tries again from there.
    pub fn step(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        self.0 = match self.0 {
            Stage::Begin => {
                connection.execute_batch(
                    "DROP TABLE IF EXISTS search_filler; CREATE TABLE search_filler(zeros BLOB);",
                )?;
                Stage::Messages { begun: false }
            }
            Stage::Messages { begun } if merge(connection, "search_messages", begun)? => {
                Stage::Messages { begun: true }
            }
            Stage::Messages { .. } => Stage::Responses { begun: false },
            Stage::Responses { begun } if merge(connection, "search_responses", begun)? => {
                Stage::Responses { begun: true }
            }
            Stage::Responses { .. } => Stage::Fill,
            Stage::Fill if fill(connection)? => Stage::Fill,
            Stage::Fill => Stage::Empty { tries: 0 },
            Stage::Empty { tries } if tries < EMPTY_TRIES && !is_emptied(connection)? => {
                Stage::Empty { tries: tries + 1 }
            }
            Stage::Empty { tries } => {
                if tries < EMPTY_TRIES {
                    connection.execute("UPDATE search_scrub SET owed = 0", [])?;
                } else {
                    tracing::warn!("readers keep what is left of erased texts in views.db-wal");
                }
                return Ok(false);
            }
        };
        Ok(true)
    }
}

/// Merges a part of an index; false when all of it is merged.
fn merge(connection: &Connection, table: &str, begun: bool) -> rusqlite::Result<bool> {
    // A negative number begins with all segments, whatever their sizes.
    let pages = if begun { MERGE_PAGES } else { -MERGE_PAGES };
    let before = connection.total_changes();
    let sql = format!("INSERT INTO {table}({table}, rank) VALUES('merge', ?)");
    connection.execute(&sql, [pages])?;
    // The command itself counts as one change.
    Ok(!begun || connection.total_changes() - before >= 2)
}

/// Writes zeros over some free pages; false when none is left, and the zeros are free pages again.
fn fill(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (free, size) = (number("freelist_count")?, number("page_size")?);
    if free == 0 {
        connection.execute_batch("DROP TABLE search_filler")?;
        return Ok(false);
    }
    let bytes = free.saturating_mul(size).min(FILL_BYTES);
    connection.execute("INSERT INTO search_filler(zeros) VALUES(zeroblob(?))", [bytes])?;
    Ok(true)
}

fn is_emptied(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(READERS_WAIT)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    connection.busy_timeout(super::file::BUSY_TIMEOUT)?;
    busy.map(|busy: i64| busy == 0)
}
