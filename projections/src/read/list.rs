//! Pages of executions.

use execution_ledger_domain::Scope;
use execution_ledger_store::{Position, With};
use rusqlite::Connection;

use super::filters::{self, Conditions};
use super::ranges::{self, Chosen, Place, Rows};
use super::{dearest, with_words};
use crate::columns;
use crate::cursor::Cursor;
use crate::model::ExecutionRecord;
use crate::query::{
    At, ExecutionQuery, LIST_TEXT_MAX_CHARS, PAGE_MAX, Page, QueryError, Seen, Sort,
};
use crate::views::Views;

impl Views {
    /// A page of executions.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] names the filter that can't be.
    pub async fn executions(
        &self,
        scope: &Scope,
        at: At,
        query: &ExecutionQuery,
    ) -> Result<Seen<Page<ExecutionRecord>>, QueryError> {
        check_limit(query.limit)?;
        let log = self.log_id().clone();
        let question = question_of(scope, at, query);
        let after = query.cursor.as_deref();
        let after = after.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let (scope, asked) = (scope.clone(), query.clone());
        let hits =
            self.ask(at, move |connection, at| find(connection, at, &scope, &asked, after)).await?;
        let Seen { position, value: mut hits } = hits;
        let limit = query.limit as usize;
        let more = hits.len() > limit;
        hits.truncate(limit);
        let last = hits.last().filter(|_| more);
        let next_cursor = last
            .map(|(no, key)| Cursor { key: *key, no: no.unsigned_abs() }.encode(&log, &question));
        let with = if query.texts { With::Contents } else { With::EventsOnly };
        let numbers = hits.iter().map(|(no, _)| *no).collect();
        let records = self.records_by_number(numbers, position, with).await?;
        let mut items: Vec<ExecutionRecord> = records.into_iter().flatten().collect();
        for record in &mut items {
            record.cut_texts(LIST_TEXT_MAX_CHARS);
        }
        Ok(Seen { position, value: Page { items, next_cursor } })
    }
}

pub(super) fn check_limit(limit: u32) -> Result<(), QueryError> {
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(())
    } else {
        Err(QueryError::invalid("limit", format!("is not between 1 and {PAGE_MAX}")))
    }
}

/// What tells a question from others: a cursor is good for the same one alone. The limit may differ
/// from page to page.
fn question_of(scope: &Scope, at: At, query: &ExecutionQuery) -> String {
    format!("executions {scope:?} {at:?} {:?} {:?}", query.sort, query.filters)
}

fn find(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    query: &ExecutionQuery,
    after: Option<Cursor>,
) -> Result<Vec<Place>, QueryError> {
    let conditions = Conditions::of(connection, at, scope, &query.filters)?;
    let limit = query.limit as usize + 1;
    if query.sort == Sort::DearestFirst {
        return match at {
            None => dearest::now(connection, conditions, scope, &query.filters, limit, after),
            Some(_) => dearest::then(connection, conditions, limit, after),
        };
    }
    let mut choices = filters::ranges(at, scope, &query.filters);
    let newest_first = query.sort == Sort::NewestFirst;
    let start = match (after, newest_first) {
        (None, true) => i64::MAX,
        (None, false) => 0,
        (Some(after), true) => columns::number(after.no).saturating_sub(1),
        (Some(after), false) => columns::number(after.no).saturating_add(1),
    };
    let mut rows = Rows { conditions, chosen: Chosen::default(), newest_first };
    // A least cost holds for few, as a rule: the index on costs finds them sooner.
    let probed =
        choices.len() > 1 && rows.conditions.words.is_none() && query.filters.min_cost.is_none();
    if probed {
        rows.chosen.ranges = choices.remove(0);
        if let Some(hits) = rows.probed_page(connection, start, limit)? {
            return Ok(hits);
        }
        choices.insert(0, std::mem::take(&mut rows.chosen.ranges));
    }
    rows.chosen = ranges::choose(connection, choices)?;
    match &rows.conditions.words {
        Some(words) => with_words::find(connection, &rows, words, at, start, limit),
        None => rows.page(connection, start, limit),
    }
}
