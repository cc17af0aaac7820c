//! What an ending says of a cost.

use crate::execution::{ExecutionEvent, FailureCode};
use crate::money::NanoUsd;

/// What an ending says of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedCost {
    /// It cost so much.
    Known(NanoUsd),
    /// It cost something, and nobody knows how much.
    Unknown,
    /// Nothing ever ran.
    Nothing,
}

impl EndedCost {
    /// As an event says it; nothing where it ends no execution. `started` is whether it had a claim.
    pub fn of(event: &ExecutionEvent, started: bool) -> Option<Self> {
        event.outcome()?;
        let never_began = match event {
            ExecutionEvent::Failed(failed) => failed.code == FailureCode::SpawnFailed,
            // A start that was given up before any process was started has no report.
            ExecutionEvent::Cancelled(_) => true,
            _ => false,
        };
        Some(match event.report() {
            Some(report) => report.cost_nano_usd.map_or(Self::Unknown, Self::Known),
            None if started && !never_began => Self::Unknown,
            None => Self::Nothing,
        })
    }
}
