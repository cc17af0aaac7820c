//! Sums of costs: of whole days as they were summed while rows were written, and of rows where a
//! question begins or ends within a day. Billing's rows stand in the order of the log and of time, so
//! what a question means is one stretch of them.

use std::collections::BTreeMap;

use execution_ledger_domain::{NanoUsd, Scope, Timestamp};
use execution_ledger_store::Position;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::earned::{self, EarnedSums};
use super::filters::scope_condition;
use crate::columns;
use crate::model::{CostSummary, Costs, trigger_from_code};
use crate::query::{At, BUCKETS_MAX, CostsBy, CostsQuery, QueryError, Seen};
use crate::views::Views;
use crate::write::{DAY_MICROS, NANOS, OF_AGENT, OF_MODEL, OF_TRIGGER};

impl Views {
    /// Sums of what runs cost, corrections included, and of what was paid for them, each at the time at
    /// which it was recorded: exactly the sums of billing's rows.
    pub async fn costs(
        &self,
        scope: &Scope,
        at: At,
        query: &CostsQuery,
    ) -> Result<Seen<Costs>, QueryError> {
        let (scope, query) = (scope.clone(), *query);
        self.ask(at, move |connection, at| costs(connection, at, &scope, &query)).await
    }
}

/// What rows come to.
#[derive(Default)]
pub(super) struct Sum {
    runs: i64,
    nanos: i128,
    unknown: i64,
    pub(super) earned: EarnedSums,
}

/// Sums by group.
pub(super) type Groups = BTreeMap<Option<String>, Sum>;

/// A part of what a question means.
enum Part {
    /// Whole days, from the first to before the second.
    Days(i64, i64),
    /// Rows.
    Rows(Rows),
}

/// Rows from a position to before another, recorded from a moment to before another.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    positions: (i64, i64),
    times: (i64, i64),
}

fn costs(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    query: &CostsQuery,
) -> Result<Costs, QueryError> {
    let end = at.map_or(i64::MAX, |at| columns::number(at.number()).saturating_add(1));
    let from = query.from.map_or(0, Timestamp::micros);
    let to = query.to.map_or(i64::MAX, Timestamp::micros);
    let whole = Rows { positions: (0, end), times: (from, to) };
    let parts = match scope {
        Scope::All => parts(connection, at, whole)?,
        Scope::User(_) | Scope::Agent(_) | Scope::AgentFor { .. } => vec![Part::Rows(whole)],
    };
    let (mut groups, mut total) = (Groups::new(), Groups::new());
    for part in &parts {
        match part {
            Part::Days(first, end) => {
                add_days(connection, (*first, *end), Some(query.by), &mut groups)?;
                add_days(connection, (*first, *end), None, &mut total)?;
            }
            Part::Rows(rows) => {
                add_rows(connection, scope, *rows, Some(query.by), &mut groups)?;
                add_rows(connection, scope, *rows, None, &mut total)?;
            }
        }
    }
    let mut all = total.remove(&None).unwrap_or_default();
    earned::add(connection, scope, whole, query.by, &mut groups, &mut all)?;
    let truncated = groups.len() > BUCKETS_MAX;
    let costs = groups.into_iter().take(BUCKETS_MAX);
    Ok(Costs {
        costs: costs.map(|(key, sum)| sum.summary(key)).collect::<Result<_, _>>()?,
        total: all.summary(None)?,
        truncated,
    })
}

/// Days that lie wholly in what is meant, and the rows before and after them.
fn parts(
    connection: &Connection,
    at: Option<Position>,
    whole: Rows,
) -> Result<Vec<Part>, QueryError> {
    let (from, to) = whole.times;
    let first_day = from.saturating_add(DAY_MICROS - 1) / DAY_MICROS;
    let mut end_day = to / DAY_MICROS;
    if at.is_some() {
        // The day of the last row that is meant may go on after it.
        let last: Option<i64> = connection
            .prepare_cached(
                "SELECT at FROM billing WHERE position < ? ORDER BY position DESC LIMIT 1",
            )?
            .query_row([whole.positions.1], |row| row.get(0))
            .optional()?;
        let Some(last) = last else { return Ok(Vec::new()) };
        end_day = end_day.min(last / DAY_MICROS);
    }
    if first_day >= end_day {
        return Ok(rows_of(connection, whole, (from, to))?.into_iter().collect());
    }
    let mut parts = Vec::new();
    parts.extend(rows_of(connection, whole, (from, first_day.saturating_mul(DAY_MICROS)))?);
    parts.push(Part::Days(first_day, end_day));
    parts.extend(rows_of(connection, whole, (end_day.saturating_mul(DAY_MICROS), to))?);
    Ok(parts)
}

/// The rows of these times, found by the first rows of their days.
fn rows_of(
    connection: &Connection,
    whole: Rows,
    times: (i64, i64),
) -> Result<Option<Part>, QueryError> {
    if times.0 >= times.1 {
        return Ok(None);
    }
    let Some(first) = first_since(connection, times.0 / DAY_MICROS)? else { return Ok(None) };
    let after = ((times.1 - 1) / DAY_MICROS).saturating_add(1);
    let end = first_since(connection, after)?.unwrap_or(i64::MAX).min(whole.positions.1);
    Ok(Some(Part::Rows(Rows { positions: (first, end), times })))
}

/// The position of the first row of a day or later.
fn first_since(connection: &Connection, day: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT first FROM billing_days WHERE day >= ? ORDER BY day LIMIT 1")?
        .query_row([day], |row| row.get(0))
        .optional()
}

/// Adds the sums of whole days, by group or, where there is none, of all.
fn add_days(
    connection: &Connection,
    days: (i64, i64),
    by: Option<CostsBy>,
    groups: &mut Groups,
) -> Result<(), QueryError> {
    let (table, key, of) = match by {
        None => ("billing_days", "NULL", None),
        Some(CostsBy::Day) => ("billing_days", "date(day * 86400, 'unixepoch')", None),
        Some(CostsBy::Agent) => ("billing_sums", "substr(key, 3)", Some(OF_AGENT)),
        Some(CostsBy::Model) => {
            ("billing_sums", "CASE WHEN key <> 'm' THEN substr(key, 3) END", Some(OF_MODEL))
        }
        Some(CostsBy::Trigger) => ("billing_sums", "substr(key, 3)", Some(OF_TRIGGER)),
    };
    // What stands between the two bounds begins with `of`, alone or with a name after it.
    let keys = of.map_or(String::new(), |of| format!("AND key >= '{of}' AND key < '{of};'"));
    let sums = "coalesce(sum(runs), 0), coalesce(sum(dollars), 0), coalesce(sum(nanos), 0),
      coalesce(sum(unknown), 0)";
    let select =
        format!("SELECT {key} AS k, {sums} FROM {table} WHERE day >= ?1 AND day < ?2 {keys}");
    take_in(connection, &select, vec![days.0.into(), days.1.into()], by, groups)
}

/// Adds rows, by group or, where there is none, all of them.
fn add_rows(
    connection: &Connection,
    scope: &Scope,
    rows: Rows,
    by: Option<CostsBy>,
    groups: &mut Groups,
) -> Result<(), QueryError> {
    let key = by.map_or("NULL".to_owned(), key_of_row);
    let (meant, values) = rows.conditions(scope);
    // Dollars and what is beyond them apart: neither overflows.
    let select = format!(
        "SELECT {key} AS k, coalesce(sum(kind = 0), 0), coalesce(sum(amount / {NANOS}), 0),
           coalesce(sum(amount % {NANOS}), 0), coalesce(sum(unknown), 0)
         FROM billing c WHERE {meant}"
    );
    take_in(connection, &select, values, by, groups)
}

/// What a row is grouped by, as SQL; a trigger by its number.
pub(super) fn key_of_row(by: CostsBy) -> String {
    match by {
        CostsBy::Day => format!("date(at / {DAY_MICROS} * 86400, 'unixepoch')"),
        CostsBy::Agent => "agent".to_owned(),
        CostsBy::Model => "model".to_owned(),
        CostsBy::Trigger => "CAST(triggered_by AS TEXT)".to_owned(),
    }
}

/// The name of a group from what [`key_of_row`] says.
pub(super) fn name_of(by: CostsBy, key: Option<String>) -> Option<String> {
    match by {
        CostsBy::Trigger => key
            .and_then(|code| trigger_from_code(code.parse().ok()?))
            .map(|trigger| trigger.as_str().to_owned()),
        CostsBy::Day | CostsBy::Agent | CostsBy::Model => key,
    }
}

/// Adds what a selection of key, runs, dollars, nano-dollars and unknown costs finds. The first groups
/// of a sum of parts are among the first ones of each part, so no more of them are needed.
fn take_in(
    connection: &Connection,
    select: &str,
    values: Vec<Value>,
    by: Option<CostsBy>,
    groups: &mut Groups,
) -> Result<(), QueryError> {
    let sql = match by {
        Some(_) => format!("{select} GROUP BY k ORDER BY k LIMIT {}", BUCKETS_MAX + 1),
        None => select.to_owned(),
    };
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let key = row.get::<_, Option<String>>(0)?;
        let key = by.and_then(|by| name_of(by, key));
        groups.entry(key).or_default().take_in(row)?;
    }
    Ok(())
}

impl Rows {
    /// What says that a row is meant, with its values.
    pub(super) fn conditions(&self, scope: &Scope) -> (String, Vec<Value>) {
        let Self { positions, times } = self;
        let mut values: Vec<Value> =
            vec![positions.0.into(), positions.1.into(), times.0.into(), times.1.into()];
        let (scoped, of_scope) = scope_condition("c", scope, values.len() + 1);
        values.extend(of_scope);
        let sql = format!("position >= ?1 AND position < ?2 AND at >= ?3 AND at < ?4 AND {scoped}");
        (sql, values)
    }
}

impl Sum {
    fn take_in(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        self.runs += row.get::<_, i64>(1)?;
        self.nanos += i128::from(row.get::<_, i64>(2)?) * i128::from(NANOS);
        self.nanos += i128::from(row.get::<_, i64>(3)?);
        self.unknown += row.get::<_, i64>(4)?;
        Ok(())
    }

    fn summary(self, key: Option<String>) -> Result<CostSummary, QueryError> {
        let nanos = i64::try_from(self.nanos).ok();
        let cost = nanos.and_then(|nanos| NanoUsd::from_nanos(nanos).ok());
        Ok(CostSummary {
            key,
            runs: u64::try_from(self.runs).unwrap_or(0),
            cost: cost.ok_or(QueryError::Overflow)?,
            // Within a period there may be more corrections of unknown costs than runs of unknown
            // cost: they belong to runs of before.
            unknown: u64::try_from(self.unknown).unwrap_or(0),
            earned: self.earned.into_list(),
        })
    }
}
