//! What is to be done about one payment, from what is recorded of it alone: done twice, it is done once.

use execution_ledger_domain::execution::{
    Command as Submit, Execution, ExecutionEvent, FailureCode, Outcome, Pending,
    Rejection as NotSubmitted,
};
use execution_ledger_domain::payment::{
    Command, Evidence, Payment, PaymentEvent, RefundCause, RefundOwed, Rejection, Settled,
    SettlementFailed, Verified,
};
use execution_ledger_domain::{
    Content, Event, ExecutionId, PaymentId, StreamName, Timestamp, limits,
};
use execution_ledger_store::{ExecuteError, StoreError, With};

use super::Payments;
use super::book::Next;
use super::chain::Found;
use super::pay::{own, seconds};
use crate::failpoint;

/// How long a payment that was not asked for in time is waited for, in seconds: clocks differ.
const EXPIRED_FOR_S: u64 = 30;
/// When somebody looks again whether a request for money is still under way, in milliseconds.
const ASKING_AGAIN_MS: u64 = 1_000;
/// How long the first rest between two questions to a chain is, in milliseconds; later ones are longer.
const CHAIN_REST_MS: u64 = 1_000;
/// The same: longest.
const CHAIN_REST_MAX_MS: u64 = 60_000;
/// Events of an execution that are read: far more than the rules let one become.
const EXECUTION_EVENTS_MAX: usize = 1_000;

/// How an execution ended.
struct Ending {
    outcome: Outcome,
    code: Option<FailureCode>,
    at: Timestamp,
}

impl Payments {
    /// Looks at a payment, does what follows, and says when to look again.
    pub(super) async fn work_on(
        &self,
        id: PaymentId,
        looks: u32,
    ) -> Result<Next, ExecuteError<Rejection>> {
        let now = self.0.ledger.now();
        let (payment, _) = self.look_up(id).await?;
        match payment {
            Payment::Absent | Payment::Failed { .. } | Payment::Settled { refund: Some(_), .. } => {
                Ok(Next::Never)
            }
            Payment::Verified(verified) => self.await_expiry(id, &verified, now).await,
            Payment::Requested { .. } => {
                let Some(_nobody_asks) = self.0.locks.try_hold(id) else {
                    return Ok(Next::At(now.plus_ms(ASKING_AGAIN_MS)));
                };
                self.note_interrupted(id).await?;
                Ok(Next::At(now))
            }
            Payment::Unknown { verified, .. } => self.look_at_chain(id, &verified, looks).await,
            Payment::Settled { verified, refund: None, .. } => {
                self.follow_execution(id, &verified).await
            }
        }
    }

    async fn await_expiry(
        &self,
        id: PaymentId,
        verified: &Verified,
        now: Timestamp,
    ) -> Result<Next, ExecuteError<Rejection>> {
        let over_s = verified.valid_before_s.saturating_add(EXPIRED_FOR_S);
        let now_s = seconds(now);
        if now_s < over_s {
            return Ok(Next::At(now.plus_s(over_s - now_s)));
        }
        let Some(_nobody_asks) = self.0.locks.try_hold(id) else {
            return Ok(Next::At(now.plus_ms(ASKING_AGAIN_MS)));
        };
        match self.expire(id).await {
            // Somebody asked for it meanwhile.
            Ok(()) | Err(ExecuteError::Refused(_)) => Ok(Next::At(now)),
            Err(error) => Err(error),
        }
    }

    /// Asks the chain what became of a payment of which nobody knows. Without a chain that can be
    /// asked, a person decides.
    async fn look_at_chain(
        &self,
        id: PaymentId,
        verified: &Verified,
        looks: u32,
    ) -> Result<Next, ExecuteError<Rejection>> {
        let terms = &verified.terms;
        let key = (terms.network.clone(), terms.asset.clone());
        let chain = self.0.shop.as_ref().and_then(|shop| shop.chains.get(&key));
        let Some(chain) = chain else { return Ok(Next::Told) };
        // It was signed to be valid from some time before it was seen.
        let seen_s = self.seen_s(id).await?;
        let found = chain.look(verified, seen_s).await;
        let now = self.0.ledger.now();
        let rest = CHAIN_REST_MS.saturating_mul(1 << looks.min(16)).min(CHAIN_REST_MAX_MS);
        let command = match found {
            Ok(Found::Open) => return Ok(Next::At(now.plus_ms(rest))),
            Err(problem) => {
                tracing::warn!(payment = %id, problem, "the chain does not say what became of it");
                return Ok(Next::At(now.plus_ms(rest)));
            }
            Ok(Found::Came(transaction)) => {
                let (transaction, evidence) = (Some(transaction), Evidence::Chain);
                Command::Settle(Settled { transaction, evidence, note: None })
            }
            Ok(Found::CanNotCome(reason)) => {
                let (reason, evidence) = (reason.to_owned(), Evidence::Chain);
                Command::Fail { failed: SettlementFailed { reason, evidence, note: None }, now }
            }
        };
        failpoint::reach("paid.before_reconciled");
        match self.command(id, command, &own(id)).await {
            // A person or the payer was quicker.
            Ok(_) | Err(ExecuteError::Refused(_)) => Ok(Next::At(now)),
            Err(error) => Err(error),
        }
    }

    /// When a payment was first seen, in seconds since 1970.
    async fn seen_s(&self, id: PaymentId) -> Result<u64, StoreError> {
        let stream = StreamName::payment(id);
        let first = self.0.ledger.store().read_stream(&stream, 0, 1, With::EventsOnly).await?;
        Ok(first.first().map_or(0, |recorded| seconds(recorded.recorded_at)))
    }

    /// Has the execution accepted that was paid for, or the money owed back where it did not succeed.
    async fn follow_execution(
        &self,
        id: PaymentId,
        verified: &Verified,
    ) -> Result<Next, ExecuteError<Rejection>> {
        let execution = StreamName::execution(verified.asked.execution_id);
        let store = self.0.ledger.store();
        let most = EXECUTION_EVENTS_MAX;
        let events = store.read_stream(&execution, 0, most, With::EventsOnly).await?;
        if events.is_empty() {
            let Some(_nobody_else) = self.0.locks.try_hold(id) else {
                return Ok(Next::At(self.0.ledger.now().plus_ms(ASKING_AGAIN_MS)));
            };
            self.accept(id).await?;
            return Ok(Next::Told);
        }
        let mut ending = None;
        for recorded in &events {
            let event = recorded
                .event()
                .map_err(|error| StoreError::Fault(format!("{execution}: {error}")))?;
            if let Event::Execution(event) = event
                && let Some(outcome) = event.outcome()
            {
                let code = match &event {
                    ExecutionEvent::Failed(failed) => Some(failed.code),
                    _ => None,
                };
                ending = Some(Ending { outcome, code, at: recorded.recorded_at });
            }
        }
        let Some(ending) = ending else { return Ok(Next::Told) };
        let cause = match ending.outcome {
            Outcome::Completed => return Ok(Next::Never),
            Outcome::Failed => RefundCause::ExecutionFailed,
            Outcome::Cancelled => RefundCause::ExecutionCancelled,
        };
        self.owe(id, verified, cause, Some(ending)).await?;
        Ok(Next::Never)
    }

    async fn owe(
        &self,
        id: PaymentId,
        verified: &Verified,
        cause: RefundCause,
        ending: Option<Ending>,
    ) -> Result<(), ExecuteError<Rejection>> {
        failpoint::reach("paid.before_refund_owed");
        let refund = RefundOwed {
            amount: verified.terms.amount.clone(),
            cause,
            code: ending.as_ref().and_then(|ending| ending.code),
            ended_at: ending.map(|ending| ending.at),
        };
        self.command(id, Command::OweRefund(refund), &own(id)).await?;
        failpoint::reach("paid.refund_owed");
        Ok(())
    }

    /// Has the execution accepted that a settled payment pays for, past the limit of its queue; where it
    /// can't be, the money is owed back. Whoever calls it holds the payment's lock.
    pub(super) async fn accept(&self, id: PaymentId) -> Result<(), ExecuteError<Rejection>> {
        let stream = StreamName::payment(id);
        let first = self.0.ledger.store().read_stream(&stream, 0, 1, With::Contents).await?;
        let fault = |problem: &dyn std::fmt::Display| {
            ExecuteError::Store(StoreError::Fault(format!("{stream}: {problem}")))
        };
        let recorded = first.first().ok_or_else(|| fault(&"it has no event"))?;
        let event = recorded.event().map_err(|error| fault(&error))?;
        let Event::Payment(PaymentEvent::Verified(verified)) = event else {
            return Err(fault(&"its first event is no payment.verified"));
        };
        let asked = &verified.asked;
        if self.is_there(asked.execution_id).await? {
            return Ok(());
        }
        // A text that was erased is not among them.
        let contents: Vec<_> =
            recorded.contents.iter().filter_map(|stored| stored.content.clone()).collect();
        let wanted = 1 + usize::from(asked.pending.system_prompt.is_some());
        let gone = contents.len() != wanted;
        if gone || self.0.tasks.takes_tasks(&asked.pending.agent).is_err() {
            return self.owe(id, &verified, RefundCause::NotAccepted, None).await;
        }
        let submitted = self.submit(id, asked.execution_id, &asked.pending, &contents).await;
        submitted.map_err(|error| match error {
            ExecuteError::Store(fault) => fault.into(),
            other => fault(&other),
        })
    }

    async fn is_there(&self, execution: ExecutionId) -> Result<bool, StoreError> {
        let stream = StreamName::execution(execution);
        let first = self.0.ledger.store().read_stream(&stream, 0, 1, With::EventsOnly).await?;
        Ok(!first.is_empty())
    }

    async fn submit(
        &self,
        id: PaymentId,
        execution: ExecutionId,
        asked: &Pending,
        contents: &[Content],
    ) -> Result<(), ExecuteError<NotSubmitted>> {
        // Its time in the queue begins now: the payment may have been unknown for long.
        let expires_at = self.0.ledger.now().plus_s(limits::QUEUE_MAX_S);
        let pending = Pending { expires_at, ..asked.clone() };
        let command = Submit::Submit(Box::new(pending));
        let context = own(id);
        let stream = StreamName::execution(execution);
        let ledger = &self.0.ledger;
        match ledger.execute_new::<Execution>(&stream, command, contents, &context).await {
            Ok(_) | Err(ExecuteError::Refused(NotSubmitted::AlreadySubmitted)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
