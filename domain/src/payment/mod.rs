//! A payment for one execution: verified, settled, and recorded as it was observed.

mod event;

pub use event::{
    Asked, PaymentEvent, RefundCause, RefundOwed, Settled, SettlementFailed, SettlementRequested,
    SettlementUnknown, Terms, Verified,
};
