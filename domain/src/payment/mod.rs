//! A payment for one execution: verified, settled, and recorded as it was observed.

mod decide;
mod event;

pub use decide::{Command, Payment, Rejection};
pub use event::{
    Asked, Evidence, PaymentEvent, RefundCause, RefundOwed, Settled, SettlementFailed,
    SettlementRequested, SettlementUnknown, Terms, Verified,
};

#[cfg(test)]
mod tests;
