//! The rules of one lease.

use super::event::{LeaseAcquired, LeaseEvent, LeaseReleased, SlotTaken};
use crate::Aggregate;
use crate::ids::{ClaimId, ExecutionId, NodeId};

/// The slot that a holder took last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenSlot {
    /// For which execution.
    pub execution: ExecutionId,
    /// By which start of it.
    pub claim: ClaimId,
}

/// The state of one lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// How often it has changed hands.
    pub epoch: u64,
    /// Who holds it; nobody before the first and after a release.
    pub holder: Option<NodeId>,
    /// What the holder took last, so that an append whose answer was lost is not made twice.
    pub last: Option<TakenSlot>,
}

impl Lease {
    /// As a read model knows it.
    pub fn known(epoch: u64, holder: Option<NodeId>) -> Self {
        Self { epoch, holder, last: None }
    }

    /// Whether this node holds it in this epoch.
    pub fn is_held_by(&self, node: NodeId, epoch: u64) -> bool {
        self.holder == Some(node) && self.epoch == epoch
    }
}

/// A wish about one lease.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Have it, in place of whoever held it in the epoch that the caller has judged.
    Acquire {
        /// Who wants it.
        node: NodeId,
        /// The epoch that was judged to be over: another one is somebody else's.
        after: u64,
    },
    /// Take a slot.
    TakeSlot {
        /// Who.
        node: NodeId,
        /// In which epoch.
        epoch: u64,
        /// What for.
        slot: TakenSlot,
    },
    /// Give it up.
    Release {
        /// Who.
        node: NodeId,
        /// In which epoch.
        epoch: u64,
    },
}

/// Why a command about a lease was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It changed hands since it was judged to be free.
    #[error("the lease has changed hands meanwhile (epoch {epoch})")]
    ChangedHands {
        /// Its epoch now.
        epoch: u64,
    },
    /// Somebody else holds it, or nobody.
    #[error("this node does not hold the lease any more (epoch {epoch})")]
    NotHolder {
        /// Its epoch now.
        epoch: u64,
    },
}

impl Aggregate for Lease {
    type Command = Command;
    type Event = LeaseEvent;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<LeaseEvent>, Rejection> {
        let epoch = self.epoch;
        match command {
            Command::Acquire { node, after } if after == epoch => {
                let acquired = LeaseAcquired { node, epoch: epoch.saturating_add(1) };
                Ok(vec![LeaseEvent::LeaseAcquired(acquired)])
            }
            // Its own append, whose answer was lost.
            Command::Acquire { node, after } if self.is_held_by(node, after.saturating_add(1)) => {
                Ok(vec![])
            }
            Command::Acquire { .. } => Err(Rejection::ChangedHands { epoch }),
            Command::TakeSlot { node, epoch: own, slot } if self.is_held_by(node, own) => {
                if self.last == Some(slot) {
                    return Ok(vec![]);
                }
                let TakenSlot { execution, claim } = slot;
                Ok(vec![LeaseEvent::SlotTaken(SlotTaken { execution, claim, node, epoch })])
            }
            Command::TakeSlot { .. } => Err(Rejection::NotHolder { epoch }),
            Command::Release { node, epoch: own } if self.is_held_by(node, own) => {
                Ok(vec![LeaseEvent::LeaseReleased(LeaseReleased { node, epoch })])
            }
            Command::Release { .. } => Ok(vec![]),
        }
    }

    fn evolve(self, event: &LeaseEvent) -> Self {
        match *event {
            LeaseEvent::LeaseAcquired(LeaseAcquired { node, epoch }) => {
                Self { epoch, holder: Some(node), last: None }
            }
            LeaseEvent::SlotTaken(SlotTaken { execution, claim, .. }) => {
                Self { last: Some(TakenSlot { execution, claim }), ..self }
            }
            LeaseEvent::LeaseReleased(LeaseReleased { epoch, .. }) => {
                Self { epoch, holder: None, last: None }
            }
        }
    }
}
