//! Following the log: first what is stored, then what comes.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::recent::{News, Recent};
use super::rows::{self, Limit};
use crate::port::{Batch, Feed, Position, StoreError, With};
use crate::readers::Readers;

/// What a follower that is behind reads at a time.
const PAGE: Limit = Limit { events: 512, bytes: 4 * 1024 * 1024 };

/// A follower of a log that grows. It holds its position and nothing else, so a dropped future
/// loses nothing and a slow follower costs nothing.
pub(super) struct LiveFeed {
    after: Position,
    readers: Readers,
    recent: Arc<Recent>,
    news: watch::Receiver<News>,
}

impl LiveFeed {
    pub(super) fn new(after: Position, readers: Readers, recent: Arc<Recent>) -> Self {
        let news = recent.news();
        Self { after, readers, recent, news }
    }

    async fn following(&self) -> Result<Batch, StoreError> {
        if let Some(batch) = self.recent.after(self.after) {
            return Ok(batch);
        }
        let page = page(&self.readers, self.after).await?;
        if page.is_empty() {
            let gap =
                format!("no event is stored after {}, though there should be", self.after.number());
            return Err(StoreError::Fault(gap));
        }
        Ok(page)
    }
}

#[async_trait]
impl Feed for LiveFeed {
    async fn next(&mut self) -> Option<Result<Batch, StoreError>> {
        loop {
            let News { head, closed } = *self.news.borrow_and_update();
            if closed {
                return None;
            }
            if head > self.after {
                break;
            }
            // The sender is gone only with the store itself.
            self.news.changed().await.ok()?;
        }
        let batch = self.following().await;
        if let Ok(batch) = &batch {
            self.after = batch.last().map_or(self.after, |last| last.position);
        }
        Some(batch)
    }
}

/// A reader of a log that nobody here writes: ends where the log ended when it got there.
pub(super) struct StoredFeed {
    pub(super) after: Position,
    pub(super) readers: Readers,
}

#[async_trait]
impl Feed for StoredFeed {
    async fn next(&mut self) -> Option<Result<Batch, StoreError>> {
        match page(&self.readers, self.after).await {
            Ok(page) => {
                self.after = page.last()?.position;
                Some(Ok(page))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

async fn page(readers: &Readers, after: Position) -> Result<Batch, StoreError> {
    readers
        .read(move |connection| rows::after(connection, after, PAGE, With::Contents))
        .await
        .map(Batch::from)
}
