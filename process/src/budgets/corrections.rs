//! What a correction of a cost changes, told by the execution's own stream.

use std::time::Duration;

use execution_ledger_domain::Event;
use execution_ledger_domain::budget::{Correction, EndedCost};
use execution_ledger_domain::execution::{CostCorrected, Execution, ExecutionEvent};
use execution_ledger_store::{Ledger, Recorded, StoreError, With};

/// Events of an execution that are read at a time.
const PAGE: usize = 1_000;
/// How often reading is tried that the store fails: admission must not go on without it.
const READS_MAX: u32 = 5;
/// How long the first rest after such a fault is; later ones are longer.
const REST_AFTER_FAULT: Duration = Duration::from_millis(100);

/// What a correction changes; nothing where it is about no ended execution.
///
/// # Errors
/// Where the stream can't be read.
pub(crate) async fn correction(
    ledger: &Ledger,
    recorded: &Recorded,
    corrected: &CostCorrected,
) -> Result<Option<Correction>, StoreError> {
    let mut faults = 0;
    loop {
        match read(ledger, recorded, corrected).await {
            Err(error) if faults < READS_MAX => {
                faults += 1;
                tracing::warn!(%error, faults, "what a correction changes can't be read at the moment");
                tokio::time::sleep(REST_AFTER_FAULT * faults).await;
            }
            done => return done,
        }
    }
}

async fn read(
    ledger: &Ledger,
    recorded: &Recorded,
    corrected: &CostCorrected,
) -> Result<Option<Correction>, StoreError> {
    let stream = &recorded.stream;
    let mut before = Execution::default();
    let mut started = false;
    let mut ended = None;
    let mut next = 0;
    while next < recorded.revision {
        let page = ledger.store().read_stream(stream, next, PAGE, With::EventsOnly).await?;
        if page.is_empty() {
            break;
        }
        for earlier in page.iter().filter(|earlier| earlier.revision < recorded.revision) {
            let event =
                earlier.event().map_err(|error| StoreError::Fault(format!("{stream}: {error}")))?;
            let Event::Execution(event) = event else { continue };
            started = started || matches!(event, ExecutionEvent::Running(_));
            if ended.is_none() {
                let cost = EndedCost::of(&event, started);
                ended = cost.map(|cost| (cost, earlier.recorded_at));
            }
            before = before.after(&event);
        }
        next = page.last().map_or(next, |last| last.revision) + 1;
    }
    let Execution::Ended { pending, cost, .. } = before else { return Ok(None) };
    let kept = match (cost, ended) {
        (None, Some((EndedCost::Unknown, at))) => pending.max_cost_nano_usd.map(|max| (max, at)),
        _ => None,
    };
    Ok(Some(Correction {
        agent: pending.agent,
        user: pending.user,
        before: cost,
        now: corrected.cost_nano_usd,
        kept,
    }))
}
