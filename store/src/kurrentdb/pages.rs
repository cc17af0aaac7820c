//! Pages of the log for those that are behind, and for whoever reads it as a whole.
//!
//! A page is a subscription that is left after some events: only subscriptions can be filtered by the
//! server. So they are polled on threads that can be thrown out of them, see [`super::ended`].

use std::sync::Arc;

use eventstore::{Client, Position as Place, ResolvedEvent, SubscriptionEvent};
use futures::StreamExt;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::ended::leaving_what_has_ended;
use super::following::messages;
use super::known::Reached;
use super::line::Failure;
use super::reading::{fault, longer, place};
use super::session::{PAUSE_MIN, connected_client};
use super::texts::{Facts, Seen, Texts, seen};
use crate::port::{Position, Recorded, StoreError, With};
use crate::sqlite::recent::bytes_of;

/// Size after which a read of the whole log takes no further event, in bytes.
const READ_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Threads that read pages.
pub(super) const PAGERS: usize = 2;
/// Pages that wait to be read.
pub(super) const PAGES_WAITING: usize = 256;

/// Events that are passed over in a page in which nothing is found.
const PASSED_OVER_MAX: usize = 4_096;

/// A page that somebody waits for.
pub(super) struct PageOrder {
    wish: Wish,
    answer: oneshot::Sender<Result<Page, Failure>>,
}

/// What is wanted of a page.
#[derive(Clone, Copy)]
struct Wish {
    /// From where the server reads: a record's place.
    from: Place,
    /// After which position facts are wanted.
    after: Position,
    /// Where there is one at the latest.
    until: Position,
    events: usize,
    bytes: usize,
    with: With,
}

/// What was read of the log in one go.
pub(super) struct Page {
    facts: Facts,
    texts: Texts,
    reached: Reached,
    bytes: usize,
    passed_over: usize,
}

impl Page {
    fn from(from: Place) -> Self {
        let (facts, texts) = (Facts::new(), Texts::new());
        Self { facts, texts, reached: Reached::at(from), bytes: 0, passed_over: 0 }
    }

    fn take(&mut self, shared: &Shared, wish: &Wish, event: ResolvedEvent) {
        if let Some(event) = &event.event {
            self.reached.record(event.position);
        }
        match seen(&shared.prefix, event) {
            Seen::Fact(fact, texts) if fact.position > wish.after => {
                self.bytes += bytes_of(&fact);
                self.facts.push((fact, texts));
            }
            Seen::Text(event, sha256, content) => {
                self.bytes += content.text.len();
                self.texts.insert((event, sha256), content);
            }
            Seen::Gone(gone) => self.texts.retain(|(event, _), _| *event != gone),
            Seen::Fact(..) | Seen::Nothing => self.passed_over += 1,
        }
    }

    fn is_full(&self, wish: &Wish) -> bool {
        self.facts.len() >= wish.events
            || self.bytes >= wish.bytes
            || self.reached.place.commit >= wish.until.number()
            || (self.facts.is_empty() && self.passed_over >= PASSED_OVER_MAX)
    }
}

/// Reads pages until the store is closed: a pager's thread.
pub(super) fn read_pages(shared: &Arc<Shared>, orders: &Mutex<mpsc::Receiver<PageOrder>>) {
    let mut pause = PAUSE_MIN;
    while !shared.is_closed() {
        // An order that is cut off is dropped: who waits for it orders it again.
        let done = leaving_what_has_ended(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(serve_pages(shared, orders));
            runtime.shutdown_background();
            Some(())
        });
        if let Ok(Some(())) = done {
            return;
        }
        shared.rest(pause);
        pause = longer(pause);
    }
}

async fn serve_pages(shared: &Shared, orders: &Mutex<mpsc::Receiver<PageOrder>>) {
    let line = shared.line();
    let mut closed = shared.closing();
    let mut client: Option<Client> = None;
    loop {
        let order = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return,
            order = async { orders.lock().await.recv().await } => order,
        };
        let Some(order) = order else { return };
        if order.answer.is_closed() {
            continue;
        }
        let patience = line.waits.attempt;
        let read = async {
            let connected = match client.take() {
                Some(connected) => connected,
                None => connected_client(line.settings.clone()).await?,
            };
            let read = page(&connected, shared, &order.wish).await?;
            client = Some(connected);
            Ok(read)
        };
        let read = timeout(patience, read).await.unwrap_or(Err(Failure::Silent(patience)));
        // Who waited and is gone needs no answer.
        drop(order.answer.send(read));
    }
}

async fn page(client: &Client, shared: &Shared, wish: &Wish) -> Result<Page, Failure> {
    // Half of what is waited for, so that what was read until then is not for nothing.
    let patience = shared.line().waits.attempt / 2;
    let deadline = Instant::now() + patience;
    let credentials = shared.line().credentials.as_ref();
    let mut said = messages(client, &shared.prefix, wish.from, wish.with, credentials).await;
    let mut page = Page::from(wish.from);
    loop {
        let message = match timeout_at(deadline, said.next()).await {
            Ok(Some(message)) => message.map_err(Failure::Told)?,
            Ok(None) => return Err(Failure::Broken("the subscription is over".to_owned())),
            Err(_) if page.reached.place.commit > wish.from.commit => return Ok(page),
            Err(_) => return Err(Failure::Silent(patience)),
        };
        match message {
            SubscriptionEvent::EventAppeared(event) => {
                page.take(shared, wish, event);
                if page.is_full(wish) {
                    return Ok(page);
                }
            }
            SubscriptionEvent::Checkpoint(at) => page.reached.checkpoint(at),
            // Where nothing was found yet the server has not got as far as we know that there is more.
            SubscriptionEvent::CaughtUp if !page.facts.is_empty() => return Ok(page),
            _ => {}
        }
    }
}

impl Shared {
    /// Events after a position, up to one that is known to be there; empty where there are none.
    pub(super) async fn page(
        &self,
        (after, until): (Position, Position),
        (events, bytes): (usize, usize),
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        let from = self.place_before(after).await?;
        let mut wish = Wish { from, after, until, events, bytes, with };
        loop {
            let page = self.page_of(wish).await?;
            let reached = page.reached.place;
            self.known.read(reached);
            let may_come = reached.commit < until.number();
            if page.facts.is_empty() && may_come && reached.commit > wish.from.commit {
                wish.from = reached;
                continue;
            }
            for (fact, _) in &page.facts {
                self.known.read(place(fact.position));
            }
            return self.with_texts(page.facts, page.texts, with).await;
        }
    }

    /// Reads until it is answered or the time is over.
    async fn page_of(&self, wish: Wish) -> Result<Page, StoreError> {
        let waits = self.line().waits;
        let deadline = Instant::now() + waits.answer;
        let mut pause = PAUSE_MIN;
        loop {
            let (answer, answered) = oneshot::channel();
            let sent = timeout(waits.attempt, self.pages.send(PageOrder { wish, answer })).await;
            let failure = match sent {
                Ok(Ok(())) => match timeout(waits.attempt * 2, answered).await {
                    Ok(Ok(Ok(page))) => {
                        self.line().is_well();
                        return Ok(page);
                    }
                    Ok(Ok(Err(failure))) => failure,
                    Ok(Err(_)) => Failure::Broken("the server ended the read".to_owned()),
                    Err(_) => Failure::Silent(waits.attempt * 2),
                },
                Ok(Err(_)) => return Err(crate::sqlite::queue::closed()),
                Err(_) => return Err(StoreError::Busy(PAGES_WAITING)),
            };
            if self.is_closed() {
                return Err(crate::sqlite::queue::closed());
            }
            if failure.is_final() {
                return Err(fault(&failure));
            }
            self.line().is_in_trouble(&failure.to_string());
            if Instant::now() + pause >= deadline {
                return Err(StoreError::TimedOut(waits.answer.as_secs()));
            }
            tokio::time::sleep(pause).await;
            pause = longer(pause);
        }
    }

    /// Events of all streams after a position.
    pub(super) async fn after(
        &self,
        after: Position,
        limit: usize,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut head = self.known_head();
        if head <= after {
            head = self.end_of_log().await?;
        }
        if head <= after {
            return Ok(Vec::new());
        }
        self.page((after, head), (limit, READ_MAX_BYTES), with).await
    }
}
