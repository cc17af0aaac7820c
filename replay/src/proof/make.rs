//! Making a proof from the log and the notary's files; nothing is changed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use execution_ledger_domain::{ExecutionId, StreamName};
use execution_ledger_store::{EventStore, Position, Recorded, StoreError, With};

use super::{
    PROOF_EVENTS_MAX, PROOF_FORMAT, Proof, ProvenEvent, ProvenRotation, ProvenText, SaltedText,
};
use crate::notary::{
    Checkpoints, Kept, KeyChain, LogTree, NotaryError, SignedCheckpoint, TILE_WIDTH, TileDir,
};

/// Events that are read at a time.
const PAGE_EVENTS: usize = 1_000;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The log has no such execution.
    #[error("there is no execution {0}")]
    NoExecution(ExecutionId),
    /// Nothing was signed yet.
    #[error("the notary has signed nothing yet: start the server once")]
    Unsigned,
    /// Not all of its events are signed yet.
    #[error(
        "the last checkpoint covers {signed} events, and this execution has later ones: the next one \
         is signed within seconds while the server runs, and when it is stopped"
    )]
    NotCovered {
        /// Events that the checkpoint covers.
        signed: u64,
    },
    /// It has more events than a proof holds.
    #[error("it has more than {PROOF_EVENTS_MAX} events")]
    TooMany,
    /// Log and checkpoint disagree.
    #[error("the log is not what the last checkpoint says: run `execution-ledger verify`")]
    Disagreement,
    /// A checkpoint is not this ledger's, or not one of this log.
    #[error("{0}")]
    Checkpoint(&'static str),
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The notary's files can't be read.
    #[error(transparent)]
    Notary(#[from] NotaryError),
}

/// The proof of all events of an execution, by the last checkpoint in the notary's folder.
///
/// # Errors
/// [`ProveError`] where there is none.
pub async fn prove(
    store: &Arc<dyn EventStore>,
    folder: &Path,
    execution: ExecutionId,
) -> Result<Proof, ProveError> {
    let Grown { tree, chain, last, rotations } = grown(store, folder).await?;
    let signed = last;
    let key = chain.signer_of(&signed).ok_or(ProveError::Disagreement)?;
    let size = signed.checkpoint.size;
    let stream = StreamName::execution(execution);
    let recorded = store.read_stream(&stream, 0, PROOF_EVENTS_MAX + 1, With::Contents).await?;
    if recorded.is_empty() {
        return Err(ProveError::NoExecution(execution));
    }
    if recorded.len() > PROOF_EVENTS_MAX {
        return Err(ProveError::TooMany);
    }
    let mut events = Vec::with_capacity(recorded.len());
    for recorded in recorded {
        let index = index_of(store, &tree, &recorded).await?;
        if index >= size {
            return Err(ProveError::NotCovered { signed: size });
        }
        let path = tree.path(index, size)?;
        events.push(proven(recorded, index, path));
    }
    let (format, key) = (PROOF_FORMAT.to_owned(), key.to_string());
    let checkpoint = signed.as_str().to_owned();
    Ok(Proof { format, execution_id: execution, key, checkpoint, rotations, events })
}

/// A log with all that was signed of it.
pub(super) struct Grown {
    pub(super) tree: LogTree,
    pub(super) chain: KeyChain,
    /// The last checkpoint, which agrees with the tree.
    pub(super) last: SignedCheckpoint,
    /// The changes of keys that it covers.
    pub(super) rotations: Vec<ProvenRotation>,
}

/// Reads a log and what was signed of it.
pub(super) async fn grown(store: &Arc<dyn EventStore>, folder: &Path) -> Result<Grown, ProveError> {
    let chain = KeyChain::read(store, folder).await?.ok_or(ProveError::Unsigned)?;
    let mut last: Option<Kept> = None;
    let mut endorsements = HashMap::new();
    for kept in Checkpoints::in_folder(folder).read()? {
        let kept = kept?;
        for rotation in chain.rotations() {
            if kept.signed.checkpoint.size == rotation.covered()
                && kept.signed.is_by(&rotation.previous)
            {
                endorsements.insert(rotation.leaf, kept.signed.clone());
            }
        }
        last = Some(kept);
    }
    let last = last.ok_or(ProveError::Unsigned)?.signed;
    let tree = tree(store, folder).await?;
    let (size, root) = (last.checkpoint.size, last.checkpoint.root);
    if tree.size() < size || tree.root_at(size)? != root {
        return Err(ProveError::Disagreement);
    }
    let mut rotations = Vec::new();
    for rotation in chain.rotations().iter().filter(|rotation| rotation.covered() <= size) {
        let endorsed = endorsements.get(&rotation.leaf).ok_or(ProveError::Disagreement)?;
        let path = tree.path(rotation.leaf, rotation.covered())?;
        rotations.push(ProvenRotation {
            checkpoint: endorsed.as_str().to_owned(),
            event: proven(rotation.recorded.clone(), rotation.leaf, path),
        });
    }
    Ok(Grown { tree, chain, last, rotations })
}

/// The tree over the whole log, from the tiles and the events after them.
async fn tree(store: &Arc<dyn EventStore>, folder: &Path) -> Result<LogTree, ProveError> {
    let head = store.head().await?;
    let tiles = TileDir::in_folder(folder, store.log_id());
    let mut tree = LogTree::resume(tiles, head.number(), false)?;
    while tree.position() < head.number() {
        let after = Position::new(tree.position());
        let events = store.read_all(after, PAGE_EVENTS, With::EventsOnly).await?;
        if events.is_empty() {
            break;
        }
        for recorded in events.iter().filter(|recorded| recorded.position <= head) {
            tree.push(recorded)?;
        }
        if events.last().is_some_and(|last| last.position > head) {
            break;
        }
    }
    Ok(tree)
}

/// The leaf that stands for an event; beyond the tree where it was appended meanwhile.
async fn index_of(
    store: &Arc<dyn EventStore>,
    tree: &LogTree,
    recorded: &Recorded,
) -> Result<u64, ProveError> {
    let bundle = tree.bundle_of(recorded.position.number());
    let Some((after, count)) = tree.bundle(bundle) else { return Ok(tree.size()) };
    let (mut after, mut index) = (Position::new(after), bundle * TILE_WIDTH);
    let end = index + count;
    while index < end {
        let missing = usize::try_from(end - index).unwrap_or(PAGE_EVENTS);
        let events = store.read_all(after, missing, With::EventsOnly).await?;
        let Some(last) = events.last() else { break };
        after = last.position;
        for event in &events {
            if event.position == recorded.position {
                return Ok(index);
            }
            index += 1;
        }
    }
    Ok(tree.size())
}

fn proven(
    recorded: Recorded,
    index: u64,
    path: Vec<execution_ledger_domain::Digest>,
) -> ProvenEvent {
    let texts = recorded.contents.into_iter().map(|stored| ProvenText {
        sha256: stored.sha256,
        content: stored
            .content
            .map(|content| SaltedText { salt: content.salt, text: content.text }),
    });
    ProvenEvent {
        index,
        revision: recorded.revision,
        event_id: recorded.id,
        type_name: recorded.type_name,
        version: recorded.version,
        recorded_at: recorded.recorded_at,
        metadata: recorded.metadata,
        data: recorded.data,
        texts: texts.collect(),
        path,
    }
}
