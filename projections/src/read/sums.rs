//! Which part of a question about executions is answered by the sums of whole days, and which by rows.
//!
//! Executions stand in the order of the log and of time, so what a question means is one stretch of
//! numbers: whole days of it are summed, and what begins or ends within a day is read row by row.

use execution_ledger_domain::{Scope, Timestamp};
use execution_ledger_store::Position;
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql};

use super::filters::{Conditions, first_no_since};
use crate::model::{Bucket, trigger_code};
use crate::query::{ExecutionFilters, QueryError};
use crate::write::{
    DAY_MICROS, SUMS_OF_AGENT, SUMS_OF_ALL, SUMS_OF_MODEL, SUMS_OF_NO_MODEL, SUMS_OF_USER,
};

/// A part of what a question means.
pub(super) enum Part {
    /// Whole days, as they were summed.
    Days(DaySums),
    /// Rows, from a number to before another.
    Rows(i64, i64),
}

/// Sums of days that are meant.
pub(super) struct DaySums {
    /// Conditions on `execution_sums`.
    pub sql: String,
    values: Vec<Value>,
}

impl DaySums {
    /// The values of the conditions.
    pub fn values(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| value as &dyn ToSql).collect()
    }
}

/// What sums are of: a number, and a name where there is one. Without one, those of all names.
struct Of {
    of: &'static [i64],
    name: Option<String>,
}

/// The parts of a question. `by`: what the answer is divided by, where it is.
pub(super) fn parts(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    filters: &ExecutionFilters,
    by: Option<Bucket>,
    conditions: &Conditions,
) -> Result<Vec<Part>, QueryError> {
    let whole = Part::Rows(conditions.first_no, conditions.end_no);
    // Of what was then there are no sums.
    let of = if at.is_none() { of(scope, filters, by) } else { None };
    let Some(of) = of else { return Ok(vec![whole]) };
    let day_from = filters.from.map(|from| days_up(from.micros()));
    let day_to = filters.to.map(|to| to.micros().div_euclid(DAY_MICROS));
    if let (Some(from), Some(to)) = (day_from, day_to)
        && from >= to
    {
        return Ok(vec![whole]);
    }
    let mut parts = vec![Part::Days(day_sums(filters, of, (day_from, day_to)))];
    let first_of = |day: i64| {
        let first = Timestamp::from_micros(day.saturating_mul(DAY_MICROS));
        first_no_since(connection, first)
    };
    if let Some(day) = day_from {
        parts.push(Part::Rows(conditions.first_no, first_of(day)?));
    }
    if let Some(day) = day_to {
        parts.push(Part::Rows(first_of(day)?, conditions.end_no));
    }
    parts.retain(|part| !matches!(part, Part::Rows(first, end) if first >= end));
    Ok(parts)
}

/// The number of the first day that begins at a moment or later.
fn days_up(micros: i64) -> i64 {
    micros.saturating_add(DAY_MICROS - 1).div_euclid(DAY_MICROS)
}

/// The sums that hold exactly what scope and filters cover, divided as is asked; none where there are
/// no such sums.
fn of(scope: &Scope, filters: &ExecutionFilters, by: Option<Bucket>) -> Option<Of> {
    if filters.q.is_some() || filters.min_cost.is_some() || by == Some(Bucket::Hour) {
        return None;
    }
    let (by_agent, by_model) = (by == Some(Bucket::Agent), by == Some(Bucket::Model));
    let named = |of: &'static [i64], name: &str| Some(Of { of, name: Some(name.to_owned()) });
    match (scope, &filters.agent, &filters.model) {
        (Scope::All, None, None) if by_agent => Some(Of { of: &[SUMS_OF_AGENT], name: None }),
        (Scope::All, None, None) if by_model => {
            Some(Of { of: &[SUMS_OF_MODEL, SUMS_OF_NO_MODEL], name: None })
        }
        (Scope::All, None, None) => named(&[SUMS_OF_ALL], ""),
        (Scope::All, Some(agent), None) if !by_model => named(&[SUMS_OF_AGENT], agent.as_str()),
        (Scope::Agent(own), Some(agent), None) if own == agent && !by_model => {
            named(&[SUMS_OF_AGENT], agent.as_str())
        }
        (Scope::All, None, Some(model)) if !by_agent => named(&[SUMS_OF_MODEL], model),
        (Scope::User(user), None, None) if !by_agent && !by_model => {
            named(&[SUMS_OF_USER], user.as_str())
        }
        _ => None,
    }
}

fn day_sums(filters: &ExecutionFilters, of: Of, days: (Option<i64>, Option<i64>)) -> DaySums {
    let numbers: Vec<String> = of.of.iter().map(i64::to_string).collect();
    let mut this = DaySums { sql: format!("of IN ({})", numbers.join(",")), values: Vec::new() };
    let mut and = |comparison: &str, value: Option<Value>| {
        let Some(value) = value else { return };
        this.values.push(value);
        this.sql.extend([" AND ", comparison, " ?", &this.values.len().to_string()]);
    };
    and("name =", of.name.map(Value::Text));
    and("day >=", days.0.map(Value::Integer));
    and("day <", days.1.map(Value::Integer));
    and("status =", filters.status.map(|status| Value::Integer(status.code())));
    and("triggered_by =", filters.triggered_by.map(|trigger| trigger_code(trigger).into()));
    this
}
