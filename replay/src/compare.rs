//! Are the read models what the log says? They are made anew beside, and compared row by row.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use execution_ledger_domain::Digest;
use execution_ledger_projections::{Progress, RebuildError, TableDigest, digest, rebuild};
use execution_ledger_store::EventStore;

/// A table whose rows are not what the log says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// Its rows in the read models; absent where it is missing there.
    pub found_rows: Option<u64>,
    /// Its rows in the rebuild; absent where it does not belong there.
    pub expected_rows: Option<u64>,
    /// Digest of the rows that were found.
    pub found: Option<Digest>,
    /// Digest of the rows that the log leads to.
    pub expected: Option<Digest>,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// Events that were folded anew.
    pub events: u64,
    /// Tables that were compared.
    pub tables: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Tables that differ.
    pub differences: Vec<Difference>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The rebuild beside failed.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The log holds an event that can't be folded.
    #[error("event {position} can't be folded: {reason}")]
    Poison {
        /// Its number in the log.
        position: u64,
        /// Why.
        reason: String,
    },
    /// A file of read models can't be read.
    #[error("{path} can't be read: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The scratch file can't be removed.
    #[error("the scratch file {path} can't be removed: {source}")]
    Scratch {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the read models anew at `scratch`, compares them with `views`, and removes `scratch`.
///
/// `views` must have seen the whole log, and nobody may append meanwhile. `progress` is told how far
/// the rebuild is. Memory does not grow with the log.
///
/// # Errors
/// [`CompareError`] where nothing can be said; a difference is no error.
pub async fn compare_views(
    store: &Arc<dyn EventStore>,
    views: &Path,
    scratch: &Path,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<Comparison, CompareError> {
    let rebuilt = rebuild(scratch, store, progress).await?;
    if let Some(poison) = rebuilt.poison {
        let position = poison.position.number();
        return Err(CompareError::Poison { position, reason: poison.reason });
    }
    let expected = tables(scratch)?;
    let found = tables(views)?;
    std::fs::remove_file(scratch)
        .map_err(|source| CompareError::Scratch { path: scratch.to_owned(), source })?;
    Ok(Comparison {
        events: rebuilt.events,
        tables: expected.len() as u64,
        rows: expected.iter().map(|table| table.rows).sum(),
        differences: differences(&found, &expected),
    })
}

fn tables(path: &Path) -> Result<Vec<TableDigest>, CompareError> {
    digest(path).map_err(|source| CompareError::Read { path: path.to_owned(), source })
}

fn differences(found: &[TableDigest], expected: &[TableDigest]) -> Vec<Difference> {
    let named = |tables: &'_ [TableDigest], name: &str| {
        tables.iter().find(|table| table.table == name).cloned()
    };
    let mut names: Vec<&str> =
        found.iter().chain(expected).map(|table| table.table.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| (name, named(found, name), named(expected, name)))
        .filter(|(_, found, expected)| found != expected)
        .map(|(name, found, expected)| Difference {
            table: name.to_owned(),
            found_rows: found.as_ref().map(|table| table.rows),
            expected_rows: expected.as_ref().map(|table| table.rows),
            found: found.map(|table| table.sha256),
            expected: expected.map(|table| table.sha256),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64, byte: u8) -> TableDigest {
        TableDigest { table: name.to_owned(), rows, sha256: Digest([byte; 32]) }
    }

    #[test]
    fn a_changed_a_missing_and_a_foreign_table_are_each_named() {
        let expected = [table("a", 1, 1), table("b", 2, 2), table("c", 3, 3)];
        let found = [table("a", 1, 1), table("b", 2, 9), table("d", 4, 4)];
        let named: Vec<_> =
            differences(&found, &expected).into_iter().map(|difference| difference.table).collect();
        assert_eq!(named, ["b", "c", "d"]);
        assert_eq!(differences(&expected, &expected), []);
    }
}
