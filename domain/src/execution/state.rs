//! The state of one execution, folded from its events.

use super::event::{
    CancelCause, CancellationRequested, ExecutionEvent, Pending, Running, SignalSent,
};
use super::observation::CostBasis;
use crate::money::NanoUsd;

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With evidence of success.
    Completed,
    /// Without.
    Failed,
    /// By somebody's wish.
    Cancelled,
}

impl Outcome {
    /// Its name in JSON, and the status of an execution that ended so.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An execution that waits for a slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// What was accepted.
    pub pending: Box<Pending>,
    /// How far it was moved to the front of its queue; 0 where it never was.
    pub rank: u64,
    /// How often it was moved.
    pub moves: u32,
}

/// The state of one execution.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Execution {
    /// No event yet.
    #[default]
    Absent,
    /// It waits for a slot.
    Pending(Queued),
    /// It holds a slot.
    Running {
        /// What was accepted.
        pending: Box<Pending>,
        /// Its start.
        running: Running,
        /// Why it is to stop, once somebody wants that.
        cancellation: Option<CancelCause>,
        /// The signals that are recorded already.
        signals: Vec<SignalSent>,
    },
    /// It has ended.
    Ended {
        /// What was accepted.
        pending: Box<Pending>,
        /// How it ended.
        outcome: Outcome,
        /// Whether the question of injection is settled, either way.
        injection_settled: bool,
        /// What it cost, as far as is known.
        cost: Option<NanoUsd>,
        /// Where that comes from.
        cost_basis: CostBasis,
        /// The version of the price book that it was computed with, where one was.
        price_book: Option<String>,
    },
}

impl Execution {
    /// What was accepted, once something was.
    pub fn pending(&self) -> Option<&Pending> {
        match self {
            Self::Absent => None,
            Self::Pending(queued) => Some(&queued.pending),
            Self::Running { pending, .. } | Self::Ended { pending, .. } => Some(pending),
        }
    }

    /// The state after one more event. An event that no decision allows in this state changes
    /// nothing: a log that holds one is for `verify` to name, not for a fold to fail on.
    #[must_use]
    pub fn after(self, event: &ExecutionEvent) -> Self {
        use ExecutionEvent as E;
        match (self, event) {
            (Self::Absent, E::Pending(pending)) => {
                Self::Pending(Queued { pending: pending.clone(), rank: 0, moves: 0 })
            }
            (Self::Pending(queued), E::QueueMoved(moved)) => Self::Pending(Queued {
                rank: moved.rank,
                moves: queued.moves.saturating_add(1),
                ..queued
            }),
            (Self::Pending(Queued { pending, .. }), E::Running(running)) => Self::Running {
                pending,
                running: running.clone(),
                cancellation: None,
                signals: Vec::new(),
            },
            (
                Self::Running { pending, running, signals, .. },
                E::CancellationRequested(CancellationRequested { cause }),
            ) => Self::Running { pending, running, cancellation: Some(*cause), signals },
            (
                Self::Running { pending, running, cancellation, mut signals },
                E::SignalSent(sent),
            ) => {
                signals.push(*sent);
                Self::Running { pending, running, cancellation, signals }
            }
            (
                Self::Pending(Queued { pending, .. }) | Self::Running { pending, .. },
                E::Completed(_) | E::Failed(_) | E::Cancelled(_),
            ) => Self::Ended {
                pending,
                outcome: event.outcome().unwrap_or(Outcome::Failed),
                injection_settled: false,
                cost: event.report().and_then(|report| report.cost_nano_usd),
                cost_basis: event.report().map(|report| report.cost_basis).unwrap_or_default(),
                price_book: event.report().and_then(|report| report.price_book.clone()),
            },
            (
                Self::Ended { pending, outcome, cost, cost_basis, price_book, .. },
                E::ResultInjected(_) | E::InjectionRefused(_),
            ) => Self::Ended {
                pending,
                outcome,
                injection_settled: true,
                cost,
                cost_basis,
                price_book,
            },
            (
                Self::Ended { pending, outcome, injection_settled, .. },
                E::CostCorrected(corrected),
            ) => Self::Ended {
                pending,
                outcome,
                injection_settled,
                cost: Some(corrected.cost_nano_usd),
                cost_basis: corrected.cost_basis,
                price_book: corrected.price_book.clone(),
            },
            (state, _) => state,
        }
    }
}
