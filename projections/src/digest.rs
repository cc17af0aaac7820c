//! What the rows are, as digests: two files that hold the same rows have the same ones, however the
//! rows came to be.

use std::path::Path;

use execution_ledger_domain::Digest;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The digest of one table's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableDigest {
    /// The table.
    pub table: String,
    /// Its rows; of the text index each place of each word.
    pub rows: u64,
    /// SHA-256 over the rows in the order of their first columns, each value with its type and length.
    pub sha256: Digest,
}

/// The digests of all tables of a read models' file, by name. The position is among them. Reads the
/// whole file in one transaction; a server may have it open.
pub fn digest(path: &Path) -> rusqlite::Result<Vec<TableDigest>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch(
        "CREATE VIRTUAL TABLE temp.words_of_messages
           USING fts5vocab(main, 'search_messages', 'instance');
         CREATE VIRTUAL TABLE temp.words_of_responses
           USING fts5vocab(main, 'search_responses', 'instance');
         BEGIN;",
    )?;
    let mut select = connection.prepare(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'
           AND name NOT LIKE 'search\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         UNION SELECT 'words_of_messages' UNION SELECT 'words_of_responses' ORDER BY 1",
    )?;
    let names = select.query_map([], |row| row.get(0))?;
    let names: Vec<String> = names.collect::<rusqlite::Result<_>>()?;
    names.into_iter().map(|table| of_table(&connection, table)).collect()
}

fn of_table(connection: &Connection, table: String) -> rusqlite::Result<TableDigest> {
    // Two columns are enough to order the rows of nearly any table here.
    let order = match table.as_str() {
        "words_of_messages" | "words_of_responses" => "1, 2, 3, 4",
        "execution_sums" => "1, 2, 3, 4, 5",
        _ => "1, 2",
    };
    let mut select = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
    let columns = select.column_count();
    let mut rows = select.query([])?;
    let mut count = 0;
    let mut sha256 = Sha256::new();
    while let Some(row) = rows.next()? {
        count += 1;
        for column in 0..columns {
            take_in(&mut sha256, row.get_ref(column)?);
        }
    }
    Ok(TableDigest { table, rows: count, sha256: Digest(sha256.finalize().into()) })
}

fn take_in(sha256: &mut Sha256, value: ValueRef<'_>) {
    let (kind, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(integer) => {
            sha256.update([1]);
            sha256.update(integer.to_be_bytes());
            return;
        }
        ValueRef::Real(real) => {
            sha256.update([2]);
            sha256.update(real.to_be_bytes());
            return;
        }
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    sha256.update([kind]);
    sha256.update((bytes.len() as u64).to_be_bytes());
    sha256.update(bytes);
}
