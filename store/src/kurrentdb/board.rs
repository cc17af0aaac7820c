//! The board on which nodes tell that they live: a short stream of the adapter's own, beside the log.

use std::collections::BTreeMap;

use async_trait::async_trait;
use eventstore::{EventData, StreamMetadataBuilder};
use execution_ledger_domain::NodeId;
use tokio::time::Instant;
use uuid::Uuid;

use super::reading::From;
use super::{KurrentStore, Shared};
use crate::nodes::{Beat, LastBeat, NodeBoard};
use crate::port::{AppendError, StoreError};

/// Type of a beat.
const BEAT: &str = "node.beat";
/// Type of a stream's metadata, as the server knows it.
const METADATA: &str = "$metadata";
/// Beats that the server keeps: what nodes of two leases' time tell, for two hundred nodes.
const BEATS_KEPT: u64 = 2_000;
/// Beats that are read at a time.
const PAGE: usize = 500;
/// Pages that one look reads: most. What is behind them was told before by the same nodes.
const PAGES_MAX: usize = 8;

/// What was seen on the board.
#[derive(Debug, Default)]
pub(super) struct BoardSeen {
    last: BTreeMap<NodeId, LastBeat>,
    /// The revision of the next beat.
    next: Option<u64>,
    /// Whether the server was told how much to keep.
    bounded: bool,
}

impl Shared {
    fn board_stream(&self) -> String {
        self.prefix.nodes_stream()
    }

    async fn tell(&self, name: String, event: EventData, id: Uuid) -> Result<(), StoreError> {
        let deadline = Instant::now() + self.line().waits.answer;
        match self.append_own(name, id, &move |_| vec![event.clone()], deadline).await {
            Ok(()) => Ok(()),
            Err(AppendError::Store(fault)) => Err(fault),
            Err(other) => Err(StoreError::Fault(other.to_string())),
        }
    }

    /// Tells the server how much of the board to keep.
    async fn bound_board(&self) -> Result<(), StoreError> {
        let kept = StreamMetadataBuilder::new().max_count(BEATS_KEPT).build();
        let (id, name) = (Uuid::now_v7(), format!("$${}", self.board_stream()));
        let event = EventData::json(METADATA, &kept).map_err(|error| unreadable(&error))?.id(id);
        self.tell(name, event, id).await
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Fault(format!("the board of nodes: {error}"))
}

#[async_trait]
impl NodeBoard for KurrentStore {
    async fn beat(&self, beat: &Beat) -> Result<(), StoreError> {
        self.writable()?;
        let mut seen = self.board.lock().await;
        if !seen.bounded {
            self.shared.bound_board().await?;
            seen.bounded = true;
        }
        drop(seen);
        let id = Uuid::now_v7();
        let event = EventData::json(BEAT, beat).map_err(|error| unreadable(&error))?.id(id);
        self.shared.tell(self.shared.board_stream(), event, id).await
    }

    async fn look(&self) -> Result<Vec<LastBeat>, StoreError> {
        let name = self.shared.board_stream();
        let mut seen = self.board.lock().await;
        for _ in 0..PAGES_MAX {
            let from = seen.next.map_or(From::End, From::Revision);
            let beats = self.shared.events_of(&name, from, PAGE).await?;
            let full = beats.len() == PAGE;
            let first_look = seen.next.is_none();
            for event in beats {
                seen.next = Some(seen.next.unwrap_or_default().max(event.revision + 1));
                // What somebody else wrote there says nothing.
                let Ok(beat) = event.as_json::<Beat>() else { continue };
                let number = event.revision;
                let known = seen.last.get(&beat.node).map(|last| last.number);
                if known.is_none_or(|known| known < number) {
                    seen.last.insert(beat.node, LastBeat { beat, number });
                }
            }
            if first_look || !full {
                break;
            }
        }
        Ok(seen.last.values().cloned().collect())
    }
}
