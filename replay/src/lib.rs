//! Replay of the history: making the read models anew, and saying whether they are what the log says.

mod compare;

pub use compare::{CompareError, Comparison, Difference, compare_views};
