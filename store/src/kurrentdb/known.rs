//! Places of records that are known. A server reads the whole log only from a place where a record
//! begins: from any other it reads nonsense, and refuses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eventstore::Position as Place;

use super::reading::place;
use crate::port::Position;

/// Facts whose places are remembered that were passed on last.
const PASSED_MAX: usize = 65_536;
/// Places that are remembered of what was read.
const READ_MAX: usize = 65_536;

/// Places that are known, the oldest of which are forgotten.
#[derive(Default)]
pub(super) struct Known(Mutex<Places>);

#[derive(Default)]
struct Places {
    /// Of facts in a row: between two of them there is none.
    passed: VecDeque<u64>,
    /// Of records that were read here and there, by their positions.
    read: BTreeMap<u64, Place>,
    /// Their positions, in the order in which they were read.
    order: VecDeque<u64>,
}

/// How far a subscription has come: the place after which it can be gone on from.
///
/// A checkpoint is believed when something further is told. Servers there are (KurrentDB 25.0) that name
/// the end of the log, where the next record will stand, which would be left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) place: Place,
    told: Option<Place>,
}

impl Reached {
    pub(super) fn at(place: Place) -> Self {
        Self { place, told: None }
    }

    /// A record was passed on that stands there.
    pub(super) fn record(&mut self, at: Place) {
        *self = Self::at(at);
    }

    /// The server says that it is so far.
    pub(super) fn checkpoint(&mut self, at: Place) {
        if let Some(told) = self.told.filter(|told| told.commit < at.commit) {
            self.place = told;
        }
        if at.commit > self.place.commit {
            self.told = Some(at);
        }
    }
}

/// The nearest place that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nearest {
    pub(super) place: Option<Place>,
    /// Whether no fact stands between.
    pub(super) is_next: bool,
}

impl Known {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next fact of the log stands there.
    pub(super) fn passed(&self, position: Position) {
        let mut places = self.places();
        if position == Position::START || places.passed.back() >= Some(&position.number()) {
            return;
        }
        places.passed.push_back(position.number());
        if places.passed.len() > PASSED_MAX {
            places.passed.pop_front();
        }
    }

    /// Some record stands there.
    pub(super) fn read(&self, at: Place) {
        let mut places = self.places();
        if places.read.insert(at.commit, at).is_none() {
            places.order.push_back(at.commit);
        }
        if places.order.len() > READ_MAX
            && let Some(oldest) = places.order.pop_front()
        {
            places.read.remove(&oldest);
        }
    }

    /// The nearest place that is not after a position.
    pub(super) fn at_or_before(&self, position: Position) -> Nearest {
        let (places, number) = (self.places(), position.number());
        let next = places.passed.partition_point(|passed| *passed <= number);
        let passed = next.checked_sub(1).and_then(|last| places.passed.get(last)).copied();
        // After the last that was passed on others may stand that are not known.
        let is_between = passed.is_some() && next < places.passed.len();
        let read = places.read.range(..=number).next_back().map(|(_, at)| *at);
        let passed = passed.map(|passed| place(Position::new(passed)));
        let nearest = match (passed, read) {
            (Some(passed), Some(read)) if !is_between && read.commit > passed.commit => Some(read),
            (passed, read) => passed.or(read),
        };
        let is_there = nearest.is_some_and(|at| at.commit == number);
        Nearest { place: nearest, is_next: is_between || is_there }
    }

    /// The nearest place that is not before a position.
    pub(super) fn at_or_after(&self, position: Position) -> Nearest {
        let (places, number) = (self.places(), position.number());
        let next = places.passed.partition_point(|passed| *passed < number);
        let passed = places.passed.get(next).map(|passed| place(Position::new(*passed)));
        // Before the first that is remembered others may stand that are not.
        let is_between = passed.is_some() && next > 0;
        let read = places.read.range(number..).next().map(|(_, at)| *at);
        let nearest = match (passed, read) {
            (Some(passed), Some(read)) if !is_between && read.commit < passed.commit => Some(read),
            (passed, read) => passed.or(read),
        };
        let is_there = nearest.is_some_and(|at| at.commit == number);
        Nearest { place: nearest, is_next: is_between || is_there }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(known: &Known, number: u64) -> [(Option<u64>, bool); 2] {
        let position = Position::new(number);
        [known.at_or_before(position), known.at_or_after(position)]
            .map(|near| (near.place.map(|at| at.commit), near.is_next))
    }

    #[test]
    fn the_nearest_place_is_the_next_only_where_everything_between_is_known() {
        let known = Known::default();
        assert_eq!(near(&known, 5), [(None, false), (None, false)]);
        for number in [100, 120, 170] {
            known.passed(Position::new(number));
        }
        known.passed(Position::new(120));
        known.passed(Position::START);
        assert_eq!(near(&known, 130), [(Some(120), true), (Some(170), true)]);
        assert_eq!(near(&known, 120), [(Some(120), true), (Some(120), true)]);
        assert_eq!(near(&known, 170), [(Some(170), true), (Some(170), true)]);
        assert_eq!(near(&known, 200), [(Some(170), false), (None, false)], "who knows what comes");
        known.read(place(Position::new(180)));
        assert_eq!(near(&known, 200), [(Some(180), false), (None, false)]);
        assert_eq!(near(&known, 180), [(Some(180), true), (Some(180), true)]);
        assert_eq!(
            near(&known, 99),
            [(None, false), (Some(100), false)],
            "what came before is not known"
        );
        for number in [10, 30] {
            known.read(Place { commit: number, prepare: 0 });
        }
        assert_eq!(near(&known, 20), [(Some(10), false), (Some(30), false)]);
        assert_eq!(near(&known, 30), [(Some(30), true), (Some(30), true)]);
        assert_eq!(known.at_or_before(Position::new(30)).place.unwrap().prepare, 0);
    }

    #[test]
    fn a_checkpoint_counts_once_something_further_is_told() {
        let at = |commit| Place { commit, prepare: 1 };
        let mut reached = Reached::at(at(10));
        reached.checkpoint(at(5));
        reached.checkpoint(at(20));
        reached.checkpoint(at(20));
        assert_eq!(reached.place.commit, 10, "it may be where the next record will stand");
        reached.checkpoint(at(30));
        assert_eq!(reached.place, at(20));
        reached.record(at(25));
        reached.checkpoint(at(40));
        assert_eq!(reached.place.commit, 25, "what was told before a record is over");
    }

    #[test]
    fn what_is_known_is_bounded() {
        let known = Known::default();
        for number in 1..3 * PASSED_MAX as u64 {
            known.passed(Position::new(number));
            known.read(place(Position::new(number)));
        }
        let places = known.places();
        assert_eq!((places.passed.len(), places.read.len()), (PASSED_MAX, READ_MAX));
        assert_eq!(places.order.len(), READ_MAX);
    }
}
