//! The notary against an independent implementation, and against everything that can happen to it.

mod independent;
mod life;
mod rotation;
mod shapes;
mod witness;

use std::path::Path;
use std::sync::Arc;

use execution_ledger_store::contract::{event, stream};
use execution_ledger_store::sqlite::{SqliteOptions, SqliteStore};
use execution_ledger_store::{EventStore, ExpectedRevision, Recorded, SystemClock, With};

use super::{Notary, State};

/// The seed of the tests' key.
const SEED: [u8; 32] = [7; 32];

fn open(folder: &Path) -> Arc<dyn EventStore> {
    SqliteStore::open(&folder.join("events.db"), SqliteOptions::default()).unwrap()
}

async fn append(store: &Arc<dyn EventStore>, count: usize) {
    const AT_ONCE: usize = 50;
    let name = stream("x");
    let mut left = count;
    while left > 0 {
        let events = (0..left.min(AT_ONCE)).map(event).collect::<Vec<_>>();
        left -= events.len();
        store.append(&name, ExpectedRevision::Any, events).await.unwrap();
    }
}

async fn all(store: &Arc<dyn EventStore>) -> Vec<Recorded> {
    store.read_all(execution_ledger_store::Position::START, 10_000, With::EventsOnly).await.unwrap()
}

fn notary(folder: &Path, store: &Arc<dyn EventStore>) -> Notary {
    notary_of(folder, store, SEED).unwrap()
}

fn notary_of(
    folder: &Path,
    store: &Arc<dyn EventStore>,
    seed: [u8; 32],
) -> Result<Notary, super::NotaryError> {
    let folder = folder.join("notary");
    std::fs::create_dir_all(&folder).unwrap();
    Notary::open(folder, &seed, Arc::clone(store), Arc::new(SystemClock))
}

/// Lets it catch up and stop; what it was doing at last.
async fn run(notary: &Notary) -> State {
    let caught_up = async {
        while notary.state() == State::CatchingUp {
            tokio::task::yield_now().await;
        }
    };
    notary.run(caught_up).await;
    notary.state()
}

/// Changes the log behind the ledger's back.
fn tamper(folder: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(folder.join("events.db")).unwrap();
    connection
        .execute_batch("DROP TRIGGER events_stay; DROP TRIGGER events_stay_as_they_are;")
        .unwrap();
    connection.execute_batch(sql).unwrap();
}
