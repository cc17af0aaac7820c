//! Executions divided into parts: by time, agent, trigger or model.

use std::collections::BTreeMap;

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{NanoUsd, Scope, Timestamp};
use execution_ledger_store::Position;
use rusqlite::{Connection, Row, ToSql};

use super::filters::Conditions;
use super::sums::{DaySums, Part, parts};
use crate::columns;
use crate::model::{Bucket, Timeline, TimelineBucket, trigger_from_code};
use crate::query::{At, BUCKETS_MAX, ExecutionFilters, QueryError, Seen};
use crate::views::Views;
use crate::write::{DAY_MICROS, NANOS, SUMS_OF_MODEL};

const HOUR_MICROS: i64 = 3_600_000_000;

impl Views {
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

/// What a bucket is: its place in time, or its name.
type Key = (i64, Option<String>);

/// What is in a bucket.
#[derive(Clone, Default)]
struct Sum {
    total: u64,
    by_status: [u64; 5],
    nanos: i128,
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
    let mut found = BTreeMap::new();
    for part in parts(connection, at, scope, filters, Some(bucket), &conditions)? {
        match part {
            Part::Days(days) => add_days(connection, &days, bucket, &mut found)?,
            Part::Rows(first, end) => {
                add_rows(connection, &conditions, (first, end), bucket, &mut found)?;
            }
        }
    }
    if let Some(step) = step(bucket) {
        return without_gaps(bucket, step, &found, filters);
    }
    if bucket == Bucket::Trigger {
        for trigger in (0..Trigger::ALL.len() as i64).filter_map(trigger_from_code) {
            found.entry((0, Some(trigger.as_str().to_owned()))).or_default();
        }
    }
    let truncated = found.len() > BUCKETS_MAX;
    let buckets = found.into_iter().take(BUCKETS_MAX);
    let buckets = buckets.map(|((_, name), sum)| sum.bucket(name)).collect::<Result<_, _>>()?;
    Ok(Timeline { bucket, buckets, truncated })
}

fn add_days(
    connection: &Connection,
    days: &DaySums,
    bucket: Bucket,
    found: &mut BTreeMap<Key, Sum>,
) -> Result<(), QueryError> {
    let key = match bucket {
        Bucket::Day => "day".to_owned(),
        Bucket::Agent => "name".to_owned(),
        Bucket::Trigger => "triggered_by".to_owned(),
        Bucket::Model => format!("CASE WHEN of = {SUMS_OF_MODEL} THEN name END"),
        Bucket::Hour => unreachable!("there are no sums of hours"),
    };
    let of_status = |status| format!("sum(CASE WHEN status = {status} THEN total ELSE 0 END)");
    let by_status: Vec<String> = (0..5).map(of_status).collect();
    let select = format!(
        "SELECT {key} AS k, sum(total), {}, sum(dollars), sum(nanos) FROM execution_sums WHERE {}",
        by_status.join(", "),
        days.sql
    );
    take_in(connection, &select, &days.values(), bucket, found)
}

fn add_rows(
    connection: &Connection,
    conditions: &Conditions,
    (first, end): (i64, i64),
    bucket: Bucket,
    found: &mut BTreeMap<Key, Sum>,
) -> Result<(), QueryError> {
    let (status, cost) = (conditions.columns.status, conditions.columns.cost);
    let key = match bucket {
        Bucket::Hour => format!("e.created_at / {HOUR_MICROS}"),
        Bucket::Day => format!("e.created_at / {DAY_MICROS}"),
        Bucket::Agent => "e.agent".to_owned(),
        Bucket::Trigger => "e.triggered_by".to_owned(),
        Bucket::Model => conditions.columns.model.to_owned(),
    };
    // Dollars and what is beyond them apart: neither overflows.
    let select = format!(
        "SELECT k, count(*), sum(s = 0), sum(s = 1), sum(s = 2), sum(s = 3), sum(s = 4),
           coalesce(sum(c / {NANOS}), 0), coalesce(sum(c % {NANOS}), 0)
         FROM (SELECT {key} AS k, {status} AS s, {cost} AS c FROM executions e WHERE {})",
        conditions.within(first, end)
    );
    take_in(connection, &select, &conditions.values(), bucket, found)
}

/// Adds what a selection of key, counts, dollars and nano-dollars finds. What a limit would leave out
/// of the sum of parts is left out of each part already.
fn take_in(
    connection: &Connection,
    select: &str,
    values: &[&dyn ToSql],
    bucket: Bucket,
    found: &mut BTreeMap<Key, Sum>,
) -> Result<(), QueryError> {
    // The newest first, so that what a limit leaves out is the oldest.
    let order = if step(bucket).is_some() { "DESC" } else { "ASC" };
    let sql = format!("{select} GROUP BY k ORDER BY k {order} LIMIT {}", BUCKETS_MAX + 1);
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(values)?;
    while let Some(row) = rows.next()? {
        let key = match bucket {
            Bucket::Hour | Bucket::Day => (row.get(0)?, None),
            Bucket::Agent | Bucket::Model => (0, row.get(0)?),
            Bucket::Trigger => (0, Some(columns::trigger(row, 0)?.as_str().to_owned())),
        };
        found.entry(key).or_default().take_in(row)?;
    }
    Ok(())
}

/// The length of a bucket of time.
fn step(bucket: Bucket) -> Option<i64> {
    match bucket {
        Bucket::Hour => Some(HOUR_MICROS),
        Bucket::Day => Some(DAY_MICROS),
        Bucket::Agent | Bucket::Trigger | Bucket::Model => None,
    }
}

impl Sum {
    fn take_in(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        self.total += columns::unsigned(row, 1)?;
        for (status, count) in self.by_status.iter_mut().enumerate() {
            *count += columns::unsigned(row, 2 + status)?;
        }
        self.nanos += i128::from(row.get::<_, i64>(7)?) * i128::from(NANOS);
        self.nanos += i128::from(row.get::<_, i64>(8)?);
        Ok(())
    }

    fn bucket(&self, bucket: Option<String>) -> Result<TimelineBucket, QueryError> {
        let [pending, running, completed, failed, cancelled] = self.by_status;
        let nanos = i64::try_from(self.nanos).ok();
        let cost = nanos.and_then(|nanos| NanoUsd::from_nanos(nanos).ok());
        let cost = cost.ok_or(QueryError::Overflow)?;
        let total = self.total;
        Ok(TimelineBucket { bucket, total, pending, running, completed, failed, cancelled, cost })
    }
}

/// Every step of time from the first to the last; the newest of them where they are too many.
fn without_gaps(
    bucket: Bucket,
    step: i64,
    found: &BTreeMap<Key, Sum>,
    filters: &ExecutionFilters,
) -> Result<Timeline, QueryError> {
    let first = filters.from.map(|from| from.micros() / step);
    // `to` itself is not in it.
    let last = filters.to.map(|to| to.micros().saturating_sub(1) / step);
    let (Some(first), Some(last)) = (
        first.or_else(|| found.keys().next().map(|(step, _)| *step)),
        last.or_else(|| found.keys().next_back().map(|(step, _)| *step)),
    ) else {
        return Ok(Timeline { bucket, buckets: Vec::new(), truncated: false });
    };
    let most = BUCKETS_MAX as i64;
    let truncated = last.saturating_sub(first) >= most;
    let first = if truncated { last - most + 1 } else { first };
    let buckets = (first..=last).map(|key| {
        let name = Timestamp::from_micros(key.saturating_mul(step)).to_string();
        found.get(&(key, None)).cloned().unwrap_or_default().bucket(Some(name))
    });
    Ok(Timeline { bucket, buckets: buckets.collect::<Result<_, _>>()?, truncated })
}
