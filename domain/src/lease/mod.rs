//! Leases: which of several nodes hosts an agent, and which one does what is done once.
//!
//! A lease's stream is where starts are fenced: whoever holds the lease says there which slot a start
//! takes, at the revision that it knows, before it claims the execution. A node that lost its lease
//! without noticing knows an older revision, so the store refuses what it says.

mod decide;
mod event;
mod name;

pub use decide::{Command, Lease, Rejection, TakenSlot};
pub use event::{LeaseAcquired, LeaseEvent, LeaseReleased, SlotTaken};
pub use name::{LeaseName, LeaseNameError};

#[cfg(test)]
mod tests;
