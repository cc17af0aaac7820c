//! Listening, connections, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tower::util::MapRequestLayer;

use crate::authority::{Authority, Peer};
use crate::log::Log;
use crate::service::{self, Served};

/// Connections at once; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 512;
/// Calls of one connection at once.
pub const CALLS_PER_CONNECTION_MAX: u32 = 256;
/// How long a TLS handshake may take, and then the first bytes of HTTP/2 to come in.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// What a client of HTTP/2 sends before anything else, in bytes. Until then nobody asks whether it is
/// there.
const PREFACE_BYTES: usize = 24;
/// How often a silent client is asked whether it is there.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const KEEPALIVE_WAIT: Duration = Duration::from_secs(20);
/// How long to wait after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long calls may go on after the server was told to stop.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// What a client may send before it has to wait, for a call and for a connection, in bytes.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// A server that runs.
pub struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more calls, ends subscriptions with an error that says so, and waits for the rest,
    /// within 5 s.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_WAIT, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// How a log is served.
pub struct Serve {
    /// What is served.
    pub log: Arc<dyn Log>,
    /// Who may do what.
    pub authority: Arc<dyn Authority>,
    /// Certificate and key; without them connections are not encrypted. `h2` must be among its
    /// protocols.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Serves on a socket that listens already, until the answer is stopped or dropped.
pub fn serve(listener: TcpListener, serve: Serve) -> io::Result<Serving> {
    let address = listener.local_addr()?;
    let (stop, stopping) = watch::channel(false);
    let served = Served::new(serve.log, serve.authority, stopping.clone());
    let routes = service::routes(served);
    let accepting = Accepting {
        listener,
        tls: serve.tls.map(TlsAcceptor::from),
        places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    };
    let mut stopped = stopping.clone();
    let task = tokio::spawn(async move {
        let (connections, incoming) = mpsc::channel(1);
        let accepting = tokio::spawn(accepting.run(connections, stopping));
        let server = Server::builder()
            .layer(MapRequestLayer::new(with_address))
            .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_WAIT))
            .add_routes(routes)
            .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
                service::stopped(&mut stopped).await;
            });
        if let Err(error) = server.await {
            tracing::error!(%error, "the EventStoreDB endpoint ended");
        }
        accepting.abort();
    });
    Ok(Serving { address, stop, task })
}

/// Keeps how the client addressed this server, and from where, with the request.
fn with_address<B>(
    mut request: tonic::codegen::http::Request<B>,
) -> tonic::codegen::http::Request<B> {
    if let Some(address) = request.uri().authority().cloned() {
        request.extensions_mut().insert(address);
    }
    request
}

struct Accepting {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
}

type Accepted = io::Result<Connection>;

impl Accepting {
    async fn run(self, connections: mpsc::Sender<Accepted>, mut stopping: watch::Receiver<bool>) {
        let mut handshakes = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = service::stopped(&mut stopping) => return,
            };
            while handshakes.try_join_next().is_some() {}
            match accepted {
                Ok((stream, address)) => {
                    let (tls, connections) = (self.tls.clone(), connections.clone());
                    handshakes.spawn(async move {
                        if let Some(connection) = established(stream, address, tls, place).await {
                            // A server that takes none is stopping.
                            drop(connections.send(Ok(connection)).await);
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn established(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    place: OwnedSemaphorePermit,
) -> Option<Connection> {
    // Where the system has none of this, answers are only slower.
    drop(stream.set_nodelay(true));
    let peer = Peer { address, tls: tls.is_some() };
    let stream = Prompt(stream);
    let wire = match tls {
        None => Wire::Plain(stream),
        Some(tls) => match tokio::time::timeout(HANDSHAKE_WAIT, tls.accept(stream)).await {
            Ok(Ok(stream)) => Wire::Tls(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%error, %address, "a TLS handshake failed");
                return None;
            }
            Err(_) => return None,
        },
    };
    let begin = Some(Begin { until: Box::pin(tokio::time::sleep(HANDSHAKE_WAIT)), bytes: 0 });
    Some(Connection { wire, peer, begin, _place: place })
}

/// Acknowledges at once what it reads.
///
/// Some clients leave Nagle's algorithm on and write a call in two parts: the second waits for the
/// acknowledgement of the first, which the system would delay by 40 ms. It forgets the setting, so it
/// is made again after each read.
struct Prompt(TcpStream);

impl Prompt {
    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        // Only slower where it fails.
        drop(self.0.set_quickack(true));
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge(&self) {}
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, buf));
        self.acknowledge();
        Poll::Ready(read)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

enum Wire {
    Plain(Prompt),
    Tls(Box<TlsStream<Prompt>>),
}

/// A connection that was accepted, with its place among them.
struct Connection {
    wire: Wire,
    peer: Peer,
    /// Nothing once it has begun to speak.
    begin: Option<Begin>,
    _place: OwnedSemaphorePermit,
}

/// What has come in of a connection's beginning, and until when it may take.
struct Begin {
    until: Pin<Box<tokio::time::Sleep>>,
    bytes: usize,
}

impl Connection {
    fn poll_wire(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.poll_wire(cx, buf);
        let Some(begin) = &mut self.begin else { return read };
        if read.is_ready() {
            begin.bytes += buf.filled().len() - before;
            if begin.bytes >= PREFACE_BYTES {
                self.begin = None;
            }
            return read;
        }
        ready!(begin.until.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
