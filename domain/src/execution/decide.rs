//! The rules of an execution: which events follow from a command.

use super::command::{Command, TurnContext};
use super::event::{
    CancelCause, CancellationRequested, Cancelled, Completed, CostCorrected, ExecutionEvent,
    Failed, FailureCode, InjectionRefused, QueueMoved, ResultInjected, RunReport, Running,
};
use super::observation::{CostBasis, Evidence, Exit, Observation, StopCause};
use super::state::Execution;
use crate::Aggregate;
use crate::content::ContentRef;
use crate::limits;

/// Why a command about an execution was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The stream has no first event.
    #[error("there is no such execution")]
    NotFound,
    /// The stream has a first event already.
    #[error("this execution was submitted before")]
    AlreadySubmitted,
    /// Somebody else's start won.
    #[error("this execution was started before")]
    AlreadyStarted,
    /// It has ended.
    #[error("this execution has ended")]
    AlreadyEnded,
    /// It has not ended yet.
    #[error("this execution has not ended yet")]
    NotEnded,
    /// It is not waiting.
    #[error("this execution is not waiting for a slot")]
    NotPending,
    /// It was moved to the front of its queue as often as may be.
    #[error(
        "this execution was moved to the front {} times, as often as may be",
        limits::QUEUE_MOVES_MAX
    )]
    MovedTooOften,
    /// It is not running.
    #[error("this execution is not running")]
    NotRunning,
    /// The report comes from another start than the one that holds the slot.
    #[error("this report is about another start of the execution")]
    OtherClaim,
    /// Nobody asked for it to stop.
    #[error("nobody asked for this execution to stop")]
    NotCancelled,
    /// Its time to wait is not over.
    #[error("this execution may wait longer")]
    NotExpired,
    /// It is to start later.
    #[error("this execution starts later")]
    TooEarly,
    /// Its time to wait is over.
    #[error("this execution has waited for too long")]
    Expired,
    /// It asked for no injection.
    #[error("this execution asked for no injection into that session")]
    NoInjectionAsked,
}

impl Aggregate for Execution {
    type Event = ExecutionEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(self, event: &ExecutionEvent) -> Self {
        self.after(event)
    }

    #[expect(clippy::match_same_arms, reason = "a table of decisions, a row for each command")]
    fn decide(&self, command: Command) -> Result<Vec<ExecutionEvent>, Rejection> {
        use Command as C;
        use Execution::{Absent, Ended, Pending, Running};
        use ExecutionEvent as E;
        match (self, command) {
            (Absent, C::Submit(pending)) => Ok(vec![E::Pending(pending)]),
            (Pending(_) | Running { .. } | Ended { .. }, C::Submit(_)) => {
                Err(Rejection::AlreadySubmitted)
            }

            (Pending(queued), C::MoveToFront { rank }) if rank <= queued.rank => Ok(vec![]),
            (Pending(queued), C::MoveToFront { .. }) if queued.moves >= limits::QUEUE_MOVES_MAX => {
                Err(Rejection::MovedTooOften)
            }
            (Pending(_), C::MoveToFront { rank }) => Ok(vec![E::QueueMoved(QueueMoved { rank })]),
            (Running { .. } | Ended { .. }, C::MoveToFront { .. }) => Err(Rejection::NotPending),

            (Pending(queued), C::Start { now, .. }) if now >= queued.pending.expires_at => {
                Err(Rejection::Expired)
            }
            (Pending(queued), C::Start { now, .. })
                if queued.pending.not_before.is_some_and(|earliest| now < earliest) =>
            {
                Err(Rejection::TooEarly)
            }
            (Pending(queued), C::Start { claim, now, runtime, turn, node }) => {
                let slot_until = now.plus_s(queued.pending.timeout_s + limits::LEASE_MARGIN_S);
                let TurnContext { resumed_session_id, told } = turn;
                Ok(vec![E::Running(super::event::Running {
                    claim,
                    slot_until,
                    runtime,
                    resumed_session_id,
                    told,
                    node,
                })])
            }
            (Running { .. }, C::Start { .. }) => Err(Rejection::AlreadyStarted),
            (Ended { .. }, C::Start { .. }) => Err(Rejection::AlreadyEnded),

            (Pending(_), C::Cancel { cause }) => {
                Ok(vec![E::Cancelled(Box::new(Cancelled { cause, report: None }))])
            }
            (Running { cancellation: None, .. }, C::Cancel { cause }) => {
                Ok(vec![E::CancellationRequested(CancellationRequested { cause })])
            }
            (Running { cancellation: Some(_), .. } | Ended { .. }, C::Cancel { .. }) => Ok(vec![]),

            (Running { running, signals, .. }, C::NoteSignal { claim, sent }) => {
                same_claim(running, claim)?;
                let noted = signals.contains(&sent);
                Ok(if noted { vec![] } else { vec![E::SignalSent(sent)] })
            }
            (Pending(_), C::NoteSignal { .. }) => Err(Rejection::NotRunning),
            (Ended { .. }, C::NoteSignal { .. }) => Err(Rejection::AlreadyEnded),

            (Running { running, cancellation, .. }, C::Abandon { claim }) => {
                same_claim(running, claim)?;
                let cause = cancellation.ok_or(Rejection::NotCancelled)?;
                Ok(vec![E::Cancelled(Box::new(Cancelled { cause, report: None }))])
            }
            (Pending(_), C::Abandon { .. }) => Err(Rejection::NotRunning),
            (Ended { .. }, C::Abandon { .. }) => Err(Rejection::AlreadyEnded),

            (Running { running, cancellation, signals, .. }, C::Finish(observed)) => {
                same_claim(running, observed.claim)?;
                let mut events = unrecorded_signals(signals, &observed);
                events.push(ending(*cancellation, *observed));
                Ok(events)
            }
            (Pending(_), C::Finish(_)) => Err(Rejection::NotRunning),
            (Ended { .. }, C::Finish(_)) => Err(Rejection::AlreadyEnded),

            (Running { running, signals, .. }, C::Lose { claim, code, message, observed }) => {
                same_claim(running, claim)?;
                let mut events =
                    observed.as_ref().map_or_else(Vec::new, |o| unrecorded_signals(signals, o));
                let report = observed.map(|observed| report(*observed));
                events.push(failed(code, Some(message), report));
                Ok(events)
            }
            (Pending(_), C::Lose { .. }) => Err(Rejection::NotRunning),
            (Ended { .. }, C::Lose { .. }) => Err(Rejection::AlreadyEnded),

            (Pending(queued), C::Expire { now, .. }) if now < queued.pending.expires_at => {
                Err(Rejection::NotExpired)
            }
            (Pending(_), C::Expire { message, .. }) => {
                Ok(vec![failed(FailureCode::QueueExpired, Some(message), None)])
            }
            (Running { .. } | Ended { .. }, C::Expire { .. }) => Ok(vec![]),

            (Ended { pending, injection_settled, .. }, C::Inject { session_id }) => {
                asked_for(pending, session_id)?;
                let event = E::ResultInjected(ResultInjected { session_id });
                Ok(if *injection_settled { vec![] } else { vec![event] })
            }
            (
                Ended { pending, injection_settled, .. },
                C::RefuseInjection { session_id, reason },
            ) => {
                asked_for(pending, session_id)?;
                let event = E::InjectionRefused(InjectionRefused { session_id, reason });
                Ok(if *injection_settled { vec![] } else { vec![event] })
            }
            (Pending(_) | Running { .. }, C::Inject { .. } | C::RefuseInjection { .. }) => {
                Err(Rejection::NotEnded)
            }

            (
                Ended { cost: Some(known), cost_basis, price_book: by, .. },
                C::CorrectCost { cost, basis, price_book, .. },
            ) if (*known, *cost_basis, by) == (cost, basis, &price_book) => Ok(vec![]),
            (Ended { .. }, C::CorrectCost { cost, basis, price_book, reason }) => {
                Ok(vec![E::CostCorrected(CostCorrected {
                    cost_nano_usd: cost,
                    cost_basis: basis,
                    price_book,
                    reason,
                })])
            }
            (Pending(_) | Running { .. }, C::CorrectCost { .. }) => Err(Rejection::NotEnded),

            (
                Absent,
                C::MoveToFront { .. }
                | C::Start { .. }
                | C::Cancel { .. }
                | C::NoteSignal { .. }
                | C::Abandon { .. }
                | C::Finish(_)
                | C::Lose { .. }
                | C::Expire { .. }
                | C::Inject { .. }
                | C::RefuseInjection { .. }
                | C::CorrectCost { .. },
            ) => Err(Rejection::NotFound),
        }
    }
}

fn same_claim(running: &Running, claim: crate::ids::ClaimId) -> Result<(), Rejection> {
    if running.claim == claim { Ok(()) } else { Err(Rejection::OtherClaim) }
}

fn asked_for(
    pending: &super::event::Pending,
    session_id: crate::ids::SessionId,
) -> Result<(), Rejection> {
    if pending.inject_result && pending.chat_session_id == Some(session_id) {
        Ok(())
    } else {
        Err(Rejection::NoInjectionAsked)
    }
}

fn unrecorded_signals(
    recorded: &[super::event::SignalSent],
    observed: &Observation,
) -> Vec<ExecutionEvent> {
    observed
        .signals
        .iter()
        .filter(|sent| !recorded.contains(sent))
        .map(|sent| ExecutionEvent::SignalSent(*sent))
        .collect()
}

/// The outcome by evidence, never by assumption.
///
/// A run that broke a limit failed by it, whatever it says. Otherwise its own evidence of success
/// stands, also against a cancel or a timeout that came too late. Otherwise what the ledger did to
/// it says why it ended; and only where the ledger did nothing, its own words or its exit do.
fn ending(cancellation: Option<CancelCause>, observed: Observation) -> ExecutionEvent {
    let said = match observed.evidence {
        Evidence::Failure { message, .. } => message,
        Evidence::Success | Evidence::None => None,
    };
    let code = match (observed.stopped, observed.evidence) {
        (Some(StopCause::OutputLimit), _) => FailureCode::OutputLimit,
        (Some(StopCause::DiskFull), _) => FailureCode::DiskFull,
        (Some(StopCause::LeaseExpired), _) => FailureCode::LeaseExpired,
        (_, Evidence::Success) => {
            return ExecutionEvent::Completed(Box::new(Completed { report: report(observed) }));
        }
        (Some(StopCause::Cancelled), _) => {
            let cause = cancellation.unwrap_or(CancelCause::Requested);
            let report = Some(report(observed));
            return ExecutionEvent::Cancelled(Box::new(Cancelled { cause, report }));
        }
        (Some(StopCause::Timeout), _) => FailureCode::Timeout,
        (Some(StopCause::MaxCost), _) => FailureCode::MaxCost,
        (Some(StopCause::HostShutdown), _) => FailureCode::Interrupted,
        (Some(StopCause::NodeLapsed), _) => FailureCode::NodeLost,
        (None, Evidence::Failure { code, .. }) => code,
        (None, Evidence::None) => match observed.exit {
            Some(Exit::Signal(_)) => FailureCode::KilledBySignal,
            Some(Exit::Code(_)) | None => FailureCode::AgentFailed,
        },
    };
    failed(code, said, Some(report(observed)))
}

fn failed(
    code: FailureCode,
    message: Option<ContentRef>,
    report: Option<RunReport>,
) -> ExecutionEvent {
    ExecutionEvent::Failed(Box::new(Failed { code, message, report }))
}

fn report(observed: Observation) -> RunReport {
    RunReport {
        claim: observed.claim,
        started_at: observed.started_at,
        ended_at: observed.ended_at,
        duration_ms: observed.duration_ms,
        exit: observed.exit,
        killed_processes: observed.killed_processes,
        response: observed.response,
        response_cut: observed.response_cut,
        cost_nano_usd: observed.cost,
        cost_basis: if observed.cost.is_some() { observed.cost_basis } else { CostBasis::Unknown },
        price_book: observed.price_book,
        usage: observed.usage,
        usage_by_model: observed.usage_by_model,
        model_used: observed.model_used,
        agent_session_id: observed.agent_session_id,
        num_turns: observed.num_turns,
        transcript: observed.transcript,
    }
}
