//! One of several nodes that share a log: who lives, who holds which lease, and what this one may do.
//!
//! Nothing here is needed where a ledger is alone with its log. Facts are the leases alone
//! (`execution_ledger_domain::lease`); that a node lives is told on a board beside the log, and judged by
//! each node for itself ([`membership`]). A run knows of its node's term by a file ([`term`]), so that it
//! ends by itself where its node is not heard of any more.

mod hold;
mod lost;
mod membership;
mod station;
pub mod term;

pub use hold::SlotRefused;
pub use membership::{Membership, Standing};
pub use station::{NodeRow, Outlook, Station, StationOptions};
