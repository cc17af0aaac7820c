//! Billing's rows, from any position on.

use execution_ledger_domain::billing::{Amount, BillingRow, USD};
use execution_ledger_domain::{
    AgentName, EventId, ExecutionId, NanoUsd, PaymentId, Scope, Timestamp, UserName,
};
use execution_ledger_store::{LogId, LogPosition, Position};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::filters::scope_condition;
use crate::columns::{self, Bad};
use crate::model::{BillingPage, PaymentFacts, basis_from_code, kind_from_code};
use crate::query::{At, BILLING_PAGE_MAX, QueryError, Seen};
use crate::views::Views;

impl Views {
    /// The rows after a position, in the order of the log: each fact that is about money once. At most
    /// `limit` of them, 1 to [`BILLING_PAGE_MAX`]; going on after [`BillingPage::resume_after`] leaves
    /// none out and repeats none.
    pub async fn billing(
        &self,
        scope: &Scope,
        at: At,
        after: Position,
        limit: u32,
    ) -> Result<Seen<BillingPage>, QueryError> {
        if !(1..=BILLING_PAGE_MAX).contains(&limit) {
            let problem = format!("is not between 1 and {BILLING_PAGE_MAX}");
            return Err(QueryError::invalid("limit", problem));
        }
        let (scope, log) = (scope.clone(), self.log_id().clone());
        let seen =
            self.ask(at, move |connection, at| rows(connection, at, &scope, &log, after, limit));
        let mut seen = seen.await?;
        let page = &mut seen.value;
        if !page.more {
            // Between the last row and what was seen there is none.
            page.resume_after = seen.position.max(after);
        }
        Ok(seen)
    }
}

fn rows(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    log: &LogId,
    after: Position,
    limit: u32,
) -> Result<BillingPage, QueryError> {
    let until = at.map_or(i64::MAX, |at| columns::number(at.number()));
    let limit = limit as usize;
    let mut values: Vec<Value> = vec![
        columns::number(after.number()).into(),
        until.into(),
        // One more than the page holds says whether there are more.
        i64::try_from(limit + 1).unwrap_or(i64::MAX).into(),
    ];
    let (scoped, of_scope) = scope_condition("c", scope, values.len() + 1);
    values.extend(of_scope);
    let sql = format!(
        "SELECT position, event_id, kind, execution, agent, user, model, triggered_by, amount, basis,
           unknown, payment, at, paid_by
         FROM billing c WHERE position > ?1 AND position <= ?2 AND {scoped}
         ORDER BY position LIMIT ?3"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut found = select.query(params_from_iter(values))?;
    let mut page = BillingPage { rows: Vec::new(), resume_after: after, more: false };
    while let Some(row) = found.next()? {
        if page.rows.len() == limit {
            page.more = true;
            break;
        }
        let position = Position::new(columns::unsigned(row, 0)?);
        page.rows.push(billing_row(row, log, position)?);
        page.resume_after = position;
    }
    Ok(page)
}

fn billing_row(row: &Row<'_>, log: &LogId, position: Position) -> rusqlite::Result<BillingRow> {
    let payment: Option<PaymentFacts> = match row.get_ref(11)?.as_str_or_null() {
        Ok(None) => None,
        Ok(Some(_)) => Some(columns::from_json(row, 11)?),
        Err(_) => return Err(Bad::at(11)),
    };
    let basis: Option<i64> = row.get(9)?;
    let mut billed = BillingRow {
        position: LogPosition { log: log.clone(), position }.to_string(),
        event_id: EventId(columns::uuid(row, 1)?),
        kind: kind_from_code(row.get(2)?).ok_or_else(|| Bad::at(2))?,
        execution_id: ExecutionId(columns::uuid(row, 3)?),
        payment_id: columns::optional_text(row, 13, str::parse::<PaymentId>)?,
        agent: columns::text(row, 4, AgentName::new)?,
        user: columns::text(row, 5, UserName::new)?,
        model: row.get(6)?,
        triggered_by: columns::trigger(row, 7)?,
        amount: columns::optional_money(row, 8)?.map(|amount: NanoUsd| Amount::Usd(amount)),
        unit: USD.into(),
        basis: basis.map(|code| basis_from_code(code).ok_or_else(|| Bad::at(9))).transpose()?,
        unknown: row.get(10)?,
        payer: None,
        transaction: None,
        at: Timestamp::from_micros(row.get(12)?),
    };
    if let Some(facts) = payment {
        billed.payment_id = Some(facts.payment_id);
        billed.amount = Some(Amount::Token(facts.amount));
        billed.unit = facts.unit.into();
        billed.payer = Some(facts.payer);
        billed.transaction = facts.transaction;
    }
    Ok(billed)
}
