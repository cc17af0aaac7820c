//! Payments as the interface answers them.

#![expect(clippy::struct_field_names, reason = "the interface's own names")]

use serde::Deserialize;

use crate::answers::Event;

/// A page of payments.
#[derive(Deserialize)]
pub(super) struct PaymentList {
    pub payments: Vec<Payment>,
    pub next_cursor: Option<String>,
}

/// A payment.
#[derive(Deserialize)]
pub(super) struct Payment {
    pub payment_id: String,
    pub status: String,
    pub scheme: String,
    pub network: String,
    pub asset: String,
    pub amount: String,
    pub pay_to: String,
    pub payer: String,
    pub nonce: String,
    pub valid_after_s: i64,
    pub valid_before_s: i64,
    pub payment_identifier: Option<String>,
    pub facilitator: String,
    pub resource: String,
    pub execution_id: String,
    pub agent_name: String,
    pub settlement_requests: u32,
    pub transaction: Option<String>,
    pub evidence: Option<String>,
    pub reason: Option<String>,
    pub note: Option<String>,
    pub refund: Option<Refund>,
    pub verified_at: String,
    pub settled_at: Option<String>,
    pub changed_at: String,
}

impl Payment {
    /// Its page.
    pub fn address(&self) -> String {
        format!("/payments/{}", self.payment_id)
    }

    /// The page of the execution that it paid for, where there is one: once the money has come, unless
    /// nothing could be accepted any more.
    pub fn execution(&self) -> Option<String> {
        let never = self.refund.as_ref().is_some_and(|refund| refund.cause == "not_accepted");
        (self.settled_at.is_some() && !never)
            .then(|| format!("/agents/{}/executions/{}", self.agent_name, self.execution_id))
    }
}

/// What is owed of a payment.
#[derive(Deserialize)]
pub(super) struct Refund {
    pub amount: String,
    pub cause: String,
    pub code: Option<String>,
}

/// What happened to a payment.
#[derive(Deserialize)]
pub(super) struct Events {
    pub events: Vec<Event>,
}
