//! A server's misbehaviour in its own protocol: a relay of HTTP/2 calls that adds it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The call that reads and subscribes.
const READ: &str = "/event_store.client.streams.Streams/Read";
/// Calls that write begin so, and so does the one that reads.
const STREAMS: &str = "/event_store.client.streams.Streams/";

/// Passes calls on to a server.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    /// Rounds in which all answers of reads are ended with OK.
    endings: watch::Sender<u64>,
    /// Calls to streams are refused, and those that go on are ended: that one is the leader.
    leader: watch::Sender<Option<SocketAddr>>,
    refused: AtomicU64,
    reads: AtomicU64,
}

impl Relay {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            endings: watch::channel(0).0,
            leader: watch::channel(None).0,
            refused: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, Arc::clone(&accepting)));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all subscriptions and reads that go on, with the status OK.
    pub fn end_reads_with_ok(&self) {
        self.shared.endings.send_modify(|round| *round += 1);
    }

    /// Says from now on that another is the leader.
    pub fn leads(&self, leader: Option<SocketAddr>) {
        self.shared.leader.send_replace(leader);
    }

    /// Calls that were refused because another leads.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Reads and subscriptions that were begun.
    pub fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let server = TcpStream::connect(shared.server).await.ok()?;
    server.set_nodelay(true).ok()?;
    let (upstream, driver) = h2::client::handshake(server).await.ok()?;
    tokio::spawn(driver);
    let mut calls = h2::server::handshake(client).await.ok()?;
    while let Some(Ok((request, respond))) = calls.accept().await {
        tokio::spawn(call(request, respond, upstream.clone(), Arc::clone(&shared)));
    }
    Some(())
}

fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(code),
    )])
}

fn not_leader(leader: SocketAddr) -> HeaderMap {
    let mut trailers = status("5");
    let text = |text: String| HeaderValue::from_str(&text).unwrap();
    trailers.insert("exception", HeaderValue::from_static("not-leader"));
    trailers.insert("leader-endpoint-host", text(leader.ip().to_string()));
    trailers.insert("leader-endpoint-port", text(leader.port().to_string()));
    trailers
}

async fn call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    upstream: SendRequest<Bytes>,
    shared: Arc<Shared>,
) -> Option<()> {
    let path = request.uri().path().to_owned();
    let mut leaders = shared.leader.subscribe();
    let leader = *leaders.borrow_and_update();
    if let Some(leader) = leader.filter(|_| path.starts_with(STREAMS)) {
        shared.refused.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(());
        *response.headers_mut() = not_leader(leader);
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", grpc);
        respond.send_response(response, true).ok()?;
        return Some(());
    }
    let mut endings = shared.endings.subscribe();
    let is_read = path == READ;
    if is_read {
        shared.reads.fetch_add(1, Ordering::Relaxed);
    }
    let (parts, body) = request.into_parts();
    let (answer, up) =
        upstream.ready().await.ok()?.send_request(Request::from_parts(parts, ()), false).ok()?;
    let sending = tokio::spawn(pump(body, up));
    let (parts, mut body) = answer.await.ok()?.into_parts();
    let ended = body.is_end_stream();
    let mut down = respond.send_response(Response::from_parts(parts, ()), ended).ok()?;
    let end_with_ok = async {
        if is_read {
            drop(endings.changed().await);
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = end_with_ok => drop(down.send_trailers(status("0"))),
        Ok(leader) = leaders.wait_for(Option::is_some), if path.starts_with(STREAMS) => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            if let Some(leader) = *leader {
                drop(down.send_trailers(not_leader(leader)));
            }
        }
        _ = async {
            while let Some(Ok(chunk)) = body.data().await {
                body.flow_control().release_capacity(chunk.len()).ok()?;
                down.send_data(chunk, false).ok()?;
            }
            let trailers = body.trailers().await.ok()??;
            down.send_trailers(trailers).ok()
        } => {}
    }
    sending.abort();
    Some(())
}

async fn pump(mut from: RecvStream, mut to: SendStream<Bytes>) -> Option<()> {
    while let Some(Ok(chunk)) = from.data().await {
        from.flow_control().release_capacity(chunk.len()).ok()?;
        to.send_data(chunk, false).ok()?;
    }
    to.send_data(Bytes::new(), true).ok()
}
