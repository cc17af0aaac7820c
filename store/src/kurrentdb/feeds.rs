//! Followers of the log: what was passed on last comes from memory that all share, the rest in pages.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::Shared;
use super::reading::longer;
use super::session::PAUSE_MIN;
use crate::port::{Batch, Feed, Position, StoreError, With};
use crate::sqlite::recent::News;

/// Events that a follower who is behind reads at a time.
const PAGE_EVENTS: usize = 2_048;
/// Size after which a page takes no further event, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

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
