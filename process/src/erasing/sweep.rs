//! One of several nodes removes the transcripts on its own disk of whose erasure the log tells, whoever
//! told it, and whether or not the node lived then.
//!
//! How far it has read the log it remembers in a file. Without one it begins at the log's start, unless
//! nothing lies on its disk yet. A transcript that can't be removed is tried again, and nothing behind it is passed
//! over.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use execution_ledger_domain::erasure::{Erased, ErasureEvent, ErasureOf, TextPart};
use execution_ledger_domain::{Event, ExecutionId, StreamName};
use execution_ledger_store::{LogPosition, Position, Recorded};
use tokio::sync::watch;

use super::{EraseError, Eraser, files};
use crate::following::told_to_stop;

/// The file, in the node's own folder.
const FILE: &str = "erased.position";
/// Events that are read before it is written again: most that are read twice after a sudden end.
const WRITTEN_EVERY_EVENTS: u64 = 2_000;
/// Rest after the log could not be followed, or a transcript not removed.
const REST: Duration = Duration::from_secs(2);

/// What removes transcripts here of whose erasure the log tells.
pub struct Sweep {
    eraser: Eraser,
    file: PathBuf,
}

impl Sweep {
    /// It remembers in this folder, which is there, how far it has read.
    pub fn new(eraser: Eraser, folder: &Path) -> Self {
        Self { eraser, file: folder.join(FILE) }
    }

    /// Follows the log until `stop` turns true or the log is closed. What fails is tried again.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut at = self.beginning().await;
        loop {
            tokio::select! {
                followed = self.follow(&mut at) => match followed {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!(%error, "transcripts that were erased wait to be removed");
                    }
                },
                () = told_to_stop(&mut stop) => break,
            }
            tokio::select! {
                () = tokio::time::sleep(REST) => {}
                () = told_to_stop(&mut stop) => break,
            }
        }
        self.remember(at);
    }

    /// Moves `at` behind everything that was done; ends where the log is closed.
    pub(super) async fn follow(&self, at: &mut Position) -> Result<(), EraseError> {
        let mut log = self.eraser.ledger.store().subscribe(*at).await?;
        let mut read = 0;
        while let Some(batch) = log.next().await {
            let batch = batch?;
            let mut removed = 0;
            for recorded in batch.iter() {
                for execution in meant(recorded) {
                    removed += u64::from(self.remove(execution).await?);
                }
                *at = recorded.position;
                read += 1;
            }
            if removed > 0 {
                tracing::info!(removed, "transcripts that another node erased are removed");
            }
            if removed > 0 || read >= WRITTEN_EVERY_EVENTS {
                self.remember(*at);
                read = 0;
            }
        }
        Ok(())
    }

    /// Removes the transcript of an execution; false where there is none.
    async fn remove(&self, execution: ExecutionId) -> Result<bool, EraseError> {
        // Whoever dies between the two finds it aside, where the log tells that it goes; and the event
        // is read again.
        if !self.eraser.put_aside(execution).await? {
            return Ok(false);
        }
        files::remove(self.eraser.transcripts.archives(), execution)?;
        Ok(true)
    }

    async fn beginning(&self) -> Position {
        let store = self.eraser.ledger.store();
        let text = fs::read_to_string(&self.file).ok();
        let read = |text: String| LogPosition::parse_for(store.log_id(), text.trim()).ok();
        if let Some(remembered) = text.and_then(read) {
            return remembered;
        }
        let transcripts = &self.eraser.transcripts;
        if !is_empty(transcripts.archives()) || !is_empty(transcripts.runs()) {
            return Position::START;
        }
        store.head().await.unwrap_or(Position::START)
    }

    fn remember(&self, position: Position) {
        let log = self.eraser.ledger.store().log_id().clone();
        let text = LogPosition { log, position }.to_string();
        if let Err(error) = written(&self.file, &text) {
            tracing::warn!(%error, "how far the log was read can't be remembered");
        }
    }
}

/// The executions whose transcripts go with what an event tells: those that it names, and those of which
/// all is erased, also where their ending knows of no transcript because their node was lost.
pub(super) fn meant(recorded: &Recorded) -> BTreeSet<ExecutionId> {
    if recorded.type_name != "content.erased" {
        return BTreeSet::new();
    }
    let Ok(Event::Erasure(ErasureEvent::Erased(erased))) = recorded.event() else {
        tracing::error!(position = ?recorded.position, "an erasure can't be read");
        return BTreeSet::new();
    };
    let Erased { beside, of, .. } = *erased;
    let named = beside.into_iter().filter_map(|place| {
        let stream: StreamName = place.stream.parse().ok()?;
        let execution = stream.execution_id()?;
        let goes = match &of {
            ErasureOf::Content(_) => place.part == TextPart::Transcript,
            // Of other attempts only what was asked is erased.
            ErasureOf::Execution(id) => *id == execution.to_string(),
            ErasureOf::Session(_) | ErasureOf::User(_) => true,
        };
        goes.then_some(execution)
    });
    named.collect()
}

fn is_empty(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whole or not at all.
fn written(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}
