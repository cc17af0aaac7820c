//! What an adapter remembers of its own appends, within limits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use execution_ledger_domain::{Content, Digest, EventId, StreamName, Timestamp};

use crate::clock::Clock;
use crate::port::{AppendError, ExpectedRevision, NewEvent};

/// Places of own events that are remembered.
const PLACES_MAX: usize = 65_536;
/// Events whose texts are held until they come themselves.
const HELD_MAX: usize = 4_096;
/// Texts that are held, in bytes.
const HELD_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Events with erased texts that are remembered.
const ERASED_MAX: usize = 1_000_000;

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

/// Texts that came with the log before their events did, so that the follower need not ask the server
/// for them one by one.
pub(super) struct Held {
    last: Last<EventId, Vec<(Digest, Content)>>,
    bytes: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self { last: Last::new(HELD_MAX), bytes: 0 }
    }
}

fn bytes(texts: &[(Digest, Content)]) -> usize {
    texts.iter().map(|(_, content)| content.text.len()).sum()
}

impl Held {
    /// Keeps a text until its event comes.
    pub(super) fn put(&mut self, event: EventId, sha256: Digest, content: Content) {
        self.bytes += content.text.len();
        if let Some(texts) = self.last.values.get_mut(&event) {
            texts.push((sha256, content));
        } else if let Some(gone) = self.last.put(event, vec![(sha256, content)]) {
            self.bytes -= bytes(&gone);
        }
        while self.bytes > HELD_MAX_BYTES && !self.last.order.is_empty() {
            self.bytes -= self.last.drop_oldest().map_or(0, |gone| bytes(&gone));
        }
    }

    /// Takes the texts of an event out: those that are kept.
    pub(super) fn take(&mut self, event: EventId) -> Vec<(Digest, Content)> {
        let texts = self.last.values.remove(&event).unwrap_or_default();
        self.bytes -= bytes(&texts);
        texts
    }
}

/// Events of whose texts some were, or are about to be, taken away. What was read of the log itself may
/// still hold them: the server keeps them there until its next scavenge. Only the text's own stream
/// says whether it is there.
#[derive(Default)]
pub(super) struct Erased {
    known: Mutex<ErasedEvents>,
    /// What was read of the stream of erasures.
    pub(super) told: tokio::sync::Mutex<super::erasing::Told>,
}

#[derive(Default)]
pub(super) struct ErasedEvents {
    events: HashSet<EventId>,
    /// There are more than are remembered, or something could not be read: it may be any event.
    any: bool,
}

impl Erased {
    pub(super) fn note(&self, events: impl IntoIterator<Item = EventId>) {
        let mut known = self.lock();
        known.events.extend(events);
        if known.events.len() > ERASED_MAX {
            *known = ErasedEvents { events: HashSet::new(), any: true };
        }
    }

    /// It can't be said which events they are.
    pub(super) fn note_any(&self) {
        self.lock().any = true;
    }

    /// What is known of them. Nobody notes another one as long as it is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, ErasedEvents> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ErasedEvents {
    pub(super) fn may_be(&self, event: EventId) -> bool {
        self.any || self.events.contains(&event)
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
    fn what_is_held_is_bounded_by_number_and_bytes() {
        let mut held = Held::default();
        let large = event_with_text(0, &"x".repeat(HELD_MAX_BYTES / 2)).contents.remove(0);
        let sha256 = large.reference().sha256;
        let events: Vec<_> = (0..3).map(event).collect();
        for new in &events {
            held.put(new.id, sha256, large.clone());
        }
        assert!(held.take(events[0].id).is_empty(), "the oldest had to go");
        assert_eq!(held.take(events[2].id), [(sha256, large)]);
        assert!(held.take(events[2].id).is_empty(), "taken once");
        let small = event_with_text(0, "").contents.remove(0);
        for number in 0..2 * HELD_MAX {
            held.put(event(number).id, sha256, small.clone());
        }
        let two = event(0).id;
        held.put(two, sha256, small.clone());
        held.put(two, sha256, small);
        assert_eq!(held.take(two).len(), 2);
        assert!(held.last.order.len() <= HELD_MAX && held.last.values.len() <= HELD_MAX);
        assert_eq!(held.bytes, 0);
    }

    #[test]
    fn of_too_many_erased_events_it_may_be_any() {
        let erased = Erased::default();
        let (one, other) = (event(0).id, event(1).id);
        erased.note([one]);
        assert!(erased.lock().may_be(one) && !erased.lock().may_be(other));
        erased.note((0..=ERASED_MAX as u128).map(|id| EventId(uuid::Uuid::from_u128(id))));
        assert!(erased.lock().may_be(one) && erased.lock().may_be(other));
        assert!(erased.lock().events.is_empty());
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
