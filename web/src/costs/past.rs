//! What was so of budgets at moments of the past.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::burn_down::{Per, Point};

/// Moments of the past that are remembered: most.
const PAST_MAX: usize = 4_096;

/// A moment of a budget's limit.
type Key = (String, Per, DateTime<Utc>);

/// What is known of a moment.
#[derive(Clone, Copy)]
pub(super) enum Known {
    /// What was spent and kept.
    Point(Point),
    /// That nothing can be known of it.
    Nothing,
}

impl Known {
    /// Of what was answered.
    pub fn of(point: Option<Point>) -> Self {
        point.map_or(Self::Nothing, Self::Point)
    }

    /// The point, if there is one.
    pub fn point(self) -> Option<Point> {
        match self {
            Self::Point(point) => Some(point),
            Self::Nothing => None,
        }
    }
}

/// What was so at moments of the past: it stays so, and each question looks at all that was kept then.
/// Only who may read all budgets is shown any of it.
#[derive(Clone, Default)]
pub(super) struct Past(Arc<Mutex<HashMap<Key, Known>>>);

impl Past {
    /// What is known of a moment, where it was asked for before.
    pub fn get(&self, scope: &str, per: Per, at: DateTime<Utc>) -> Option<Known> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(scope.to_owned(), per, at)).copied()
    }

    /// Remembers a moment.
    pub fn keep(&self, scope: &str, per: Per, at: DateTime<Utc>, what: Known) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PAST_MAX {
            known.clear();
        }
        known.insert((scope.to_owned(), per, at), what);
    }
}
