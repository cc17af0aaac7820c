//! Is the history what it was? Everything that can be checked without trusting whoever keeps it.

mod check;
mod events;
mod report;
#[cfg(test)]
mod tests;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;

use execution_ledger_domain::erasure::{Beside, ErasureEvent};
use execution_ledger_domain::execution::TranscriptRef;
use execution_ledger_domain::{Event, ExecutionId, StreamName};
use execution_ledger_store::{EventStore, Position, Recorded, StoreError, With};

pub use report::{Check, Problem, Report};

use crate::notary::{KeyChain, NotaryError, SignedCheckpoint, Verifier, WitnessKey};
use check::Checks;

/// Events that are read at a time.
const PAGE_EVENTS: usize = 1_000;

/// What became of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TranscriptState {
    /// It is what the ending recorded.
    Same,
    /// There is none any more: old transcripts are removed, as the settings say.
    Absent,
    /// It is not what the ending recorded, and why that is known.
    Changed(String),
}

/// Looks at the stored transcript of an execution.
pub type Transcripts = dyn Fn(ExecutionId, &TranscriptRef) -> TranscriptState + Send + Sync;

/// A checkpoint that somebody kept apart from the ledger.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Where it comes from, for the report.
    pub source: String,
    /// The checkpoint.
    pub signed: SignedCheckpoint,
}

/// What is checked beside the log.
pub struct Inputs {
    /// The notary's folder.
    pub notary: PathBuf,
    /// The key that must have signed; without it that in the notary's folder.
    pub key: Option<Verifier>,
    /// Checkpoints that were kept apart.
    pub kept: Vec<Kept>,
    /// The witnesses that must have signed, and how many of them a checkpoint needs.
    pub witnesses: (Vec<WitnessKey>, usize),
    /// How stored transcripts are looked at.
    pub transcripts: Box<Transcripts>,
}

/// Why nothing can be said. A finding is no such error.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log can't be read at all.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The notary's files can't be read.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// A defect of this program.
    #[error("the check panicked: {0}")]
    Panicked(String),
}

/// How far the check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Events that were checked.
    pub events: u64,
    /// Position of the last of them.
    pub position: u64,
    /// Position up to which is checked.
    pub head: u64,
}

/// Checks the log as it is now, and what was made from it; changes nothing. A server may append
/// meanwhile. Memory grows by some 50 bytes for each stream and each signed checkpoint.
///
/// # Errors
/// [`VerifyError`] where nothing can be said.
pub async fn verify(
    store: &Arc<dyn EventStore>,
    inputs: Inputs,
    mut progress: impl FnMut(Checked) + Send,
) -> Result<Report, VerifyError> {
    // Before the head: what is signed meanwhile covers events that are not looked at.
    let keys = KeyChain::read(store, &inputs.notary).await;
    let mut checks = Checks::begin(store.log_id(), inputs, keys);
    let head = store.head().await?;
    let mut after = Position::START;
    let mut page = next_page(store, after, head).await?;
    while let Some(last) = page.events.last().map(|last| last.position) {
        after = last;
        let (events, unreadable) = (page.events, page.unreadable);
        let checking = tokio::task::spawn_blocking(move || {
            for recorded in &events {
                checks.event(recorded)?;
            }
            Ok::<_, NotaryError>(checks)
        });
        if let Some(problem) = unreadable {
            // Nothing is known of what comes after it, not even its place.
            let mut checked = joined(checking.await)?;
            checked.unreadable(after.number(), &problem);
            return Ok(checked.end());
        }
        let (checked, next) = tokio::join!(checking, next_page(store, after, head));
        checks = joined(checked)?;
        progress(Checked {
            events: checks.events(),
            position: after.number(),
            head: head.number(),
        });
        page = next?;
    }
    if let Some(problem) = page.unreadable {
        checks.unreadable(after.number(), &problem);
        return Ok(checks.end());
    }
    // A server that erases meanwhile tells of it behind the head.
    for (stream, beside, place) in checks.unexplained() {
        if !is_told(store, &stream, &beside).await? {
            checks.untold(&beside, &place);
        }
    }
    Ok(checks.end())
}

/// Whether the stream of a text tells that it was erased there.
async fn is_told(
    store: &Arc<dyn EventStore>,
    stream: &StreamName,
    beside: &Beside,
) -> Result<bool, StoreError> {
    let mut revision = 0;
    loop {
        let page = store.read_stream(stream, revision, PAGE_EVENTS, With::EventsOnly).await?;
        for recorded in &page {
            revision = recorded.revision.saturating_add(1);
            if let Ok(Event::Erasure(ErasureEvent::Erased(erased))) = recorded.event()
                && erased.beside.contains(beside)
            {
                return Ok(true);
            }
        }
        if page.len() < PAGE_EVENTS {
            return Ok(false);
        }
    }
}

fn joined(
    checked: Result<Result<Checks, NotaryError>, tokio::task::JoinError>,
) -> Result<Checks, VerifyError> {
    Ok(checked.map_err(|panic| VerifyError::Panicked(panic.to_string()))??)
}

/// Events, and why the one after them can't be read.
struct Page {
    events: Vec<Recorded>,
    unreadable: Option<String>,
}

/// The next events up to `head`. Where a page can't be read they are read one by one, to find which
/// of them it is.
async fn next_page(
    store: &Arc<dyn EventStore>,
    after: Position,
    head: Position,
) -> Result<Page, VerifyError> {
    if after >= head {
        return Ok(Page { events: Vec::new(), unreadable: None });
    }
    if let Ok(mut events) = store.read_all(after, PAGE_EVENTS, With::Contents).await {
        events.retain(|recorded| recorded.position <= head);
        return Ok(Page { events, unreadable: None });
    }
    let (mut events, mut last) = (Vec::new(), after);
    while events.len() < PAGE_EVENTS {
        match store.read_all(last, 1, With::Contents).await {
            Ok(one) => match one.into_iter().next() {
                Some(recorded) if recorded.position <= head => {
                    last = recorded.position;
                    events.push(recorded);
                }
                _ => break,
            },
            Err(error) => return Ok(Page { events, unreadable: Some(error.to_string()) }),
        }
    }
    Ok(Page { events, unreadable: None })
}
