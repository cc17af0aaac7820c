//! A server to talk to, a store that talks to it, and one who follows.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventstore::{Client, ClientSettings};
use execution_ledger_endpoint::{OpenStore, Serving, serve_open};
use execution_ledger_store::kurrentdb::{ConnectionString, KurrentOptions, KurrentStore, Waits};
use execution_ledger_store::{
    AppendError, Appended, EventStore, ExpectedRevision, Position, Recorded, With, contract,
};
use tokio::task::JoinHandle;

/// How long something is waited for that must come.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks for it.
const LOOK: Duration = Duration::from_millis(5);

/// A server on a port of its own.
pub struct Server {
    pub store: Arc<OpenStore>,
    pub serving: Serving,
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }
}

/// A new and empty server.
pub async fn server() -> Server {
    let store = OpenStore::in_memory().unwrap();
    serving(store).await
}

/// A server of a store that there is.
pub async fn serving(store: Arc<OpenStore>) -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let serving = serve_open(listen, Arc::clone(&store), None).await.unwrap();
    Server { store, serving }
}

/// Somebody else who uses the server.
pub fn somebody(server: &Server) -> Client {
    let settings: ClientSettings =
        format!("esdb://{}?tls=false&tlsCaFile=/dev/null", server.address()).parse().unwrap();
    Client::new(settings).unwrap()
}

/// How servers at these addresses are reached, without TLS.
pub fn at(addresses: &[SocketAddr]) -> ConnectionString {
    let hosts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!("esdb://{}?tls=false&gossipTimeout=500", hosts.join(",")).parse().unwrap()
}

/// Waits that are short enough for tests of what goes wrong.
pub fn impatient() -> Waits {
    Waits {
        connect: Duration::from_secs(2),
        attempt: Duration::from_millis(700),
        answer: Duration::from_secs(4),
    }
}

/// The log on servers.
pub async fn opened(addresses: &[SocketAddr]) -> Arc<KurrentStore> {
    KurrentStore::open(KurrentOptions::at(at(addresses))).await.unwrap()
}

/// The log on servers, by one who waits for little.
pub async fn opened_impatiently(addresses: &[SocketAddr]) -> Arc<KurrentStore> {
    let options = KurrentOptions { waits: impatient(), ..KurrentOptions::at(at(addresses)) };
    KurrentStore::open(options).await.unwrap()
}

/// Appends an event with that number to `test-a`, whatever its revision.
pub async fn append(store: &KurrentStore, number: usize) -> Result<Appended, AppendError> {
    let events = vec![contract::event(number)];
    store.append(&contract::stream("a"), ExpectedRevision::Any, events).await
}

/// All events, as they are read.
pub async fn all(store: &KurrentStore) -> Vec<Recorded> {
    let (mut all, mut after) = (Vec::new(), Position::START);
    loop {
        let page = store.read_all(after, 1_000, With::Contents).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.position;
        all.extend(page);
    }
}

/// The numbers of events, in their order.
pub fn numbers(events: &[Recorded]) -> Vec<usize> {
    let number = |event: &Recorded| {
        let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        usize::try_from(data["number"].as_u64().unwrap()).unwrap()
    };
    events.iter().map(number).collect()
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

/// Waits until something is so that takes asking.
pub async fn until_async(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

/// One who follows a log from its beginning.
pub struct Follower {
    pub seen: Arc<Mutex<Vec<Recorded>>>,
    task: JoinHandle<()>,
}

impl Follower {
    pub async fn of(store: &KurrentStore) -> Self {
        let mut subscription = store.subscribe(Position::START).await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Some(batch) = subscription.next().await {
                keeps.lock().unwrap().extend(batch.unwrap().iter().cloned());
            }
        });
        Self { seen, task }
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// What was followed, once there is so much of it.
    pub async fn saw(&self, count: usize) -> Vec<Recorded> {
        until("a follower", || self.count() >= count).await;
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}
