//! What the tools answer, as structures with schemas.
//!
//! Ids, positions and times are texts, amounts dollars. Fields that are not known, or not yet, are
//! null: every field is always there. Names that later versions may add to (codes, triggers) are
//! texts in the schemas, because clients hold on to the schemas that they once read.

mod execution;
mod other;

use execution_ledger_domain::execution::FailureCode;
use execution_ledger_projections::Status as RecordStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use execution::Log;
pub(super) use execution::{ChatAnswer, ExecutionList, ExecutionResult, Listed, LogLine, Waiting};
pub(super) use other::{ActivitySummary, EventAnswer, EventList, OfTrigger, StopAnswer};

/// Where an execution is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// It waits for a slot.
    Pending,
    /// It runs.
    Running,
    /// It ended with success.
    Completed,
    /// It ended without.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl From<RecordStatus> for Status {
    fn from(status: RecordStatus) -> Self {
        match status {
            RecordStatus::Pending => Self::Pending,
            RecordStatus::Running => Self::Running,
            RecordStatus::Completed => Self::Completed,
            RecordStatus::Failed => Self::Failed,
            RecordStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Status> for RecordStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Running => Self::Running,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// Why an execution failed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Failure {
    /// A stable code.
    #[schemars(with = "String")]
    pub code: FailureCode,
    /// The same in words.
    pub message: Option<String>,
}

/// A text up to so many characters.
pub(super) fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("äöü".to_owned(), 3), "äöü");
        assert_eq!(cut("äöü".to_owned(), 2), "äö…");
    }
}
