//! What a failure of SQLite means to the callers of the store.

use rusqlite::ErrorCode;

use crate::port::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Fault(
                "another process keeps the database file locked; nothing was changed: close it and try again"
                    .to_owned(),
            ),
            _ => Self::Fault(error.to_string()),
        }
    }
}

/// Whether the transaction that failed so is certain to have changed nothing.
///
/// A full disk and a lock are reported before the last frame of a commit is written. After any
/// other failure of a commit the frames may be on the disk.
pub(super) fn changed_nothing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Whether a constraint of a table refused a row.
pub(super) fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
