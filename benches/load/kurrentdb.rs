//! (n) The log on a KurrentDB: appends through the adapter beside the embedded log, moving there, and
//! followers of the endpoint.
//!
//! The server is the open store of this repository, in this process, on threads of its own and over a
//! socket: what is measured is the adapter, the protocol and that store, not a KurrentDB.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventstore::{Client, StreamPosition, SubscribeToAllOptions, SubscriptionFilter};
use execution_ledger_domain::{Actor, EventId, StreamName, Timestamp};
use execution_ledger_endpoint::{OpenStore, serve_open};
use execution_ledger_replay::{ExportFilter, ExportFormat, export, import};
use execution_ledger_store::kurrentdb::{KurrentImport, KurrentOptions, KurrentStore};
use execution_ledger_store::sqlite::Importer;
use execution_ledger_store::{
    EventStore, ExpectedRevision, Metadata, NewEvent, Position, SqliteOptions, SqliteStore, With,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::figures::{Figure, Latencies, Section, Target};
use crate::server::Server;
use crate::{Failure, Sizes, raw, seed};

/// Clients that append at once.
const CLIENTS: [usize; 2] = [1, 64];
/// An event's type, metadata and data together, in bytes: as in (a).
const EVENT_BYTES: usize = 439;
/// Events of a stream before a client goes on to a new one.
const EVENTS_PER_STREAM: u64 = 3;
/// Appends before those that count.
const WARM_UP: Duration = Duration::from_millis(500);
/// Of so many executions of the large log, one is written for this section.
const SHARE: u64 = 20;
/// Events that are read at a time where nothing pushes them.
const PAGE_EVENTS: usize = 500;
/// What a follower of the endpoint is to read, in events a second.
const FOLLOWED_PER_S: f64 = 100_000.0;
/// Longest that a follower waits for the next event.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the names of a ledger's streams begin with on a server.
const PREFIX: &str = "ledger.";

/// Measures it, on logs of its own.
pub async fn measure(folder: &Path, sizes: &Sizes) -> Result<Section, Failure> {
    let work = tempfile::tempdir_in(folder)?;
    let duration = Duration::from_secs(sizes.seconds.min(4));
    let mut figures = Vec::new();
    for clients in CLIENTS {
        figures.extend(appends(work.path(), clients, duration).await?);
    }
    let executions = sizes.executions / SHARE;
    let data_dir = work.path().join("data");
    seed::large_log(&data_dir, executions).await?;
    let (events, moving) = moved(work.path()).await?;
    figures.extend(moving);
    figures.push(ledger_followed(work.path(), events).await?);
    let notes = vec![
        format!(
            "the server is the open store of this repository, in a file, over a socket of the same \
             machine; {executions} executions with {events} events for what is not appends"
        ),
        "the cause of the difference: an append through the adapter costs what it costs in a file, and \
         beside it a request and an answer (protobuf over HTTP/2), the hand-over between the threads of \
         client, connection, server and writer, and a table with one index more. One client waits for \
         all of that; 64 share the sync, and the two cores that do the rest"
            .to_owned(),
        "a follower's time has the crate's first connection in it, which sleeps 500 ms"
            .to_owned(),
    ];
    Ok(Section { letter: 'n', title: "the log on a KurrentDB", figures, notes })
}

/// Appends by so many clients to the file, and then over the socket.
async fn appends(work: &Path, clients: usize, duration: Duration) -> Result<Vec<Figure>, Failure> {
    let file = work.join(format!("embedded-{clients}.db"));
    let store = SqliteStore::open(&file, SqliteOptions::default())?;
    let embedded: Arc<dyn EventStore> = Arc::clone(&store) as _;
    appended_by(&embedded, clients, WARM_UP).await?;
    let commits = store.commits();
    let (in_file, latencies) = appended_by(&embedded, clients, duration).await?;
    let together = latencies.count() as f64 / (store.commits() - commits).max(1) as f64;
    embedded.close().await;
    let (bare, _) = raw::appended(work, EVENT_BYTES, together, duration)?;

    let server = OwnServer::start(&work.join(format!("open-{clients}.db")))?;
    let adapter: Arc<dyn EventStore> = KurrentStore::open(server.options()?).await?;
    appended_by(&adapter, clients, WARM_UP).await?;
    let (on_server, there) = appended_by(&adapter, clients, duration).await?;
    adapter.close().await;
    let beside = format!("append + fdatasync of {together:.1} events each");
    Ok(vec![
        Figure::new(
            format!("embedded, {clients} clients, p50 {:.3} ms", latencies.ms(0.5)),
            in_file,
            "/s",
        )
        .beside(beside.clone(), bare),
        Figure::new(
            format!("adapter, {clients} clients, p50 {:.3} ms", there.ms(0.5)),
            on_server,
            "/s",
        )
        .beside(beside, bare),
        Figure::new(format!("adapter beside embedded, {clients} clients"), on_server, "/s")
            .beside("embedded", in_file),
    ])
}

/// Appends a second, and the latency of each.
async fn appended_by(
    store: &Arc<dyn EventStore>,
    clients: usize,
    duration: Duration,
) -> Result<(f64, Latencies), Failure> {
    let began = Instant::now();
    let until = began + duration;
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let store = Arc::clone(store);
        running.spawn(async move { client(&*store, until).await });
    }
    let mut all = Latencies::new()?;
    while let Some(finished) = running.join_next().await {
        all.merge(&finished??)?;
    }
    Ok((all.count() as f64 / began.elapsed().as_secs_f64(), all))
}

async fn client(store: &dyn EventStore, until: Instant) -> Result<Latencies, Failure> {
    let metadata = serde_json::to_string(&Metadata {
        actor: Actor::system("bench"),
        correlation_id: Uuid::now_v7().to_string(),
        causation_id: Uuid::now_v7().to_string(),
        traceparent: None,
    })?;
    let type_name = "execution.pending";
    let padding = EVENT_BYTES - type_name.len() - metadata.len() - r#"{"text":""}"#.len();
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(padding));
    let mut latencies = Latencies::new()?;
    loop {
        let stream: StreamName = format!("execution-{}", Uuid::now_v7()).parse()?;
        for revision in 0..EVENTS_PER_STREAM {
            let started = Instant::now();
            if started >= until {
                return Ok(latencies);
            }
            let before = revision.checked_sub(1);
            let expected = before.map_or(ExpectedRevision::NoStream, ExpectedRevision::Exact);
            let event = NewEvent {
                id: EventId(Uuid::now_v7()),
                type_name: type_name.to_owned(),
                version: 1,
                metadata: metadata.clone(),
                data: data.clone(),
                contents: Vec::new(),
            };
            store.append(&stream, expected, vec![event]).await?;
            latencies.add(started.elapsed());
        }
    }
}

/// Moves the log of the data directory to a server, and follows it there; how many events it has.
async fn moved(work: &Path) -> Result<(u64, Vec<Figure>), Failure> {
    let log = work.join("data/events.db");
    let source: Arc<dyn EventStore> = SqliteStore::open_read_only(&log)?;
    let path = work.join("history.ndjson");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    let (filter, format) = (ExportFilter::default(), ExportFormat::Ndjson);
    let written = export(&source, &filter, format, Timestamp::EPOCH, &mut file, |_| {}).await?;
    drop(file);
    let events = written.events as f64;
    let reading = || Ok::<_, Failure>(std::io::BufReader::new(std::fs::File::open(&path)?));

    let began = Instant::now();
    let home = Importer::open(&work.join("home.db"), Timestamp::EPOCH)?;
    import(reading()?, Box::new(home), |_| {}).await?;
    let into_file = events / began.elapsed().as_secs_f64();
    let server = OwnServer::start(&work.join("moved.db"))?;
    let began = Instant::now();
    let there = KurrentImport::open(server.options()?).await?;
    import(reading()?, Box::new(there), |_| {}).await?;
    let into_server = events / began.elapsed().as_secs_f64();

    let read = events / read_in_pages(&source, With::EventsOnly).await?.as_secs_f64();
    let with_texts = events / read_in_pages(&source, With::Contents).await?.as_secs_f64();
    let there: Arc<dyn EventStore> = KurrentStore::open_read_only(server.options()?).await?;
    let texts_there = events / read_in_pages(&there, With::Contents).await?.as_secs_f64();
    let followed = followed(server.address, written.events).await?;
    Ok((
        written.events,
        vec![
            Figure::new("import into a server, with texts", into_server, "/s")
                .beside("import into a file", into_file),
            Figure::new("events with their texts through the adapter", texts_there, "/s")
                .beside("the same from the file", with_texts),
            Figure::new("one follower of the open store, by the eventstore crate", followed, "/s")
                .beside("reading the file in pages", read)
                .target(Target::AtLeast(FOLLOWED_PER_S)),
        ],
    ))
}

/// How long it takes to read a log from its start to its end.
async fn read_in_pages(store: &Arc<dyn EventStore>, with: With) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut after = Position::START;
    loop {
        let page = store.read_all(after, PAGE_EVENTS, with).await?;
        let Some(last) = page.last() else { return Ok(began.elapsed()) };
        after = last.position;
    }
}

/// Follows the log of a real server through its endpoint.
async fn ledger_followed(work: &Path, events: u64) -> Result<Figure, Failure> {
    let address = crate::server::free_address()?;
    let listen = address.to_string();
    let variables = [
        ("EXECUTION_LEDGER_EVENTSTORE_LISTEN", listen.as_str()),
        ("EXECUTION_LEDGER_EVENTSTORE_ANONYMOUS_READ", "true"),
    ];
    let server = Server::start(work, &variables).await?;
    server.notary_is_live().await?;
    let per_s = followed(address, events).await?;
    server.stop().await?;
    let figure =
        Figure::new("one follower of a ledger's own log, by the eventstore crate", per_s, "/s");
    Ok(figure.target(Target::AtLeast(FOLLOWED_PER_S)))
}

/// Subscribes to everything with the prefix from the start, until so many events came: how many a second.
async fn followed(address: SocketAddr, events: u64) -> Result<f64, Failure> {
    let settings = format!("esdb://{address}?tls=false&tlsCaFile=/dev/null").parse()?;
    let client = Client::new(settings)?;
    let options = SubscribeToAllOptions::default()
        .position(StreamPosition::Start)
        .filter(SubscriptionFilter::on_stream_name().add_prefix(PREFIX));
    let began = Instant::now();
    let mut subscription = client.subscribe_to_all(&options).await;
    for number in 0..events {
        let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
        next.map_err(|_| format!("no event came after {number} of {events}"))??;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

/// An open store on threads of its own.
struct OwnServer {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl OwnServer {
    fn start(file: &Path) -> Result<Self, Failure> {
        let store = OpenStore::open(file)?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let thread =
            std::thread::Builder::new().name("open store".to_owned()).spawn(move || {
                runtime.block_on(async {
                    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
                    let serving = serve_open(listen, store, None).await;
                    let address = serving.as_ref().map(execution_ledger_endpoint::Serving::address);
                    // Whoever started it waits for this.
                    drop(tell.send(address.map_err(ToString::to_string)));
                    drop(stopped.await);
                    if let Ok(serving) = serving {
                        serving.stop().await;
                    }
                });
            })?;
        let address = told.recv()??;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    fn options(&self) -> Result<KurrentOptions, Failure> {
        Ok(KurrentOptions::at(format!("esdb://{}?tls=false", self.address).parse()?))
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread was told already.
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}
