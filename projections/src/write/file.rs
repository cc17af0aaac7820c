//! The file of the read models: whether it can be gone on with, and how one is opened and made.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use execution_ledger_store::{LogId, Position};
use rusqlite::{Connection, OpenFlags};

use super::writer;
use crate::columns;

/// How long the writer waits for a lock of the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer while it follows the log, in KiB.
const LIVE_CACHE_KIB: u32 = 8 * 1024;
/// Page cache of each connection that reads, in KiB.
const READER_CACHE_KIB: u32 = 4 * 1024;
/// Page cache of the writer of a rebuild, in KiB.
const REBUILD_CACHE_KIB: u32 = 128 * 1024;
/// Page cache while indexes are made, in KiB; also what is sorted at a time.
const SORT_CACHE_KIB: u32 = 8 * 1024;
/// Threads that sort beside the one that makes an index.
const SORT_THREADS: u32 = 2;
/// What is deleted is overwritten where that writes no further page; free pages are overwritten when a
/// text is to be forgotten, see [`super::scrub`].
const OVERWRITE: &str = "PRAGMA secure_delete=FAST;";
/// Only the owner reads and writes.
const MODE: u32 = 0o600;

/// What the file is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    /// It holds these projections of this log up to this position.
    Current(Position),
    /// It has to be made anew, and why.
    Stale(String),
}

/// Looks at a file without changing it.
pub(crate) fn inspect(path: &Path, log: &LogId, head: Position) -> FileState {
    if !path.exists() {
        return FileState::Stale("there is none".to_owned());
    }
    match stored_position(path, log) {
        Ok(Ok(position)) if position > head => {
            FileState::Stale(format!("it is ahead of the log ({position:?} > {head:?})"))
        }
        Ok(Ok(position)) => FileState::Current(position),
        Ok(Err(reason)) => FileState::Stale(reason),
        Err(error) => FileState::Stale(format!("it can't be read: {error}")),
    }
}

fn stored_position(path: &Path, log: &LogId) -> rusqlite::Result<Result<Position, String>> {
    // Opened for writing, because a file in WAL mode may have to be recovered first.
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mut select = connection
        .prepare("SELECT name, version, position, log_id FROM projections ORDER BY name")?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    let mut position = None;
    while let Some(row) = rows.next()? {
        let own: String = row.get(3)?;
        if own != log.as_str() {
            return Ok(Err(format!("it was made from the log {own}")));
        }
        found.push((row.get::<_, String>(0)?, row.get::<_, u32>(1)?));
        let this = Position::new(columns::unsigned(row, 2)?);
        if *position.get_or_insert(this) != this {
            return Ok(Err("its projections stand at different positions".to_owned()));
        }
    }
    let expected = writer::versions().into_iter();
    let same = found.iter().map(|(name, version)| (name.as_str(), *version)).eq(expected);
    Ok(match position {
        Some(position) if same => Ok(position),
        _ => Err("its projections have other versions".to_owned()),
    })
}

/// Opens a file that is current, for the writer that follows the log.
pub(super) fn open_live(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let reason = format!("the file system allows no write-ahead log: {mode}");
        return Err(rusqlite::Error::InvalidParameterName(reason));
    }
    connection.execute_batch(&format!(
        "PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{LIVE_CACHE_KIB};
         {OVERWRITE}"
    ))?;
    Ok(connection)
}

/// Prepares a connection that reads.
pub(crate) fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA query_only=1; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{READER_CACHE_KIB};"
    ))
}

/// Makes an empty file for a rebuild, which nobody else sees: nothing is synced until it is done.
pub(super) fn create_building(path: &Path) -> Result<(PathBuf, Connection), BuildError> {
    let building = building_path(path);
    remove(&building)?;
    // Made before SQLite opens it, so that it never has other rights.
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(&building)?;
    let connection = Connection::open_with_flags(
        &building,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.execute_batch(&format!(
        "PRAGMA page_size=8192; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;
         PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY;
         PRAGMA cache_size=-{REBUILD_CACHE_KIB}; {OVERWRITE}"
    ))?;
    Ok((building, connection))
}

/// Prepares the connection of a rebuild for making indexes: in parts that fit into a processor's
/// cache, sorted beside each other.
pub(super) fn sort_in_files(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA temp_store=FILE; PRAGMA cache_size=-{SORT_CACHE_KIB};
         PRAGMA threads={SORT_THREADS};"
    ))
}

/// The same where there can be no temporary files.
pub(super) fn sort_in_memory(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA temp_store=MEMORY;")
}

/// What can go wrong with a file that is being made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Puts the finished file into the place of the old one. Dying at any point of this leaves either
/// the old file, or none, or the new one: never a new file with the old one's log beside it.
pub(super) fn swap_in(building: &Path, path: &Path) -> io::Result<()> {
    let file = File::open(building)?;
    file.set_permissions(PermissionsExt::from_mode(MODE))?;
    file.sync_all()?;
    remove(path)?;
    std::fs::rename(building, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Removes a database: first the file itself, so that what is left of it can't be taken for one.
fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Removes a file that is being made.
pub(super) fn remove_building(path: &Path) -> io::Result<()> {
    remove(&building_path(path))
}

fn building_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".building");
    PathBuf::from(name)
}
