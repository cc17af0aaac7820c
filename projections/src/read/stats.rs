//! Counts, sums and timelines of executions.

use std::collections::BTreeMap;

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{NanoUsd, Scope, Timestamp};
use execution_ledger_store::Position;
use rusqlite::{Connection, Row};

use super::filters::Conditions;
use crate::columns;
use crate::model::{Bucket, Stats, Status, Timeline, TimelineBucket, trigger_from_code};
use crate::query::{At, BUCKETS_MAX, ExecutionFilters, QueryError, Seen};
use crate::views::Views;

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

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

    /// Executions divided into parts. Hours and days from `from`, or the first execution, to `to`, or
    /// the last one, are shown without gaps, as are all triggers; at most [`BUCKETS_MAX`] parts.
    pub async fn timeline(
        &self,
        scope: &Scope,
        at: At,
        filters: &ExecutionFilters,
        bucket: Bucket,
    ) -> Result<Seen<Timeline>, QueryError> {
        let (scope, filters) = (scope.clone(), filters.clone());
        self.ask(at, move |connection, at| timeline(connection, at, &scope, &filters, bucket)).await
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
    let columns = conditions.columns;
    let sql = format!(
        "SELECT {}, {}, {}, {} FROM executions e WHERE {}",
        columns.status,
        columns.cost,
        columns.ran,
        columns.duration_ms,
        conditions.all()
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(conditions.values().as_slice())?;
    let mut by_status = [0_u64; 5];
    let (mut cost, mut cost_unknown) = (0_i64, 0_u64);
    // Durations in whole milliseconds repeat, so that counts of them stay few.
    let mut durations: BTreeMap<u64, u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let status = usize::try_from(row.get::<_, i64>(0)?).unwrap_or(usize::MAX);
        *by_status.get_mut(status).ok_or_else(|| columns::Bad::at(0))? += 1;
        match row.get::<_, Option<i64>>(1)? {
            Some(amount) => cost = cost.checked_add(amount).ok_or(QueryError::Overflow)?,
            None if row.get(2)? => cost_unknown += 1,
            None => {}
        }
        if let Some(duration) = columns::optional_unsigned(row, 3)? {
            *durations.entry(duration).or_default() += 1;
        }
    }
    let of = |status: Status| by_status[status as usize];
    let (completed, failed) = (of(Status::Completed), of(Status::Failed));
    let finished = completed + failed + of(Status::Cancelled);
    Ok(Stats {
        total: by_status.iter().sum(),
        pending: of(Status::Pending),
        running: of(Status::Running),
        completed,
        failed,
        cancelled: of(Status::Cancelled),
        success_rate: (finished > 0).then(|| completed as f64 / finished as f64),
        cost: NanoUsd::from_nanos(cost).map_err(|_| QueryError::Overflow)?,
        cost_unknown,
        duration_ms_p50: percentile(&durations, 50),
        duration_ms_p95: percentile(&durations, 95),
    })
}

/// The smallest value that at least `percent` of 100 are not above (nearest rank).
fn percentile(counts: &BTreeMap<u64, u64>, percent: u64) -> Option<u64> {
    let total: u64 = counts.values().sum();
    let rank = (total * percent).div_ceil(100).max(1);
    let mut below = 0;
    counts.iter().find_map(|(value, count)| {
        below += count;
        (below >= rank).then_some(*value)
    })
}

fn timeline(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    filters: &ExecutionFilters,
    bucket: Bucket,
) -> Result<Timeline, QueryError> {
    let mut conditions = Conditions::of(connection, at, scope, filters)?;
    conditions.and_words();
    let (status, cost) = (conditions.columns.status, conditions.columns.cost);
    let key = match bucket {
        Bucket::Hour => format!("e.created_at / {HOUR_MICROS}"),
        Bucket::Day => format!("e.created_at / {DAY_MICROS}"),
        Bucket::Agent => "e.agent".to_owned(),
        Bucket::Trigger => "e.triggered_by".to_owned(),
        Bucket::Model => conditions.columns.model.to_owned(),
    };
    // The newest first, so that what a limit leaves out is the oldest.
    let order = if step(bucket).is_some() { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT k, count(*), sum(s = 0), sum(s = 1), sum(s = 2), sum(s = 3), sum(s = 4),
           coalesce(sum(c), 0)
         FROM (SELECT {key} AS k, {status} AS s, {cost} AS c FROM executions e WHERE {})
         GROUP BY k ORDER BY k {order} LIMIT {}",
        conditions.all(),
        BUCKETS_MAX + 1
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(conditions.values().as_slice())?;
    if let Some(step) = step(bucket) {
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next().map_err(overflow)? {
            found.insert(row.get::<_, i64>(0)?, counted(row, None)?);
        }
        return Ok(without_gaps(bucket, step, &found, filters));
    }
    let mut buckets = Vec::new();
    while let Some(row) = rows.next().map_err(overflow)? {
        let name = match bucket {
            Bucket::Trigger => Some(columns::trigger(row, 0)?.as_str().to_owned()),
            _ => row.get(0)?,
        };
        buckets.push(counted(row, name)?);
    }
    if bucket == Bucket::Trigger {
        buckets = with_all_triggers(buckets);
    }
    let truncated = buckets.len() > BUCKETS_MAX;
    buckets.truncate(BUCKETS_MAX);
    Ok(Timeline { bucket, buckets, truncated })
}

/// The length of a bucket of time.
fn step(bucket: Bucket) -> Option<i64> {
    match bucket {
        Bucket::Hour => Some(HOUR_MICROS),
        Bucket::Day => Some(DAY_MICROS),
        Bucket::Agent | Bucket::Trigger | Bucket::Model => None,
    }
}

/// SQLite says of a sum beyond 64 bits that it is one.
pub(super) fn overflow(error: rusqlite::Error) -> QueryError {
    if error.to_string().contains("integer overflow") { QueryError::Overflow } else { error.into() }
}

fn counted(row: &Row<'_>, bucket: Option<String>) -> Result<TimelineBucket, QueryError> {
    Ok(TimelineBucket {
        bucket,
        total: columns::unsigned(row, 1)?,
        pending: columns::unsigned(row, 2)?,
        running: columns::unsigned(row, 3)?,
        completed: columns::unsigned(row, 4)?,
        failed: columns::unsigned(row, 5)?,
        cancelled: columns::unsigned(row, 6)?,
        cost: NanoUsd::from_nanos(row.get(7)?).map_err(|_| QueryError::Overflow)?,
    })
}

fn empty(bucket: Option<String>) -> TimelineBucket {
    TimelineBucket {
        bucket,
        total: 0,
        pending: 0,
        running: 0,
        completed: 0,
        failed: 0,
        cancelled: 0,
        cost: NanoUsd::ZERO,
    }
}

/// Every step of time from the first to the last; the newest of them where they are too many.
fn without_gaps(
    bucket: Bucket,
    step: i64,
    found: &BTreeMap<i64, TimelineBucket>,
    filters: &ExecutionFilters,
) -> Timeline {
    let none = Timeline { bucket, buckets: Vec::new(), truncated: false };
    let first = filters.from.map(|from| from.micros() / step);
    // `to` itself is not in it.
    let last = filters.to.map(|to| to.micros().saturating_sub(1) / step);
    let (Some(first), Some(last)) = (
        first.or_else(|| found.keys().next().copied()),
        last.or_else(|| found.keys().next_back().copied()),
    ) else {
        return none;
    };
    let most = BUCKETS_MAX as i64;
    let truncated = last.saturating_sub(first) >= most;
    let first = if truncated { last - most + 1 } else { first };
    let name = |key: i64| Some(Timestamp::from_micros(key.saturating_mul(step)).to_string());
    let buckets = (first..=last).map(|key| {
        let mut part = found.get(&key).cloned().unwrap_or_else(|| empty(None));
        part.bucket = name(key);
        part
    });
    Timeline { bucket, buckets: buckets.collect(), truncated }
}

fn with_all_triggers(found: Vec<TimelineBucket>) -> Vec<TimelineBucket> {
    let mut by_name: BTreeMap<Option<String>, TimelineBucket> = BTreeMap::new();
    let triggers = (0..Trigger::ALL.len() as i64).filter_map(trigger_from_code);
    for trigger in triggers {
        let name = Some(trigger.as_str().to_owned());
        by_name.insert(name.clone(), empty(name));
    }
    for bucket in found {
        by_name.insert(bucket.bucket.clone(), bucket);
    }
    by_name.into_values().collect()
}
