//! Pages of the log for those that are behind, and for whoever reads it as a whole.
//!
//! A page is a subscription that is left after some events: only subscriptions can be filtered by the
//! server. So they are polled on threads that can be thrown out of them, see [`super::ended`].

use std::sync::Arc;

use eventstore::{Client, SubscriptionEvent};
use execution_ledger_domain::Digest;
use futures::StreamExt;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::Shared;
use super::ended::leaving_what_has_ended;
use super::following::{fact, messages};
use super::line::Failure;
use super::reading::longer;
use super::session::{PAUSE_MIN, connected_client};
use crate::port::{Position, Recorded, StoreError, With};
use crate::sqlite::recent::bytes_of;

/// Size after which a read of the whole log takes no further event, in bytes.
const READ_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Threads that read pages.
pub(super) const PAGERS: usize = 2;
/// Pages that wait to be read.
pub(super) const PAGES_WAITING: usize = 256;

/// Facts with the digests of their texts.
type Facts = Vec<(Recorded, Vec<Digest>)>;

/// A page that somebody waits for.
pub(super) struct PageOrder {
    after: Position,
    until: Position,
    events: usize,
    bytes: usize,
    answer: oneshot::Sender<Result<Facts, Failure>>,
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
            let read = page(&connected, shared, &order).await?;
            client = Some(connected);
            Ok(read)
        };
        let read = timeout(patience, read).await.unwrap_or(Err(Failure::Silent(patience)));
        // Who waited and is gone needs no answer.
        drop(order.answer.send(read));
    }
}

async fn page(client: &Client, shared: &Shared, order: &PageOrder) -> Result<Facts, Failure> {
    let (after, credentials) = (order.after.max(shared.birth), shared.line().credentials.as_ref());
    let mut said = messages(client, &shared.prefix, after, credentials).await;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(message) = said.next().await {
        let at = match message.map_err(Failure::Told)? {
            SubscriptionEvent::EventAppeared(event) => {
                let at = event.event.as_ref().map_or(0, |event| event.position.commit);
                if let Some((event, texts)) = fact(&shared.prefix, event) {
                    bytes += bytes_of(&event);
                    events.push((event, texts));
                }
                Position::new(at)
            }
            SubscriptionEvent::Checkpoint(at) => Position::new(at.commit),
            SubscriptionEvent::CaughtUp => break,
            _ => continue,
        };
        if events.len() >= order.events || bytes >= order.bytes || at >= order.until {
            break;
        }
    }
    Ok(events)
}

impl Shared {
    /// Events after a position, up to one that is known to be there; empty where there are none.
    pub(super) async fn page(
        &self,
        (after, until): (Position, Position),
        (events, bytes): (usize, usize),
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        let waits = self.line().waits;
        let deadline = Instant::now() + waits.answer;
        let mut pause = PAUSE_MIN;
        loop {
            let (answer, answered) = oneshot::channel();
            let order = PageOrder { after, until, events, bytes, answer };
            let sent = timeout(waits.attempt, self.pages.send(order)).await;
            let failure = match sent {
                Ok(Ok(())) => match timeout(waits.attempt * 2, answered).await {
                    Ok(Ok(Ok(page))) => {
                        self.line().is_well();
                        return self.with_texts(page, with).await;
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
                return Err(StoreError::Fault(failure.to_string()));
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
