//! Following the log: one subscription for the whole store, to facts and their texts, which ends up in
//! memory that all followers share.
//!
//! A subscription of the crate must be polled on a thread that can be thrown out of it (see
//! [`super::ended`]), so the follower has one, and so have the readers of pages, which are
//! subscriptions too: only those can be filtered by the server.

use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use eventstore::{
    Client, Credentials, Position as Place, ResolvedEvent, StreamPosition, SubscribeToAllOptions,
    SubscriptionEvent, SubscriptionFilter,
};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::ended::{Cut, leaving_what_has_ended};
use super::form::Prefix;
use super::known::Reached;
use super::line::Failure;
use super::memory::Held;
use super::pages::{PAGERS, PageOrder, read_pages};
use super::reading::{longer, place};
use super::session::{PAUSE_MIN, connected_client};
use super::texts::{Facts, Gathering, Seen, Texts, seen};
use crate::port::{Recorded, With};

/// Events that the follower passes on together, at most.
const GROUP_EVENTS: usize = 512;
/// Texts that it takes in meanwhile, at most.
const GROUP_TEXTS: usize = 4 * GROUP_EVENTS;
/// How often the follower looks whether its silence can be right, in seconds.
const LOOK_S: u64 = 5;
/// Events of others after which the server tells where it is, so that they are not read again.
const WINDOW_EVENTS: u32 = 1_000;
/// The fact that tells of an erased text: what is kept in memory may hold it.
const ERASED: &str = "content.erased";

pub(super) type Messages =
    Pin<Box<dyn Stream<Item = eventstore::Result<SubscriptionEvent>> + Send>>;

/// What the server says from after a record's place on, texts before their facts where they are asked
/// for. Safe to wait for and to stop waiting for.
pub(super) async fn messages(
    client: &Client,
    prefix: &Prefix,
    after: Place,
    with: With,
    credentials: Option<&Credentials>,
) -> Messages {
    let filter = SubscriptionFilter::on_stream_name().add_prefix(prefix.as_str());
    let filter = match with {
        With::Contents => filter.add_prefix(prefix.text_streams()),
        With::EventsOnly => filter,
    };
    let options = SubscribeToAllOptions::default().filter(filter.max(WINDOW_EVENTS));
    let options = options.position(if after.commit == 0 {
        StreamPosition::Start
    } else {
        StreamPosition::Position(after)
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
    // From where the followers' memory begins, not from the last fact that is known: one may have been
    // appended since, and must not be left out.
    let mut follower = Follower {
        reached: Reached::at(place(shared.recent.head().max(shared.birth))),
        held: Held::default(),
    };
    let mut pause = PAUSE_MIN;
    while !shared.is_closed() {
        let (began, before) = (Instant::now(), follower.reached.place.commit);
        let followed = leaving_what_has_ended(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => {
                    let followed = runtime.block_on(follow_once(shared, &mut follower));
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
        let after = follower.reached.place.commit;
        if after > before || began.elapsed() > Duration::from_secs(LOOK_S) {
            pause = PAUSE_MIN;
        }
        shared.line().is_in_trouble(&why);
        shared.line().reconnected();
        tracing::debug!(%why, after, "following the event log begins again");
        shared.rest(pause);
        pause = longer(pause);
    }
}

/// What a follower keeps from one subscription to the next.
struct Follower {
    /// After which place it goes on.
    reached: Reached,
    /// Texts whose facts did not come yet.
    held: Held,
}

async fn follow_once(shared: &Shared, follower: &mut Follower) -> Result<(), Failure> {
    let line = shared.line();
    let patience = line.waits.connect;
    let client = timeout(patience, connected_client(line.settings.clone())).await;
    let client = client.map_err(|_| Failure::Silent(patience))??;
    let (after, known) = (follower.reached.place, line.credentials.as_ref());
    let mut said = messages(&client, &shared.prefix, after, With::Contents, known).await;
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
                        let (head, at) = (shared.known_head().number(), follower.reached.place.commit);
                        if !confirmed || missing.is_some_and(|missed| missed > at) {
                            return Err(Failure::Silent(look));
                        }
                        missing = (head > at).then_some(head);
                        continue;
                    }
                },
            }
        };
        match message.map_err(Failure::Told)? {
            SubscriptionEvent::EventAppeared(event) => {
                let mut group = Group::default();
                kept = group.gather(&shared.prefix, &mut follower.held, event, &mut said);
                if !pass_on(shared, group.facts, group.texts).await {
                    return Ok(());
                }
                if let Some(last) = group.last {
                    follower.reached.record(last);
                }
            }
            SubscriptionEvent::Checkpoint(at) => follower.reached.checkpoint(at),
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

/// Facts that are passed on together, with those of their texts that came before them.
#[derive(Default)]
struct Group {
    facts: Facts,
    texts: Texts,
    /// The place of the last record.
    last: Option<Place>,
}

impl Group {
    /// Takes in an event and those that are there already; answers what came after them, if it was
    /// something else.
    fn gather(
        &mut self,
        prefix: &Prefix,
        held: &mut Held,
        first: ResolvedEvent,
        said: &mut Messages,
    ) -> Option<Said> {
        let mut taken = 0;
        let mut next = Some(first);
        while let Some(event) = next.take() {
            self.take(prefix, held, event);
            taken += 1;
            if self.facts.len() >= GROUP_EVENTS || taken >= GROUP_EVENTS + GROUP_TEXTS {
                return None;
            }
            match said.next().now_or_never() {
                Some(Some(Ok(SubscriptionEvent::EventAppeared(event)))) => next = Some(event),
                Some(other) => return other,
                None => {}
            }
        }
        None
    }

    fn take(&mut self, prefix: &Prefix, held: &mut Held, event: ResolvedEvent) {
        self.last = event.event.as_ref().map(|event| event.position).or(self.last);
        match seen(prefix, event) {
            Seen::Fact(fact, texts) => {
                let came = held.take(fact.id).into_iter();
                self.texts.extend(came.map(|(sha256, text)| ((fact.id, sha256), text)));
                self.facts.push((fact, texts));
            }
            Seen::Text(event, sha256, content) => held.put(event, sha256, content),
            Seen::Gone(event) => drop(held.take(event)),
            Seen::Nothing => {}
        }
    }
}

/// Passes facts on to all followers; false where the store was closed meanwhile.
async fn pass_on(shared: &Shared, facts: Facts, texts: Texts) -> bool {
    let mut pause = PAUSE_MIN;
    let mut gathering = Gathering::of(facts, texts);
    loop {
        match gathering.ask(shared).await {
            Ok(()) => {
                // As long as this is held nothing more is taken away: what is published before is
                // forgotten afterwards.
                let erased = shared.erased.lock();
                if gathering.is_complete(&erased) {
                    publish(shared, gathering.into_events());
                    return true;
                }
            }
            Err(_) if shared.is_closed() => return false,
            // It is told of where it was found; followers wait, as they do for new events.
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause = longer(pause);
            }
        }
    }
}

fn publish(shared: &Shared, events: Vec<Recorded>) {
    let Some(last) = events.last() else { return };
    shared.stamps.seen(last.recorded_at);
    shared.saw(last.position);
    for event in &events {
        shared.known.passed(event.position);
    }
    if events.iter().any(|event| event.type_name == ERASED) {
        shared.recent.forget();
    }
    shared.recent.publish(events);
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
