//! Marks along the log: a stream of the adapter's own, in which one stands for every so many facts.
//!
//! A server can't be asked to read the whole log from any position, but from the place of a record;
//! and it can't be asked where a moment lies. A stream can be read at any revision. So a mark is
//! appended from time to time, which says when it was: its own place is one from which can be read,
//! and between two of them stands little. What a mark is missing for takes longer, and is as right.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use eventstore::{EventData, Position as Place, RecordedEvent};
use execution_ledger_domain::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::Shared;
use super::reading::{From, place};
use crate::port::{AppendError, Position, StoreError, With};

/// Type of the adapter's own event.
const MARK: &str = "log.mark";
/// Facts that one process appends between two marks.
const MARK_EVERY: u64 = 1_000;
/// Marks that are remembered.
const KEPT_MAX: usize = 16_384;
/// Facts that are looked at, at a time, to find a moment between two marks.
const PAGE_EVENTS: usize = 1_000;
/// Size after which such a page takes no further fact, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// No fact before it is later, and none after it is earlier, as far as clocks agree.
#[derive(Serialize, Deserialize)]
struct Mark {
    at: Timestamp,
}

/// A mark as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marked {
    place: Place,
    at: Timestamp,
}

impl Marked {
    fn of(event: &RecordedEvent) -> Self {
        // What somebody else wrote there says nothing of times, but stands where it stands.
        let at = event.as_json::<Mark>().map_or(Timestamp::EPOCH, |mark| mark.at);
        Self { place: event.position, at }
    }
}

/// What is known of the marks.
#[derive(Default)]
pub(super) struct Marks {
    /// By their revisions.
    seen: std::sync::Mutex<BTreeMap<u64, Marked>>,
    /// Facts that were appended here since the last mark.
    since: AtomicU64,
}

impl Marks {
    /// So many facts were appended: whether it is time for a mark. Says so to one caller.
    pub(super) fn is_due(&self, facts: usize) -> bool {
        let before = self.since.fetch_add(facts as u64, Ordering::Relaxed);
        before < MARK_EVERY && before + facts as u64 >= MARK_EVERY
    }

    fn known(&self, revision: u64) -> Option<Marked> {
        let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.get(&revision).copied()
    }

    fn remember(&self, revision: u64, marked: Marked) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.len() >= KEPT_MAX {
            seen.clear();
        }
        seen.insert(revision, marked);
    }
}

impl Shared {
    /// Sets a mark: of a moment, or of now.
    pub(super) async fn mark(&self, at: Option<Timestamp>) -> Result<(), StoreError> {
        let id = Uuid::now_v7();
        let mark = |now| {
            let mark = Mark { at: at.unwrap_or(now) };
            EventData::json(MARK, &mark).map(|event| event.id(id)).into_iter().collect()
        };
        let deadline = Instant::now() + self.line().waits.answer;
        let set = self.append_own(self.prefix.marks_stream(), id, &mark, deadline).await;
        // Where that failed, it is tried again after the next append.
        let since = if set.is_ok() { 0 } else { MARK_EVERY - 1 };
        self.marks.since.store(since, Ordering::Relaxed);
        match set {
            Ok(()) => Ok(()),
            Err(AppendError::Store(fault)) => Err(fault),
            Err(other) => Err(StoreError::Fault(other.to_string())),
        }
    }

    /// Sets a mark of now, if wished only where a fact stands after the last one. Nothing depends on it
    /// but how long some reads take.
    pub(super) async fn mark_or_tell(&self, only_after_facts: bool) {
        let marked = async {
            let last = self.events_of(&self.prefix.marks_stream(), From::End, 1).await?;
            let marked = last.first().map_or(0, |mark| mark.position.commit);
            if only_after_facts && self.known_head().number() <= marked {
                return Ok(());
            }
            self.mark(None).await
        };
        if let Err(error) = marked.await {
            tracing::debug!(%error, "a mark could not be set along the event log");
        }
    }

    /// The last mark that fits and the first that does not, where those that fit come first.
    async fn marks_around(
        &self,
        fits: impl Fn(&Marked) -> bool + Send,
    ) -> Result<(Option<Marked>, Option<Marked>), StoreError> {
        let last = self.events_of(&self.prefix.marks_stream(), From::End, 1).await?;
        let Some(last) = last.first() else { return Ok((None, None)) };
        let end = Marked::of(last);
        if fits(&end) {
            return Ok((Some(end), None));
        }
        let (mut low, mut high) = (0, last.revision);
        let (mut before, mut after) = (None, Some(end));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.mark_at(middle).await? {
                Some(marked) if !fits(&marked) => (high, after) = (middle, Some(marked)),
                marked => (low, before) = (middle + 1, marked.or(before)),
            }
        }
        Ok((before, after))
    }

    async fn mark_at(&self, revision: u64) -> Result<Option<Marked>, StoreError> {
        if let Some(known) = self.marks.known(revision) {
            return Ok(Some(known));
        }
        let name = self.prefix.marks_stream();
        let read = self.events_of(&name, From::Revision(revision), 1).await?;
        let found = read.first().filter(|event| event.revision == revision).map(Marked::of);
        if let Some(marked) = found {
            self.marks.remember(revision, marked);
        }
        Ok(found)
    }

    /// A place from which everything after a position can be read, with little before it.
    pub(super) async fn place_before(&self, after: Position) -> Result<Place, StoreError> {
        let birth = place(self.birth);
        if after <= self.birth {
            return Ok(birth);
        }
        let known = self.known.at_or_before(after);
        let marked = if known.is_next {
            None
        } else {
            let marks = self.marks_around(|mark| mark.place.commit <= after.number()).await?;
            marks.0.map(|marked| marked.place)
        };
        let nearest = [known.place, marked].into_iter().flatten();
        Ok(nearest.fold(birth, |best, at| if at.commit > best.commit { at } else { best }))
    }

    /// A place from which everything before a position can be read backwards, with little after it;
    /// none where that is the end of all.
    pub(super) async fn place_after(&self, before: Position) -> Result<Option<Place>, StoreError> {
        let known = self.known.at_or_after(before);
        let marked = if known.is_next {
            None
        } else {
            let marks = self.marks_around(|mark| mark.place.commit < before.number()).await?;
            marks.1.map(|marked| marked.place)
        };
        Ok([known.place, marked].into_iter().flatten().min_by_key(|at| at.commit))
    }

    /// Position of the last fact up to another that was recorded at a time or before.
    pub(super) async fn at_time(
        &self,
        time: Timestamp,
        until: Position,
    ) -> Result<Position, StoreError> {
        let until = until.min(self.end_of_log().await?);
        let fits = |mark: &Marked| mark.at <= time && mark.place.commit <= until.number();
        let from = self.marks_around(fits).await?.0.map_or(place(self.birth), |mark| mark.place);
        self.known.read(from);
        let (mut after, mut found) = (Position::new(from.commit), None);
        'log: while after < until {
            let page = (PAGE_EVENTS, PAGE_BYTES);
            let page = self.page((after, until), page, With::EventsOnly).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            for fact in page {
                if fact.position > until || fact.recorded_at > time {
                    break 'log;
                }
                found = Some(fact.position);
            }
        }
        if let Some(found) = found {
            return Ok(found);
        }
        let bound = (Position::new(from.commit), Position::START);
        let before = self.facts_before(Some(from), bound, 1).await?;
        Ok(before.first().map_or(Position::START, |(fact, _)| fact.position))
    }
}
