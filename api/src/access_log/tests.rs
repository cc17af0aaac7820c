use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{
    AppendError, Appended, ContentPlace, EventStore, ExpectedRevision, LogId, NewEvent, Position,
    Recorded, StoreError, Subscription, SystemClock, With,
};
use futures::FutureExt as _;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::*;
use crate::auth::{Until, admin};
use crate::gate::RequestInfo;

/// A store that appends only as often as it is let.
struct Held {
    store: Arc<dyn EventStore>,
    let_pass: Semaphore,
}

#[async_trait]
impl EventStore for Held {
    fn log_id(&self) -> &LogId {
        self.store.log_id()
    }
    async fn append_erasing(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
        places: Vec<ContentPlace>,
    ) -> Result<Appended, AppendError> {
        self.let_pass.acquire().await.expect("it is never closed").forget();
        self.store.append_erasing(stream, expected, events, places).await
    }
    async fn scrub(&self) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn read_stream(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.store.read_stream(stream, from_revision, limit, with).await
    }
    async fn read_all(
        &self,
        after: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.store.read_all(after, limit, with).await
    }
    async fn read_stream_backwards(
        &self,
        stream: &StreamName,
        from_revision: u64,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.store.read_stream_backwards(stream, from_revision, limit, with).await
    }
    async fn read_all_backwards(
        &self,
        before: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.store.read_all_backwards(before, limit, with).await
    }
    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }
    async fn subscribe(&self, after: Position) -> Result<Subscription, StoreError> {
        self.store.subscribe(after).await
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

struct Fixture {
    store: Arc<Held>,
    log: AccessLog,
    access: Access,
    execution: ExecutionId,
    _folder: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("events.db"), SqliteOptions::default());
    let store = Arc::new(Held { store: store.expect("a log"), let_pass: Semaphore::new(0) });
    let ledger = Ledger::new(Arc::clone(&store) as Arc<dyn EventStore>, Arc::new(SystemClock));
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = RequestInfo { id: Uuid::from_u128(1), source, traceparent: None };
    let access = Access { caller: admin(), request, until: Until::default() };
    let execution = ExecutionId(Uuid::from_u128(2));
    Fixture { store, log: AccessLog::new(ledger), access, execution, _folder: folder }
}

impl Fixture {
    async fn read(&self) -> Result<(), Problem> {
        self.log.transcript_read(&self.access, self.execution).await
    }

    async fn readings(&self) -> usize {
        let read = self.store.read_all(Position::START, 10, With::EventsOnly).await;
        read.expect("the log").len()
    }
}

#[tokio::test]
async fn whoever_reads_while_the_log_is_being_told_waits_until_it_has_been() {
    let fixture = fixture();
    let (mut first, mut second) = (Box::pin(fixture.read()), Box::pin(fixture.read()));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none(), "it read before the log was told");
    fixture.store.let_pass.add_permits(1);
    first.await.expect("it is told");
    second.await.expect("it was told");
    fixture.read().await.expect("it was told");
    assert_eq!(fixture.readings().await, 1);
}

#[tokio::test]
async fn a_reader_who_goes_before_the_log_was_told_leaves_that_to_the_next() {
    let fixture = fixture();
    let mut gone = Box::pin(fixture.read());
    assert!(gone.as_mut().now_or_never().is_none());
    let mut waiting = Box::pin(fixture.read());
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(gone);
    assert!(waiting.as_mut().now_or_never().is_none(), "nobody told the log");
    fixture.store.let_pass.add_permits(1);
    waiting.await.expect("it is told");
    assert_eq!(fixture.readings().await, 1);
}

#[tokio::test]
async fn a_reading_that_can_t_be_recorded_is_refused_and_tried_again() {
    let fixture = fixture();
    fixture.store.close().await;
    fixture.store.let_pass.add_permits(2);
    for _ in 0..2 {
        assert!(fixture.read().await.is_err(), "it was read without a record");
    }
}
