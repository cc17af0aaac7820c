//! The simulated agent.

use std::process::ExitCode;

use super::plan::{Plan, PlanError, RunRequest};
use super::reading::{Ended, Reading};
use crate::transcript::Line;

/// The simulated agent itself: `execution-ledger demo-agent MESSAGE`.
pub fn main(_message: &str) -> ExitCode {
    ExitCode::SUCCESS
}

pub(super) fn plan(_run: &RunRequest<'_>) -> Result<Plan, PlanError> {
    Err(PlanError::NoCommand)
}
pub(super) fn read(_lines: impl IntoIterator<Item = Line>, _ended: &Ended) -> Reading {
    Reading::default()
}
