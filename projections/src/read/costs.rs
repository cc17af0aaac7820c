//! Sums of costs.

use execution_ledger_domain::{NanoUsd, Scope, Timestamp};
use execution_ledger_store::Position;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::filters::scope_condition;
use super::stats::overflow;
use crate::columns;
use crate::model::{CostSummary, Costs, trigger_from_code};
use crate::query::{At, BUCKETS_MAX, CostsBy, CostsQuery, QueryError, Seen};
use crate::views::Views;

const DAY_MICROS: i64 = 24 * 3_600_000_000;

impl Views {
    /// Sums of what runs cost, corrections included, each at the time at which it was recorded.
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

fn costs(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    query: &CostsQuery,
) -> Result<Costs, QueryError> {
    let position = at.map_or(i64::MAX, |at| columns::number(at.number()));
    let from = query.from.map_or(i64::MIN, Timestamp::micros);
    let to = query.to.map_or(i64::MAX, Timestamp::micros);
    let mut values = vec![Value::Integer(position), Value::Integer(from), Value::Integer(to)];
    let (scoped, value) = scope_condition("c", scope, values.len() + 1);
    values.extend(value);
    let key = match query.by {
        CostsBy::Day => format!("date(at / {DAY_MICROS} * 86400, 'unixepoch')"),
        CostsBy::Agent => "agent".to_owned(),
        CostsBy::Model => "model".to_owned(),
        CostsBy::Trigger => "triggered_by".to_owned(),
    };
    let group = if query.by == CostsBy::Day { format!("at / {DAY_MICROS}") } else { key.clone() };
    let matching =
        format!("FROM cost_entries c WHERE position <= ?1 AND at >= ?2 AND at < ?3 AND {scoped}");
    let sums = "coalesce(sum(runs), 0), coalesce(sum(amount), 0), coalesce(sum(unknown), 0)";
    let total = connection
        .prepare_cached(&format!("SELECT NULL, {sums} {matching}"))?
        .query_row(params_from_iter(&values), |row| Ok(summary(row, None)))
        .map_err(overflow)??;
    let sql = format!(
        "SELECT {key}, {sums} {matching} GROUP BY {group} ORDER BY {group} LIMIT {}",
        BUCKETS_MAX + 1
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(params_from_iter(&values))?;
    let mut costs = Vec::new();
    while let Some(row) = rows.next().map_err(overflow)? {
        let key = match query.by {
            CostsBy::Trigger => trigger_from_code(row.get(0)?).map(|t| t.as_str().to_owned()),
            CostsBy::Day | CostsBy::Agent | CostsBy::Model => row.get(0)?,
        };
        costs.push(summary(row, key)?);
    }
    if query.by == CostsBy::Trigger {
        costs.sort_by(|a, b| a.key.cmp(&b.key));
    }
    let truncated = costs.len() > BUCKETS_MAX;
    costs.truncate(BUCKETS_MAX);
    Ok(Costs { costs, total, truncated })
}

fn summary(row: &Row<'_>, key: Option<String>) -> Result<CostSummary, QueryError> {
    // Within a period there may be more corrections of unknown costs than runs of unknown cost: they
    // belong to runs of before.
    let unknown = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
    Ok(CostSummary {
        key,
        runs: columns::unsigned(row, 1)?,
        cost: NanoUsd::from_nanos(row.get(2)?).map_err(|_| QueryError::Overflow)?,
        unknown,
    })
}
