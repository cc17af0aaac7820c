//! What the port asks of a log that lies on a KurrentDB.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_domain::{StreamName, Timestamp};
use tokio::time::timeout;

use super::KurrentStore;
use super::feeds::{LiveFeed, StoredFeed};
use super::reading::From;
use crate::port::{
    AppendError, Appended, ContentPlace, EventStore, ExpectedRevision, LogId, NewEvent, Position,
    Recorded, StoreError, Subscription, Unreachable, With,
};
use crate::sqlite::queue::{QUEUE_MAX_APPENDS, checked_size, closed};

/// How long an append waits for its turn, in seconds.
const QUEUE_WAIT_S: u64 = 5;
/// How long closing waits for what is under way, in seconds.
const CLOSE_WAIT_S: u64 = 30;

#[async_trait]
impl EventStore for KurrentStore {
    fn log_id(&self) -> &LogId {
        &self.log_id
    }

    async fn append_erasing(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
        places: Vec<ContentPlace>,
    ) -> Result<Appended, AppendError> {
        let bytes = checked_size(&events, &places)?;
        self.writable()?;
        let share = u32::try_from(bytes).unwrap_or(u32::MAX);
        let turn = async { (self.turns.acquire().await, self.room.acquire_many(share).await) };
        let busy = || StoreError::Busy(QUEUE_MAX_APPENDS - self.turns.available_permits());
        let turn = timeout(Duration::from_secs(QUEUE_WAIT_S), turn).await;
        let (Ok(_turn), Ok(_room)) = turn.map_err(|_| busy())? else {
            return Err(closed().into());
        };
        self.writable()?;
        let appended = if places.is_empty() {
            self.shared.append_events(stream, expected, &events).await?
        } else {
            self.shared.append_events_erasing(stream, expected, &events, &places).await?
        };
        if self.shared.marks.is_due(events.len()) {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move { shared.mark_or_tell(false).await });
        }
        Ok(appended)
    }

    /// Finishes what was cut off between an erasure and the deletion of its texts, so that nobody is told
    /// that a text is gone which is not. What the server still keeps of deleted streams in its files goes
    /// with its next scavenge, which is its administrator's.
    async fn scrub(&self) -> Result<bool, StoreError> {
        self.writable()?;
        self.shared.finish_erasures().await.map(|_| true)
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.shared.facts_of(stream, From::Revision(from_revision), limit, with).await
    }

    async fn read_streams(
        &self,
        streams: &[StreamName],
        limit: usize,
        with: With,
    ) -> Result<Vec<Vec<Recorded>>, StoreError> {
        self.shared.firsts_of(streams, limit, with).await
    }

    async fn read_all(
        &self,
        after: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.shared.after(after, limit, with).await
    }

    async fn read_stream_backwards(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.shared.facts_back_from(stream, from_revision, limit, with).await
    }

    async fn read_all_backwards(
        &self,
        before: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.shared.before(before, limit, with).await
    }

    async fn position_at(&self, time: Timestamp, until: Position) -> Result<Position, StoreError> {
        self.shared.at_time(time, until).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        if self.shared.live.load(Ordering::Acquire) {
            return Ok(self.shared.known_head());
        }
        self.shared.end_of_log().await
    }

    async fn subscribe(&self, after: Position) -> Result<Subscription, StoreError> {
        let shared = Arc::clone(&self.shared);
        if self.read_only {
            let until = self.shared.end_of_log().await?;
            return Ok(Subscription::new(StoredFeed { after, until, shared }));
        }
        Ok(Subscription::new(LiveFeed::new(after, shared)))
    }

    fn unreachable(&self) -> Option<Unreachable> {
        self.shared.line().trouble()
    }

    async fn close(&self) {
        let all = u32::try_from(QUEUE_MAX_APPENDS).unwrap_or(u32::MAX);
        // New appends are refused from here on; those that have their turn are waited for.
        self.shared.closed.send_replace(true);
        let under_way = timeout(Duration::from_secs(CLOSE_WAIT_S), self.turns.acquire_many(all));
        if under_way.await.is_err() {
            tracing::error!("appends to the event log did not end within {CLOSE_WAIT_S} s");
        }
        self.shared.recent.close();
        self.shared.sessions.close().await;
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        drop(threads);
    }
}
