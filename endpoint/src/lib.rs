//! Serves a log to KurrentDB (EventStoreDB) clients, over their gRPC protocol.
//!
//! What can be served is a [`Log`]; [`OpenStore`] is one, for tests and for what clients keep beside a
//! ledger. Who may do what is decided by an [`Authority`].

mod authority;
mod ledger;
mod log;
mod node_key;
mod open;
mod server;
mod service;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use execution_ledger_store::kurrentdb::Prefix;
use tokio::net::TcpListener;

pub use authority::{Admitted, Authority, Basic, Call, Peer, Refusal, Until};
pub use ledger::LedgerLog;
pub use log::{
    AllFrom, AllPage, Expected, Log, LogError, LogEvent, Proposed, Removal, StreamFrom, StreamPage,
    TOMBSTONE_REVISION, WriteError, Written,
};
pub use node_key::NodeKeyAuthority;
pub use open::{APPEND_MAX_BYTES, APPEND_MAX_EVENTS, OpenStore, OpenStoreError, SchemaError};
pub use server::{CALLS_PER_CONNECTION_MAX, CONNECTIONS_MAX, Serve, Serving, serve};
pub use service::CALLS_MAX;

/// Serves an open store without TLS: for tests and benches. With a node's key, only who sends it as
/// its password appends to streams of a ledger with the usual [`Prefix`].
pub async fn serve_open(
    listen: SocketAddr,
    store: Arc<OpenStore>,
    node_key: Option<&str>,
) -> io::Result<Serving> {
    let authority = Arc::new(NodeKeyAuthority::new(Prefix::default(), node_key));
    let listener = TcpListener::bind(listen).await?;
    serve(listener, Serve { log: store, authority, tls: None })
}
