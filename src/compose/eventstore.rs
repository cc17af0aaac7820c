//! The log for KurrentDB clients: who may read it by their protocol, and where it is served.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use execution_ledger_api::{App, Code, KeyHolder, Problem};
use execution_ledger_domain::Right;
use execution_ledger_endpoint::{
    Admitted, Authority, Basic, Call, LedgerLog, OpenStore, Peer, Refusal, Serve, Serving,
};
use execution_ledger_store::sqlite::SqliteStore;
use tokio::net::TcpListener;

use super::ServeError;
use super::data_dir::DataDir;
use crate::config::Settings;

/// What clients append lies here, in the data directory.
const CLIENT_STREAMS: &str = "client-streams.db";

/// The log, served to KurrentDB clients.
pub struct Endpoint(Serving);

impl Endpoint {
    /// Serves the embedded log where the settings say, if they do.
    pub async fn start(
        settings: &Settings,
        data_dir: &DataDir,
        store: Option<&Arc<SqliteStore>>,
        app: &App,
        tls: Option<&Arc<rustls::ServerConfig>>,
    ) -> Result<Option<Self>, ServeError> {
        let (Some(address), Some(store)) = (settings.eventstore_listen, store) else {
            return Ok(None);
        };
        let address = address.0;
        let clients = if settings.eventstore_client_streams {
            Some(client_streams(&data_dir.path().join(CLIENT_STREAMS))?)
        } else {
            None
        };
        let log = LedgerLog::new(Arc::clone(store), clients)
            .await
            .map_err(|error| ServeError::Part(format!("the EventStoreDB endpoint: {error}")))?;
        let authority = KeysDecide {
            app: app.clone(),
            anonymous: settings.eventstore_anonymous_read && address.ip().is_loopback(),
        };
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let serve = Serve { log, authority: Arc::new(authority), tls: tls.map(with_http2) };
        let serving = execution_ledger_endpoint::serve(listener, serve).map_err(listen)?;
        tracing::info!(address = %serving.address(), "KurrentDB clients are served");
        Ok(Some(Self(serving)))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Ends what runs, with an error that says so.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// The same certificate, for a protocol that is spoken over HTTP/2 alone.
fn with_http2(tls: &Arc<rustls::ServerConfig>) -> Arc<rustls::ServerConfig> {
    let mut config = rustls::ServerConfig::clone(tls);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// The store of what clients append, readable by nobody else on the machine.
fn client_streams(path: &Path) -> Result<Arc<OpenStore>, ServeError> {
    let file = |source| ServeError::File {
        what: "the streams of clients in",
        path: path.to_owned(),
        source,
    };
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(path).map_err(file)?;
    OpenStore::open(path).map_err(|error| ServeError::Part(error.to_string()))
}

/// Ledger keys as passwords, with the rights that they have everywhere.
struct KeysDecide {
    app: App,
    /// Whether who shows no key may read.
    anonymous: bool,
}

const HOW_TO_SIGN_IN: &str = "this is an execution ledger's log: send a ledger key as the password of \
     basic authentication (any user name), over TLS; on the ledger's own machine the server may be \
     started with --eventstore-anonymous-read";

#[async_trait]
impl Authority for KeysDecide {
    async fn admit(
        &self,
        credentials: Option<&Basic>,
        peer: Peer,
        call: &Call,
    ) -> Result<Admitted, Refusal> {
        let Some(basic) = credentials else { return self.without_key(call) };
        if !peer.tls && !peer.address.ip().is_loopback() {
            return Err(Refusal::Unauthenticated(HOW_TO_SIGN_IN.to_owned()));
        }
        let holder = self.app.holder_of(&basic.password, peer.address.ip()).await;
        let holder = holder.map_err(|problem| refused(&problem))?;
        for right in needed(call) {
            holder.need(*right).map_err(|_| denied(&holder, call))?;
        }
        let until = Box::pin(async move { holder.over().await.to_owned() });
        Ok(Admitted { until: Some(until) })
    }
}

impl KeysDecide {
    fn without_key(&self, call: &Call) -> Result<Admitted, Refusal> {
        match call {
            Call::ReadAll | Call::ReadStream(_) | Call::Discover if self.anonymous => {
                self.app.reader_without_key().map_err(|problem| refused(&problem))?;
                Ok(Admitted { until: None })
            }
            _ => Err(Refusal::Unauthenticated(HOW_TO_SIGN_IN.to_owned())),
        }
    }
}

/// What a call needs: the raw log knows no scope; who appends beside it must be trusted to operate.
fn needed(call: &Call) -> &'static [Right] {
    match call {
        Call::ReadAll | Call::ReadStream(_) => &[Right::ReadLog],
        Call::Append(_) | Call::Remove(_) => &[Right::ReadLog, Right::Operate],
        Call::Discover => &[],
    }
}

fn refused(problem: &Problem) -> Refusal {
    match problem.code() {
        Code::Unauthorized => Refusal::Unauthenticated(
            "the password is no ledger key that holds; the user name does not matter".to_owned(),
        ),
        _ => Refusal::Unavailable(problem.detail().to_owned()),
    }
}

fn denied(holder: &KeyHolder, call: &Call) -> Refusal {
    let role = holder.caller().role;
    Refusal::Denied(match call {
        Call::Append(_) | Call::Remove(_) => format!(
            "a key of role {role} can't append here: streams of clients are for admins and operators"
        ),
        _ if role.has(Right::ReadFeed) => format!(
            "a key of role {role} does not read the raw log; costs and payments are at \
             /api/costs/feed"
        ),
        _ => format!(
            "a key of role {role} does not read the raw log, which knows no scope; its own \
             executions are at /api/executions"
        ),
    })
}
