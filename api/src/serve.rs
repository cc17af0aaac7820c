//! The server: connections, TLS, and an orderly end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, Sleep};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::access_log;
use crate::gate::{Gate, HEADERS_MAX_BYTES, Peer};
use crate::routes;
use crate::state::App;

/// What is read of a request's head before it is refused, in bytes: above what the gate allows, so
/// that most of what is too large is answered with a problem.
pub(crate) const HEAD_BUFFER_BYTES: usize = 2 * HEADERS_MAX_BYTES + 16 * 1024;
/// Headers of a request that are read before it is refused without a problem: far above what the
/// gate allows, so that the gate is what answers.
pub(crate) const HEADERS_READ_MAX: usize = 512;
/// How long the server waits before it accepts again after the system refused it a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often measurements are folded into their sums.
const METRICS_EVERY: Duration = Duration::from_secs(5);

/// Answers connections of `listener` until `shutdown` is ready: then accepts no more, finishes what
/// is being answered, ends streams with a reason, and waits for both no longer than the settings say.
/// `around` may put other routes around the interface.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    app: App,
    around: impl FnOnce(Router) -> Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let gate = Arc::clone(app.gate());
    tokio::spawn(keep_metrics(app.clone()));
    tokio::spawn(access_log::keep(app.clone()));
    let router = around(routes::router(app.clone()));
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(gate.options.connections_max));
    tokio::pin!(shutdown);
    loop {
        // A place before a connection: what is too much waits in the system's backlog.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|accepted| (place, accepted))
        };
        let (place, (stream, peer)) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (router, acceptor) = (router.clone(), acceptor.clone());
        let gate = Arc::clone(&gate);
        tokio::spawn(async move {
            let ended = connection(stream, peer, router, acceptor, &gate).await;
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    finish(&gate, &places).await;
    app.access_log().tell(&gate.refusals, true).await;
    Ok(())
}

/// Folds what was measured into its sums now and then: until then every single measurement is kept.
async fn keep_metrics(app: App) {
    let Some(metrics) = app.metrics() else { return };
    let mut tick = tokio::time::interval(METRICS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = app.gate().stopping().clone();
    while stopping.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}

async fn finish(gate: &Gate, places: &Semaphore) {
    gate.stopping().cancel();
    let ending = async {
        let all = u32::try_from(gate.options.connections_max).unwrap_or(u32::MAX);
        if places.acquire_many(all).await.is_err() {
            tracing::debug!("the connections' semaphore is closed");
        }
        gate.streams_ended().await;
    };
    if tokio::time::timeout(gate.options.shutdown_grace, ending).await.is_err() {
        tracing::warn!("some answers were not finished in time and are cut off");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    acceptor: Option<TlsAcceptor>,
    gate: &Gate,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = Patient::new(stream, gate.options.write_timeout);
    match acceptor {
        None => answer(TokioIo::new(stream), peer, router, gate).await,
        Some(acceptor) => {
            let handshake = acceptor.accept(stream);
            let stream = tokio::time::timeout(gate.options.head_timeout, handshake).await??;
            answer(TokioIo::new(stream), peer, router, gate).await
        }
    }
}

async fn answer<I>(
    io: TokioIo<I>,
    peer: SocketAddr,
    router: Router,
    gate: &Gate,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gate.options.head_timeout)
        .max_headers(HEADERS_READ_MAX)
        .max_buf_size(HEAD_BUFFER_BYTES)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = gate.stopping().cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // What is being answered is answered to its end, and nothing after it.
    Ok(connection.await?)
}

/// A connection whose other end must read: a write that makes no progress for too long ends it.
struct Patient {
    stream: TcpStream,
    most: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream, most: Duration) -> Self {
        Self { stream, most, stalled: None }
    }

    /// `polled`, unless it has been pending for too long.
    fn unless_stalled<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let most = self.most;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        match stalled.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let kind = io::ErrorKind::TimedOut;
                Poll::Ready(Err(io::Error::new(kind, "the other end does not read")))
            }
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.unless_stalled(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_given_up_and_one_that_does_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let reader = TcpStream::connect(address).await.expect("a connection");
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut patient = Patient::new(stream, Duration::from_millis(50));
        let much = vec![0_u8; 64 * 1024 * 1024];
        let error = patient.write_all(&much).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(reader);

        let mut reader = TcpStream::connect(address).await.expect("a connection");
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut patient = Patient::new(stream, Duration::from_secs(20));
        let reading = tokio::spawn(async move {
            tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.expect("all of it")
        });
        patient.write_all(&much).await.expect("somebody reads");
        drop(patient);
        assert_eq!(reading.await.expect("no panic"), much.len() as u64);
    }
}
