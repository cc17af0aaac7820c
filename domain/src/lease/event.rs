//! What happened to a lease.

use serde::{Deserialize, Serialize};

use crate::ids::{ClaimId, ExecutionId, NodeId};

/// A node holds the lease from here on; whoever held it before holds it no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LeaseAcquired {
    /// Which node.
    pub node: NodeId,
    /// How often the lease has changed hands: one more each time.
    pub epoch: u64,
}

/// The holder takes a slot for an execution that it is about to claim.
///
/// From here on the execution counts as holding a slot until it has ended, whether its claim came to be
/// or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SlotTaken {
    /// For which execution.
    pub execution: ExecutionId,
    /// By which start of it.
    pub claim: ClaimId,
    /// By which node.
    pub node: NodeId,
    /// The holder's epoch.
    pub epoch: u64,
}

/// The holder gives the lease up. What it has started goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LeaseReleased {
    /// Which node.
    pub node: NodeId,
    /// Its epoch.
    pub epoch: u64,
}

/// A fact about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEvent {
    /// `lease.acquired`
    LeaseAcquired(LeaseAcquired),
    /// `lease.slot_taken`
    SlotTaken(SlotTaken),
    /// `lease.released`
    LeaseReleased(LeaseReleased),
}
