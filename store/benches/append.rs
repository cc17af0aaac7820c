//! How many appends per second the store makes durable, beside what the disk itself allows.
//!
//! Each line compares, in the same run and folder: clients that each append one event and wait for
//! its acknowledgement, and a bare loop that appends to one growing file and syncs it (fdatasync),
//! with as many events and bytes per sync as the store had per commit.
//!
//! `cargo bench -p execution-ledger-store`; options after `--`: `--json FILE`, `--seconds N`,
//! `--dir DIR` (which disk; default: the target folder's).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use execution_ledger_domain::{Actor, EventId, StreamName};
use execution_ledger_store::{
    EventStore, ExpectedRevision, Metadata, NewEvent, SqliteOptions, SqliteStore,
};
use serde::Serialize;
use uuid::Uuid;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Clients that append at once.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// An event's type, metadata and data together, in bytes.
const EVENT_BYTES: usize = 439;
/// Events of a stream before a client goes on to a new one.
const EVENTS_PER_STREAM: u64 = 3;
/// How long each figure is measured, in seconds, unless the command line says otherwise.
const SECONDS: u64 = 4;

#[derive(Serialize)]
struct Line {
    clients: usize,
    events_per_s: f64,
    raw_events_per_s: f64,
    ratio: f64,
    events_per_commit: f64,
    p50_us: u128,
    p99_us: u128,
}

struct Options {
    json: Option<PathBuf>,
    seconds: u64,
    dir: PathBuf,
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!(
        "{:>8} {:>12} {:>12} {:>6} {:>14} {:>9} {:>9}",
        "clients", "events/s", "raw/s", "ratio", "events/commit", "p50 µs", "p99 µs"
    );
    let mut lines = Vec::new();
    for clients in CLIENTS {
        let folder = tempfile::tempdir_in(&options.dir)?;
        let line = runtime.block_on(measured(folder.path(), clients, options.seconds))?;
        println!(
            "{:>8} {:>12.0} {:>12.0} {:>6.2} {:>14.1} {:>9} {:>9}",
            line.clients,
            line.events_per_s,
            line.raw_events_per_s,
            line.ratio,
            line.events_per_commit,
            line.p50_us,
            line.p99_us
        );
        lines.push(line);
    }
    if let Some(file) = options.json {
        std::fs::write(file, serde_json::to_string_pretty(&lines)?)?;
    }
    Ok(())
}

fn options() -> Result<Options, Failure> {
    let mut options =
        Options { json: None, seconds: SECONDS, dir: env!("CARGO_TARGET_TMPDIR").into() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => options.json = Some(value()?.into()),
            "--seconds" => options.seconds = value()?.parse()?,
            "--dir" => options.dir = value()?.into(),
            // What cargo adds itself.
            "--bench" => {}
            _ => return Err(format!("unknown option {argument}").into()),
        }
    }
    Ok(options)
}

async fn measured(folder: &Path, clients: usize, seconds: u64) -> Result<Line, Failure> {
    let store = SqliteStore::open(&folder.join("events.db"), SqliteOptions::default())?;
    appended_by(&store, clients, Duration::from_secs(1)).await?;
    let commits_before = store.commits();
    let duration = Duration::from_secs(seconds);
    let started = Instant::now();
    let mut latencies = appended_by(&store, clients, duration).await?;
    let took = started.elapsed().as_secs_f64();
    let commits = store.commits() - commits_before;
    store.close().await;
    let events = latencies.len() as f64;
    latencies.sort_unstable();
    let quantile = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
    let events_per_commit = events / (commits.max(1) as f64);
    let raw_events_per_s = raw(&folder.join("raw"), events_per_commit, duration)?;
    let events_per_s = events / took;
    Ok(Line {
        clients,
        events_per_s,
        raw_events_per_s,
        ratio: events_per_s / raw_events_per_s,
        events_per_commit,
        p50_us: quantile(50).unwrap_or_default().as_micros(),
        p99_us: quantile(99).unwrap_or_default().as_micros(),
    })
}

/// The latency of every append that the clients got acknowledged in that time.
async fn appended_by(
    store: &Arc<SqliteStore>,
    clients: usize,
    duration: Duration,
) -> Result<Vec<Duration>, Failure> {
    let until = Instant::now() + duration;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let store = Arc::clone(store);
        running.spawn(async move { client(&*store, until).await });
    }
    let mut latencies = Vec::new();
    while let Some(finished) = running.join_next().await {
        latencies.extend(finished??);
    }
    Ok(latencies)
}

async fn client(store: &dyn EventStore, until: Instant) -> Result<Vec<Duration>, Failure> {
    let metadata = Metadata {
        actor: Actor::system("bench"),
        correlation_id: Uuid::now_v7().to_string(),
        causation_id: Uuid::now_v7().to_string(),
        traceparent: None,
    };
    let metadata = serde_json::to_string(&metadata)?;
    let type_name = "execution.pending";
    let padding = EVENT_BYTES - type_name.len() - metadata.len() - r#"{"text":""}"#.len();
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(padding));
    let mut latencies = Vec::new();
    loop {
        let stream: StreamName = format!("execution-{}", Uuid::now_v7()).parse()?;
        for revision in 0..EVENTS_PER_STREAM {
            let started = Instant::now();
            if started >= until {
                return Ok(latencies);
            }
            let expected = match revision.checked_sub(1) {
                None => ExpectedRevision::NoStream,
                Some(last) => ExpectedRevision::Exact(last),
            };
            let event = NewEvent {
                id: EventId(Uuid::now_v7()),
                type_name: type_name.to_owned(),
                version: 1,
                metadata: metadata.clone(),
                data: data.clone(),
                contents: Vec::new(),
            };
            store.append(&stream, expected, vec![event]).await?;
            latencies.push(started.elapsed());
        }
    }
}

/// Events per second of a bare loop of append and fdatasync, with that many events per sync.
fn raw(path: &Path, events_per_sync: f64, duration: Duration) -> Result<f64, Failure> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of bytes, far below 2^53"
    )]
    let bytes_per_sync = (events_per_sync * EVENT_BYTES as f64) as usize;
    let group = vec![b'x'; bytes_per_sync];
    let mut file = File::create(path)?;
    let mut syncs = 0_u64;
    let started = Instant::now();
    while started.elapsed() < duration {
        file.write_all(&group)?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(syncs as f64 * events_per_sync / started.elapsed().as_secs_f64())
}
