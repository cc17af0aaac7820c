//! Giving a claim up that no supervisor has taken, so that none takes it later either.
//!
//! A ledger that is killed right after it gave orders leaves a supervisor that is about to take its
//! claim. The next ledger finds no lock. Before it records that the run never began, it seals the claim:
//! whoever comes first, the seal or the supervisor, decides.

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::execution::{Command, Execution, FailureCode};
use execution_ledger_domain::{ClaimId, ExecutionId, StreamName};

use super::{Shared, ending};
use crate::failpoint;
use crate::orders::RunFiles;
use crate::supervisor;

/// Rest between two attempts at something that failed for a reason that may pass.
const REST: Duration = Duration::from_secs(1);
/// How often a claim is tried to be sealed that the disk refuses. A supervisor that has not come to its
/// lock by then finds the same disk.
const SEALS_MAX: u32 = 10;

/// Why a claim is given up.
pub(super) enum GivenUp {
    /// Its execution was cancelled before it began.
    Cancelled,
    /// It can't be started, in words.
    Impossible(String),
}

/// Records that a claim was given up. No supervisor may have it, now or later.
pub(super) async fn record(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    claim: ClaimId,
    why: GivenUp,
) {
    match why {
        GivenUp::Cancelled => {
            ending::end(shared, execution, Command::Abandon { claim }, &[]).await;
        }
        GivenUp::Impossible(reason) => {
            ending::lose(shared, execution, claim, FailureCode::SpawnFailed, &reason).await;
        }
    }
}

/// Gives up a claim for which somebody may have given orders. False where its supervisor was quicker:
/// then it has begun.
pub(super) async fn seal_and_record(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    files: &RunFiles,
    why: GivenUp,
) -> bool {
    if !seal(execution, files).await {
        return false;
    }
    failpoint::reach("manager.sealed");
    record(shared, execution, files.claim, why).await;
    true
}

async fn seal(execution: ExecutionId, files: &RunFiles) -> bool {
    for _ in 0..SEALS_MAX {
        let files = files.clone();
        match tokio::task::spawn_blocking(move || supervisor::seal(&files)).await {
            Ok(Ok(sealed)) => return sealed,
            Ok(Err(error)) => tracing::error!(%execution, %error, "a claim can't be sealed"),
            Err(panic) => tracing::error!(%execution, %panic, "sealing a claim panicked"),
        }
        tokio::time::sleep(REST).await;
    }
    true
}

/// Records that a claim was given up which an earlier ledger had sealed before it died.
pub(super) async fn record_sealed(shared: &Arc<Shared>, execution: ExecutionId, claim: ClaimId) {
    let stream = StreamName::execution(execution);
    let why = loop {
        match shared.ledger.load::<Execution>(&stream).await {
            Ok(Execution::Running { cancellation: Some(_), .. }) => break GivenUp::Cancelled,
            Ok(Execution::Running { .. }) => {
                let reason = "it was given up before its supervisor had begun";
                break GivenUp::Impossible(reason.to_owned());
            }
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%execution, %error, "an ending waits for the log");
                tokio::time::sleep(REST).await;
            }
        }
    };
    record(shared, execution, claim, why).await;
}
