//! What has time: packing transcripts of ended runs, forgetting old ones, watching the disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::{ExecutionId, StreamName};
use tokio::sync::mpsc::Receiver;

use super::Shared;
use crate::transcript;

/// Ended runs that wait to be packed; what does not fit is found by the next round.
pub(super) const ARCHIVE_QUEUE_MAX: usize = 4_096;
/// Between two rounds over all that is left in `runs/`.
const ROUND: Duration = Duration::from_mins(1);
/// Between two looks at the disk.
const DISK_LOOK: Duration = Duration::from_secs(2);

/// Packs transcripts as runs end, and everything that was left over at each round.
pub(super) async fn work(shared: Arc<Shared>, mut ended: Receiver<ExecutionId>) {
    let mut rounds = tokio::time::interval(ROUND);
    loop {
        tokio::select! {
            execution = ended.recv() => match execution {
                Some(execution) => pack(&shared, execution).await,
                None => return,
            },
            _ = rounds.tick() => round(&shared).await,
        }
    }
}

async fn round(shared: &Arc<Shared>) {
    let runs = shared.options.runs.clone();
    let found = tokio::task::spawn_blocking(move || left_over(&runs)).await;
    for execution in found.unwrap_or_default() {
        if !shared.runs.has(execution) && shared.desk.holds(execution).is_none() {
            pack(shared, execution).await;
        }
    }
    let options = shared.options.clone();
    let kept = tokio::task::spawn_blocking(move || {
        let (bytes, days) = (options.transcripts_max_bytes, options.transcripts_keep_days);
        transcript::forget_old(&options.transcripts, bytes, days)
    })
    .await;
    match kept {
        Ok(Ok(0)) => {}
        Ok(Ok(forgotten)) => tracing::info!(forgotten, "old transcripts were deleted"),
        Ok(Err(error)) => tracing::warn!(%error, "old transcripts could not be deleted"),
        Err(panic) => tracing::error!(%panic, "deleting old transcripts panicked"),
    }
}

/// Executions that still have a directory of their own.
fn left_over(runs: &Path) -> Vec<ExecutionId> {
    let Ok(entries) = std::fs::read_dir(runs) else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .take(ARCHIVE_QUEUE_MAX)
        .collect()
}

/// Packs the transcript of an execution, if its ending is recorded, and removes its directory.
async fn pack(shared: &Arc<Shared>, execution: ExecutionId) {
    let stream = StreamName::execution(execution);
    match shared.ledger.load::<Execution>(&stream).await {
        Ok(Execution::Ended { .. }) => {}
        Ok(Execution::Absent) => {
            tracing::warn!(%execution, "a run's directory belongs to no execution of this log");
            return;
        }
        Ok(Execution::Pending(_) | Execution::Running { .. }) => return,
        Err(error) => {
            tracing::warn!(%execution, %error, "a transcript waits for the log");
            return;
        }
    }
    let options = shared.options.clone();
    let packed = tokio::task::spawn_blocking(move || {
        transcript::archive(&options.runs, &options.transcripts, execution)
    })
    .await;
    match packed {
        Ok(Ok(())) => crate::failpoint::reach("manager.archived"),
        Ok(Err(error)) => tracing::warn!(%execution, %error, "a transcript could not be packed"),
        Err(panic) => tracing::error!(%execution, %panic, "packing a transcript panicked"),
    }
}

/// Holds starts back while the disk is nearly full.
pub(super) async fn watch_disk(shared: Arc<Shared>) {
    let mut looks = tokio::time::interval(DISK_LOOK);
    let mut suspended = false;
    loop {
        looks.tick().await;
        let Some(free) = free_bytes(&shared.options.runs) else { continue };
        let nearly_full = free < shared.options.min_free_bytes;
        if nearly_full != suspended {
            suspended = nearly_full;
            tracing::warn!(free, suspended, "starts are held back while the disk is nearly full");
            shared.desk.policy().hold_back_for_disk(suspended);
            shared.desk.wake();
        }
    }
}

/// Free bytes on the disk of a directory, for those who are not root.
pub fn free_bytes(directory: &Path) -> Option<u64> {
    let disk = nix::sys::statvfs::statvfs(directory).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}
