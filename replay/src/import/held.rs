//! What a log holds already of the events that it is filled with.

use std::collections::VecDeque;

use execution_ledger_store::{NewLog, Position, Recorded, StoreError};

/// Events that are read at a time.
const PAGE_EVENTS: usize = 500;

/// The events that are in a log, one after the other.
#[derive(Default)]
pub(super) struct Held {
    page: VecDeque<Recorded>,
    after: Position,
    is_over: bool,
    /// How many there were until now.
    pub count: u64,
}

impl Held {
    /// The next one; nothing after the last. What is pushed afterwards is not among them.
    pub async fn next(&mut self, log: &mut dyn NewLog) -> Result<Option<Recorded>, StoreError> {
        if self.page.is_empty() && !self.is_over {
            self.page = log.held(self.after, PAGE_EVENTS).await?.into();
            self.is_over = self.page.is_empty();
        }
        let next = self.page.pop_front();
        if let Some(next) = &next {
            self.after = next.position;
            self.count += 1;
        }
        Ok(next)
    }
}

/// Whether an event is the one of the file, in all but its position.
pub(super) fn is_same(there: &Recorded, event: &Recorded) -> bool {
    let Recorded {
        position: _,
        stream,
        revision,
        id,
        type_name,
        version,
        recorded_at,
        metadata,
        data,
        contents,
    } = there;
    *stream == event.stream
        && *revision == event.revision
        && *id == event.id
        && *type_name == event.type_name
        && *version == event.version
        && *recorded_at == event.recorded_at
        && *metadata == event.metadata
        && *data == event.data
        && *contents == event.contents
}

/// An event in words.
pub(super) fn named(event: &Recorded) -> String {
    format!(
        "the event {} ({}, revision {}, {})",
        event.id, event.stream, event.revision, event.type_name
    )
}
