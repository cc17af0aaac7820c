//! Recording endings: what was observed must not be lost.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::execution::{Command, FailureCode};
use execution_ledger_domain::{ClaimId, Content, ExecutionId};
use execution_ledger_store::ExecuteError;

use super::Shared;
use super::effects::command_on;
use super::observe::{self, StartedAs};
use crate::failpoint;
use crate::orders::RunFiles;
use crate::salt;
use crate::status::Status;

/// Rest between two attempts at something that failed for a reason that may pass.
const REST: Duration = Duration::from_secs(1);

/// Records the ending that a supervisor saw. `program` is what it ran, where that is known already.
pub(super) async fn finish(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    files: &RunFiles,
    status: Status,
    program: Option<StartedAs>,
) {
    failpoint::reach("manager.before_ending");
    let finished = observe::finished(shared, execution, files, status, program).await;
    record(shared, execution, finished).await;
}

/// Records the ending of a run whose supervisor is gone without a word.
pub(super) async fn lost(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    files: &RunFiles,
    other_boot: bool,
) {
    let code = lost_because(shared, execution, other_boot);
    let lost = observe::lost(shared, execution, files, code).await;
    record(shared, execution, lost).await;
}

/// Why a run has no supervisor any more.
fn lost_because(shared: &Shared, execution: ExecutionId, other_boot: bool) -> FailureCode {
    match (shared.runs.has_lapsed(execution), other_boot) {
        (true, _) => FailureCode::LeaseExpired,
        (false, true) => FailureCode::Interrupted,
        (false, false) => FailureCode::SupervisorLost,
    }
}

/// Records that a run is lost or never was, in words.
pub(super) async fn lose(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
    code: FailureCode,
    reason: &str,
) {
    let (reason, _) = crate::redact::Redactor::global().redact(reason);
    let message = loop {
        match salt() {
            Ok(salt) => break Content::new(salt, reason.as_ref()),
            Err(error) => {
                tracing::error!(%execution, %error, "an ending waits for random bytes");
                tokio::time::sleep(REST).await;
            }
        }
    };
    let command = Command::Lose { claim, code, message: message.reference(), observed: None };
    end(shared, execution, command, &[message]).await;
}

async fn record(shared: &Arc<Shared>, execution: ExecutionId, seen: observe::Seen) {
    end(shared, execution, seen.command, &seen.contents).await;
    failpoint::reach("manager.ended");
    if shared.archive.try_send(execution).is_err() {
        tracing::debug!(%execution, "the archive is behind; its next round takes this transcript up");
    }
}

/// Records an ending. What was observed must not be lost, so a failing log is tried again until it
/// takes it or the process ends; then the run's own files still say how it ended.
pub(super) async fn end(
    shared: &Shared,
    execution: ExecutionId,
    command: Command,
    contents: &[Content],
) {
    loop {
        match command_on(shared, execution, command.clone(), contents).await {
            Ok(_) => return,
            Err(ExecuteError::Refused(refused)) => {
                tracing::debug!(%execution, %refused, "this ending was recorded before");
                return;
            }
            Err(error) => {
                tracing::error!(%execution, %error, "an ending waits for the log");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
