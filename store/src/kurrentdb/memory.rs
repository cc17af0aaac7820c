//! What an adapter remembers of its own appends, within limits.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use execution_ledger_domain::{Content, EventId, StreamName, Timestamp};

use crate::clock::Clock;
use crate::port::{AppendError, ExpectedRevision, NewEvent};

/// Places of own events that are remembered.
const PLACES_MAX: usize = 65_536;
/// Events whose texts are remembered until the follower has passed them on.
const FRESH_MAX: usize = 4_096;
/// Texts that are remembered, in bytes.
const FRESH_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The last things that were put in, the oldest of which go first.
struct Last<K, V> {
    order: VecDeque<K>,
    values: HashMap<K, V>,
    max: usize,
}

impl<K: Clone + Eq + Hash, V> Last<K, V> {
    fn new(max: usize) -> Self {
        Self { order: VecDeque::new(), values: HashMap::new(), max }
    }

    /// Puts something in; answers what had to go for it.
    fn put(&mut self, key: K, value: V) -> Option<V> {
        if self.values.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() <= self.max { None } else { self.drop_oldest() }
    }

    /// Forgets the oldest; what was taken out before leaves its key behind, which goes as well.
    fn drop_oldest(&mut self) -> Option<V> {
        let oldest = self.order.pop_front()?;
        self.values.remove(&oldest)
    }
}

/// Where own events were stored: an event id must not be stored at two places. The server sees that
/// only within one stream, so this holds for what this process has appended lately.
pub(super) struct Places(Mutex<Last<EventId, (StreamName, u64)>>);

impl Default for Places {
    fn default() -> Self {
        Self(Mutex::new(Last::new(PLACES_MAX)))
    }
}

impl Places {
    /// Refuses events whose ids stand elsewhere, or twice among them.
    pub(super) fn check(
        &self,
        stream: &StreamName,
        expected: ExpectedRevision,
        events: &[NewEvent],
    ) -> Result<(), AppendError> {
        let first = first_revision(expected);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, event) in events.iter().enumerate() {
            let twice = events.len() > 1 && events[..index].iter().any(|e| e.id == event.id);
            let elsewhere = known.values.get(&event.id).is_some_and(|(there, revision)| {
                let here = first.map(|first| first.saturating_add(index as u64));
                there != stream || here.is_some_and(|here| here != *revision)
            });
            if twice || elsewhere {
                return Err(AppendError::DuplicateEventId(event.id));
            }
        }
        Ok(())
    }

    /// Whether an event of that id was stored lately.
    pub(super) fn knows(&self, id: EventId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values.contains_key(&id)
    }

    /// Remembers stored events, the last of which has this revision.
    pub(super) fn stored(
        &self,
        stream: &StreamName,
        last: u64,
        ids: impl DoubleEndedIterator<Item = EventId>,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (back, id) in ids.rev().enumerate() {
            known.put(id, (stream.clone(), last.saturating_sub(back as u64)));
        }
    }
}

/// The revision that the first event of an append will have; none where anything is expected.
pub(super) fn first_revision(expected: ExpectedRevision) -> Option<u64> {
    match expected {
        ExpectedRevision::NoStream => Some(0),
        ExpectedRevision::Exact(revision) => Some(revision.saturating_add(1)),
        ExpectedRevision::Any => None,
    }
}

/// Texts of events that this process has just appended, so that the follower need not ask the
/// server for what we have had in our hands.
pub(super) struct Fresh(Mutex<(Last<EventId, Vec<Content>>, usize)>);

impl Default for Fresh {
    fn default() -> Self {
        Self(Mutex::new((Last::new(FRESH_MAX), 0)))
    }
}

fn bytes(texts: &[Content]) -> usize {
    texts.iter().map(|content| content.text.len()).sum()
}

impl Fresh {
    /// Remembers the texts of an event.
    pub(super) fn put(&self, event: EventId, texts: Vec<Content>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held) = &mut *inner;
        *held += bytes(&texts);
        if let Some(gone) = last.put(event, texts) {
            *held -= bytes(&gone);
        }
        while *held > FRESH_MAX_BYTES && !last.order.is_empty() {
            *held -= last.drop_oldest().map_or(0, |gone| bytes(&gone));
        }
    }

    /// Takes the texts of an event out, where they are remembered.
    pub(super) fn take(&self, event: EventId) -> Option<Vec<Content>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = inner.0.values.remove(&event)?;
        inner.1 -= bytes(&texts);
        Some(texts)
    }
}

/// Gives events their times: the clock's, and never less than what was given or seen before.
#[derive(Default)]
pub(super) struct Stamps(Mutex<i64>);

impl Stamps {
    /// Does what must be done in the order of the times, with the next of them.
    pub(super) fn next<T>(&self, clock: &dyn Clock, send: impl FnOnce(Timestamp) -> T) -> T {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = clock.now().micros().max(*last);
        send(Timestamp::from_micros(*last))
    }

    /// An event of this time stands in the log.
    pub(super) fn seen(&self, at: Timestamp) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = at.micros().max(*last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::contract::{event, event_with_text, stream};

    #[test]
    fn what_is_remembered_is_bounded_by_number_and_bytes() {
        let fresh = Fresh::default();
        let large = event_with_text(0, &"x".repeat(FRESH_MAX_BYTES / 2));
        let events: Vec<_> = (0..3).map(event).collect();
        for new in &events {
            fresh.put(new.id, large.contents.clone());
        }
        assert!(fresh.take(events[0].id).is_none(), "the oldest had to go");
        assert!(fresh.take(events[2].id).is_some());
        assert!(fresh.take(events[2].id).is_none(), "taken once");
        for number in 0..2 * FRESH_MAX {
            fresh.put(event(number).id, Vec::new());
        }
        let (last, held) = &*fresh.0.lock().unwrap();
        assert!(last.order.len() <= FRESH_MAX && last.values.len() <= FRESH_MAX);
        assert_eq!(*held, 0);
    }

    #[test]
    fn an_id_is_refused_at_another_place_and_taken_again_at_its_own() {
        let places = Places::default();
        let events = [event(0), event(1)];
        places.stored(&stream("a"), 4, events.iter().map(|event| event.id));
        let exact = ExpectedRevision::Exact;
        assert!(places.check(&stream("a"), exact(2), &events).is_ok());
        assert!(places.check(&stream("a"), ExpectedRevision::Any, &events).is_ok());
        for (name, expected) in [("b", exact(2)), ("a", exact(4)), ("b", ExpectedRevision::Any)] {
            assert!(places.check(&stream(name), expected, &events).is_err());
        }
    }

    #[test]
    fn times_never_go_back_with_a_clock_or_behind_what_was_seen() {
        let clock = ManualClock::at(Timestamp::from_micros(100));
        let stamps = Stamps::default();
        assert_eq!(stamps.next(&clock, |at| at).micros(), 100);
        clock.set(Timestamp::from_micros(50));
        assert_eq!(stamps.next(&clock, |at| at).micros(), 100);
        stamps.seen(Timestamp::from_micros(200));
        assert_eq!(stamps.next(&clock, |at| at).micros(), 200);
    }
}
