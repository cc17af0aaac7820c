//! Taking texts away: what is to be erased is written down, then the fact is appended, then the
//! streams of the texts are deleted for ever. What was cut off is finished at the next opening of the log
//! by any node, and before anybody is told that all that was erased is gone ([`Shared::finish_erasures`]).
//!
//! Deleted for ever (a tombstone) and not only deleted: a deletion that is repeated finds it done,
//! and an append that is still under way can't bring the text back.

use eventstore::{EventData, RecordedEvent, TombstoneStreamOptions};
use execution_ledger_domain::{EventId, StreamName, Timestamp};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::Shared;
use super::reading::From;
use crate::port::{AppendError, Appended, ContentPlace, ExpectedRevision, NewEvent, StoreError};

/// Type of the adapter's own event: texts that are to be erased with a fact.
const BEGUN: &str = "erasing.begun";
/// Type of the adapter's own event: they are erased, or never will be.
const DONE: &str = "erasing.done";
/// Streams that are deleted at once.
const DELETED_AT_ONCE: usize = 16;
/// Events that are read at a time.
const PAGE_EVENTS: usize = 500;
/// Erasures that were begun and not done which are remembered: most.
const OPEN_MAX: usize = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    /// The stream of the fact that tells of it.
    stream: String,
    /// The fact.
    fact: EventId,
    /// The texts: events and digests.
    texts: Vec<(EventId, execution_ledger_domain::Digest)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Done {
    begun: Uuid,
}

/// What was read of the stream of erasures.
#[derive(Default)]
pub(super) struct Told {
    /// The revision from which it was not read yet.
    unread: u64,
    /// What was begun and not done.
    open: Vec<(Uuid, Begun)>,
}

impl Told {
    /// Answers of which events it says that something is taken away.
    fn take_in(&mut self, event: &RecordedEvent) -> Result<Vec<EventId>, serde_json::Error> {
        self.unread = event.revision.saturating_add(1);
        let mut events = Vec::new();
        match event.event_type.as_str() {
            BEGUN => {
                let begun: Begun = event.as_json()?;
                events.extend(begun.texts.iter().map(|(event, _)| *event));
                self.open.push((event.id, begun));
            }
            DONE => {
                let done: Done = event.as_json()?;
                self.open.retain(|(id, _)| *id != done.begun);
            }
            _ => {}
        }
        // The oldest were looked at before: their facts were never stored.
        self.open.drain(..self.open.len().saturating_sub(OPEN_MAX));
        Ok(events)
    }
}

impl Shared {
    /// Appends facts and takes texts away. What is cut off between the two is finished by
    /// [`Shared::finish_erasures`].
    pub(super) async fn append_events_erasing(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: &[NewEvent],
        places: &[ContentPlace],
    ) -> Result<Appended, AppendError> {
        let Some(fact) = events.first().map(|event| event.id) else {
            return Err(AppendError::Malformed("an append holds at least one event"));
        };
        let begun = Begun {
            stream: stream.to_string(),
            fact,
            texts: places.iter().map(|place| (place.event_id, place.sha256)).collect(),
        };
        let id = Uuid::now_v7();
        self.erased.note(places.iter().map(|place| place.event_id));
        self.note(BEGUN, id, &begun).await?;
        let appended = match self.append_events(stream, expected, events).await {
            Ok(appended) => appended,
            Err(error) => {
                // Nobody knows whether a fact that was not answered for is stored: the next opening
                // looks. What was refused is over.
                if !matches!(error, AppendError::Store(_)) {
                    self.note(DONE, Uuid::now_v7(), &Done { begun: id }).await?;
                }
                return Err(error);
            }
        };
        let finished = async {
            self.erase(&begun).await?;
            self.note(DONE, Uuid::now_v7(), &Done { begun: id }).await
        };
        // The fact is stored.
        finished.await.map_err(|fault| self.in_doubt(fault))?;
        Ok(appended)
    }

    async fn erase(&self, begun: &Begun) -> Result<(), StoreError> {
        let names: Vec<String> = begun
            .texts
            .iter()
            .map(|(event, sha256)| self.prefix.text_stream(*event, sha256))
            .collect();
        futures::stream::iter(names)
            .map(|name| async move { self.delete_for_ever(&name).await })
            .buffer_unordered(DELETED_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        self.recent.forget();
        Ok(())
    }

    /// Finishes erasures that were begun and cut off, by whomever; answers how many.
    pub(super) async fn finish_erasures(&self) -> Result<usize, StoreError> {
        self.look_for_erasures().await?;
        let open = self.erased.told.lock().await.open.clone();
        let mut finished = 0;
        for (id, begun) in open {
            let stream: StreamName = begun.stream.parse().map_err(|_| {
                StoreError::Fault(format!("an erasure names no stream: {}", begun.stream))
            })?;
            if !self.stands_in(&stream, begun.fact).await? {
                continue;
            }
            self.erase(&begun).await?;
            self.note(DONE, Uuid::now_v7(), &Done { begun: id }).await?;
            finished += 1;
        }
        Ok(finished)
    }

    /// Sees which erasures were begun since the last look, by whomever: what was read of the log before
    /// is believed only of other events.
    pub(super) async fn look_for_erasures(&self) -> Result<(), StoreError> {
        let name = self.prefix.erasing_stream();
        let mut told = self.erased.told.lock().await;
        loop {
            let page = self.events_of(&name, From::Revision(told.unread), PAGE_EVENTS).await?;
            for event in &page {
                match told.take_in(event) {
                    Ok(events) => self.erased.note(events),
                    Err(error) => {
                        tracing::error!(%error, id = %event.id, "an erasure can't be read");
                        self.erased.note_any();
                    }
                }
            }
            if page.len() < PAGE_EVENTS {
                return Ok(());
            }
        }
    }

    /// Whether an event stands in a stream of the ledger.
    pub(super) async fn stands_in(
        &self,
        stream: &StreamName,
        fact: EventId,
    ) -> Result<bool, StoreError> {
        let (name, mut from) = (self.prefix.stream(stream), 0);
        loop {
            let page = self.events_of(&name, From::Revision(from), PAGE_EVENTS).await?;
            if page.iter().any(|event| event.id == fact.0) {
                return Ok(true);
            }
            match page.last() {
                Some(last) => from = last.revision + 1,
                None => return Ok(false),
            }
        }
    }

    /// Appends to the stream of erasures.
    async fn note(
        &self,
        type_name: &str,
        id: Uuid,
        what: &(impl Serialize + Sync),
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(what)
            .map_err(|error| StoreError::Fault(format!("an erasure: {error}")))?;
        let one = |_: Timestamp| {
            let raw = serde_json::from_str::<&serde_json::value::RawValue>(&json);
            let event = raw.and_then(|raw| EventData::json(type_name, &raw));
            event.map(|event| event.id(id)).into_iter().collect()
        };
        let name = self.prefix.erasing_stream();
        let deadline = Instant::now() + self.line().waits.answer;
        match self.append_own(name, id, &one, deadline).await {
            Ok(()) => Ok(()),
            Err(AppendError::Store(fault)) => Err(fault),
            Err(other) => Err(StoreError::Fault(other.to_string())),
        }
    }

    /// Deletes a stream that holds one event, so that there will never be one of its name again.
    pub(super) async fn delete_for_ever(&self, name: &str) -> Result<(), StoreError> {
        if self.events_of(name, From::Revision(0), 1).await?.is_empty() {
            return Ok(());
        }
        let options = TombstoneStreamOptions::default()
            .expected_revision(eventstore::ExpectedRevision::Exact(0));
        let options = match &self.line().credentials {
            Some(known) => options.authenticated(known.clone()),
            None => options,
        };
        let deleted = self
            .ask(|client| {
                let (name, options) = (name.to_owned(), options.clone());
                async move {
                    match client.tombstone_stream(name, &options).await {
                        // It was done before, by a try whose answer was lost.
                        Ok(_) | Err(eventstore::Error::ResourceDeleted) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
            })
            .await;
        match deleted {
            Err(fault) if !self.events_of(name, From::Revision(0), 1).await?.is_empty() => {
                Err(fault)
            }
            _ => Ok(()),
        }
    }
}
