//! Where nodes that share a log tell each other that they live. What is told here is no fact: nothing of
//! it stands in the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use execution_ledger_domain::{Digest, NodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::port::StoreError;

/// A node tells that it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Which node.
    pub node: NodeId,
    /// How people call it: its host's name.
    pub name: String,
    /// Where the other nodes reach it.
    pub url: String,
    /// Version of its program.
    pub version: String,
    /// After how much silence it holds nothing any more, in milliseconds.
    pub lease_ms: u64,
    /// A digest that nodes with the same secret have in common, and no others.
    pub secret: Digest,
    /// Whether it is about to stop, and takes nothing up any more.
    pub leaving: bool,
    /// How many agents it hosts.
    pub agents: u32,
    /// How many executions run on it.
    pub running: u32,
    /// By its own clock: for people, and compared with no other clock.
    pub at: Timestamp,
}

/// The last beat of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastBeat {
    /// What it said.
    pub beat: Beat,
    /// Another one with each beat of the node.
    pub number: u64,
}

/// Where nodes that share a log tell each other that they live.
#[async_trait]
pub trait NodeBoard: Send + Sync + 'static {
    /// Tells that a node lives. Once this has answered, every look that begins later sees it.
    async fn beat(&self, beat: &Beat) -> Result<(), StoreError>;

    /// The last beat of each node that was heard of lately.
    async fn look(&self) -> Result<Vec<LastBeat>, StoreError>;
}

/// A board in memory: for nodes of one process, in tests.
#[derive(Debug, Default)]
pub struct MemoryBoard(Mutex<BTreeMap<NodeId, LastBeat>>);

#[async_trait]
impl NodeBoard for MemoryBoard {
    async fn beat(&self, beat: &Beat) -> Result<(), StoreError> {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = beats.get(&beat.node).map_or(0, |last| last.number + 1);
        beats.insert(beat.node, LastBeat { beat: beat.clone(), number });
        Ok(())
    }

    async fn look(&self) -> Result<Vec<LastBeat>, StoreError> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(beats.values().cloned().collect())
    }
}
