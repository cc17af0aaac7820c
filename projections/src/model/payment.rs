//! Payments as they are told.

use execution_ledger_domain::payment::{Evidence, RefundOwed, Terms};
use execution_ledger_domain::{AgentName, ExecutionId, PaymentId, Timestamp};
use execution_ledger_store::Position;

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// Its id.
    pub id: PaymentId,
    /// verified, settlement_requested, settlement_unknown, settled, refund_owed or settlement_failed.
    pub status: String,
    /// What was offered and accepted.
    pub terms: Terms,
    /// The address that pays.
    pub payer: String,
    /// The number, used once, of the payment.
    pub nonce: String,
    /// Not valid before this, in seconds since 1970.
    pub valid_after_s: u64,
    /// Not valid from this on, in seconds since 1970.
    pub valid_before_s: u64,
    /// The payer's own id of it.
    pub identifier: Option<String>,
    /// The facilitator that verified it.
    pub facilitator: String,
    /// The address that was asked for.
    pub resource: String,
    /// The execution that it pays for: there once the money has come.
    pub execution_id: ExecutionId,
    /// The agent of that.
    pub agent: AgentName,
    /// How often the money was asked for.
    pub asked: u32,
    /// The transaction that brought it.
    pub transaction: Option<String>,
    /// How its outcome is known.
    pub evidence: Option<Evidence>,
    /// Why the money has not come, or why nobody knows.
    pub reason: Option<String>,
    /// A person's reason, where a person decided; absent once it was erased, and in lists.
    pub note: Option<String>,
    /// What is owed of it.
    pub refund: Option<RefundOwed>,
    /// When it was found good.
    pub verified_at: Timestamp,
    /// When it was recorded that the money came.
    pub settled_at: Option<Timestamp>,
    /// When it changed last.
    pub changed_at: Timestamp,
    /// Position of its last change.
    pub position: Position,
}
