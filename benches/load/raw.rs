//! What the bare machine does: the disk without a database, HTTP without a ledger.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::Failure;
use crate::figures::Latencies;
use crate::server::Server;

/// Appends that one sync of [`GroupedFile`] takes at most, and that may wait for it.
const GROUP_MAX: usize = 256;

/// Appends to a growing file, and syncs (fdatasync) after each `events_per_sync`: events a second
/// and the latency of a sync.
pub fn appended(
    folder: &Path,
    event_bytes: usize,
    events_per_sync: f64,
    duration: Duration,
) -> Result<(f64, Latencies), Failure> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of bytes, far below 2^53"
    )]
    let group = vec![b'x'; (event_bytes as f64 * events_per_sync) as usize];
    let path = folder.join("raw");
    let mut file = File::create(&path)?;
    let mut latencies = Latencies::new()?;
    let began = Instant::now();
    while began.elapsed() < duration {
        let started = Instant::now();
        file.write_all(&group)?;
        file.sync_data()?;
        latencies.add(started.elapsed());
    }
    let per_s = latencies.count() as f64 * events_per_sync / began.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok((per_s, latencies))
}

/// How many bytes an event of this log has on average, with the texts beside it.
pub fn event_bytes(log: &Path) -> Result<usize, Failure> {
    let connection = Connection::open_with_flags(log, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let query = "SELECT (SELECT sum(length(type) + length(metadata) + length(data)) FROM events) \
        + (SELECT ifnull(sum(length(body)), 0) FROM contents), (SELECT count(*) FROM events)";
    let (bytes, events): (i64, i64) =
        connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(usize::try_from(bytes / events.max(1))?)
}

/// The same request over and over on several connections: requests a second and their latencies.
pub async fn asked(
    server: &Server,
    request: Vec<u8>,
    connections: usize,
    duration: Duration,
) -> Result<(f64, Latencies), Failure> {
    let until = Instant::now() + duration;
    let mut asking = JoinSet::new();
    for _ in 0..connections {
        let (mut client, request) = (server.client().await?, request.clone());
        asking.spawn(async move {
            let mut latencies = Latencies::new()?;
            loop {
                let started = Instant::now();
                if started >= until {
                    return Ok::<_, Failure>(latencies);
                }
                let answer = client.ask(&request).await?;
                if !(200..300).contains(&answer.status) {
                    return Err(format!("{}: {}", answer.status, answer.text()).into());
                }
                latencies.add(started.elapsed());
            }
        });
    }
    let mut all = Latencies::new()?;
    while let Some(asked) = asking.join_next().await {
        all.merge(&asked??)?;
    }
    Ok((all.count() as f64 / duration.as_secs_f64(), all))
}

/// A file that a thread appends to and syncs, one sync for all who wait at the moment.
pub struct GroupedFile {
    appends: Option<SyncSender<oneshot::Sender<()>>>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl GroupedFile {
    /// A new file; each append has so many bytes.
    pub fn create(path: &Path, append_bytes: usize) -> Result<Self, Failure> {
        let file = File::create(path)?;
        let (appends, waiting) = sync_channel(GROUP_MAX);
        let thread = std::thread::Builder::new()
            .name("grouped file".to_owned())
            .spawn(move || write_groups(file, append_bytes, &waiting))?;
        Ok(Self { appends: Some(appends), thread: Some(thread) })
    }

    /// Appends, and waits until it is on the disk.
    pub async fn append(&self) -> Result<(), Failure> {
        let (done, synced) = oneshot::channel();
        let appends = self.appends.as_ref().ok_or("the file is closed")?;
        appends.try_send(done).map_err(|error| error.to_string())?;
        Ok(synced.await?)
    }
}

impl Drop for GroupedFile {
    fn drop(&mut self) {
        drop(self.appends.take());
        // A failure was told to whoever waited for the append.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn write_groups(
    mut file: File,
    append_bytes: usize,
    waiting: &Receiver<oneshot::Sender<()>>,
) -> std::io::Result<()> {
    let bytes = vec![b'x'; append_bytes * GROUP_MAX];
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        group.extend(waiting.try_iter().take(GROUP_MAX - 1));
        file.write_all(&bytes[..append_bytes * group.len()])?;
        file.sync_data()?;
        for done in group {
            // Whoever stopped waiting needs no answer.
            done.send(()).unwrap_or_default();
        }
    }
    Ok(())
}
