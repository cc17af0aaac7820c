//! Conditions over executions as SQL, as of now or as of a position.

use execution_ledger_domain::{AgentName, Scope, Timestamp};
use execution_ledger_store::Position;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, ToSql};

use super::words;
use crate::columns;
use crate::model::{Status, trigger_code};
use crate::query::{ExecutionFilters, FILTER_MAX_BYTES, QueryError};

/// SQL and the values of its parameters: the first parameter is always the position.
pub(super) struct Conditions {
    /// Conditions on `executions e` but those on its number, joined with AND; never empty.
    pub sql: String,
    values: Vec<Value>,
    /// The words that are looked for, as a query of the text index.
    pub words: Option<String>,
    /// The columns as of the position.
    pub columns: &'static Columns,
    /// The first number that position and times allow. One bound on either side: of two, SQLite may
    /// walk an index by the wider one.
    pub first_no: i64,
    /// The number that position and times allow no more.
    pub end_no: i64,
}

/// What stands for the columns that change, by when it is asked.
pub(super) struct Columns {
    pub status: &'static str,
    pub model: &'static str,
    pub cost: &'static str,
    pub duration_ms: &'static str,
    pub ran: &'static str,
}

const NOW: Columns = Columns {
    status: "e.status",
    model: "e.model",
    cost: "e.cost",
    duration_ms: "e.duration_ms",
    ran: "e.ran",
};

/// A comparison with NULL is not true, so what has not happened falls through to the next line.
const THEN: Columns = Columns {
    status: "(CASE WHEN e.ended_position <= ?1 THEN e.status
      WHEN e.started_position <= ?1 THEN 1 ELSE 0 END)",
    model: "(CASE WHEN e.ended_position <= ?1 THEN e.model ELSE e.model_requested END)",
    cost: "(CASE WHEN e.ended_position <= ?1 THEN
      CASE WHEN e.corrected = 0 THEN e.cost ELSE coalesce(
        (SELECT c.cost FROM cost_corrections c WHERE c.no = e.no AND c.position <= ?1
         ORDER BY c.position DESC LIMIT 1), e.cost_at_end) END END)",
    duration_ms: "(CASE WHEN e.ended_position <= ?1 THEN e.duration_ms END)",
    ran: "(CASE WHEN e.ended_position <= ?1 THEN e.ran ELSE 0 END)",
};

impl Conditions {
    /// What the filters and the scope say.
    pub fn of(
        connection: &Connection,
        at: Option<Position>,
        scope: &Scope,
        filters: &ExecutionFilters,
    ) -> Result<Self, QueryError> {
        let columns = if at.is_some() { &THEN } else { &NOW };
        let position = at.map_or(i64::MAX - 1, |at| columns::number(at.number()));
        let words =
            filters.q.as_deref().map(|q| words::query_of(q, filters.agent.as_ref())).transpose()?;
        let nothing = words == Some(None);
        let values = vec![Value::Integer(position)];
        let (first_no, end_no) = (0, position.saturating_add(1));
        // True: it stands for the position, which must be among the parameters in any case.
        let (sql, words) = (String::from("?1 >= 0"), words.flatten());
        let mut this = Self { sql, values, words, columns, first_no, end_no };
        if nothing {
            this.and_sql("0");
        }
        this.scope("e", scope);
        if let Some(agent) = &filters.agent {
            this.and("e.agent =", Value::Text(agent.as_str().to_owned()));
        }
        if let Some(status) = filters.status {
            this.and(&format!("{} =", columns.status), Value::Integer(status.code()));
        }
        if let Some(trigger) = filters.triggered_by {
            this.and("e.triggered_by =", Value::Integer(trigger_code(trigger)));
        }
        if let Some(model) = &filters.model {
            if model.len() > FILTER_MAX_BYTES {
                return Err(QueryError::invalid(
                    "model",
                    format!("at most {FILTER_MAX_BYTES} bytes"),
                ));
            }
            this.and(&format!("{} =", columns.model), Value::Text(model.clone()));
        }
        if let Some(cost) = filters.min_cost {
            this.and(&format!("{} >=", columns.cost), Value::Integer(cost.nanos()));
        }
        // The times of acceptance never decrease along the log, so a time is a place in it.
        if let Some(from) = filters.from {
            this.first_no = first_no_since(connection, from)?;
        }
        if let Some(to) = filters.to {
            this.end_no = this.end_no.min(first_no_since(connection, to)?);
        }
        Ok(this)
    }

    /// Adds what a scope covers, on the table of that name.
    fn scope(&mut self, table: &str, scope: &Scope) {
        let (sql, values) = scope_condition(table, scope, self.values.len() + 1);
        if !values.is_empty() {
            self.and_sql(&sql);
            self.values.extend(values);
        }
    }

    /// Adds a condition that compares with a value.
    pub fn and(&mut self, comparison: &str, value: Value) {
        let parameter = self.parameter(value);
        self.and_sql(&format!("{comparison} {parameter}"));
    }

    /// Adds a condition as it is.
    pub fn and_sql(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    /// A parameter with this value, to stand in SQL.
    pub fn parameter(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// Adds that the words stand in the message or in the response, for queries that need no order.
    pub fn and_words(&mut self) {
        if let Some(words) = self.words.take() {
            let words = self.parameter(Value::Text(words));
            self.and_sql(&format!(
                "(e.no IN (SELECT rowid FROM search_messages WHERE search_messages MATCH {words})
                   OR e.ended_position <= ?1 AND e.no IN (SELECT rowid FROM search_responses
                      WHERE search_responses MATCH {words}))"
            ));
        }
    }

    /// Adds the same, for queries that ask it of one row after the other, because many texts hold
    /// the words. As of now.
    pub fn and_words_of_each(&mut self) {
        if let Some(words) = self.words.take() {
            let words = self.parameter(Value::Text(words));
            self.and_sql(&format!(
                "(EXISTS (SELECT 1 FROM search_messages
                          WHERE search_messages MATCH {words} AND rowid = e.no)
                   OR EXISTS (SELECT 1 FROM search_responses
                          WHERE search_responses MATCH {words} AND rowid = e.no))"
            ));
        }
    }

    /// All conditions, those on the number too.
    pub fn all(&self) -> String {
        self.within(self.first_no, self.end_no)
    }

    /// All conditions, and numbers from one to before another, which must lie in those that are meant.
    pub fn within(&self, first_no: i64, end_no: i64) -> String {
        format!("{} AND e.no >= {first_no} AND e.no < {end_no}", self.sql)
    }

    /// The values, for a statement that uses every parameter.
    pub fn values(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| value as &dyn ToSql).collect()
    }
}

/// What a scope covers on a table with the columns agent, user and source_agent, with the values of
/// its parameters from that number on; without any it covers everything.
pub(super) fn scope_condition(
    table: &str,
    scope: &Scope,
    parameter: usize,
) -> (String, Vec<Value>) {
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    if let Some(agent) = scope.agent() {
        conditions
            .push(format!("({table}.agent = ?{parameter} OR {table}.source_agent = ?{parameter})"));
        values.push(Value::Text(agent.as_str().to_owned()));
    }
    if let Some(user) = scope.user() {
        conditions.push(format!("{table}.user = ?{}", parameter + values.len()));
        values.push(Value::Text(user.as_str().to_owned()));
    }
    if conditions.is_empty() {
        ("1".to_owned(), values)
    } else {
        (conditions.join(" AND "), values)
    }
}

/// The number of the first execution accepted at `time` or later; beyond the last where none was.
/// Halves the table: the times need no index, because they grow with the numbers.
pub(super) fn first_no_since(connection: &Connection, time: Timestamp) -> Result<i64, QueryError> {
    let last: Option<i64> =
        connection.query_row("SELECT max(no) FROM executions", [], |row| row.get(0))?;
    let mut next = connection.prepare_cached(
        "SELECT no, created_at FROM executions WHERE no >= ? ORDER BY no LIMIT 1",
    )?;
    // All before `low` is too early; `high` is late enough, or beyond the last.
    let (mut low, mut high) = (0_i64, last.unwrap_or(0).saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> =
            next.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((no, created_at)) if created_at < time.micros() => low = no.saturating_add(1),
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// A part of an index whose rows are in the order of their numbers.
pub(super) struct Range {
    pub index: &'static str,
    /// Conditions on the index's columns before the number; literals alone.
    pub sql: String,
}

/// Sets of ranges, each of which holds all executions that the filters and the scope cover; to be
/// chosen from by size.
pub(super) fn ranges(
    at: Option<Position>,
    scope: &Scope,
    filters: &ExecutionFilters,
) -> Vec<Vec<Range>> {
    let mut choices = Vec::new();
    match (scope.agent(), &filters.agent) {
        (Some(own), None) => {
            let mut ranges = by_agent_status(at, own, filters);
            ranges.push(Range {
                index: "executions_source",
                sql: format!(
                    "e.source_agent = {own} AND e.agent <> {own}",
                    own = literal(own.as_str())
                ),
            });
            choices.push(ranges);
        }
        (_, Some(agent)) => choices.push(by_agent_status(at, agent, filters)),
        (_, None) => choices.push(by_status(at, filters)),
    }
    if let Some(user) = scope.user() {
        let sql = format!("e.user = {}", literal(user.as_str()));
        choices.push(vec![Range { index: "executions_user", sql }]);
    }
    if let (Some(own), Some(agent)) = (scope.agent(), &filters.agent)
        && own != agent
    {
        let sql = format!("e.source_agent = {}", literal(own.as_str()));
        choices.push(vec![Range { index: "executions_source", sql }]);
    }
    if at.is_none() {
        if let Some(model) = &filters.model {
            let sql = format!("e.model = {}", literal(model));
            choices.push(vec![Range { index: "executions_model", sql }]);
        }
        if filters.min_cost.is_some() {
            choices.push(by_cost(filters));
        }
    }
    choices
}

/// The indexes whose ranges are in the order of cost, not of numbers.
pub(super) const COST_INDEXES: [&str; 2] = ["executions_agent_cost", "executions_status_cost"];

/// All executions of known cost that the filters allow, each range in the order of cost; as of now.
pub(super) fn by_cost(filters: &ExecutionFilters) -> Vec<Range> {
    let [of_agent, of_status] = COST_INDEXES;
    let (index, agent) = match &filters.agent {
        Some(agent) => (of_agent, format!("e.agent = {} AND ", literal(agent.as_str()))),
        None => (of_status, String::new()),
    };
    let cost = match filters.min_cost {
        Some(cost) => format!("e.cost >= {}", cost.nanos()),
        None => "e.cost IS NOT NULL".to_owned(),
    };
    // A cost is known at the end, not before.
    let ended = |code| Status::from_code(code).is_some_and(Status::is_terminal);
    status_and_trigger(filters)
        .filter(|(status, _)| ended(*status))
        .map(|(status, trigger)| Range {
            index,
            sql: format!("{agent}e.status = {status} AND e.triggered_by = {trigger} AND {cost}"),
        })
        .collect()
}

fn by_agent_status(
    at: Option<Position>,
    agent: &AgentName,
    filters: &ExecutionFilters,
) -> Vec<Range> {
    let agent = literal(agent.as_str());
    if at.is_some() || (filters.status.is_none() && filters.triggered_by.is_none()) {
        return vec![Range { index: "executions_agent", sql: format!("e.agent = {agent}") }];
    }
    status_and_trigger(filters)
        .map(|(status, trigger)| Range {
            index: "executions_agent_status",
            sql: format!(
                "e.agent = {agent} AND e.status = {status} AND e.triggered_by = {trigger}"
            ),
        })
        .collect()
}

fn by_status(at: Option<Position>, filters: &ExecutionFilters) -> Vec<Range> {
    if at.is_some() || (filters.status.is_none() && filters.triggered_by.is_none()) {
        return vec![Range { index: "", sql: "1".to_owned() }];
    }
    status_and_trigger(filters)
        .map(|(status, trigger)| Range {
            index: "executions_status",
            sql: format!("e.status = {status} AND e.triggered_by = {trigger}"),
        })
        .collect()
}

/// Every pair that the filters allow: there are few of either.
fn status_and_trigger(filters: &ExecutionFilters) -> impl Iterator<Item = (i64, i64)> {
    use execution_ledger_domain::execution::Trigger;
    let (status, trigger) = (filters.status, filters.triggered_by);
    let statuses = Status::ALL.into_iter().filter(move |s| status.is_none_or(|only| only == *s));
    statuses.flat_map(move |status| {
        let triggers =
            Trigger::ALL.into_iter().filter(move |t| trigger.is_none_or(|only| only == *t));
        triggers.map(move |trigger| (status.code(), trigger_code(trigger)))
    })
}

/// A text as an SQL literal.
fn literal(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != '\0').collect();
    format!("'{}'", text.replace('\'', "''"))
}
