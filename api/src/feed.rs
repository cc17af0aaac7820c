//! The messages about activities, and about what else changes, made once for all who watch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use execution_ledger_projections::{Announcement, QueryError, Views};
use execution_ledger_store::{
    EventStore, LogPosition, Position, Recorded, StoreError, Subscription, With,
};
use serde::Serialize;
use tokio::sync::{Mutex, broadcast};

/// Messages that a watcher may be behind: then it is too slow.
pub(crate) const BEHIND_MAX: usize = 1_024;
/// Events that are read at a time for a watcher that resumes.
const PAGE: usize = 500;

/// Messages that are ready to be sent.
pub(crate) struct Message {
    /// The log up to here has been told of by them.
    pub position: Position,
    /// What they tell.
    pub told: Told,
}

/// What messages tell, as JSON.
pub(crate) enum Told {
    /// An activity, and whose it is.
    Activity(Announcement, Vec<String>),
    /// Something else has changed.
    Change {
        /// For those who may see everything.
        all: String,
        /// For everybody else, where it concerns them.
        others: Option<String>,
    },
}

/// Something changed that is no activity: for those who show it and look again.
#[derive(Serialize)]
pub(crate) struct ChangeEvent<'m> {
    /// `changed`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What: the kinds of streams, `agent` or `schedule` for example.
    parts: &'m [&'m str],
    /// Where the log is by then.
    position: &'m str,
}

/// The streams of agents: whoever may watch may see that there are agents.
const AGENT: &str = "agent";
/// Streams of which watchers are told nothing: who looked at what, which node hosts what.
const UNTOLD: [&str; 2] = ["access", "lease"];

fn json(message: &impl Serialize) -> Result<String, FeedError> {
    let json = serde_json::to_string(message);
    Ok(json.map_err(|error| StoreError::Fault(format!("a message is no JSON: {error}")))?)
}

/// Why messages can't be made.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A message could not be made from an event.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// The messages of those who watch. Follows the log only while somebody watches.
pub(crate) struct ActivityFeed {
    store: Arc<dyn EventStore>,
    views: Views,
    running: Mutex<Option<Running>>,
}

struct Running {
    sender: broadcast::Sender<Arc<Message>>,
    /// The log up to here is sent.
    position: Arc<AtomicU64>,
}

/// A watcher's place: everything after `from` is, or will be, in `live`.
pub(crate) struct Joined {
    /// The log up to here must be read by the watcher itself.
    pub from: Position,
    /// What comes after it; it may repeat a little of what lies before.
    pub live: broadcast::Receiver<Arc<Message>>,
}

impl ActivityFeed {
    pub fn new(store: Arc<dyn EventStore>, views: Views) -> Self {
        Self { store, views, running: Mutex::new(None) }
    }

    /// Joins those who watch.
    pub async fn join(self: &Arc<Self>) -> Result<Joined, FeedError> {
        let mut running = self.running.lock().await;
        if let Some(going) = &*running {
            // In this order: what is sent after the first line reaches the receiver.
            let live = going.sender.subscribe();
            let from = Position::new(going.position.load(Ordering::Acquire));
            return Ok(Joined { from, live });
        }
        let from = self.store.head().await?;
        let subscription = self.store.subscribe(from).await?;
        let (sender, live) = broadcast::channel(BEHIND_MAX);
        let position = Arc::new(AtomicU64::new(from.number()));
        *running = Some(Running { sender: sender.clone(), position: Arc::clone(&position) });
        let feed = Arc::clone(self);
        tokio::spawn(async move { feed.follow(subscription, sender, position).await });
        Ok(Joined { from, live })
    }

    async fn follow(
        self: Arc<Self>,
        mut subscription: Subscription,
        sender: broadcast::Sender<Arc<Message>>,
        position: Arc<AtomicU64>,
    ) {
        loop {
            let batch = match subscription.next().await {
                Some(Ok(batch)) => batch,
                Some(Err(error)) => {
                    tracing::error!(%error, "the log can't be followed for those who watch");
                    break;
                }
                None => break,
            };
            if sender.receiver_count() == 0 {
                // Whoever joins holds the lock: nobody is forgotten.
                let mut running = self.running.lock().await;
                if sender.receiver_count() == 0 {
                    *running = None;
                    return;
                }
            }
            let messages = match self.messages(batch.iter()).await {
                Ok(messages) => messages,
                Err(error) => {
                    tracing::error!(%error, "a message about an activity can't be made");
                    *self.running.lock().await = None;
                    return;
                }
            };
            // Before they are sent: whoever joins in between reads them in the log.
            if let Some(last) = batch.last() {
                position.store(last.position.number(), Ordering::Release);
            }
            for message in messages {
                // Nobody watches any more: seen with the next batch.
                drop(sender.send(message));
            }
        }
        // The sender ends with this: all who watch are told that the feed is over.
        *self.running.lock().await = None;
    }

    /// The messages about some events; what changes beside activities is told once, after them.
    async fn messages(
        &self,
        events: impl Iterator<Item = &Recorded>,
    ) -> Result<Vec<Arc<Message>>, FeedError> {
        let (mut messages, mut parts, mut last) = (Vec::new(), BTreeSet::new(), None);
        for recorded in events {
            last = Some(recorded.position);
            match self.views.announcement(recorded).await? {
                Some(announcement) => {
                    let json = announcement.events.iter().map(json).collect::<Result<_, _>>()?;
                    let position = announcement.position;
                    let told = Told::Activity(announcement, json);
                    messages.push(Arc::new(Message { position, told }));
                }
                None if UNTOLD.contains(&recorded.stream.category()) => {}
                None => drop(parts.insert(recorded.stream.category())),
            }
        }
        if let Some(position) = last.filter(|_| !parts.is_empty()) {
            let parts: Vec<&str> = parts.into_iter().collect();
            messages.push(Arc::new(Message { position, told: self.change(&parts, position)? }));
        }
        Ok(messages)
    }

    fn change(&self, parts: &[&str], position: Position) -> Result<Told, FeedError> {
        let position = LogPosition { log: self.views.log_id().clone(), position }.to_string();
        let of = |parts| json(&ChangeEvent { kind: "changed", parts, position: &position });
        let others = parts.contains(&AGENT).then(|| of(&[AGENT])).transpose()?;
        Ok(Told::Change { all: of(parts)?, others })
    }

    /// The messages after a position and up to another, of at most a page of events, and how far that
    /// page went; nothing where the log ends there.
    pub async fn page(
        &self,
        after: Position,
        until: Position,
    ) -> Result<Option<(Vec<Arc<Message>>, Position)>, FeedError> {
        let events = self.store.read_all(after, PAGE, With::EventsOnly).await?;
        let Some(last) = events.last().map(|event| event.position) else { return Ok(None) };
        let wanted = events.iter().take_while(|event| event.position <= until);
        Ok(Some((self.messages(wanted).await?, last.min(until))))
    }
}
