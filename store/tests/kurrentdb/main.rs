//! The adapter for KurrentDB over a real socket: the contract, and what only a network can show.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should stop at once")]

mod defects;
mod erasing;
mod faults;
mod places;
mod proxy;
mod relay;
mod secured;
mod sharing;
mod texts;
mod world;

use std::sync::{Arc, Mutex};

use execution_ledger_store::{EventStore, contract};

use crate::world::{opened, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kurrentdb_adapter_keeps_the_contract() {
    let servers = Mutex::new(Vec::new());
    contract::run_all(|| async {
        let server = server().await;
        let store = opened(&[server.address()]).await;
        servers.lock().unwrap().push(server);
        store as Arc<dyn EventStore>
    })
    .await;
}
