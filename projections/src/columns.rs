//! Values in columns: our types there and back.

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::execution::Trigger;
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::trigger_from_code;

/// A column holds what no version of this program writes there.
#[derive(Debug, thiserror::Error)]
#[error("column {0} of a read model holds a value that is not written there")]
pub(crate) struct Bad(usize);

impl Bad {
    pub fn at(column: usize) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Null, Box::new(Self(column)))
    }
}

/// A position, count or duration as SQLite's signed integer; all of them stay below 2^63.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| Bad::at(column))
}

pub(crate) fn optional_unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    let value: Option<i64> = row.get(column)?;
    value.map(|value| u64::try_from(value).map_err(|_| Bad::at(column))).transpose()
}

pub(crate) fn optional_money(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<NanoUsd>> {
    let value: Option<i64> = row.get(column)?;
    value.map(|value| NanoUsd::from_nanos(value).map_err(|_| Bad::at(column))).transpose()
}

pub(crate) fn trigger(row: &Row<'_>, column: usize) -> rusqlite::Result<Trigger> {
    trigger_from_code(row.get(column)?).ok_or_else(|| Bad::at(column))
}

pub(crate) fn text<T, E>(
    row: &Row<'_>,
    column: usize,
    parse: fn(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(|_| Bad::at(column))?;
    parse(text).map_err(|_| Bad::at(column))
}

pub(crate) fn optional_text<T, E>(
    row: &Row<'_>,
    column: usize,
    parse: fn(&str) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null().map_err(|_| Bad::at(column))?;
    text.map(|text| parse(text).map_err(|_| Bad::at(column))).transpose()
}

pub(crate) fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<uuid::Uuid> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(uuid::Uuid::from_bytes(bytes))
}

pub(crate) fn optional_uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<uuid::Uuid>> {
    let bytes: Option<[u8; 16]> = row.get(column)?;
    Ok(bytes.map(uuid::Uuid::from_bytes))
}

pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|error| unreachable!("rows are plain structs and strings: {error}"))
}

pub(crate) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(|_| Bad::at(column))?;
    serde_json::from_str(text).map_err(|_| Bad::at(column))
}
