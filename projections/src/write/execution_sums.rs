//! What the executions come to, by the day on which they were accepted: all of them, and those of each
//! agent, model and user, by status and trigger.

use std::collections::HashMap;

use execution_ledger_domain::NanoUsd;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::billing_sums::{DAY_MICROS, NANOS};
use super::row::Row;
use crate::columns::Bad;
use crate::durations;
use crate::model::{Status, trigger_code};

/// Sums of all executions.
pub(crate) const OF_ALL: i64 = 0;
/// Sums of the executions of an agent, which `name` says.
pub(crate) const OF_AGENT: i64 = 1;
/// Sums of the executions with a model, which `name` says.
pub(crate) const OF_MODEL: i64 = 2;
/// Sums of the executions without one.
pub(crate) const OF_NO_MODEL: i64 = 3;
/// Sums of the executions of a user, whom `name` says.
pub(crate) const OF_USER: i64 = 4;

/// `execution_sums` has no rows that count nothing. Dollars and the nano-dollars beyond them are summed
/// apart: no number of rows that a disk could hold overflows either. `durations`: see [`durations`].
pub(super) const TABLES: &str = "
CREATE TABLE execution_sums(
  of INTEGER NOT NULL,
  name TEXT NOT NULL,
  day INTEGER NOT NULL,
  status INTEGER NOT NULL,
  triggered_by INTEGER NOT NULL,
  total INTEGER NOT NULL,
  dollars INTEGER NOT NULL,
  nanos INTEGER NOT NULL,
  unknown INTEGER NOT NULL,
  durations BLOB NOT NULL,
  PRIMARY KEY(of, name, day, status, triggered_by)
) WITHOUT ROWID;
";

/// What of a row is counted and may change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    status: Status,
    cost: Option<NanoUsd>,
    unknown: bool,
    duration_ms: Option<u64>,
    model: Option<String>,
}

impl Counted {
    /// Of a row as it is.
    pub fn of(row: &Row) -> Self {
        Self {
            status: row.status,
            cost: row.cost,
            unknown: row.ran && row.cost.is_none(),
            duration_ms: row.duration_ms,
            model: row.model.clone(),
        }
    }

    /// Whether the row is counted as it is.
    pub fn is_of(&self, row: &Row) -> bool {
        self.status == row.status
            && self.cost == row.cost
            && self.unknown == (row.ran && row.cost.is_none())
            && self.duration_ms == row.duration_ms
            && self.model == row.model
    }
}

/// What changed of a sum.
#[derive(Clone, Default)]
struct Sum {
    total: i64,
    dollars: i64,
    nanos: i64,
    unknown: i64,
    /// Buckets and how many more durations each has; a bucket may stand there often.
    durations: Vec<(u16, i64)>,
}

impl Sum {
    /// Takes a row in, or with -1 out again.
    fn add(&mut self, counted: &Counted, times: i64) {
        let nanos = counted.cost.unwrap_or(NanoUsd::ZERO).nanos();
        self.total += times;
        self.dollars += times * nanos.div_euclid(NANOS);
        self.nanos += times * nanos.rem_euclid(NANOS);
        self.unknown += times * i64::from(counted.unknown);
        if let Some(duration_ms) = counted.duration_ms {
            self.durations.push((durations::bucket_of(duration_ms), times));
        }
    }

    /// Whether nothing changed: what was taken in was taken out too.
    fn is_nothing(&self) -> bool {
        let numbers = [self.total, self.dollars, self.nanos, self.unknown];
        numbers == [0; 4] && self.durations.is_empty()
    }

    /// Adds what is stored; the counts of durations as they are then.
    fn and_stored(&mut self, stored: Self) -> Vec<u8> {
        self.total += stored.total;
        self.dollars += stored.dollars;
        self.nanos += stored.nanos;
        self.unknown += stored.unknown;
        self.durations.extend(stored.durations);
        self.durations.sort_unstable_by_key(|(bucket, _)| *bucket);
        let same = self.durations.chunk_by(|one, other| one.0 == other.0);
        let counts = same.map(|same| (same[0].0, same.iter().map(|(_, count)| count).sum::<i64>()));
        durations::encode(counts.filter_map(|(bucket, count)| {
            let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
            Some((bucket, count))
        }))
    }
}

/// Changes of the sums of one day, status and trigger.
#[derive(Default)]
struct Cell {
    all: Sum,
    agents: HashMap<String, Sum>,
    models: HashMap<String, Sum>,
    without_model: Sum,
    users: HashMap<String, Sum>,
}

/// Changes since the last commit, by day, status and trigger.
#[derive(Default)]
pub(super) struct Sums {
    cells: HashMap<(i64, i64, i64), Cell>,
}

impl Sums {
    /// Counts a row as it is instead of as it was counted before.
    pub fn count(&mut self, row: &Row, before: Option<&Counted>, now: &Counted) {
        if let Some(before) = before {
            self.add(row, before, -1);
        }
        self.add(row, now, 1);
    }

    fn add(&mut self, row: &Row, counted: &Counted, times: i64) {
        let day = row.created_at.micros().div_euclid(DAY_MICROS);
        let key = (day, counted.status.code(), trigger_code(row.triggered_by));
        let cell = self.cells.entry(key).or_default();
        cell.all.add(counted, times);
        add_named(&mut cell.agents, row.agent.as_str(), counted, times);
        add_named(&mut cell.users, row.user.as_str(), counted, times);
        match &counted.model {
            Some(model) => add_named(&mut cell.models, model, counted, times),
            None => cell.without_model.add(counted, times),
        }
    }

    /// Adds them to what is written.
    pub fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.cells.is_empty() {
            return Ok(());
        }
        let mut table = Table::of(connection)?;
        for (key, cell) in self.cells.drain() {
            table.add(OF_ALL, "", key, cell.all)?;
            table.add(OF_NO_MODEL, "", key, cell.without_model)?;
            for (of, sums) in
                [(OF_AGENT, cell.agents), (OF_MODEL, cell.models), (OF_USER, cell.users)]
            {
                for (name, sum) in sums {
                    table.add(of, &name, key, sum)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets what is not written.
    pub fn forget(&mut self) {
        self.cells.clear();
    }
}

/// Adds to the sum of that name: nearly always it is there, and its name need not be copied.
fn add_named(sums: &mut HashMap<String, Sum>, name: &str, counted: &Counted, times: i64) {
    match sums.get_mut(name) {
        Some(known) => known.add(counted, times),
        None => sums.entry(name.to_owned()).or_default().add(counted, times),
    }
}

/// The statements by which sums are changed.
struct Table<'a> {
    select: CachedStatement<'a>,
    put: CachedStatement<'a>,
    delete: CachedStatement<'a>,
}

impl<'a> Table<'a> {
    fn of(connection: &'a Connection) -> rusqlite::Result<Self> {
        let place = "of = ?1 AND name = ?2 AND day = ?3 AND status = ?4 AND triggered_by = ?5";
        Ok(Self {
            select: connection.prepare_cached(&format!(
                "SELECT total, dollars, nanos, unknown, durations FROM execution_sums WHERE {place}"
            ))?,
            put: connection.prepare_cached(
                "INSERT OR REPLACE INTO execution_sums(of, name, day, status, triggered_by,
                   total, dollars, nanos, unknown, durations) VALUES(?,?,?,?,?,?,?,?,?,?)",
            )?,
            delete: connection
                .prepare_cached(&format!("DELETE FROM execution_sums WHERE {place}"))?,
        })
    }

    fn add(
        &mut self,
        of: i64,
        name: &str,
        key: (i64, i64, i64),
        mut sum: Sum,
    ) -> rusqlite::Result<()> {
        if sum.is_nothing() {
            return Ok(());
        }
        let (day, status, trigger) = key;
        let place = params![of, name, day, status, trigger];
        let stored = self.select.query_row(place, |row| {
            let counts = durations::decode(row.get_ref(4)?.as_blob().map_err(|_| Bad::at(4))?);
            let counts = counts.ok_or_else(|| Bad::at(4))?.into_iter();
            let signed = |(bucket, count)| (bucket, i64::try_from(count).unwrap_or(i64::MAX));
            Ok(Sum {
                total: row.get(0)?,
                dollars: row.get(1)?,
                nanos: row.get(2)?,
                unknown: row.get(3)?,
                durations: counts.map(signed).collect(),
            })
        });
        let stored = stored.optional()?;
        let is_stored = stored.is_some();
        let counts = sum.and_stored(stored.unwrap_or_default());
        let Sum { total, dollars, nanos, unknown, .. } = sum;
        if total > 0 {
            let values =
                params![of, name, day, status, trigger, total, dollars, nanos, unknown, counts];
            self.put.execute(values)?;
        } else if is_stored {
            self.delete.execute(params![of, name, day, status, trigger])?;
        }
        Ok(())
    }
}
