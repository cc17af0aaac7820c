//! What can go wrong on the way to a server: a proxy of connections that does it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are passed on at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// Connections that are remembered.
const CONNECTIONS_MAX: usize = 1_024;

/// Passes connections on to a server until something is to go wrong.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: Mutex<SocketAddr>,
    /// New connections are taken and never answered.
    half_open: AtomicBool,
    /// Before each chunk, in milliseconds.
    delay_ms: AtomicU64,
    /// Cut connections, by rounds.
    cuts: watch::Sender<u64>,
    connections: Mutex<Vec<Arc<Connection>>>,
    accepted: AtomicU64,
    /// What the servers answered, in bytes.
    answered: AtomicU64,
}

/// What is swallowed of one connection from now on.
#[derive(Default)]
struct Connection {
    requests: AtomicBool,
    answers: AtomicBool,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            half_open: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            cuts: watch::channel(0).0,
            connections: Mutex::default(),
            accepted: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were made through it.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// What was answered through it, in bytes.
    pub fn answered_bytes(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Passes new connections on to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.shared.server.lock().unwrap() = server;
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|round| *round += 1);
    }

    /// Waits before each chunk from now on.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap();
        self.shared.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// Swallows the answers on the connections that there are. What was asked for happens.
    pub fn swallow_answers(&self) {
        for connection in &*self.shared.connections.lock().unwrap() {
            connection.answers.store(true, Ordering::Relaxed);
        }
    }

    /// Swallows everything on the connections that there are.
    pub fn swallow(&self) {
        self.swallow_answers();
        for connection in &*self.shared.connections.lock().unwrap() {
            connection.requests.store(true, Ordering::Relaxed);
        }
    }

    /// New connections are taken and never answered, or are again.
    pub fn be_half_open(&self, half_open: bool) {
        self.shared.half_open.store(half_open, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::default());
        if shared.half_open.load(Ordering::Relaxed) {
            connection.requests.store(true, Ordering::Relaxed);
            connection.answers.store(true, Ordering::Relaxed);
        }
        {
            let mut known = shared.connections.lock().unwrap();
            assert!(known.len() < CONNECTIONS_MAX, "somebody connects again and again");
            known.push(Arc::clone(&connection));
        }
        tokio::spawn(pass_on(client, connection, Arc::clone(&shared)));
    }
}

async fn pass_on(client: TcpStream, connection: Arc<Connection>, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let address = *shared.server.lock().unwrap();
    let Ok(server) = TcpStream::connect(address).await else { return };
    // The client's own side is left as the client has it.
    drop(server.set_nodelay(true));
    drop(client.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = copy(from_client, to_server, &connection.requests, (&shared, None)) => {}
        () = copy(from_server, to_client, &connection.answers, (&shared, Some(&shared.answered))) => {}
        _ = cuts.changed() => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    swallow: &AtomicBool,
    (shared, counted): (&Shared, Option<&AtomicU64>),
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
        if let Some(counted) = counted {
            counted.fetch_add(read as u64, Ordering::Relaxed);
        }
        let delay = shared.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if !swallow.load(Ordering::Relaxed) && to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}
