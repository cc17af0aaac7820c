//! Payments, as far as billing is told of them.

use execution_ledger_domain::billing::{BillingKind, token_unit};
use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::payment::{PaymentEvent, Verified};
use execution_ledger_domain::{AgentName, ExecutionId, PaymentId, UserName};
use execution_ledger_store::Recorded;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::projection::ProjectionError;
use crate::columns;
use crate::model::PaymentFacts;

/// What a row of a payment is made from.
pub(super) struct Paid {
    pub execution: ExecutionId,
    pub agent: AgentName,
    pub user: UserName,
    pub source_agent: Option<AgentName>,
    pub model: Option<String>,
    pub triggered_by: Trigger,
    pub facts: PaymentFacts,
}

/// What is known of a payment that more may be told of.
#[derive(Serialize, Deserialize)]
struct Known {
    execution: ExecutionId,
    agent: AgentName,
    user: UserName,
    source_agent: Option<AgentName>,
    model: Option<String>,
    triggered_by: Trigger,
    amount: String,
    unit: String,
    payer: String,
    transaction: Option<String>,
    settled: bool,
    refund_owed: bool,
}

/// What billing is told by a payment's event, if anything. As in the domain, an event that does not fit
/// changes nothing.
pub(super) fn told(
    connection: &Connection,
    recorded: &Recorded,
    event: &PaymentEvent,
) -> Result<Option<(BillingKind, Paid)>, ProjectionError> {
    let id = recorded.stream.id();
    let Ok(payment): Result<PaymentId, _> = id.parse() else {
        let problem = format!("a payment's event in the stream {}", recorded.stream);
        return Err(ProjectionError::Poison(problem));
    };
    match event {
        PaymentEvent::Verified(verified) => {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO billing_open(payment, execution, data) VALUES(?, ?, ?)",
                )?
                .execute(params![
                    id,
                    verified.asked.execution_id.0.as_bytes(),
                    columns::json(&Known::of(verified))
                ])?;
            Ok(None)
        }
        PaymentEvent::Settled(settled) => {
            let Some(mut known) = load(connection, id)? else { return Ok(None) };
            if known.settled {
                return Ok(None);
            }
            known.settled = true;
            known.transaction.clone_from(&settled.transaction);
            store(connection, id, &known)?;
            let amount = known.amount.clone();
            Ok(Some((BillingKind::PaymentSettled, known.told(payment, amount))))
        }
        PaymentEvent::RefundOwed(owed) => {
            let Some(mut known) = load(connection, id)? else { return Ok(None) };
            if !known.settled || known.refund_owed {
                return Ok(None);
            }
            known.refund_owed = true;
            store(connection, id, &known)?;
            Ok(Some((BillingKind::RefundOwed, known.told(payment, owed.amount.clone()))))
        }
        PaymentEvent::SettlementRequested(_)
        | PaymentEvent::SettlementFailed(_)
        | PaymentEvent::SettlementUnknown(_) => Ok(None),
    }
}

impl Known {
    fn of(verified: &Verified) -> Self {
        let pending = &verified.asked.pending;
        Self {
            execution: verified.asked.execution_id,
            agent: pending.agent.clone(),
            user: pending.user.clone(),
            source_agent: pending.source_agent.clone(),
            model: pending.model_requested.clone(),
            triggered_by: pending.triggered_by,
            amount: verified.terms.amount.clone(),
            unit: token_unit(&verified.terms),
            payer: verified.payer.clone(),
            transaction: None,
            settled: false,
            refund_owed: false,
        }
    }

    fn told(self, payment_id: PaymentId, amount: String) -> Paid {
        Paid {
            execution: self.execution,
            agent: self.agent,
            user: self.user,
            source_agent: self.source_agent,
            model: self.model,
            triggered_by: self.triggered_by,
            facts: PaymentFacts {
                payment_id,
                amount,
                unit: self.unit,
                payer: self.payer,
                transaction: self.transaction,
            },
        }
    }
}

/// The payment that this execution was paid by.
pub(super) fn payment_of(
    connection: &Connection,
    execution: ExecutionId,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT payment FROM billing_open WHERE execution = ?")?
        .query_row([execution.0.as_bytes()], |row| row.get(0))
        .optional()
}

fn load(connection: &Connection, id: &str) -> rusqlite::Result<Option<Known>> {
    connection
        .prepare_cached("SELECT data FROM billing_open WHERE payment = ?")?
        .query_row([id], |row| columns::from_json(row, 0))
        .optional()
}

fn store(connection: &Connection, id: &str, known: &Known) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE billing_open SET data = ? WHERE payment = ?")?
        .execute(params![columns::json(known), id])?;
    Ok(())
}
