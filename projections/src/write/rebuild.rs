//! Making the file anew: one thread reads and decodes, another writes, indexes come last, and the
//! finished file takes the old one's place.

use std::path::Path;
use std::sync::Arc;

use execution_ledger_store::{EventStore, Position, StoreError, With};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use super::file::{self, BuildError};
use super::writer::{self, Decoded, Writer};
use crate::health::{Poison, Progress};

/// Events of one read, and so of one flush of the projections: what is decoded stays in a processor's
/// cache until it is written, and its memory is soon used again.
const BATCH_EVENTS: usize = 2_000;
/// Batches of one transaction. Each transaction leaves a segment of the text index to be merged, so few
/// are better; but they are kept until it ends, for the case that an event can't be taken in.
const BATCHES_OF_TRANSACTION: usize = 8;
/// Batches that wait for the writer: most.
const BATCHES_WAITING_MAX: usize = 2;

/// What a rebuild did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Events that are in.
    pub events: u64,
    /// Position of the last of them.
    pub position: Position,
    /// The event after it, where it can't be taken in.
    pub poison: Option<Poison>,
}

/// Why a rebuild did not come to its end. The old file, where there is one, is untouched unless the
/// error is about putting the new one into its place.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The event log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new file can't be made.
    #[error("the read models' new file can't be made: {0}")]
    File(#[from] std::io::Error),
    /// The new file can't be written.
    #[error("the read models' new file can't be written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// It was told to stop.
    #[error("the rebuild was stopped")]
    Stopped,
}

impl From<BuildError> for RebuildError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Io(error) => Self::File(error),
            BuildError::Sqlite(error) => Self::Sqlite(error),
        }
    }
}

/// Makes the read models' file anew from the log up to its head, and puts it into its place.
/// `progress` is told after each batch. No other process may use the file.
pub async fn rebuild(
    path: &Path,
    store: &Arc<dyn EventStore>,
    mut progress: impl FnMut(Progress) + Send + 'static,
) -> Result<Rebuilt, RebuildError> {
    let head = store.head().await?;
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
    let (give_back, used) = mpsc::channel(BATCHES_OF_TRANSACTION + BATCHES_WAITING_MAX);
    let log_id = store.log_id().as_str().to_owned();
    let to = path.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let batches = Batches { decoded: receiver, give_back };
        write_all(&to, &log_id, head, batches, &mut progress)
    });
    let read = read_all(store, head, sender, used).await;
    let written = written.await.map_err(|panic| {
        RebuildError::Store(StoreError::Fault(format!("the rebuild panicked: {panic}")))
    })?;
    // A failed writer ends the reader too, so its reason comes first.
    match (written, read) {
        (Err(RebuildError::Stopped), Err(error)) => Err(error.into()),
        (written, _) => written,
    }
}

/// What the writer gets from the reader and gives back once it is written: whoever made it frees it,
/// because the reader has time and its memory is at hand.
struct Batches {
    /// Nothing is the end.
    decoded: mpsc::Receiver<Option<Decoded>>,
    give_back: mpsc::Sender<Decoded>,
}

async fn read_all(
    store: &Arc<dyn EventStore>,
    head: Position,
    sender: mpsc::Sender<Option<Decoded>>,
    mut used: mpsc::Receiver<Decoded>,
) -> Result<(), StoreError> {
    let mut after = Position::START;
    while after < head {
        let events = store.read_all(after, BATCH_EVENTS, With::Contents).await?;
        let Some(last) = events.last() else { break };
        after = last.position;
        let freed: Vec<Decoded> = std::iter::from_fn(|| used.try_recv().ok()).collect();
        let decode = move || {
            drop(freed);
            Decoded::of(events.into_iter().filter(|recorded| recorded.position <= head).collect())
        };
        let decoded = tokio::task::spawn_blocking(decode)
            .await
            .map_err(|panic| StoreError::Fault(format!("decoding panicked: {panic}")))?;
        if sender.send(Some(decoded)).await.is_err() {
            return Ok(());
        }
    }
    // The end, so that the writer can tell it from a reader that failed. A writer that has gone
    // says why itself.
    drop(sender.send(None).await);
    Ok(())
}

/// Writes the new file and puts it into its place. A file that does not come to its end is removed:
/// it may be what fills the disk.
fn write_all(
    path: &Path,
    log_id: &str,
    head: Position,
    batches: Batches,
    progress: &mut dyn FnMut(Progress),
) -> Result<Rebuilt, RebuildError> {
    let rebuilt = write_new(path, log_id, head, batches, progress);
    if rebuilt.is_err()
        && let Err(error) = file::remove_building(path)
    {
        tracing::warn!(%error, "an unfinished file of the read models can't be removed");
    }
    rebuilt
}

fn write_new(
    path: &Path,
    log_id: &str,
    head: Position,
    mut batches: Batches,
    progress: &mut dyn FnMut(Progress),
) -> Result<Rebuilt, RebuildError> {
    let (building, connection) = file::create_building(path)?;
    writer::make_tables(&connection, log_id)?;
    let mut writer = Writer::new(connection, Position::START);
    let mut now = Progress { done: 0, head: head.number(), indexing: false };
    progress(now);
    let mut poison = None;
    let mut held = Vec::with_capacity(BATCHES_OF_TRANSACTION);
    let mut committed = 0;
    while let Some(batch) = batches.decoded.blocking_recv().ok_or(RebuildError::Stopped)? {
        let taken = writer.go_on(&batch)?;
        now.done += batch.len() as u64;
        held.push(batch);
        if !taken {
            let applied = writer.apply(&held)?;
            let events: usize = held.iter().map(|batch| batch.up_to(applied.position)).sum();
            now.done = committed + events as u64;
            poison = applied.poison;
            break;
        }
        progress(now);
        if held.len() == BATCHES_OF_TRANSACTION {
            writer.commit()?;
            committed = now.done;
            // Where the reader has gone, or is behind, they are freed here.
            held.drain(..).for_each(|batch| drop(batches.give_back.try_send(batch)));
        }
    }
    writer.commit()?;
    drop(held);
    drop(batches);
    now.indexing = true;
    progress(now);
    let position = writer.position();
    let mut connection = writer.into_connection();
    make_indexes(&mut connection)?;
    connection.close().map_err(|(_, error)| error)?;
    file::swap_in(&building, path)?;
    Ok(Rebuilt { events: now.done, position, poison })
}

/// Makes the indexes, sorting in temporary files with several threads; where the system gives no
/// such files, or no room for them, in memory.
fn make_indexes(connection: &mut Connection) -> rusqlite::Result<()> {
    file::sort_in_files(connection)?;
    let error = match writer::make_indexes(connection) {
        Err(error) if is_without_files(&error) => error,
        made => return made,
    };
    tracing::warn!(%error, "indexes are sorted in memory");
    file::sort_in_memory(connection)?;
    writer::make_indexes(connection)
}

fn is_without_files(error: &rusqlite::Error) -> bool {
    let codes = [ErrorCode::CannotOpen, ErrorCode::DiskFull, ErrorCode::SystemIoFailure];
    error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
}
