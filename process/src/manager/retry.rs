//! The attempt that follows by itself on one that failed for a reason that can pass.

use execution_ledger_domain::budget::Spend;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{
    Attempt, Command, Execution, ExecutionEvent, Pending, Rejection, Requester,
};
use execution_ledger_domain::policy::AgentStatus;
use execution_ledger_domain::{Actor, Event, ExecutionId, StreamName, Timestamp};
use execution_ledger_store::{Context, ExecuteError, Recorded, StoreError, With};

use super::Shared;
use crate::accepted::Accepted;
use crate::budgets::{self, Asked};
use crate::failpoint;

/// Events of an execution's stream that are read: far more than the rules let one become.
const STREAM_EVENTS_MAX: usize = 1_000;
/// How old a failure may be that is still followed, in milliseconds: a day. Older ones can be left
/// by a ledger that was down; what they were about may be long over.
const FAILURE_MAX_AGE_MS: u64 = 24 * 3_600 * 1_000;

/// Has another attempt follow on a failed execution, if one is due and there is none yet. Its id
/// follows from that of the failed one, so it is there once, however often this is done.
pub(super) async fn follow_up(
    shared: &Shared,
    failed: ExecutionId,
) -> Result<(), ExecuteError<Rejection>> {
    let stream = StreamName::execution(failed);
    let store = shared.ledger.store();
    let events = store.read_stream(&stream, 0, STREAM_EVENTS_MAX, With::Contents).await?;
    let Some(accepted) = Accepted::from_first(&events)? else { return Ok(()) };
    let Some(failure) = failure_that_can_pass(&events)? else { return Ok(()) };
    let now = shared.ledger.now();
    let Some(not_before) = due(shared, &accepted.pending, failed, failure.recorded_at, now) else {
        return Ok(());
    };
    let Some(texts) = accepted.texts()? else {
        tracing::info!(execution = %failed, "it is not tried again: its message was erased");
        return Ok(());
    };
    let actor = Actor::system("process_manager");
    let mut pending = accepted.pending.again(Attempt {
        of: failed,
        message: texts.message.reference(),
        system_prompt: texts
            .system_prompt
            .as_ref()
            .map(execution_ledger_domain::Content::reference),
        requested_by: Requester { kind: actor.kind, id: actor.id.clone() },
        request_sha256: Digest::of(failed.0.as_bytes()),
        now,
        not_before: Some(not_before),
    });
    let context = Context {
        actor,
        correlation_id: Some(accepted.correlation_id),
        causation_id: Some(failure.id.to_string()),
        traceparent: None,
    };
    let next = failed.next_attempt();
    let (agent, user) = (pending.agent.clone(), pending.user.clone());
    let spend = Spend { now, user: user.clone(), max: pending.max_cost_nano_usd, named: false };
    let reservation = match shared.desk.reserve_room(&agent, next, &spend) {
        Ok(reservation) => reservation,
        Err(refusal) => {
            let cause = Some(failure.id.to_string());
            let (agent, user, actor) = (&agent, &user, &context.actor);
            let asked = Asked { agent, user, actor, cause, traceparent: None };
            let refusal = budgets::record(&shared.ledger, &shared.desk, &asked, refusal).await;
            tracing::info!(execution = %failed, %refusal, "it is not tried again");
            return Ok(());
        }
    };
    pending.max_cost_nano_usd = reservation.max_cost();
    failpoint::reach("manager.before_retry");
    let next = StreamName::execution(next);
    let command = Command::Submit(Box::new(pending));
    let contents = texts.into_contents();
    match shared.ledger.execute_new::<Execution>(&next, command, &contents, &context).await {
        Ok(_) => {
            reservation.keep();
            Ok(())
        }
        Err(ExecuteError::Refused(Rejection::AlreadySubmitted)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// When another attempt starts at the earliest; nothing where none is to follow. The agent's
/// settings as they were when the first was accepted give the number, today's can lower it.
fn due(
    shared: &Shared,
    pending: &Pending,
    failed: ExecutionId,
    failed_at: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let config = shared.desk.config(&pending.agent)?;
    let retired = shared
        .desk
        .capacity(&pending.agent, 0)
        .is_none_or(|capacity| capacity.status == AgentStatus::Retired);
    let wanted = pending.is_retried() && pending.attempt <= config.max_retries;
    if retired || !wanted || now.ms_since(failed_at) > FAILURE_MAX_AGE_MS {
        return None;
    }
    Some(pending.retried_from(failed, failed_at, config.retry_backoff_s))
}

fn failure_that_can_pass(events: &[Recorded]) -> Result<Option<&Recorded>, StoreError> {
    for recorded in events {
        let event = recorded
            .event()
            .map_err(|error| StoreError::Fault(format!("{}: {error}", recorded.stream)))?;
        if let Event::Execution(ExecutionEvent::Failed(failed)) = event
            && failed.code.can_pass()
        {
            return Ok(Some(recorded));
        }
    }
    Ok(None)
}
