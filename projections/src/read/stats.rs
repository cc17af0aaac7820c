//! Counts and sums of executions.

use std::collections::BTreeMap;

use execution_ledger_domain::{NanoUsd, Scope};
use execution_ledger_store::Position;
use rusqlite::{Connection, ToSql};

use super::filters::Conditions;
use super::sums::{DaySums, Part, parts};
use crate::columns::{self, Bad};
use crate::durations;
use crate::model::{Stats, Status};
use crate::query::{At, ExecutionFilters, QueryError, Seen};
use crate::views::Views;
use crate::write::NANOS;

impl Views {
    /// Counts and sums over all executions that the filters and the scope cover.
    pub async fn stats(
        &self,
        scope: &Scope,
        at: At,
        filters: &ExecutionFilters,
    ) -> Result<Seen<Stats>, QueryError> {
        let (scope, filters) = (scope.clone(), filters.clone());
        self.ask(at, move |connection, at| stats(connection, at, &scope, &filters)).await
    }
}

fn stats(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    filters: &ExecutionFilters,
) -> Result<Stats, QueryError> {
    let mut conditions = Conditions::of(connection, at, scope, filters)?;
    conditions.and_words();
    let mut tally = Tally::default();
    for part in parts(connection, at, scope, filters, None, &conditions)? {
        match part {
            Part::Days(days) => tally.add_days(connection, &days)?,
            Part::Rows(first, end) => tally.add_rows(connection, &conditions, first, end)?,
        }
    }
    tally.stats(connection, &conditions)
}

/// What was counted.
#[derive(Default)]
struct Tally {
    by_status: [u64; 5],
    nanos: i128,
    unknown: u64,
    /// How many runs took so many milliseconds. Whole milliseconds repeat, so that these stay few.
    exact: BTreeMap<u64, u64>,
    /// Of days: how many took about so long.
    about: BTreeMap<u16, u64>,
}

impl Tally {
    fn add_days(&mut self, connection: &Connection, days: &DaySums) -> Result<(), QueryError> {
        let mut select = connection.prepare_cached(&format!(
            "SELECT status, total, dollars, nanos, unknown, durations FROM execution_sums WHERE {}",
            days.sql
        ))?;
        let mut rows = select.query(days.values().as_slice())?;
        while let Some(row) = rows.next()? {
            *self.of_status(row.get(0)?)? += columns::unsigned(row, 1)?;
            self.nanos += i128::from(row.get::<_, i64>(2)?) * i128::from(NANOS);
            self.nanos += i128::from(row.get::<_, i64>(3)?);
            self.unknown += columns::unsigned(row, 4)?;
            let counts = durations::decode(row.get_ref(5)?.as_blob().map_err(|_| Bad::at(5))?);
            for (bucket, count) in counts.ok_or_else(|| Bad::at(5))? {
                *self.about.entry(bucket).or_default() += count;
            }
        }
        Ok(())
    }

    fn add_rows(
        &mut self,
        connection: &Connection,
        conditions: &Conditions,
        first: i64,
        end: i64,
    ) -> Result<(), QueryError> {
        let columns = conditions.columns;
        let sql = format!(
            "SELECT {}, {}, {}, {} FROM executions e WHERE {}",
            columns.status,
            columns.cost,
            columns.ran,
            columns.duration_ms,
            conditions.within(first, end)
        );
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query(conditions.values().as_slice())?;
        while let Some(row) = rows.next()? {
            *self.of_status(row.get(0)?)? += 1;
            match row.get::<_, Option<i64>>(1)? {
                Some(amount) => self.nanos += i128::from(amount),
                None if row.get(2)? => self.unknown += 1,
                None => {}
            }
            if let Some(duration) = columns::optional_unsigned(row, 3)? {
                *self.exact.entry(duration).or_default() += 1;
            }
        }
        Ok(())
    }

    fn of_status(&mut self, code: i64) -> rusqlite::Result<&mut u64> {
        let place = usize::try_from(code).unwrap_or(usize::MAX);
        self.by_status.get_mut(place).ok_or_else(|| Bad::at(0))
    }

    fn stats(
        mut self,
        connection: &Connection,
        conditions: &Conditions,
    ) -> Result<Stats, QueryError> {
        if !self.about.is_empty() {
            for (duration, count) in std::mem::take(&mut self.exact) {
                *self.about.entry(durations::bucket_of(duration)).or_default() += count;
            }
        }
        let [duration_ms_p50, duration_ms_p95] = [
            self.percentile(connection, conditions, 50)?,
            self.percentile(connection, conditions, 95)?,
        ];
        let of = |status: Status| self.by_status[status as usize];
        let (completed, failed) = (of(Status::Completed), of(Status::Failed));
        let finished = completed + failed + of(Status::Cancelled);
        let nanos = i64::try_from(self.nanos).ok();
        let cost = nanos.and_then(|nanos| NanoUsd::from_nanos(nanos).ok());
        Ok(Stats {
            total: self.by_status.iter().sum(),
            pending: of(Status::Pending),
            running: of(Status::Running),
            completed,
            failed,
            cancelled: of(Status::Cancelled),
            success_rate: (finished > 0).then(|| completed as f64 / finished as f64),
            cost: cost.ok_or(QueryError::Overflow)?,
            cost_unknown: self.unknown,
            duration_ms_p50,
            duration_ms_p95,
        })
    }

    /// The smallest duration that at least `percent` of 100 are not above (nearest rank).
    fn percentile(
        &self,
        connection: &Connection,
        conditions: &Conditions,
        percent: u64,
    ) -> Result<Option<u64>, QueryError> {
        if self.about.is_empty() {
            let rank = rank(self.exact.values().sum(), percent);
            return Ok(at_rank(&self.exact, rank).map(|(duration, _)| duration));
        }
        let rank = rank(self.about.values().sum(), percent);
        let Some((bucket, below)) = at_rank(&self.about, rank) else { return Ok(None) };
        let (first, last) = durations::bounds(bucket);
        if first == last {
            return Ok(Some(first));
        }
        within_bucket(connection, conditions, (first, last), rank - below)
    }
}

/// Which of so many values is meant, from 1.
fn rank(total: u64, percent: u64) -> u64 {
    (total * percent).div_ceil(100).max(1)
}

/// The key under which the value of a rank is counted, and how many values are counted before it.
fn at_rank<K: Copy>(counts: &BTreeMap<K, u64>, rank: u64) -> Option<(K, u64)> {
    let mut below = 0;
    counts.iter().find_map(|(key, count)| {
        if below + count >= rank {
            return Some((*key, below));
        }
        below += count;
        None
    })
}

/// The duration of a rank among those of a bucket, whose rows stand beside each other in an index.
fn within_bucket(
    connection: &Connection,
    conditions: &Conditions,
    (first, last): (u64, u64),
    rank: u64,
) -> Result<Option<u64>, QueryError> {
    let place = conditions.values().len();
    let sql = format!(
        "SELECT e.duration_ms, count(*) FROM executions e INDEXED BY executions_duration
         WHERE e.duration_ms >= ?{} AND e.duration_ms <= ?{} AND {}
         GROUP BY e.duration_ms ORDER BY e.duration_ms",
        place + 1,
        place + 2,
        conditions.all()
    );
    let (first, last) = (columns::number(first), columns::number(last));
    let mut values = conditions.values();
    values.extend([&first as &dyn ToSql, &last]);
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(values.as_slice())?;
    let mut below = 0;
    while let Some(row) = rows.next()? {
        below += columns::unsigned(row, 1)?;
        if below >= rank {
            return Ok(Some(columns::unsigned(row, 0)?));
        }
    }
    Ok(None)
}
