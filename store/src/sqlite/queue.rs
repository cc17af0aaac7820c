//! The way of an append to the writer: checked, prepared, queued within limits.

use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::Duration;

use execution_ledger_domain::limits::APPEND_MAX_BYTES;
use execution_ledger_domain::{StreamName, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::recent::Recent;
use super::rows::CONTENTS_PER_EVENT_MAX;
use super::writer::Order;
use crate::port::{
    AppendError, ContentPlace, ERASE_MAX_PLACES, NewEvent, Position, Recorded, StoreError,
    StoredContent,
};

/// Appends that wait for the writer at most.
pub(crate) const QUEUE_MAX_APPENDS: usize = 4_096;
/// What may wait for the writer, in bytes.
pub(crate) const QUEUE_MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long an append waits for a place in the queue, in seconds.
const QUEUE_WAIT_S: u64 = 5;
/// Events of one append at most.
const APPEND_MAX_EVENTS: usize = 1_024;

/// The callers' side of the writer.
pub(super) struct Writing {
    /// Absent once the store is being dropped.
    pub(super) orders: Option<mpsc::Sender<Order>>,
    pub(super) room: Arc<Semaphore>,
    pub(super) recent: Arc<Recent>,
    /// Disconnected when the writer has ended and everything it held is free.
    pub(super) ended: Mutex<blocking::Receiver<()>>,
}

impl Writing {
    /// Puts an order into the queue, within a bounded time.
    pub(super) async fn enqueue(
        &self,
        orders: &mpsc::Sender<Order>,
        bytes: usize,
        order: impl FnOnce(OwnedSemaphorePermit) -> Order,
    ) -> Result<(), StoreError> {
        let share = u32::try_from(bytes).unwrap_or(u32::MAX);
        let at_once = Arc::clone(&self.room).try_acquire_many_owned(share);
        if let (Ok(permit), Ok(place)) = (at_once, orders.try_reserve()) {
            place.send(order(permit));
            return Ok(());
        }
        let room = Arc::clone(&self.room);
        let in_turn = async {
            let permit = room.acquire_many_owned(share).await.map_err(|_| closed())?;
            let place = orders.reserve().await.map_err(|_| closed())?;
            place.send(order(permit));
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(QUEUE_WAIT_S), in_turn)
            .await
            .unwrap_or_else(|_| Err(StoreError::Busy(QUEUE_MAX_APPENDS - orders.capacity())))
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::Closed("it is closed".to_owned())
}

/// What an append counts towards the limits, if it keeps them.
pub(crate) fn checked_size(
    events: &[NewEvent],
    erases: &[ContentPlace],
) -> Result<usize, AppendError> {
    if erases.len() > ERASE_MAX_PLACES {
        return Err(AppendError::Malformed("an append takes away at most 1024 texts"));
    }
    if events.is_empty() {
        return Err(AppendError::Malformed("an append holds at least one event"));
    }
    if events.len() > APPEND_MAX_EVENTS {
        return Err(AppendError::Malformed("an append holds at most 1024 events"));
    }
    if events.iter().any(|event| event.contents.len() > CONTENTS_PER_EVENT_MAX) {
        return Err(AppendError::Malformed("an event has at most 16 texts beside it"));
    }
    let bytes = events.iter().map(NewEvent::bytes).sum();
    if bytes > APPEND_MAX_BYTES {
        return Err(AppendError::TooLarge { bytes, max: APPEND_MAX_BYTES });
    }
    Ok(bytes)
}

/// An event in the form in which it is read back, but for its place. The digests are computed here,
/// on the caller's thread.
pub(crate) fn unplaced(stream: &StreamName, event: NewEvent) -> Recorded {
    let contents = event.contents.into_iter().map(|content| StoredContent {
        sha256: content.reference().sha256,
        content: Some(content),
    });
    Recorded {
        position: Position::START,
        stream: stream.clone(),
        revision: 0,
        id: event.id,
        type_name: event.type_name,
        version: event.version,
        recorded_at: Timestamp::EPOCH,
        metadata: event.metadata,
        data: event.data,
        contents: contents.collect(),
    }
}
