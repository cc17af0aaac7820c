//! The messages about activities, made once for all who watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use execution_ledger_projections::{Announcement, QueryError, Views};
use execution_ledger_store::{EventStore, Position, StoreError, Subscription, With};
use tokio::sync::{Mutex, broadcast};

/// Messages that a watcher may be behind: then it is too slow.
pub(crate) const BEHIND_MAX: usize = 1_024;
/// Events that are read at a time for a watcher that resumes.
const PAGE: usize = 500;

/// The messages of an event and whose they are, ready to be sent.
pub(crate) struct Message {
    /// Whose it is, and where.
    pub announcement: Announcement,
    /// The messages as JSON.
    pub json: Vec<String>,
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

/// The messages of those who watch activities. Follows the log only while somebody watches.
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
            for recorded in batch.iter() {
                match self.message(recorded).await {
                    // Nobody watches any more: seen with the next batch.
                    Ok(Some(message)) => drop(sender.send(message)),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(%error, "a message about an activity can't be made");
                        *self.running.lock().await = None;
                        return;
                    }
                }
                position.store(recorded.position.number(), Ordering::Release);
            }
        }
        // The sender ends with this: all who watch are told that the feed is over.
        *self.running.lock().await = None;
    }

    async fn message(
        &self,
        recorded: &execution_ledger_store::Recorded,
    ) -> Result<Option<Arc<Message>>, FeedError> {
        let Some(announcement) = self.views.announcement(recorded).await? else { return Ok(None) };
        let json = announcement.events.iter().map(serde_json::to_string);
        let json = json
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Fault(format!("a message is no JSON: {error}")))?;
        Ok(Some(Arc::new(Message { announcement, json })))
    }

    /// The messages after a position, of at most a page of events, and how far that page went;
    /// nothing where the log ends there.
    pub async fn page(
        &self,
        after: Position,
    ) -> Result<Option<(Vec<Arc<Message>>, Position)>, FeedError> {
        let events = self.store.read_all(after, PAGE, With::EventsOnly).await?;
        let Some(last) = events.last().map(|event| event.position) else { return Ok(None) };
        let mut messages = Vec::new();
        for recorded in &events {
            messages.extend(self.message(recorded).await?);
        }
        Ok(Some((messages, last)))
    }
}
