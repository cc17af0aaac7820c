//! Things that change rarely: as they are now, and as they were.

use execution_ledger_store::Position;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::columns;
use crate::write::Versioned;

/// A version of a thing.
pub(crate) struct VersionRow<S> {
    /// Which thing: the id of its stream.
    pub id: String,
    /// Where this version began.
    pub since: Position,
    /// Where the thing's first version began: what pages are sorted by.
    pub created: u64,
    /// What it is like.
    pub state: S,
}

/// Which things are meant; all conditions must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Which {
    /// Of this user.
    pub user: Option<String>,
    /// About this agent.
    pub agent: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In use, or not.
    pub active: Option<bool>,
    /// Made before the thing that was made here.
    pub before: Option<u64>,
    /// Of this id.
    pub id: Option<String>,
}

/// Things as they were at `at`, or as they are now; the newest first, at most `limit`.
pub(crate) fn versions<V: Versioned>(
    connection: &Connection,
    at: Option<Position>,
    which: &Which,
    limit: usize,
) -> rusqlite::Result<Vec<VersionRow<V::State>>> {
    let (sql, values) = question::<V>(at, which, limit);
    let mut select = connection.prepare_cached(&sql)?;
    select.query_map(params_from_iter(values), row::<V>)?.collect()
}

/// One thing as it was at `at`, or as it is now.
pub(crate) fn version<V: Versioned>(
    connection: &Connection,
    at: Option<Position>,
    id: &str,
) -> rusqlite::Result<Option<VersionRow<V::State>>> {
    let which = Which { id: Some(id.to_owned()), ..Which::default() };
    let (sql, values) = question::<V>(at, &which, 1);
    connection.prepare_cached(&sql)?.query_row(params_from_iter(values), row::<V>).optional()
}

fn question<V: Versioned>(
    at: Option<Position>,
    which: &Which,
    limit: usize,
) -> (String, Vec<Value>) {
    let mut values = Vec::new();
    let mut conditions = Vec::new();
    let mut take = |condition: &str, value: Value| {
        values.push(value);
        conditions.push(condition.replace('#', &format!("?{}", values.len())));
    };
    if let Some(at) = at {
        let at = Value::Integer(columns::number(at.number()));
        take("valid_from <= #", at.clone());
        take("(valid_to IS NULL OR valid_to > #)", at);
    }
    if let Some(id) = &which.id {
        take("id = #", Value::Text(id.clone()));
    }
    if let Some(user) = &which.user {
        take("user = #", Value::Text(user.clone()));
    }
    if let Some(agent) = &which.agent {
        take("agent = #", Value::Text(agent.clone()));
    }
    if let Some(kind) = &which.kind {
        take("kind = #", Value::Text(kind.clone()));
    }
    if let Some(active) = which.active {
        take("active = #", Value::Integer(active.into()));
    }
    if let Some(before) = which.before {
        take("created < #", Value::Integer(columns::number(before)));
    }
    if at.is_none() {
        conditions.push("valid_to IS NULL".to_owned());
    }
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT id, valid_from, created, data FROM {} WHERE {} ORDER BY created DESC LIMIT ?{}",
        V::NAME,
        conditions.join(" AND "),
        values.len()
    );
    (sql, values)
}

fn row<V: Versioned>(row: &Row<'_>) -> rusqlite::Result<VersionRow<V::State>> {
    Ok(VersionRow {
        id: row.get(0)?,
        since: Position::new(columns::unsigned(row, 1)?),
        created: columns::unsigned(row, 2)?,
        state: columns::from_json(row, 3)?,
    })
}
