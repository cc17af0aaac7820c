//! The SQLite adapter: the contract, and what only a file and a disk can show.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should stop at once")]

mod children;
mod durability;
mod erasing;
mod faults;
mod following;
mod import;
mod ledger;
mod opening;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use execution_ledger_store::{
    AppendError, Appended, EventStore, ExpectedRevision, NewEvent, Position, Recorded,
    SqliteOptions, SqliteStore, With, contract,
};

fn opened(path: &Path) -> Arc<SqliteStore> {
    SqliteStore::open(path, SqliteOptions::default()).unwrap()
}

/// Appends to the stream `test-a`, whatever its revision.
async fn append(store: &SqliteStore, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
    store.append(&contract::stream("a"), ExpectedRevision::Any, events).await
}

async fn all(store: &SqliteStore) -> Vec<Recorded> {
    store.read_all(Position::START, 100_000, With::Contents).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    contract::run_all(|| {
        let number = made.fetch_add(1, Ordering::Relaxed);
        let path = folder.path().join(format!("events-{number}.db"));
        async move { opened(&path) as Arc<dyn EventStore> }
    })
    .await;
}
