//! Serves a log to KurrentDB (EventStoreDB) clients, over their gRPC protocol.
//!
//! What can be served is a [`Log`]; [`OpenStore`] is one, for tests and for what clients keep beside a
//! ledger. Who may do what is decided by an [`Authority`].

mod authority;
mod log;
mod node_key;
mod open;
mod server;
mod service;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use authority::{Admitted, Authority, Basic, Call, Peer, Refusal, Until};
pub use log::{
    AllFrom, AllPage, Expected, Log, LogError, LogEvent, Proposed, Removal, StreamFrom, StreamPage,
    TOMBSTONE_REVISION, WriteError, Written,
};
pub use node_key::NodeKeyAuthority;
pub use open::{APPEND_MAX_BYTES, APPEND_MAX_EVENTS, OpenStore, OpenStoreError, SchemaError};
pub use server::{CALLS_PER_CONNECTION_MAX, CONNECTIONS_MAX, Serve, Serving, serve};
pub use service::CALLS_MAX;

/// What the names of a ledger's streams begin with in a store that it shares, if nothing else is set.
pub const LEDGER_PREFIX: &str = "ledger.";

/// Serves an open store without TLS: for tests and benches. With a node's key, only who sends it as
/// its password appends to streams that begin with [`LEDGER_PREFIX`].
pub async fn serve_open(
    listen: SocketAddr,
    store: Arc<OpenStore>,
    node_key: Option<&str>,
) -> io::Result<Serving> {
    let authority = Arc::new(NodeKeyAuthority::new(LEDGER_PREFIX, node_key));
    let listener = TcpListener::bind(listen).await?;
    serve(listener, Serve { log: store, authority, tls: None })
}
