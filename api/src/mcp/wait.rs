//! Waiting for the end of an execution, with progress.

use std::time::{Duration, Instant};

use execution_ledger_domain::ExecutionId;
use execution_ledger_process::tasks::Waited;
use execution_ledger_store::Position;
use tokio::time::MissedTickBehavior;

use super::call::Call;
use super::cancellations::Registered;
use crate::problem::{Code, Problem};

/// How long a call waits, at most: below the minute after which common clients give a call up.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(45);
/// How often a client is told that it goes on.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The execution has ended; its ending has this position.
    Reached(Position),
    /// It goes on.
    NotYet,
    /// It goes on; the server is being stopped.
    Stopping,
    /// The client wants the call to be cancelled.
    Cancelled,
}

/// Waits for the end of an execution no longer than `most`, nor than the settings say. The client is told of the execution at
/// once, so that it knows the id before anything can time out.
///
/// What was wished since the call was registered counts. Whose key ends meanwhile is refused; the execution goes on.
///
/// The caller must hold room for one that waits ([`crate::gate::Gate::stream`]) and a place.
pub(super) async fn for_end(
    call: &Call,
    registered: &Registered,
    id: ExecutionId,
    what: &str,
    most: Duration,
) -> Result<End, Problem> {
    let began = Instant::now();
    let gate = call.app.gate();
    let lent = gate.lend_place();
    let ended = call.app.tasks().wait_for_end(id, most.min(gate.options.sync_wait));
    tokio::pin!(ended);
    let mut progress = tokio::time::interval(PROGRESS_EVERY);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = loop {
        tokio::select! {
            biased;
            waited = &mut ended => break match waited? {
                Waited::Ended(position) => End::Reached(position),
                Waited::StillOpen | Waited::TooManyWait => End::NotYet,
            },
            () = gate.stopping().cancelled() => break End::Stopping,
            over = call.access.until.over() => {
                return Err(Problem::new(Code::Unauthorized, over.detail()));
            }
            () = registered.wished() => break End::Cancelled,
            // In the older revisions a connection may break without a meaning.
            () = call.context.ct.cancelled() => break if call.cancels_by_closing() {
                End::Cancelled
            } else {
                End::NotYet
            },
            _ = progress.tick() => {
                let seconds = began.elapsed().as_secs_f64();
                call.tell(seconds, format!("execution {id} {what}")).await;
            }
        }
    };
    drop(lent);
    Ok(end)
}
