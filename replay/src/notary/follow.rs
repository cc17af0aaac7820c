//! The notary at work: it follows the log, completes the tree, and signs what it finds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use execution_ledger_domain::{Digest, Timestamp};
use execution_ledger_store::{Batch, Clock, EventStore, Position, Recorded, With};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::audit::{Audit, Halt};
use super::key::signer;
use super::{
    Asked, Checkpoints, ENTRY_MAX_BYTES, Kept, KeyChain, LogTree, NotaryError, SignedCheckpoint,
    Signer, TileDir, Verifier, encode,
};

/// Between two checkpoints, at least, while events keep coming; one that comes after a longer
/// silence is signed at once.
const SIGN_EVERY: Duration = Duration::from_secs(10);
/// How long it waits after a fault before it begins again from the disk.
const RETRY: Duration = Duration::from_secs(5);
/// Events that are read at a time where nothing pushes them.
const PAGE_EVENTS: usize = 512;

/// What the notary is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It reads what it has missed; nothing is signed.
    CatchingUp,
    /// It follows the log and signs.
    Live,
    /// Something can't be read or written; it tries again.
    Waiting(String),
    /// Log and checkpoints disagree: something was changed that must never change. Nothing is signed
    /// any more.
    Alarm(String),
}

impl State {
    /// In one word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CatchingUp => "catching_up",
            Self::Live => "live",
            Self::Waiting(_) => "waiting",
            Self::Alarm(_) => "alarm",
        }
    }
}

/// The notary. Cheap to clone.
#[derive(Clone)]
pub struct Notary(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    checkpoints: Checkpoints,
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    signer: Signer,
    inner: Mutex<Inner>,
    /// Told of each new checkpoint.
    signed: Notify,
}

struct Inner {
    state: State,
    tree: Option<LogTree>,
    latest: Option<SignedCheckpoint>,
    /// The latest one is by a key before.
    by_key_before: bool,
}

impl Notary {
    /// In its folder, which must be there, with the seed of its key. Reads no more than its key's
    /// files; [`Notary::run`] does the rest.
    ///
    /// # Errors
    /// Where the key's public half can't be read or written.
    pub fn open(
        folder: PathBuf,
        seed: &[u8; 32],
        store: Arc<dyn EventStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NotaryError> {
        let signer = signer(&folder, seed, store.log_id())?;
        let checkpoints = Checkpoints::in_folder(&folder);
        let inner = Mutex::new(Inner {
            state: State::CatchingUp,
            tree: None,
            latest: None,
            by_key_before: false,
        });
        metrics::gauge!("ledger_notary_alarm").set(0.0);
        Ok(Self(Arc::new(Shared {
            folder,
            checkpoints,
            store,
            clock,
            signer,
            inner,
            signed: Notify::new(),
        })))
    }

    /// The folder that it keeps its files in.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Who can check its signatures.
    pub fn verifier(&self) -> &Verifier {
        self.0.signer.verifier()
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.inner().state.clone()
    }

    /// The latest checkpoint; `None` before the first one, and while it does not know whether the log
    /// agrees with it.
    pub fn checkpoint(&self) -> Option<SignedCheckpoint> {
        self.inner().latest.clone()
    }

    /// A tile or a bundle of entries; `None` where the tree does not reach so far.
    ///
    /// # Errors
    /// Where tile or log can't be read.
    pub async fn tile(&self, asked: Asked) -> Result<Option<Vec<u8>>, NotaryError> {
        match asked {
            Asked::Hashes(tile, width) => {
                let hashes = self.blocking(move |this| match &this.inner().tree {
                    Some(tree) => tree.hashes(tile, width),
                    None => Ok(None),
                });
                Ok(hashes.await?.map(|hashes| hashes.iter().flat_map(|hash| hash.0).collect()))
            }
            Asked::Entries(index, width) => self.bundle(index, width).await,
        }
    }

    async fn bundle(&self, index: u64, width: u64) -> Result<Option<Vec<u8>>, NotaryError> {
        let place = self.inner().tree.as_ref().and_then(|tree| tree.bundle(index));
        let Some((after, count)) = place else { return Ok(None) };
        if width > count {
            return Ok(None);
        }
        let (mut after, mut missing) = (Position::new(after), usize::try_from(width).unwrap_or(0));
        let mut bundle = Vec::new();
        while missing > 0 {
            let events = self.0.store.read_all(after, missing, With::EventsOnly).await?;
            let Some(last) = events.last() else { return Ok(None) };
            after = last.position;
            missing = missing.saturating_sub(events.len());
            for recorded in &events {
                let entry = encode(recorded);
                let length = u16::try_from(entry.len()).map_err(|_| {
                    let position = recorded.position.number();
                    NotaryError::Missing(format!(
                        "the names of event {position} are longer than {ENTRY_MAX_BYTES} bytes"
                    ))
                })?;
                bundle.extend(length.to_be_bytes());
                bundle.extend(entry);
            }
        }
        Ok(Some(bundle))
    }

    /// Follows the log until `stop` is done, and signs what there is at last. Ends early where log and
    /// checkpoints disagree. To be called once.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        loop {
            let (halt, stopped) = tokio::select! {
                followed = self.follow() => (followed.err(), false),
                () = &mut stop => (self.finish().await.err(), true),
            };
            match halt {
                None => return,
                Some(Halt::Disagreement(reason)) => return self.alarm(reason),
                Some(Halt::Fault(fault)) if stopped => {
                    tracing::warn!(error = %fault, "the last events are signed at the next start");
                    return;
                }
                Some(Halt::Fault(fault)) => {
                    tracing::warn!(error = %fault, "the notary waits and tries again");
                    self.inner().state = State::Waiting(fault.to_string());
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = &mut stop => return,
            }
        }
    }

    /// Reads what there is and signs it; what it was doing at last. For a log that nobody appends to.
    pub async fn sign_all(&self) -> State {
        let done = match self.begin().await {
            Ok(()) => self.finish().await,
            Err(halt) => Err(halt),
        };
        match done {
            Ok(()) => {}
            Err(Halt::Disagreement(reason)) => self.alarm(reason),
            Err(Halt::Fault(fault)) => self.inner().state = State::Waiting(fault.to_string()),
        }
        self.state()
    }

    /// Ends with the store.
    async fn follow(&self) -> Result<(), Halt> {
        self.begin().await?;
        self.keep_up().await
    }

    /// Catches up with the log as it is.
    async fn begin(&self) -> Result<(), Halt> {
        let chain = self.keys().await?;
        let head = self.0.store.head().await.map_err(NotaryError::from)?;
        let mended = self.blocking(|this| this.0.checkpoints.mend());
        mended.await?;
        let tiles = TileDir::in_folder(&self.0.folder, self.0.store.log_id());
        let (from, until) = (tiles.clone(), head.number());
        let tree = self.blocking(move |_| LogTree::resume(from, until, true)).await?;
        let resumed = tree.size();
        if let Err(halt) = self.catch_up(tree, head, &chain).await {
            if resumed == 0 || matches!(halt, Halt::Fault(_)) {
                return Err(halt);
            }
            // It may be the tiles that are wrong: they can be made anew, checkpoints can't.
            tracing::warn!("tiles and checkpoints disagree; the tree is made anew from the log");
            self.catch_up(LogTree::anew(tiles, true)?, head, &chain).await?;
        }
        self.inner().state = State::Live;
        Ok(())
    }

    /// The keys before, which must lead to its own.
    async fn keys(&self) -> Result<KeyChain, Halt> {
        let chain = KeyChain::of_log(&self.0.store, self.verifier().clone()).await?;
        if chain.current() == self.verifier() {
            return Ok(chain);
        }
        Err(Halt::Disagreement(format!(
            "the log tells that {} signs, and the key here is {}",
            chain.current(),
            self.verifier()
        )))
    }

    /// Up to the end of the log as it was, comparing with each checkpoint on the way.
    async fn catch_up(&self, tree: LogTree, head: Position, chain: &KeyChain) -> Result<(), Halt> {
        let chain = chain.clone();
        {
            let mut inner = self.inner();
            (inner.state, inner.latest, inner.tree) = (State::CatchingUp, None, None);
        }
        let (mut tree, mut audit) = self
            .blocking(move |this| {
                let audit = Audit::begin(&this.0.checkpoints, &chain, &tree)?;
                Ok::<_, Halt>((tree, audit))
            })
            .await?;
        while tree.position() < head.number() {
            let after = Position::new(tree.position());
            let read = self.0.store.read_all(after, PAGE_EVENTS, With::EventsOnly).await;
            let events = read.map_err(NotaryError::from)?;
            if events.is_empty() {
                break;
            }
            (tree, audit) = self
                .blocking(move |_| {
                    for recorded in &events {
                        tree.push(recorded)?;
                        audit.pass(&tree)?;
                    }
                    Ok::<_, Halt>((tree, audit))
                })
                .await?;
        }
        let last = audit.end(&tree)?;
        let mut inner = self.inner();
        inner.latest = last.map(|kept| kept.signed);
        inner.by_key_before =
            inner.latest.as_ref().is_some_and(|latest| !latest.is_by(self.verifier()));
        inner.tree = Some(tree);
        Ok(())
    }

    async fn keep_up(&self) -> Result<(), Halt> {
        let after = self.inner().tree.as_ref().map_or(0, LogTree::position);
        let subscribed = self.0.store.subscribe(Position::new(after)).await;
        let mut log = subscribed.map_err(NotaryError::from)?;
        let mut next = Instant::now();
        loop {
            tokio::select! {
                batch = log.next() => {
                    let Some(batch) = batch else { return Ok(()) };
                    let batch: Batch = batch.map_err(NotaryError::from)?;
                    self.blocking(move |this| this.absorb(&batch)).await?;
                }
                () = tokio::time::sleep_until(next), if self.is_unsigned() => {
                    self.blocking(Self::sign).await?;
                    next = Instant::now() + SIGN_EVERY;
                }
            }
        }
    }

    /// Takes in what the log has, and signs it.
    async fn finish(&self) -> Result<(), Halt> {
        if self.state() != State::Live {
            return Ok(());
        }
        let head = self.0.store.head().await.map_err(NotaryError::from)?;
        loop {
            let at = self.inner().tree.as_ref().map_or(0, LogTree::position);
            let after = Position::new(at);
            let read = self.0.store.read_all(after, PAGE_EVENTS, With::EventsOnly).await;
            let mut events = read.map_err(NotaryError::from)?;
            events.retain(|recorded| recorded.position <= head);
            if events.is_empty() {
                break;
            }
            self.blocking(move |this| this.absorb(&events)).await?;
        }
        if self.is_unsigned() {
            self.blocking(Self::sign).await?;
        }
        Ok(())
    }

    fn absorb(&self, events: &[Recorded]) -> Result<(), NotaryError> {
        let mut inner = self.inner();
        let Some(tree) = &mut inner.tree else { return Ok(()) };
        // One that is stopped in the middle may have been given some of them already.
        let position = tree.position();
        for recorded in events.iter().filter(|recorded| recorded.position.number() > position) {
            tree.push(recorded)?;
        }
        Ok(())
    }

    fn is_unsigned(&self) -> bool {
        let inner = self.inner();
        let signed = inner.latest.as_ref().map_or(0, |latest| latest.checkpoint.size);
        inner.by_key_before || inner.tree.as_ref().is_some_and(|tree| tree.size() > signed)
    }

    /// Signs the tree as it is. Nobody sees a checkpoint before it is on the disk: what was published
    /// must be known after a crash.
    fn sign(&self) -> Result<(), NotaryError> {
        let Some((size, root)) = self.inner().tree.as_ref().map(|tree| (tree.size(), tree.root()))
        else {
            return Ok(());
        };
        let signed = self.0.signer.sign(size, root);
        self.0.checkpoints.append(&Kept { at: self.0.clock.now(), signed: signed.clone() })?;
        metrics::counter!("ledger_notary_checkpoints_total").increment(1);
        metrics::gauge!("ledger_notary_size").set(size as f64);
        let mut inner = self.inner();
        (inner.latest, inner.by_key_before) = (Some(signed), false);
        drop(inner);
        self.0.signed.notify_one();
        Ok(())
    }

    /// Until there is a checkpoint that nobody has waited for.
    pub(super) async fn signed(&self) {
        self.0.signed.notified().await;
    }

    /// The checkpoints that witnesses have signed.
    pub(super) fn cosigned(&self) -> Checkpoints {
        Checkpoints::cosigned_in(&self.0.folder)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The hashes that show that the tree of `size` leaves began as that of `old`.
    pub(super) async fn grown_from(&self, old: u64, size: u64) -> Result<Vec<Digest>, NotaryError> {
        self.blocking(move |this| match &this.inner().tree {
            Some(tree) => tree.consistency(old, size),
            None => Err(NotaryError::Missing("there is no tree yet".to_owned())),
        })
        .await
    }

    /// Shows the latest checkpoint with the signatures of witnesses.
    pub(super) fn publish_cosigned(&self, cosigned: SignedCheckpoint) {
        let mut inner = self.inner();
        if inner.latest.as_ref().is_some_and(|latest| latest.checkpoint == cosigned.checkpoint) {
            inner.latest = Some(cosigned);
        }
    }

    fn alarm(&self, reason: String) {
        tracing::error!(
            reason,
            "ALARM: the log is not what the notary signed; nothing is signed any more; see `verify`"
        );
        metrics::gauge!("ledger_notary_alarm").set(1.0);
        let mut inner = self.inner();
        (inner.state, inner.latest, inner.tree) = (State::Alarm(reason), None, None);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what blocks on a thread for it. It ends there even where nobody waits for it any more.
    pub(super) async fn blocking<T, E>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<NotaryError> + Send + 'static,
    {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this)).await.unwrap_or_else(|panic| {
            Err(NotaryError::Missing(format!("the notary's work panicked: {panic}")).into())
        })
    }
}
