//! Any program.

use execution_ledger_domain::agent::AgentConfig;

use super::plan::{Plan, PlanError, RunRequest};
use super::reading::{Ended, Reading};
use crate::transcript::Line;

pub(super) fn plan(_config: &AgentConfig, _run: &RunRequest<'_>) -> Result<Plan, PlanError> {
    Err(PlanError::NoCommand)
}
pub(super) fn read(_lines: impl IntoIterator<Item = Line>, _ended: &Ended) -> Reading {
    Reading::default()
}
