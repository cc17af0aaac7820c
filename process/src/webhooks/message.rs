//! What messages say: an event in the structured form of CloudEvents 1.0. Facts and ids, never texts.

use execution_ledger_domain::billing::BillingRow;
use execution_ledger_domain::budget::{BudgetEvent, ThresholdReached};
use execution_ledger_domain::execution::{ExecutionEvent, Pending};
use execution_ledger_domain::webhook::Kind;
use execution_ledger_domain::{Event, EventId, NanoUsd, StreamName, Timestamp, WebhookId};
use execution_ledger_store::{EventStore, LogPosition, Position, Recorded, StoreError, With};
use serde_json::{Value, json};

use super::{Outbox, Owed};

/// Where messages about executions come from.
const EXECUTIONS: &str = "/api/executions";
/// Where messages about budgets come from.
const BUDGETS: &str = "/api/budgets";
/// Where messages about webhooks themselves come from.
const WEBHOOKS: &str = "/api/webhooks";

/// What a message says; nothing where its event can't be told.
pub(super) async fn body(
    store: &dyn EventStore,
    outbox: &dyn Outbox,
    owed: &Owed,
) -> Result<Option<Vec<u8>>, StoreError> {
    let told = match owed.message.kind {
        Kind::RunCost | Kind::CostCorrected | Kind::PaymentSettled | Kind::RefundOwed => {
            let row = outbox.billing_row(owed.position).await?;
            row.filter(|row| row.event_id == owed.message.event_id).as_ref().map(of_billing)
        }
        Kind::BudgetThresholdReached
        | Kind::ExecutionCompleted
        | Kind::ExecutionFailed
        | Kind::ExecutionCancelled => match event_at(store, owed).await? {
            Some(recorded) => of_event(store, owed.message.kind, &recorded).await?,
            None => None,
        },
    };
    Ok(told.map(|told| told.to_string().into_bytes()))
}

/// What a message says that was only asked for to see whether it comes through.
pub(super) fn test(webhook: WebhookId, id: EventId, now: Timestamp) -> Vec<u8> {
    let data = json!({"webhook_id": webhook, "at": now});
    cloud_event(WEBHOOKS, "execution-ledger.webhook_test.v1", id, &webhook.to_string(), now, &data)
        .to_string()
        .into_bytes()
}

fn of_billing(row: &BillingRow) -> Value {
    json!(row.cloud_event())
}

async fn event_at(store: &dyn EventStore, owed: &Owed) -> Result<Option<Recorded>, StoreError> {
    let before = Position::new(owed.position.number().saturating_sub(1));
    let read = store.read_all(before, 1, With::EventsOnly).await?;
    Ok(read.into_iter().next().filter(|recorded| recorded.id == owed.message.event_id))
}

async fn of_event(
    store: &dyn EventStore,
    kind: Kind,
    recorded: &Recorded,
) -> Result<Option<Value>, StoreError> {
    let Some(event) = readable(recorded) else { return Ok(None) };
    match event {
        Event::Execution(event) => {
            let Some(pending) = first(store, &recorded.stream).await? else { return Ok(None) };
            Ok(Some(ending(store, kind, recorded, &pending, &event)))
        }
        Event::Budget(BudgetEvent::ThresholdReached(reached)) => {
            Ok(Some(threshold(store, recorded, &reached)))
        }
        _ => Ok(None),
    }
}

fn readable(recorded: &Recorded) -> Option<Event> {
    let event = recorded.event();
    if let Err(error) = &event {
        tracing::error!(%error, position = recorded.position.number(), "an event can't be told");
    }
    event.ok()
}

/// How an execution came to be.
async fn first(store: &dyn EventStore, stream: &StreamName) -> Result<Option<Pending>, StoreError> {
    let read = store.read_stream(stream, 0, 1, With::EventsOnly).await?;
    Ok(match read.first().and_then(readable) {
        Some(Event::Execution(ExecutionEvent::Pending(pending))) => Some(*pending),
        _ => None,
    })
}

fn ending(
    store: &dyn EventStore,
    kind: Kind,
    recorded: &Recorded,
    pending: &Pending,
    event: &ExecutionEvent,
) -> Value {
    let (status, type_name) = match kind {
        Kind::ExecutionCompleted => ("completed", "execution-ledger.execution_completed.v1"),
        Kind::ExecutionFailed => ("failed", "execution-ledger.execution_failed.v1"),
        _ => ("cancelled", "execution-ledger.execution_cancelled.v1"),
    };
    let report = event.report();
    let (mut code, mut cause) = (None, None);
    match event {
        ExecutionEvent::Failed(failed) => code = Some(failed.code),
        ExecutionEvent::Cancelled(cancelled) => cause = Some(cancelled.cause),
        _ => {}
    }
    let data = json!({
        "position": position(store, recorded),
        "event_id": recorded.id,
        "kind": kind,
        "execution_id": recorded.stream.id(),
        "agent": pending.agent,
        "user": pending.user,
        "triggered_by": pending.triggered_by,
        "status": status,
        "code": code,
        "cause": cause,
        "duration_ms": report.map(|report| report.duration_ms),
        "cost_usd": report.and_then(|report| report.cost_nano_usd).map(NanoUsd::to_usd),
        "cost_basis": report.map(|report| report.cost_basis),
        "at": recorded.recorded_at,
    });
    let subject = recorded.stream.id();
    cloud_event(EXECUTIONS, type_name, recorded.id, subject, recorded.recorded_at, &data)
}

fn threshold(store: &dyn EventStore, recorded: &Recorded, reached: &ThresholdReached) -> Value {
    let data = json!({
        "position": position(store, recorded),
        "event_id": recorded.id,
        "kind": Kind::BudgetThresholdReached,
        "scope": recorded.stream.id(),
        "period": reached.period,
        "since": reached.since,
        "percent": reached.percent,
        "limit_usd": reached.limit_nano_usd.to_usd(),
        "committed_usd": reached.committed_nano_usd.to_usd(),
        "reserved_usd": reached.reserved_nano_usd.to_usd(),
        "at": recorded.recorded_at,
    });
    let type_name = "execution-ledger.budget_threshold_reached.v1";
    let subject = recorded.stream.id();
    cloud_event(BUDGETS, type_name, recorded.id, subject, recorded.recorded_at, &data)
}

fn position(store: &dyn EventStore, recorded: &Recorded) -> String {
    LogPosition { log: store.log_id().clone(), position: recorded.position }.to_string()
}

fn cloud_event(
    source: &str,
    type_name: &str,
    id: EventId,
    subject: &str,
    time: Timestamp,
    data: &Value,
) -> Value {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": type_name,
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    })
}
