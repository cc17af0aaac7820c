//! Opening a log: whose file is it, which schema, who else has it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use execution_ledger_domain::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::lock::WriterLock;
use super::schema::{self, Identity, SCHEMA_VERSION};
use crate::port::LogId;

/// How long a connection waits for a lock that another process has on the database.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages in the write-ahead log after which a commit moves them into the database.
const WAL_AUTOCHECKPOINT_PAGES: i32 = 1_000;
/// What is left of the write-ahead log, in bytes, where a long read made it grow beyond.
const WAL_KEPT_MAX_BYTES: i64 = 64 * 1024 * 1024;
/// The writer's page cache, in KiB.
const WRITER_CACHE_KIB: i32 = 16 * 1024;
/// What every SQLite database begins with.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Why a log can't be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error(
        "the event log {} is in use{}: stop that process, or choose another data directory",
        path.display(),
        pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
    )]
    InUse {
        /// The log.
        path: PathBuf,
        /// The process, where its lock file says so.
        pid: Option<u32>,
    },
    /// A later version of this program wrote it.
    #[error(
        "the event log {} has schema {found}, but this version knows only schemas up to {known}; \
         nothing was changed: start the later version that wrote it",
        path.display()
    )]
    NewerSchema {
        /// The log.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// The newest that this version knows.
        known: i32,
    },
    /// An earlier version of this program wrote it, and a reader can't bring it up to date.
    #[error(
        "the event log {} has the old schema {found}: start the server once, which brings it to {known}",
        path.display()
    )]
    OlderSchema {
        /// The log.
        path: PathBuf,
        /// Its schema.
        found: i32,
        /// The schema that this version reads.
        known: i32,
    },
    /// Something else.
    #[error("the file {} is no event log of this program; nothing was changed", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// A file can't be created, read or locked.
    #[error("can't open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite can't open or prepare it.
    #[error("can't open the event log {}: {problem}", path.display())]
    Database {
        /// The log.
        path: PathBuf,
        /// What SQLite says.
        problem: String,
    },
}

impl OpenError {
    fn database(path: &Path, problem: &dyn std::fmt::Display) -> Self {
        Self::Database { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// A log that this process alone may write.
pub(super) struct Opened {
    /// The file, with symbolic links resolved.
    pub path: PathBuf,
    /// The right to write it.
    pub lock: WriterLock,
    /// A connection that may write.
    pub connection: Connection,
    /// The log's id.
    pub log_id: LogId,
}

/// Opens the log at `path` for writing; creates it if there is none.
pub(super) fn for_writing(
    path: &Path,
    now: Timestamp,
    max_pages: Option<u32>,
) -> Result<Opened, OpenError> {
    let path = resolved(path)?;
    let lock = WriterLock::acquire(&path)?;
    if is_absent_or_empty(&path)? {
        create(&path)?;
    } else {
        match identity(&path)? {
            Identity::Blank => {}
            Identity::Log { schema } => refuse_newer(&path, schema)?,
            Identity::Other => return Err(OpenError::NotALog { path }),
        }
        make_private(&path)?;
    }
    let problem = |error: &dyn std::fmt::Display| OpenError::database(&path, error);
    let mut connection = writing_connection(&path, max_pages).map_err(|error| problem(&error))?;
    schema::migrate(&mut connection, now).map_err(|error| problem(&error))?;
    let log_id = schema::log_id(&connection).map_err(|error| problem(&error))?;
    // Whoever erased a text may have died before it was gone from the write-ahead log too. A tool that
    // reads the log at this moment may keep that from being emptied; the next opening tries again.
    empty_wal(&connection).map_err(|error| problem(&error))?;
    Ok(Opened { path, lock, connection, log_id })
}

/// Checks that the log at `path` can be read as it is, and answers its resolved path and id.
pub(super) fn for_reading(path: &Path) -> Result<(PathBuf, LogId), OpenError> {
    let path = resolved(path)?;
    if is_absent_or_empty(&path)? {
        let source = io::Error::from(io::ErrorKind::NotFound);
        return Err(OpenError::Io { path, source });
    }
    match identity(&path)? {
        Identity::Log { schema } if schema < SCHEMA_VERSION => {
            return Err(OpenError::OlderSchema { path, found: schema, known: SCHEMA_VERSION });
        }
        Identity::Log { schema } => refuse_newer(&path, schema)?,
        Identity::Blank | Identity::Other => return Err(OpenError::NotALog { path }),
    }
    let connection =
        reading_connection(&path).map_err(|error| OpenError::database(&path, &error))?;
    let log_id = schema::log_id(&connection).map_err(|error| OpenError::database(&path, &error))?;
    Ok((path, log_id))
}

/// Gives a log that was restored from a backup a new id, so that positions that clients kept from
/// before are refused instead of skipping silently. For use while no server runs.
///
/// # Errors
/// [`OpenError::InUse`] while a server has the log, and whatever else [`OpenError`] names.
pub fn assign_new_log_id(path: &Path, now: Timestamp) -> Result<LogId, OpenError> {
    for_reading(path)?;
    let opened = for_writing(path, now, None)?;
    schema::begin_log(&opened.connection, now)
        .map_err(|error| OpenError::database(&opened.path, &error))
}

/// A connection for the writer: every commit is on the disk before it returns.
pub(super) fn writing_connection(
    path: &Path,
    max_pages: Option<u32>,
) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_AUTOCHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_MAX_BYTES)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // What is erased is overwritten. Nothing else is ever deleted, so this costs nothing else.
    connection.pragma_update(None, "secure_delete", "on")?;
    if let Some(pages) = max_pages {
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(connection)
}

/// Moves the write-ahead log into the database and empties it; false where a reader keeps it.
pub(super) fn empty_wal(connection: &Connection) -> rusqlite::Result<bool> {
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

fn reading_connection(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn refuse_newer(path: &Path, schema: i32) -> Result<(), OpenError> {
    if schema > SCHEMA_VERSION {
        let (path, known) = (path.to_owned(), SCHEMA_VERSION);
        return Err(OpenError::NewerSchema { path, found: schema, known });
    }
    Ok(())
}

/// Two names of one file must lead to one lock, so links are followed first.
fn resolved(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    match fs::canonicalize(path) {
        Ok(resolved) => Ok(resolved),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name =
                path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = fs::canonicalize(parent.unwrap_or(Path::new("."))).map_err(failed)?;
            Ok(parent.join(name))
        }
        Err(error) => Err(failed(error)),
    }
}

fn is_absent_or_empty(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

/// Makes the file before SQLite does, readable for its owner alone; SQLite gives the files beside
/// it the same mode. Its name is on the disk before the first event can be.
fn create(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).and_then(|file| file.sync_all()).map_err(failed)?;
    sync_parent(path).map_err(failed)
}

/// Puts the name of a file on the disk.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Takes the rights of others away from the database and from the files that SQLite keeps beside it.
fn make_private(path: &Path) -> Result<(), OpenError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::set_permissions(&name, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(OpenError::Io { path: name.into(), source }),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn identity(path: &Path) -> Result<Identity, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let mut begin = Vec::with_capacity(SQLITE_MAGIC.len());
    let file = File::open(path).map_err(failed)?;
    file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut begin).map_err(failed)?;
    if begin != SQLITE_MAGIC {
        return Ok(Identity::Other);
    }
    reading_connection(path)
        .and_then(|connection| schema::identify(&connection))
        .map_err(|error| OpenError::database(path, &error))
}
