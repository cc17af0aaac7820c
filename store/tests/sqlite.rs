//! The SQLite adapter against the contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use execution_ledger_store::{EventStore, SqliteOptions, SqliteStore, contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let made = AtomicUsize::new(0);
    contract::run_all(|| {
        let number = made.fetch_add(1, Ordering::Relaxed);
        let path = folder.path().join(format!("events-{number}.db"));
        async move {
            SqliteStore::open(&path, SqliteOptions::default()).unwrap() as Arc<dyn EventStore>
        }
    })
    .await;
}
