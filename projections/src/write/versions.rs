//! Things that change rarely: every version of each, with the interval of positions for which it
//! held. Agents, keys and whatever else is like them are told apart by [`Versioned`] alone.

use std::collections::HashMap;

use execution_ledger_domain::wire::Event;
use execution_ledger_store::Recorded;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::projection::{Change, Projection, ProjectionError};
use crate::columns;

/// Things of one kind whose current version is kept in memory: most.
const CACHE_MAX: usize = 1_000;

/// What tells one kind of such things from the others.
pub(crate) trait Versioned: Send + 'static {
    /// The name of the projection and of its table.
    const NAME: &'static str;
    /// Raised whenever the same events would lead to other rows.
    const VERSION: u32;
    /// SQL that makes the table: of [`versions_tables`].
    const TABLES: &'static str;
    /// SQL that makes its indexes: of [`versions_indexes`].
    const INDEXES: &'static str;
    /// A version's data.
    type State: Clone + Serialize + DeserializeOwned + Send;

    /// Whether an event is about a thing of this kind; its stream's id says which.
    fn is_about(event: &Event) -> bool;

    /// The version after an event. As in the domain, an event that does not fit changes nothing.
    fn after(
        before: Option<&Self::State>,
        event: &Event,
        recorded: &Recorded,
    ) -> After<Self::State>;

    /// What versions are found by.
    fn facets(state: &Self::State) -> Facets<'_>;
}

/// What an event does to a thing.
pub(crate) enum After<S> {
    /// Nothing that a reader could see.
    Same,
    /// It is like this from now on.
    Now(S),
}

/// What versions are found by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facets<'a> {
    /// The user that the thing belongs to, where it belongs to one.
    pub user: Option<&'a str>,
    /// The agent that it is about, where it is about one.
    pub agent: Option<&'a str>,
    /// What kind of its kind it is, where there are several.
    pub kind: Option<&'a str>,
    /// Whether it is of use: not retired, revoked, disabled or deleted.
    pub active: bool,
}

/// SQL that makes the table of a kind. A version holds from `valid_from` until before `valid_to`;
/// without one it holds now. `created` is where the thing's first version began.
macro_rules! versions_tables {
    ($name:literal) => {
        concat!(
            "CREATE TABLE ",
            $name,
            "(
  id TEXT NOT NULL,
  valid_from INTEGER NOT NULL,
  valid_to INTEGER,
  created INTEGER NOT NULL,
  user TEXT,
  agent TEXT,
  kind TEXT,
  active INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY(id, valid_from)
) WITHOUT ROWID;
"
        )
    };
}
pub(crate) use versions_tables;

/// SQL that makes the index of a kind's current versions.
macro_rules! versions_indexes {
    ($name:literal) => {
        concat!(
            "CREATE INDEX ",
            $name,
            "_current ON ",
            $name,
            "(created) WHERE valid_to IS NULL;\n"
        )
    };
}
pub(crate) use versions_indexes;

struct Version<S> {
    valid_from: u64,
    created: u64,
    state: S,
}

/// The current versions of one kind, as far as they were needed. They change rarely, so their rows
/// are written at once.
pub(super) struct Versions<V: Versioned> {
    current: HashMap<String, Option<Version<V::State>>>,
}

impl<V: Versioned> Default for Versions<V> {
    fn default() -> Self {
        Self { current: HashMap::new() }
    }
}

impl<V: Versioned> Projection for Versions<V> {
    fn name(&self) -> &'static str {
        V::NAME
    }

    fn version(&self) -> u32 {
        V::VERSION
    }

    fn tables(&self) -> &'static str {
        V::TABLES
    }

    fn indexes(&self) -> &'static str {
        V::INDEXES
    }

    fn apply(
        &mut self,
        connection: &Connection,
        change: &Change<'_>,
    ) -> Result<(), ProjectionError> {
        if !V::is_about(change.event) {
            return Ok(());
        }
        let recorded = change.recorded;
        let id = recorded.stream.id();
        if self.current.len() >= CACHE_MAX {
            self.current.clear();
        }
        let before = match self.current.remove(id) {
            Some(version) => version,
            None => load::<V>(connection, id)?,
        };
        let state = before.as_ref().map(|version| &version.state);
        let now = match V::after(state, change.event, recorded) {
            After::Same => before,
            After::Now(state) => {
                let valid_from = recorded.position.number();
                let created = before.as_ref().map_or(valid_from, |version| version.created);
                let now = Version { valid_from, created, state };
                write::<V>(connection, id, before.as_ref(), &now)?;
                Some(now)
            }
        };
        self.current.insert(id.to_owned(), now);
        Ok(())
    }

    fn flush(&mut self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }

    fn forget(&mut self) {
        self.current.clear();
    }
}

fn write<V: Versioned>(
    connection: &Connection,
    id: &str,
    before: Option<&Version<V::State>>,
    now: &Version<V::State>,
) -> rusqlite::Result<()> {
    let table = V::NAME;
    let valid_from = columns::number(now.valid_from);
    if let Some(before) = before {
        let sql = format!("UPDATE {table} SET valid_to = ? WHERE id = ? AND valid_from = ?");
        let held_from = columns::number(before.valid_from);
        connection.prepare_cached(&sql)?.execute(params![valid_from, id, held_from])?;
    }
    let facets = V::facets(&now.state);
    connection
        .prepare_cached(&format!(
            "INSERT INTO {table}(id, valid_from, valid_to, created, user, agent, kind, active, data)
             VALUES(?, ?, NULL, ?, ?, ?, ?, ?, ?)"
        ))?
        .execute(params![
            id,
            valid_from,
            columns::number(now.created),
            facets.user,
            facets.agent,
            facets.kind,
            facets.active,
            columns::json(&now.state),
        ])?;
    Ok(())
}

fn load<V: Versioned>(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<Option<Version<V::State>>> {
    // The last of a thing's versions is the one that holds.
    let sql = format!(
        "SELECT valid_from, created, data FROM {} WHERE id = ? ORDER BY valid_from DESC LIMIT 1",
        V::NAME
    );
    let found = connection.prepare_cached(&sql)?.query_row([id], |row| {
        Ok(Version {
            valid_from: columns::unsigned(row, 0)?,
            created: columns::unsigned(row, 1)?,
            state: columns::from_json(row, 2)?,
        })
    });
    found.optional()
}
