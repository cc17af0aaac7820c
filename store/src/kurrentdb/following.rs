//! Following the log: one subscription for the whole store, which ends up in memory that all
//! followers share; and pages for those that are behind.
//!
//! A subscription of the crate must be polled on a thread that can be thrown out of it (see
//! [`super::ended`]), so the follower has one, and so have the readers of pages, which are
//! subscriptions too: only those can be filtered by the server.

use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use eventstore::{
    Client, Credentials, StreamPosition, SubscribeToAllOptions, SubscriptionEvent,
    SubscriptionFilter,
};
use execution_ledger_domain::Digest;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::ended::{Cut, leaving_what_has_ended};
use super::form::Prefix;
use super::line::Failure;
use super::pages::{PAGERS, PageOrder, read_pages};
use super::reading::{longer, place, recorded};
use super::session::{PAUSE_MIN, connected_client};
use crate::port::{Batch, Feed, Position, Recorded, StoreError, StoredContent, With};
use crate::sqlite::recent::News;

/// Events that the follower passes on together, at most.
const GROUP_EVENTS: usize = 512;
/// Events that a follower who is behind reads at a time.
const PAGE_EVENTS: usize = 2_048;
/// Size after which a page takes no further event, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How often the follower looks whether its silence can be right, in seconds.
const LOOK_S: u64 = 5;
/// Events of others after which the server tells where it is, so that they are not read again.
const WINDOW_EVENTS: u32 = 1_000;
/// The fact that tells of an erased text: what is kept in memory may hold it.
const ERASED: &str = "content.erased";

pub(super) type Messages =
    Pin<Box<dyn Stream<Item = eventstore::Result<SubscriptionEvent>> + Send>>;

/// What the server says from after a position on. Safe to wait for and to stop waiting for.
pub(super) async fn messages(
    client: &Client,
    prefix: &Prefix,
    after: Position,
    credentials: Option<&Credentials>,
) -> Messages {
    let filter =
        SubscriptionFilter::on_stream_name().add_prefix(prefix.as_str()).max(WINDOW_EVENTS);
    let options = SubscribeToAllOptions::default().filter(filter);
    let options = options.position(if after == Position::START {
        StreamPosition::Start
    } else {
        StreamPosition::Position(place(after))
    });
    let options = match credentials {
        Some(known) => options.authenticated(known.clone()),
        None => options,
    };
    let subscription = client.subscribe_to_all(&options).await;
    Box::pin(futures::stream::unfold(subscription, |mut subscription| async {
        let next = subscription.next_subscription_event().await;
        Some((next, subscription))
    }))
}

/// Passes on what is appended until the store is closed: the follower's thread.
pub(super) fn follow(shared: &Arc<Shared>) {
    let mut resume = shared.known_head().max(shared.birth);
    let mut pause = PAUSE_MIN;
    while !shared.is_closed() {
        let (began, before) = (Instant::now(), resume);
        let followed = leaving_what_has_ended(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    let followed = runtime.block_on(follow_once(shared, &mut resume));
                    runtime.shutdown_background();
                    followed
                }
                Err(error) => Err(Failure::Broken(error.to_string())),
            }
        });
        shared.set_live(false);
        let why = match followed {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure.to_string(),
            Err(Cut::Ended) => "the server ended the subscription".to_owned(),
            Err(Cut::Panicked(why)) => format!("the client panicked: {why}"),
        };
        if resume > before || began.elapsed() > Duration::from_secs(LOOK_S) {
            pause = PAUSE_MIN;
        }
        shared.line().is_in_trouble(&why);
        shared.line().reconnected();
        tracing::debug!(%why, after = resume.number(), "following the event log begins again");
        shared.rest(pause);
        pause = longer(pause);
    }
}

async fn follow_once(shared: &Shared, resume: &mut Position) -> Result<(), Failure> {
    let line = shared.line();
    let patience = line.waits.connect;
    let client = timeout(patience, connected_client(line.settings.clone())).await;
    let client = client.map_err(|_| Failure::Silent(patience))??;
    let mut said = messages(&client, &shared.prefix, *resume, line.credentials.as_ref()).await;
    let mut closed = shared.closing();
    let look = Duration::from_secs(LOOK_S).min(line.waits.attempt);
    let (mut confirmed, mut missing) = (false, None);
    let mut kept = None;
    loop {
        let message = if let Some(message) = kept.take() {
            message
        } else {
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => return Ok(()),
                next = timeout(look, said.next()) => match next {
                    Ok(Some(message)) => message,
                    Ok(None) => return Err(Failure::Broken("the subscription is over".to_owned())),
                    Err(_) => {
                        // An event that was acknowledged must have come since the last look.
                        let head = shared.known_head();
                        if !confirmed || missing.is_some_and(|missed| missed > *resume) {
                            return Err(Failure::Silent(look));
                        }
                        missing = (head > *resume).then_some(head);
                        continue;
                    }
                },
            }
        };
        match message.map_err(Failure::Told)? {
            SubscriptionEvent::EventAppeared(event) => {
                let (group, further) = group(&shared.prefix, event, &mut said);
                kept = further;
                if let Some(last) = group.last().map(|(event, _)| event.position) {
                    if !pass_on(shared, group).await {
                        return Ok(());
                    }
                    *resume = last.max(*resume);
                }
            }
            SubscriptionEvent::Checkpoint(at) => *resume = Position::new(at.commit).max(*resume),
            SubscriptionEvent::CaughtUp => shared.set_live(true),
            SubscriptionEvent::FellBehind => shared.set_live(false),
            SubscriptionEvent::Confirmed(_) => {
                confirmed = true;
                line.is_well();
            }
            _ => {}
        }
    }
}

type Said = eventstore::Result<SubscriptionEvent>;

/// An event and those that are there already; and what came after them, if it was something else.
fn group(
    prefix: &Prefix,
    first: eventstore::ResolvedEvent,
    said: &mut Messages,
) -> (Vec<(Recorded, Vec<Digest>)>, Option<Said>) {
    let mut events: Vec<(Recorded, Vec<Digest>)> = Vec::new();
    events.extend(fact(prefix, first));
    while events.len() < GROUP_EVENTS {
        match said.next().now_or_never() {
            Some(Some(Ok(SubscriptionEvent::EventAppeared(event)))) => {
                events.extend(fact(prefix, event));
            }
            Some(Some(other)) => return (events, Some(other)),
            Some(None) | None => break,
        }
    }
    (events, None)
}

/// The fact that an event is. What somebody else has put into a stream of ours is none.
pub(super) fn fact(
    prefix: &Prefix,
    event: eventstore::ResolvedEvent,
) -> Option<(Recorded, Vec<Digest>)> {
    recorded(prefix, event.event?).unwrap_or_else(|_| {
        metrics::counter!("ledger_log_foreign_events_total").increment(1);
        None
    })
}

/// Passes a group on to all followers; false where the store was closed meanwhile.
async fn pass_on(shared: &Shared, group: Vec<(Recorded, Vec<Digest>)>) -> bool {
    let mut pause = PAUSE_MIN;
    let (own, others): (Vec<_>, Vec<_>) = group
        .into_iter()
        .map(|(mut event, texts)| match shared.fresh.take(event.id) {
            Some(fresh) if fresh.len() == texts.len() => {
                let stored = texts.iter().zip(fresh).map(|(sha256, content)| StoredContent {
                    sha256: *sha256,
                    content: Some(content),
                });
                event.contents = stored.collect();
                (event, Vec::new())
            }
            _ => (event, texts),
        })
        .partition(|(_, texts)| texts.is_empty());
    let mut complete: Vec<Recorded> = own.into_iter().map(|(event, _)| event).collect();
    while !others.is_empty() {
        match shared.with_texts(others.clone(), With::Contents).await {
            Ok(read) => {
                complete.extend(read);
                complete.sort_unstable_by_key(|event| event.position);
                break;
            }
            Err(_) if shared.is_closed() => return false,
            // It is told of where it was found; followers wait, as they do for new events.
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = longer(pause);
    }
    let Some(last) = complete.last() else { return true };
    shared.stamps.seen(last.recorded_at);
    shared.saw(last.position);
    if complete.iter().any(|event| event.type_name == ERASED) {
        shared.recent.forget();
    }
    shared.recent.publish(complete);
    true
}

/// Starts the store's threads.
pub(super) fn start(
    shared: &Arc<Shared>,
    orders: mpsc::Receiver<PageOrder>,
    read_only: bool,
) -> std::io::Result<Vec<thread::JoinHandle<()>>> {
    let orders = Arc::new(Mutex::new(orders));
    let mut threads = Vec::with_capacity(PAGERS + 1);
    for _ in 0..PAGERS {
        let (shared, orders) = (Arc::clone(shared), Arc::clone(&orders));
        let name = "kurrentdb-pages".to_owned();
        threads
            .push(thread::Builder::new().name(name).spawn(move || read_pages(&shared, &orders))?);
    }
    if read_only {
        return Ok(threads);
    }
    let shared = Arc::clone(shared);
    let name = "kurrentdb-log".to_owned();
    threads.push(thread::Builder::new().name(name).spawn(move || follow(&shared))?);
    Ok(threads)
}

/// A follower. It holds its position and nothing else, so a dropped future loses nothing and a slow
/// follower costs nothing. A server that can't be reached is waited for.
pub(super) struct LiveFeed {
    after: Position,
    shared: Arc<Shared>,
    news: watch::Receiver<News>,
}

impl LiveFeed {
    pub(super) fn new(after: Position, shared: Arc<Shared>) -> Self {
        let news = shared.recent.news();
        Self { after, shared, news }
    }
}

#[async_trait]
impl Feed for LiveFeed {
    async fn next(&mut self) -> Option<Result<Batch, StoreError>> {
        let mut pause = PAUSE_MIN;
        loop {
            let News { head, closed } = *self.news.borrow_and_update();
            if closed {
                return None;
            }
            if head <= self.after {
                // The sender is gone only with the store itself.
                self.news.changed().await.ok()?;
                continue;
            }
            if let Some(batch) = self.shared.recent.after(self.after) {
                self.after = batch.last().map_or(self.after, |last| last.position);
                return Some(Ok(batch));
            }
            let size = (PAGE_EVENTS, PAGE_BYTES);
            match self.shared.page((self.after, head), size, With::Contents).await {
                Ok(page) => {
                    let Some(last) = page.last().map(|event| event.position) else {
                        let gap = format!(
                            "no event is stored after {}, though there should be",
                            self.after.number()
                        );
                        return Some(Err(StoreError::Fault(gap)));
                    };
                    self.after = last;
                    return Some(Ok(page.into()));
                }
                Err(_) if self.shared.is_closed() => return None,
                // Said where it was found; the server comes back, or the ledger is stopped.
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = longer(pause);
                }
            }
        }
    }
}

#[async_trait]
impl Feed for StoredFeed {
    async fn next(&mut self) -> Option<Result<Batch, StoreError>> {
        if self.after >= self.until {
            return None;
        }
        let size = (PAGE_EVENTS, PAGE_BYTES);
        match self.shared.page((self.after, self.until), size, With::Contents).await {
            Ok(page) => {
                self.after = page.last()?.position;
                Some(Ok(page.into()))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// A reader of a log that was opened for reading only: ends where the log ended when it began.
pub(super) struct StoredFeed {
    pub(super) after: Position,
    pub(super) until: Position,
    pub(super) shared: Arc<Shared>,
}
