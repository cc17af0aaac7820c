//! The rules of a payment's life.

use super::event::{
    Evidence, PaymentEvent, RefundOwed, Settled, SettlementFailed, SettlementRequested,
    SettlementUnknown, Verified,
};
use crate::Aggregate;
use crate::limits::payment as limit;
use crate::time::Timestamp;

/// The state of one payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Payment {
    /// No event yet.
    #[default]
    Absent,
    /// Found good; nobody was asked for the money.
    Verified(Box<Verified>),
    /// The facilitator is being asked for the money.
    Requested {
        /// What was found good.
        verified: Box<Verified>,
        /// Which request it is, from 1.
        attempt: u32,
    },
    /// Nobody can say whether the payer was charged.
    Unknown {
        /// What was found good.
        verified: Box<Verified>,
        /// How often the facilitator was asked for the money.
        attempt: u32,
        /// What was observed instead of an answer.
        reason: String,
    },
    /// The money has come.
    Settled {
        /// What was found good.
        verified: Box<Verified>,
        /// How it came.
        settled: Settled,
        /// What is owed of it, where the run did not succeed.
        refund: Option<RefundOwed>,
    },
    /// The money has not come and will not.
    Failed {
        /// What was found good.
        verified: Box<Verified>,
        /// Why it has not come.
        failed: SettlementFailed,
    },
}

impl Payment {
    /// What was found good, once something was.
    pub fn verified(&self) -> Option<&Verified> {
        match self {
            Self::Absent => None,
            Self::Verified(verified)
            | Self::Requested { verified, .. }
            | Self::Unknown { verified, .. }
            | Self::Settled { verified, .. }
            | Self::Failed { verified, .. } => Some(verified),
        }
    }

    /// Its name in JSON and in columns.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Verified(_) => "verified",
            Self::Requested { .. } => "settlement_requested",
            Self::Unknown { .. } => "settlement_unknown",
            Self::Settled { refund: None, .. } => "settled",
            Self::Settled { refund: Some(_), .. } => "refund_owed",
            Self::Failed { .. } => "settlement_failed",
        }
    }

    /// All that [`Self::status`] answers of a payment that is there.
    pub const STATUSES: [&'static str; 6] = [
        "verified",
        "settlement_requested",
        "settlement_unknown",
        "settled",
        "refund_owed",
        "settlement_failed",
    ];
}

/// A wish about one payment.
#[derive(Clone, Debug)]
pub enum Command {
    /// Record that it was found good, and what it pays for. A repeated request of the same payer for the
    /// same thing is so already.
    Verify(Box<Verified>),
    /// Say that the facilitator is about to be asked for the money. Whoever's append wins may ask.
    RequestSettlement {
        /// How often it was asked before, as the caller knows it.
        asked_before: u32,
    },
    /// Record that the money has come.
    Settle(Settled),
    /// Record that it has not come and will not.
    Fail {
        /// Why, and how it is known.
        failed: SettlementFailed,
        /// When it is said: a person can't say so while the payment is still valid.
        now: Timestamp,
    },
    /// Record that nobody can say.
    NoteUnknown(SettlementUnknown),
    /// Record that the payer is owed the money.
    OweRefund(RefundOwed),
}

/// Why a command about a payment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The stream has no first event.
    #[error("there is no such payment")]
    NotFound,
    /// It was used for another request.
    #[error("this payment was used for another request")]
    Reused,
    /// Somebody else's request for the money was first.
    #[error("somebody else asks for this money already")]
    AlreadyRequested,
    /// As often as may be.
    #[error("this money was asked for {} times, as often as may be", limit::SETTLEMENTS_MAX)]
    RequestedTooOften,
    /// The money was never asked for.
    #[error("this money was never asked for")]
    NotRequested,
    /// It was asked for, so that it could have come.
    #[error("this money was asked for, so it may have come")]
    Requested,
    /// After a second request a refusal can mean that the first succeeded.
    #[error("a refused repetition does not say that this money has not come")]
    NoEvidence,
    /// While its signature is valid, whoever holds it can still make the payment.
    #[error("the money can still come until {until}; say so after that")]
    StillValid {
        /// From when on it can be said.
        until: Timestamp,
    },
    /// The money has come.
    #[error("this payment was settled")]
    AlreadySettled,
    /// The money has not come and will not.
    #[error("the settlement of this payment failed")]
    AlreadyFailed,
    /// The money has not come.
    #[error("this payment was not settled")]
    NotSettled,
}

impl Aggregate for Payment {
    type Event = PaymentEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(self, event: &PaymentEvent) -> Self {
        use PaymentEvent as E;
        match (self, event) {
            (Self::Absent, E::Verified(verified)) => Self::Verified(verified.clone()),
            (
                Self::Verified(verified) | Self::Unknown { verified, .. },
                E::SettlementRequested(requested),
            ) => Self::Requested { verified, attempt: requested.attempt },
            (Self::Requested { verified, attempt }, E::SettlementUnknown(unknown)) => {
                Self::Unknown { verified, attempt, reason: unknown.reason.clone() }
            }
            (
                Self::Requested { verified, .. } | Self::Unknown { verified, .. },
                E::Settled(settled),
            ) => Self::Settled { verified, settled: settled.clone(), refund: None },
            (
                Self::Verified(verified)
                | Self::Requested { verified, .. }
                | Self::Unknown { verified, .. },
                E::SettlementFailed(failed),
            ) => Self::Failed { verified, failed: failed.clone() },
            (Self::Settled { verified, settled, refund: None }, E::RefundOwed(refund)) => {
                Self::Settled { verified, settled, refund: Some(refund.clone()) }
            }
            (state, _) => state,
        }
    }

    #[expect(clippy::match_same_arms, reason = "a table of decisions, some rows for each command")]
    fn decide(&self, command: Command) -> Result<Vec<PaymentEvent>, Rejection> {
        use Command as C;
        use Payment::{Absent, Failed, Requested, Unknown, Verified};
        use PaymentEvent as E;
        match (self, command) {
            (Absent, C::Verify(verified)) => Ok(vec![E::Verified(verified)]),
            (state, C::Verify(again)) => same_request(state, &again),

            (Absent, _) => Err(Rejection::NotFound),

            (Verified(_), C::RequestSettlement { asked_before: 0 }) => {
                Ok(vec![E::SettlementRequested(SettlementRequested { attempt: 1 })])
            }
            (Unknown { attempt, .. }, C::RequestSettlement { .. })
                if *attempt >= limit::SETTLEMENTS_MAX =>
            {
                Err(Rejection::RequestedTooOften)
            }
            (Unknown { attempt, .. }, C::RequestSettlement { asked_before })
                if *attempt == asked_before =>
            {
                Ok(vec![E::SettlementRequested(SettlementRequested { attempt: attempt + 1 })])
            }
            (Verified(_) | Requested { .. } | Unknown { .. }, C::RequestSettlement { .. }) => {
                Err(Rejection::AlreadyRequested)
            }
            (Payment::Settled { .. }, C::RequestSettlement { .. }) => {
                Err(Rejection::AlreadySettled)
            }
            (Failed { .. }, C::RequestSettlement { .. }) => Err(Rejection::AlreadyFailed),

            (Requested { .. }, C::Settle(settled)) if settled.evidence != Evidence::Facilitator => {
                Err(Rejection::AlreadyRequested)
            }
            (Requested { .. } | Unknown { .. }, C::Settle(settled)) => {
                Ok(vec![E::Settled(settled)])
            }
            (Verified(_), C::Settle(_)) => Err(Rejection::NotRequested),
            (Payment::Settled { .. }, C::Settle(_)) => Ok(vec![]),
            (Failed { .. }, C::Settle(_)) => Err(Rejection::AlreadyFailed),

            (
                state @ (Verified(_) | Requested { .. } | Unknown { .. }),
                C::Fail { failed, now },
            ) => {
                evident(state, failed.evidence, now)?;
                Ok(vec![E::SettlementFailed(failed)])
            }
            (Failed { .. }, C::Fail { .. }) => Ok(vec![]),
            (Payment::Settled { .. }, C::Fail { .. }) => Err(Rejection::AlreadySettled),

            (Requested { .. }, C::NoteUnknown(unknown)) => Ok(vec![E::SettlementUnknown(unknown)]),
            (Unknown { .. } | Payment::Settled { .. } | Failed { .. }, C::NoteUnknown(_)) => {
                Ok(vec![])
            }
            (Verified(_), C::NoteUnknown(_)) => Err(Rejection::NotRequested),

            (Payment::Settled { refund: None, .. }, C::OweRefund(refund)) => {
                Ok(vec![E::RefundOwed(refund)])
            }
            (Payment::Settled { refund: Some(_), .. }, C::OweRefund(_)) => Ok(vec![]),
            (Verified(_) | Requested { .. } | Unknown { .. } | Failed { .. }, C::OweRefund(_)) => {
                Err(Rejection::NotSettled)
            }
        }
    }
}

/// A repeated request is answered by the first only where it is the same in all that was sent.
fn same_request(state: &Payment, again: &Verified) -> Result<Vec<PaymentEvent>, Rejection> {
    let first = state.verified().ok_or(Rejection::NotFound)?;
    let same = first.payload_sha256 == again.payload_sha256
        && first.asked.pending.request_sha256 == again.asked.pending.request_sha256;
    if same { Ok(vec![]) } else { Err(Rejection::Reused) }
}

/// Whether this says that the money has not come and will not.
#[expect(clippy::match_same_arms, reason = "a table of reasons, a row for each")]
fn evident(state: &Payment, evidence: Evidence, now: Timestamp) -> Result<(), Rejection> {
    match (state, evidence) {
        (Payment::Verified(_), Evidence::NotRequested) => Ok(()),
        (Payment::Verified(_), _) => Err(Rejection::NotRequested),
        (_, Evidence::NotRequested) => Err(Rejection::Requested),
        (Payment::Requested { attempt: 1, .. }, Evidence::Facilitator) => Ok(()),
        (_, Evidence::Facilitator) => Err(Rejection::NoEvidence),
        // Its answer is still to come: nobody else decides before it has come, or was given up.
        (Payment::Requested { .. }, _) => Err(Rejection::AlreadyRequested),
        // The chain was asked by its own time.
        (_, Evidence::Chain) => Ok(()),
        (Payment::Unknown { verified, .. }, Evidence::Person) => can_not_come(verified, now),
        (_, Evidence::Person) => Ok(()),
    }
}

/// Whether nobody can make this payment any more, whoever holds its signature.
fn can_not_come(verified: &Verified, now: Timestamp) -> Result<(), Rejection> {
    let over_s = verified.valid_before_s.saturating_add(limit::PAST_VALIDITY_S);
    let until = Timestamp::EPOCH.plus_s(over_s);
    if now < until { Err(Rejection::StillValid { until }) } else { Ok(()) }
}
