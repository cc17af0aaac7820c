//! Billing: what its rows hold in columns, and what was earned.

use execution_ledger_domain::PaymentId;
use execution_ledger_domain::billing::{BillingKind, BillingRow};
use execution_ledger_domain::execution::CostBasis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bases, each at its number in columns; they only ever grow at their end.
const BASES: [CostBasis; 5] = [
    CostBasis::ProviderReported,
    CostBasis::DerivedFromPartials,
    CostBasis::PricedLocally,
    CostBasis::Unknown,
    CostBasis::Simulated,
];

/// A basis's number in columns.
pub(crate) fn basis_code(basis: CostBasis) -> i64 {
    BASES.iter().position(|other| *other == basis).map_or(-1, |index| index as i64)
}

/// The basis of a column's number.
pub(crate) fn basis_from_code(code: i64) -> Option<CostBasis> {
    usize::try_from(code).ok().and_then(|index| BASES.get(index).copied())
}

/// A kind's number in columns: its place in [`BillingKind::ALL`], which only ever grows at its end.
pub(crate) fn kind_code(kind: BillingKind) -> i64 {
    BillingKind::ALL.iter().position(|other| *other == kind).map_or(-1, |index| index as i64)
}

/// The kind of a column's number.
pub(crate) fn kind_from_code(code: i64) -> Option<BillingKind> {
    usize::try_from(code).ok().and_then(|index| BillingKind::ALL.get(index).copied())
}

/// What a row of a payment holds beside what every row does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PaymentFacts {
    /// The payment.
    pub payment_id: PaymentId,
    /// How much, in the token's smallest unit.
    pub amount: String,
    /// The token.
    pub unit: String,
    /// The address that paid.
    pub payer: String,
    /// The transaction, where one is known.
    pub transaction: Option<String>,
}

/// A page of billing's rows, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingPage {
    /// The rows.
    pub rows: Vec<BillingRow>,
    /// The position after which the next row would stand: the last row's on a full page, else that of
    /// the last event that the page has seen.
    pub resume_after: execution_ledger_store::Position,
    /// Whether more rows stand there already.
    pub more: bool,
}

/// What payments in one token came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Earned {
    /// The token, as CAIP-19 names it.
    pub unit: String,
    /// Payments that came.
    pub payments: u64,
    /// Their sum, in the token's smallest unit: decimal digits, since it can be above 2^53.
    pub settled: String,
    /// Payments among all that came which their payers are owed again.
    pub refunds: u64,
    /// Their sum, likewise.
    pub refund_owed: String,
}
