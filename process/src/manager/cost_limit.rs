//! Stopping a run that passes what it may cost, while it still runs.
//!
//! Its output is followed by the same reader that reads its cost at the end, so what stops it is what it
//! is recorded to have cost, or less: what has no price is left out. It is followed only where there is
//! a limit. A ledger that is started again takes this up with the run, from its first line on.
//!
//! The limit is in no orders: a supervisor can't read dollars. One that was started by an older program
//! does not know the signal and passes it over; its run ends by itself or by its timeout.

use std::sync::Arc;

use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::{ExecutionId, NanoUsd, StreamName};
use tokio_util::task::AbortOnDropHandle;

use super::Shared;
use super::observe::StartedAs;
use super::runs::send;
use crate::failpoint;
use crate::orders::supervisor_signal;
use crate::runtimes::Meter;
use crate::supervisor::Handle;

/// What a run may cost, and how its output is read.
#[derive(Clone, Debug)]
pub(super) struct CostLimit {
    most: NanoUsd,
    program: StartedAs,
}

impl CostLimit {
    /// None where there is no limit, or where the agent says nothing of its cost before it ends.
    pub fn of(most: Option<NanoUsd>, program: &StartedAs) -> Option<Self> {
        Meter::of(program.runtime, program.resumed)?;
        most.map(|most| Self { most, program: program.clone() })
    }

    /// Of a run that is taken up, by what was accepted.
    pub async fn of_run(shared: &Shared, execution: ExecutionId) -> Option<Self> {
        let stream = StreamName::execution(execution);
        match shared.ledger.load::<Execution>(&stream).await {
            Ok(Execution::Running { pending, running, .. }) => {
                Self::of(pending.max_cost_nano_usd, &StartedAs::of(&running, &pending))
            }
            Ok(_) => None,
            Err(error) => {
                tracing::error!(%execution, %error, "nobody can say what a run may cost");
                None
            }
        }
    }
}

/// Follows the run until what is answered is dropped.
pub(super) fn keep(
    shared: &Arc<Shared>,
    execution: ExecutionId,
    handle: &Arc<Handle>,
    limit: CostLimit,
) -> AbortOnDropHandle<()> {
    let (shared, handle) = (Arc::clone(shared), Arc::clone(handle));
    AbortOnDropHandle::new(tokio::spawn(async move {
        follow(&shared, execution, &handle, &limit).await;
    }))
}

async fn follow(shared: &Shared, execution: ExecutionId, handle: &Handle, limit: &CostLimit) {
    let CostLimit { most, program } = limit;
    let Some(mut meter) = Meter::of(program.runtime, program.resumed) else { return };
    let pricing = program.pricing(&shared.options.price_book, shared.ledger.now());
    let mut lines = match shared.hub.follow(execution, 0, true) {
        Ok(lines) => lines,
        Err(error) => {
            tracing::error!(%execution, %error, "the cost of a run can't be followed");
            return;
        }
    };
    while let Some(batch) = lines.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%execution, %error, "the cost of a run can't be followed any more");
                return;
            }
        };
        // A line that is none is none at the end either.
        batch.iter().filter_map(|entry| entry.parse().ok()).for_each(|line| meter.push(line));
        let cost = meter.at_least(&pricing);
        if cost > *most {
            tracing::info!(%execution, %cost, %most, "a run has passed what it may cost");
            failpoint::reach("manager.before_max_cost");
            return send(handle, execution, supervisor_signal::MAX_COST);
        }
    }
}
