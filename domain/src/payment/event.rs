//! The facts of a payment.

use serde::{Deserialize, Serialize};

use crate::content::{ContentRef, Digest};
use crate::execution::{FailureCode, Pending};
use crate::ids::ExecutionId;
use crate::time::Timestamp;

/// What was offered and accepted, in the words of x402 version 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Terms {
    /// How it is paid, for example `exact`.
    pub scheme: String,
    /// The chain, as CAIP-2 names it, for example `eip155:8453`.
    pub network: String,
    /// The token: its contract's address.
    pub asset: String,
    /// How much, in the token's smallest unit: a decimal number, as text since it can be above 2^53.
    pub amount: String,
    /// The address that is paid.
    pub pay_to: String,
}

/// The execution that is paid for: what is to be accepted once the money has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Asked {
    /// Its id, derived from the payment's.
    pub execution_id: ExecutionId,
    /// Its first event. Its texts lie beside this event too, until it is accepted and after.
    pub pending: Pending,
}

/// A facilitator found a payment good, and the task it pays for is acceptable. Nothing was charged yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Verified {
    /// The version of x402: 2.
    pub x402_version: u32,
    /// What was offered and accepted.
    #[serde(flatten)]
    pub terms: Terms,
    /// The address that pays.
    pub payer: String,
    /// The number, used once, that the payer drew for this payment: hexadecimal digits after `0x`.
    pub nonce: String,
    /// Not valid before this moment, in seconds since 1970.
    pub valid_after_s: u64,
    /// Not valid from this moment on, in seconds since 1970.
    pub valid_before_s: u64,
    /// SHA-256 over the payment's payload as it came. Its signature is not kept.
    pub payload_sha256: Digest,
    /// The payer's own id of the payment, of the extension `payment-identifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_identifier: Option<String>,
    /// The resource that is paid for: the address that was asked for.
    pub resource: String,
    /// The facilitator that verified it: its address, without what it may hold of secrets.
    pub facilitator: String,
    /// What is paid for.
    pub asked: Asked,
}

/// The facilitator is about to be asked for the money. From here on the payer may have been charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SettlementRequested {
    /// Which request it is, from 1.
    pub attempt: u32,
}

/// How an outcome of a settlement is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The facilitator said so.
    Facilitator,
    /// The chain says so.
    Chain,
    /// A person decided it.
    Person,
    /// The facilitator was never asked for the money.
    NotRequested,
}

/// The money has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Settled {
    /// The hash of the transaction on the chain; absent where a person decided without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// How it is known.
    pub evidence: Evidence,
    /// A person's reason, where a person decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<ContentRef>,
}

/// The money has not come and will not: the payer was not charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SettlementFailed {
    /// Why, as the facilitator or the chain says it: a short code.
    pub reason: String,
    /// How it is known.
    pub evidence: Evidence,
    /// A person's reason, where a person decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<ContentRef>,
}

/// Nobody can say yet whether the payer was charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SettlementUnknown {
    /// What was observed instead of an answer: a short code.
    pub reason: String,
}

/// Why the payer is owed the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundCause {
    /// The execution that was paid for failed.
    ExecutionFailed,
    /// The execution that was paid for was cancelled.
    ExecutionCancelled,
    /// The execution could not be accepted after the money had come.
    NotAccepted,
}

/// The money came and the run that it paid for did not succeed: the payer is owed it, or a credit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RefundOwed {
    /// How much, in the token's smallest unit: a decimal number as text.
    pub amount: String,
    /// Why.
    pub cause: RefundCause,
    /// How the execution failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FailureCode>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// A fact of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentEvent {
    /// `payment.verified`
    Verified(Box<Verified>),
    /// `payment.settlement_requested`
    SettlementRequested(SettlementRequested),
    /// `payment.settled`
    Settled(Settled),
    /// `payment.settlement_failed`
    SettlementFailed(SettlementFailed),
    /// `payment.settlement_unknown`
    SettlementUnknown(SettlementUnknown),
    /// `payment.refund_owed`
    RefundOwed(RefundOwed),
}
