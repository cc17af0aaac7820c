//! A person decides what nobody else can say: whether a payer was charged.

use execution_ledger_domain::payment::{
    Command, Evidence, Payment, Rejection, Settled, SettlementFailed,
};
use execution_ledger_domain::{Caller, Content, ExecutionId, PaymentId, StreamName, Timestamp};
use execution_ledger_store::{Context, ExecuteError, Position, StoreError};

use super::Payments;
use crate::redact::Redactor;
use crate::tasks::Request;

/// A person's reason: longest, in bytes.
pub const REASON_MAX_BYTES: usize = 1_000;
/// A transaction's hash: longest, in bytes.
pub const TRANSACTION_MAX_BYTES: usize = 128;

/// What a person has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The money came, by this transaction where it is known.
    Settled {
        /// Its hash.
        transaction: Option<String>,
    },
    /// It did not come and will not. Refused while the payment is still valid.
    Failed,
}

/// Why a person's decision was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is none of that id.
    #[error("there is no such payment")]
    NotFound,
    /// What came of it is known, or somebody is just asking.
    #[error("nobody doubts this payment: it is {0}")]
    NotUnknown(&'static str),
    /// While its signature is valid, whoever holds it can still make the payment.
    #[error(
        "its signature is still valid, so the money can still come: say `failed` from {until} on"
    )]
    StillValid {
        /// From when on it can be said that it did not come.
        until: Timestamp,
    },
    /// A field breaks a rule.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it may be.
        problem: String,
    },
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Payments {
    /// Records what a person has found out about a payment of which nobody knew. Repeated, it is so
    /// already.
    ///
    /// # Errors
    /// [`ResolveError`]: nothing was recorded then.
    pub async fn resolve(
        &self,
        caller: &Caller,
        id: PaymentId,
        resolution: Resolution,
        reason: &str,
        request: &Request,
    ) -> Result<Position, ResolveError> {
        check(&resolution, reason)?;
        let (payment, position) = self.look_up(id).await?;
        match (&payment, &resolution) {
            (Payment::Absent, _) => return Err(ResolveError::NotFound),
            (Payment::Unknown { .. }, _) => {}
            (Payment::Settled { .. }, Resolution::Settled { .. })
            | (Payment::Failed { .. }, Resolution::Failed) => return Ok(position),
            (other, _) => return Err(ResolveError::NotUnknown(other.status())),
        }
        let (reason, _) = Redactor::global().redact(reason);
        let note = Content::new(crate::salt()?, reason.into_owned());
        let (evidence, reference) = (Evidence::Person, Some(note.reference()));
        let command = match resolution {
            Resolution::Settled { transaction } => {
                Command::Settle(Settled { transaction, evidence, note: reference })
            }
            Resolution::Failed => {
                let reason = "resolved_by_person".to_owned();
                let failed = SettlementFailed { reason, evidence, note: reference };
                Command::Fail { failed, now: self.0.ledger.now() }
            }
        };
        let context = Context {
            actor: caller.actor.clone(),
            correlation_id: Some(ExecutionId::paid_by(id).to_string()),
            causation_id: Some(request.id.clone()),
            traceparent: request.traceparent.clone(),
        };
        let stream = StreamName::payment(id);
        let done = self.0.ledger.execute::<Payment>(&stream, command, &[note], &context).await;
        match done {
            Ok(done) => Ok(done.position),
            Err(ExecuteError::Refused(Rejection::AlreadySettled)) => {
                Err(ResolveError::NotUnknown("settled"))
            }
            Err(ExecuteError::Refused(Rejection::AlreadyFailed)) => {
                Err(ResolveError::NotUnknown("settlement_failed"))
            }
            Err(ExecuteError::Refused(Rejection::StillValid { until })) => {
                Err(ResolveError::StillValid { until })
            }
            Err(ExecuteError::Refused(_)) => Err(ResolveError::NotUnknown("settlement_requested")),
            Err(error) => Err(error.into()),
        }
    }
}

fn check(resolution: &Resolution, reason: &str) -> Result<(), ResolveError> {
    let invalid = |field, problem: String| Err(ResolveError::Invalid { field, problem });
    let plain = reason.chars().all(|c| c >= ' ' || c == '\t' || c == '\n');
    if reason.trim().is_empty() || reason.len() > REASON_MAX_BYTES || !plain {
        let problem = format!(
            "say how it is known, in 1 to {REASON_MAX_BYTES} bytes without control characters"
        );
        return invalid("reason", problem);
    }
    if let Resolution::Settled { transaction: Some(hash) } = resolution {
        let fits = (1..=TRANSACTION_MAX_BYTES).contains(&hash.len());
        if !fits || !hash.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let most = TRANSACTION_MAX_BYTES;
            return invalid("transaction", format!("1 to {most} letters and digits"));
        }
    }
    Ok(())
}
