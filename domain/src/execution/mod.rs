//! One run of a task on an agent: pending, then running, then one ending that never changes.

mod command;
mod decide;
mod event;
mod observation;
mod retry;
mod state;

pub use command::{Command, TurnContext};
pub use decide::Rejection;
pub use event::{
    CancelCause, CancellationRequested, Cancelled, Completed, CostCorrected, ExecutionEvent,
    Failed, FailureCode, InjectionRefusal, InjectionRefused, Pending, QueueMoved, Requester,
    ResultInjected, RunReport, Running, Signal, SignalSent, Trigger,
};
pub use observation::{
    CostBasis, Evidence, Exit, ModelUsage, Observation, StopCause, TranscriptRef, Usage,
};
pub use retry::Attempt;
pub use state::{Execution, Outcome, Queued};

#[cfg(test)]
mod tests;
