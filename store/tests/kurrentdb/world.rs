//! A server to talk to, and a store that talks to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_endpoint::{OpenStore, Serving, serve_open};
use execution_ledger_store::kurrentdb::{ConnectionString, KurrentOptions, KurrentStore, Waits};

/// A server on a port of its own.
pub struct Server {
    pub store: Arc<OpenStore>,
    pub serving: Serving,
}

impl Server {
    pub fn connection(&self) -> ConnectionString {
        at(self.serving.address())
    }
}

/// A new and empty server.
pub async fn server() -> Server {
    let store = OpenStore::in_memory().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let serving = serve_open(listen, Arc::clone(&store), None).await.unwrap();
    Server { store, serving }
}

/// How a server at an address is reached, without TLS.
pub fn at(address: SocketAddr) -> ConnectionString {
    format!("esdb://{address}?tls=false").parse().unwrap()
}

/// Waits that are short enough for tests of what goes wrong.
pub fn impatient() -> Waits {
    Waits {
        connect: Duration::from_secs(2),
        attempt: Duration::from_millis(700),
        answer: Duration::from_secs(8),
    }
}

/// The log on a server.
pub async fn opened(connection: &ConnectionString) -> Arc<KurrentStore> {
    KurrentStore::open(KurrentOptions::at(connection.clone())).await.unwrap()
}
