//! Texts beside facts: those that came with the log, and those that are asked for one by one.
//!
//! What is read of the whole log brings the texts with it. A text of which somebody may have begun to
//! take something away is never taken from there, as the server keeps it in the log until its next
//! scavenge: its own stream says whether it is there.

use std::collections::{HashMap, HashSet};

use eventstore::{RecordedEvent, ResolvedEvent};
use execution_ledger_domain::{Content, Digest, EventId};
use futures::StreamExt;

use super::Shared;
use super::form::{Prefix, TEXT_TYPE, TextMetadata};
use super::memory::ErasedEvents;
use super::reading::{From, recorded};
use crate::port::{Recorded, StoreError, StoredContent, With};

/// Texts that are asked for at once.
const TEXTS_AT_ONCE: usize = 32;

/// Facts with the digests of their texts.
pub(super) type Facts = Vec<(Recorded, Vec<Digest>)>;
/// Texts that are at hand, by the event and the digest.
pub(super) type Texts = HashMap<(EventId, Digest), Content>;

/// What an event of the whole log is to us.
pub(super) enum Seen {
    Fact(Recorded, Vec<Digest>),
    Text(EventId, Digest, Content),
    /// A text's stream was deleted for ever.
    Gone(EventId),
    /// Nothing: what somebody else has put into a stream of ours is no fact and no text.
    Nothing,
}

pub(super) fn seen(prefix: &Prefix, event: ResolvedEvent) -> Seen {
    let Some(event) = event.event else { return Seen::Nothing };
    if let Some((id, sha256)) = prefix.text_place(&event.stream_id) {
        if event.event_type != TEXT_TYPE {
            return Seen::Gone(id);
        }
        let content = TextMetadata::content(&event.custom_metadata, &event.data, &sha256);
        return content.map_or(Seen::Nothing, |content| Seen::Text(id, sha256, content));
    }
    match recorded(prefix, event) {
        Ok(Some((fact, texts))) => Seen::Fact(fact, texts),
        Ok(None) => Seen::Nothing,
        Err(_) => {
            metrics::counter!("ledger_log_foreign_events_total").increment(1);
            Seen::Nothing
        }
    }
}

/// A text that has to be asked for: which of the events, which of its texts.
#[derive(Clone, Copy)]
struct Wanted {
    event: usize,
    text: usize,
}

/// Events whose texts are being put together.
pub(super) struct Gathering {
    events: Vec<Recorded>,
    wanted: Vec<Wanted>,
    /// Events of which something was taken away, and which were asked for since that was known.
    asked: HashSet<EventId>,
}

impl Gathering {
    /// Puts beside the events what is at hand; the rest is to be asked for.
    pub(super) fn of(facts: Facts, mut at_hand: Texts) -> Self {
        let (mut events, mut wanted) = (Vec::with_capacity(facts.len()), Vec::new());
        for (event, (mut fact, texts)) in facts.into_iter().enumerate() {
            for (text, sha256) in texts.into_iter().enumerate() {
                let content = at_hand.remove(&(fact.id, sha256));
                if content.is_none() {
                    wanted.push(Wanted { event, text });
                }
                fact.contents.push(StoredContent { sha256, content });
            }
            events.push(fact);
        }
        Self { events, wanted, asked: HashSet::new() }
    }

    /// Asks for what is not at hand.
    pub(super) async fn ask(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let wanted = self.wanted.iter().map(|wanted| {
            let event = &self.events[wanted.event];
            (*wanted, event.id, event.contents[wanted.text].sha256)
        });
        let wanted: Vec<_> = wanted.collect();
        let read = futures::stream::iter(wanted)
            .map(|(wanted, event, sha256)| async move {
                shared.text(event, &sha256).await.map(|content| (wanted, content))
            })
            .buffer_unordered(TEXTS_AT_ONCE);
        let mut read = std::pin::pin!(read);
        while let Some(text) = read.next().await {
            let (wanted, content) = text?;
            self.events[wanted.event].contents[wanted.text].content = content;
        }
        self.wanted.clear();
        Ok(())
    }

    /// Whether nothing is to be asked for any more; what is known to be taken away is asked for again,
    /// once.
    pub(super) fn is_complete(&mut self, erased: &ErasedEvents) -> bool {
        for (event, recorded) in self.events.iter().enumerate() {
            let texts = 0..recorded.contents.len();
            if !texts.is_empty() && erased.may_be(recorded.id) && self.asked.insert(recorded.id) {
                self.wanted.extend(texts.map(|text| Wanted { event, text }));
            }
        }
        self.wanted.is_empty()
    }

    pub(super) fn into_events(self) -> Vec<Recorded> {
        self.events
    }
}

impl Shared {
    /// Events with what was asked for beside them; texts that came with the log are at hand.
    pub(super) async fn with_texts(
        &self,
        facts: Facts,
        at_hand: Texts,
        with: With,
    ) -> Result<Vec<Recorded>, StoreError> {
        if with == With::EventsOnly || facts.iter().all(|(_, texts)| texts.is_empty()) {
            return Ok(facts.into_iter().map(|(fact, _)| fact).collect());
        }
        let from_the_log = !at_hand.is_empty();
        let mut gathering = Gathering::of(facts, at_hand);
        if from_the_log {
            self.look_for_erasures().await?;
            gathering.is_complete(&self.erased.lock());
        }
        gathering.ask(self).await?;
        Ok(gathering.into_events())
    }

    async fn text(&self, event: EventId, sha256: &Digest) -> Result<Option<Content>, StoreError> {
        let name = self.prefix.text_stream(event, sha256);
        let stored = self.events_of(&name, From::Revision(0), 1).await?;
        let content =
            |text: &RecordedEvent| TextMetadata::content(&text.custom_metadata, &text.data, sha256);
        match stored.first() {
            None => Ok(None),
            Some(text) => content(text).map(Some).ok_or_else(|| {
                StoreError::Fault(format!("the text {sha256} of event {event} was changed"))
            }),
        }
    }
}
