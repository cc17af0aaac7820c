//! Payments: which there are and were, and of which more is to come.

use execution_ledger_domain::payment::Payment;
use execution_ledger_domain::{PaymentId, StreamName};
use execution_ledger_store::{Position, With};

use super::list::check_limit;
use super::versions::{VersionRow, Which, version, versions};
use crate::cursor::Cursor;
use crate::model::PaymentRow;
use crate::query::{At, Page, PaymentQuery, QueryError, Seen};
use crate::views::Views;
use crate::write::{PaymentVersion, Payments};

impl Views {
    /// A page of payments, the newest first.
    ///
    /// # Errors
    /// [`QueryError::InvalidCursor`] and [`QueryError::OtherLog`] for a cursor that is not this list's.
    pub async fn payments(
        &self,
        at: At,
        query: &PaymentQuery,
    ) -> Result<Seen<Page<PaymentRow>>, QueryError> {
        check_limit(query.limit)?;
        let limit = query.limit as usize;
        let PaymentQuery { agent, status, payer, .. } = query;
        let question = format!("payments {agent:?} {status:?} {payer:?}");
        let log = self.log_id().clone();
        let cursor = query.cursor.as_deref();
        let cursor = cursor.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let which = Which {
            // A payer's address is the user that his executions belong to.
            user: payer.clone(),
            agent: agent.as_ref().map(|agent| agent.as_str().to_owned()),
            kind: status.map(str::to_owned),
            before: cursor.map(|cursor| cursor.no),
            ..Which::default()
        };
        self.ask(at, move |connection, at| {
            let mut rows = versions::<Payments>(connection, at, &which, limit + 1)?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let last = rows.last().filter(|_| more).map(|row| row.created);
            let items = rows.into_iter().map(payment_row).collect::<Result<_, _>>()?;
            let next_cursor = last.map(|no| Cursor { key: 0, no }.encode(&log, &question));
            Ok(Page { items, next_cursor })
        })
        .await
    }

    /// One payment, with a person's reason where there is one; nothing where there is no such payment.
    ///
    /// # Errors
    /// [`QueryError::NotReady`] while the read models are made anew.
    pub async fn payment(
        &self,
        at: At,
        id: PaymentId,
    ) -> Result<Seen<Option<PaymentRow>>, QueryError> {
        let found = self
            .ask(at, move |connection, at| {
                Ok(version::<Payments>(connection, at, &id.to_string())?)
            })
            .await?;
        let Seen { position, value } = found;
        let Some(found) = value else { return Ok(Seen { position, value: None }) };
        let noted = found.state.note;
        let mut row = payment_row(found)?;
        if let Some((revision, note)) = noted {
            let stream = StreamName::payment(id);
            let read = self.store().read_stream(&stream, revision, 1, With::Contents).await?;
            row.note = read.first().and_then(|event| event.text(&note)).map(str::to_owned);
        }
        Ok(Seen { position, value: Some(row) })
    }

    /// The payments of which more is to come, as of the position that is answered with them.
    ///
    /// # Errors
    /// [`QueryError::NotReady`] while the read models are made anew.
    pub async fn payment_work(&self) -> Result<(Position, Vec<PaymentId>), QueryError> {
        let seen = self
            .ask(At::Now, |connection, _| {
                let mut select = connection.prepare_cached("SELECT payment FROM payment_work")?;
                let ids = select.query_map([], |row| row.get::<_, String>(0))?;
                Ok(ids.collect::<rusqlite::Result<Vec<_>>>()?)
            })
            .await?;
        let ids = seen.value.iter().map(|id| parsed(id)).collect::<Result<_, _>>()?;
        Ok((seen.position, ids))
    }
}

fn parsed(id: &str) -> Result<PaymentId, QueryError> {
    let unreadable = |_| QueryError::Unreadable(format!("payment-{id} has no payment's id"));
    id.parse().map_err(unreadable)
}

fn payment_row(row: VersionRow<PaymentVersion>) -> Result<PaymentRow, QueryError> {
    let VersionRow { id, since, state, .. } = row;
    debug_assert!(Payment::STATUSES.contains(&state.status.as_str()));
    Ok(PaymentRow {
        id: parsed(&id)?,
        status: state.status,
        terms: state.terms,
        payer: state.payer,
        nonce: state.nonce,
        valid_after_s: state.valid_after_s,
        valid_before_s: state.valid_before_s,
        identifier: state.identifier,
        facilitator: state.facilitator,
        resource: state.resource,
        execution_id: state.execution_id,
        agent: state.agent,
        asked: state.asked,
        transaction: state.transaction,
        evidence: state.evidence,
        reason: state.reason,
        note: None,
        refund: state.refund,
        verified_at: state.verified_at,
        settled_at: state.settled_at,
        changed_at: state.changed_at,
        position: since,
    })
}
