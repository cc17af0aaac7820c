//! Changing the key, while nothing else has the log. It can be cut off after each step, and is then
//! finished by whoever comes next.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use execution_ledger_domain::notary::{KeyRotated, NotaryEvent};
use execution_ledger_domain::{Actor, Event, StreamName};
use execution_ledger_store::{Clock, Context, EventStore, Ledger, Position, SystemClock, With};

use super::audit::{Audit, Halt};
use super::key::keep_verifier;
use super::{
    Checkpoints, KEY_FILE, Kept, KeyChain, LogTree, NEXT_KEY_FILE, Notary, NotaryError, Rotation,
    Signer, State, TileDir, Verifier, read_verifier,
};

/// Events that are read at a time.
const PAGE_EVENTS: usize = 512;

/// Who changes the key, in the event's metadata: whoever may read the data directory.
const ACTOR: &str = "notary";

/// A key that took the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The key before.
    pub previous: Verifier,
    /// The key from here on.
    pub key: Verifier,
    /// Events that the last checkpoint under the key before covers, the change among them.
    pub covered: u64,
}

impl Step {
    /// The name of the step.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Told => "told",
            Self::Endorsed => "endorsed",
            Self::Moved => "moved",
            Self::Known => "known",
        }
    }
}

/// The steps of a change of keys, for tests that cut it off there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All that came before is signed with the key before.
    Signed,
    /// The log tells of the change.
    Told,
    /// The key before has signed that.
    Endorsed,
    /// The new seed has taken the place of the one before.
    Moved,
    /// The public key is the new one.
    Known,
}

/// Changes the key in a notary's folder to that of `next_seed`, which lies in its file
/// [`NEXT_KEY_FILE`] already. One that was begun before is finished instead, with no further one.
///
/// Signs what there is, tells of the change in the log, has the key before sign that, puts the new key
/// in its place, and signs with it. The seed before is gone then.
///
/// # Errors
/// Where log and checkpoints disagree, or a file or the log can't be read or written. Called again, it
/// goes on where it was.
pub async fn rotate(
    store: &Arc<dyn EventStore>,
    folder: &Path,
    seeds: (&[u8; 32], &[u8; 32]),
    reached: &(dyn Fn(Step) + Sync),
) -> Result<Rotated, NotaryError> {
    let (seed, next_seed) = seeds;
    if let Some(finished) = finish(store, folder, seed, Some(next_seed), reached).await? {
        sign(store, folder, next_or(seed, next_seed, &finished)).await?;
        return Ok(finished);
    }
    let size = sign(store, folder, seed).await?;
    reached(Step::Signed);
    let previous = read_verifier(folder)?.ok_or_else(no_key)?;
    let next = signer_of(previous.name(), next_seed)?;
    tell(store, &previous, next.verifier(), size).await?;
    reached(Step::Told);
    let rotated = finish(store, folder, seed, Some(next_seed), reached).await?;
    let rotated = rotated.ok_or_else(|| problem("the log does not tell of the change of keys"))?;
    sign(store, folder, next_seed).await?;
    Ok(rotated)
}

/// Finishes a change of keys that was cut off after the log told of it; none where nothing was.
///
/// # Errors
/// As [`rotate`].
pub async fn finish(
    store: &Arc<dyn EventStore>,
    folder: &Path,
    seed: &[u8; 32],
    next_seed: Option<&[u8; 32]>,
    reached: &(dyn Fn(Step) + Sync),
) -> Result<Option<Rotated>, NotaryError> {
    let Some(chain) = KeyChain::read(store, folder).await? else { return Ok(None) };
    let Some(rotation) = chain.unfinished() else { return Ok(None) };
    let previous = &rotation.previous;
    let own = signer_of(previous.name(), seed)?;
    if own.verifier() == previous {
        let next = next_seed.map(|seed| signer_of(previous.name(), seed)).transpose()?;
        if next.is_none_or(|next| *next.verifier() != rotation.key) {
            return Err(problem(
                "the log tells of a change of keys that was cut off, and the file `key.next` with \
                 the new key is gone: restore it from where it was",
            ));
        }
        endorse(store, folder, &chain, rotation, &own).await?;
        reached(Step::Endorsed);
        let (from, to) = (folder.join(NEXT_KEY_FILE), folder.join(KEY_FILE));
        fs::rename(&from, &to)
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|error| NotaryError::file(&from, error))?;
        reached(Step::Moved);
    } else if *own.verifier() != rotation.key {
        return Err(problem(
            "the file `key` is neither the key before nor the one that the log tells of",
        ));
    }
    keep_verifier(folder, &rotation.key)?;
    reached(Step::Known);
    let (previous, key) = (previous.clone(), rotation.key.clone());
    Ok(Some(Rotated { previous, key, covered: rotation.covered() }))
}

/// Has the key before sign the tree that ends with the change, if it has not yet.
async fn endorse(
    store: &Arc<dyn EventStore>,
    folder: &Path,
    chain: &KeyChain,
    rotation: &Rotation,
    own: &Signer,
) -> Result<(), NotaryError> {
    let checkpoints = Checkpoints::in_folder(folder);
    checkpoints.mend()?;
    let tiles = TileDir::in_folder(folder, store.log_id());
    let end = rotation.recorded.position;
    let resumed = LogTree::resume(tiles.clone(), end.number(), true)?;
    let agreed = match agreed(store, &checkpoints, chain, resumed, end).await {
        // It may be the tiles that are wrong.
        Err(Halt::Disagreement(_)) => {
            let anew = LogTree::anew(tiles, true)?;
            agreed(store, &checkpoints, chain, anew, end).await
        }
        other => other,
    };
    let (tree, last) = agreed.map_err(|halt| match halt {
        Halt::Fault(fault) => fault,
        Halt::Disagreement(reason) => problem(&reason),
    })?;
    if tree.size() != rotation.covered() {
        return Err(problem("the change of keys does not stand where the log says"));
    }
    if last.is_some_and(|last| last.signed.checkpoint.size == tree.size()) {
        return Ok(());
    }
    let signed = own.sign(tree.size(), tree.root());
    checkpoints.append(&Kept { at: SystemClock.now(), signed })
}

/// The tree up to `end`, where it agrees with every checkpoint; with the last of them.
async fn agreed(
    store: &Arc<dyn EventStore>,
    checkpoints: &Checkpoints,
    chain: &KeyChain,
    mut tree: LogTree,
    end: Position,
) -> Result<(LogTree, Option<Kept>), Halt> {
    let mut audit = Audit::begin(checkpoints, chain, &tree)?;
    while tree.position() < end.number() {
        let after = Position::new(tree.position());
        let read = store.read_all(after, PAGE_EVENTS, With::EventsOnly).await;
        let events = read.map_err(NotaryError::from)?;
        if events.is_empty() {
            break;
        }
        for recorded in events.iter().filter(|recorded| recorded.position <= end) {
            tree.push(recorded)?;
            audit.pass(&tree)?;
        }
    }
    let last = audit.end(&tree)?;
    Ok((tree, last))
}

/// Signs all that there is; how many events that are.
async fn sign(
    store: &Arc<dyn EventStore>,
    folder: &Path,
    seed: &[u8; 32],
) -> Result<u64, NotaryError> {
    let clock = Arc::new(SystemClock);
    let notary = Notary::open(folder.to_owned(), seed, Arc::clone(store), clock)?;
    match notary.sign_all().await {
        State::Live => Ok(notary.checkpoint().map_or(0, |signed| signed.checkpoint.size)),
        State::Alarm(reason) | State::Waiting(reason) => Err(problem(&reason)),
        State::CatchingUp => Err(problem("the log could not be read to its end")),
    }
}

async fn tell(
    store: &Arc<dyn EventStore>,
    previous: &Verifier,
    key: &Verifier,
    leaf: u64,
) -> Result<(), NotaryError> {
    let told =
        KeyRotated { previous_key: previous.to_string(), key: key.to_string(), tree_size: leaf };
    let fact = Event::Notary(NotaryEvent::KeyRotated(Box::new(told)));
    let context = Context {
        actor: Actor::system(ACTOR),
        correlation_id: Some(format!("key-rotation-{leaf}")),
        causation_id: None,
        traceparent: None,
    };
    let ledger = Ledger::new(Arc::clone(store), Arc::new(SystemClock));
    let noted = ledger.note(&StreamName::notary(), &[fact], &context).await;
    noted.map(drop).map_err(|error| problem(&error.to_string()))
}

/// The seed that a finished change leaves in force.
fn next_or<'a>(seed: &'a [u8; 32], next: &'a [u8; 32], finished: &Rotated) -> &'a [u8; 32] {
    let is_own =
        signer_of(finished.key.name(), seed).is_ok_and(|signer| *signer.verifier() == finished.key);
    if is_own { seed } else { next }
}

fn signer_of(name: &str, seed: &[u8; 32]) -> Result<Signer, NotaryError> {
    Signer::of_seed(name, seed).map_err(|error| problem(&error.to_string()))
}

fn no_key() -> NotaryError {
    problem("there is no key yet: the first start of the server makes one")
}

fn problem(text: &str) -> NotaryError {
    NotaryError::Missing(text.to_owned())
}
