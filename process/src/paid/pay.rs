//! Taking a payment, step by step.

use execution_ledger_domain::payment::{
    Asked, Command, Evidence, Payment, Rejection, SettlementFailed, SettlementUnknown, Verified,
};
use execution_ledger_domain::{
    Actor, AgentName, Caller, ExecutionId, PaymentId, StreamName, UserName, limits,
};
use execution_ledger_store::{Context, ExecuteError, Executed, Position, StoreError};

use super::facilitator::{Outcome, Verdict};
use super::x402::{Presented, requirement};
use super::{Paid, PaidError, PaymentRequired, Payments, Shop};
use crate::failpoint;
use crate::tasks::{PaidTask, PreparedPaid, Request, payer};

/// How long a signature must still be valid for its money to be asked for, in seconds.
const VALID_FOR_MIN_S: u64 = 10;
/// Most executions that may be paid for and not done with at once.
const OPEN_MAX: usize = 10_000;

impl Payments {
    /// Takes a payment for a task; one that was sent before is answered by what it led to. Goes on to
    /// its end also where nobody waits for it any more.
    ///
    /// # Errors
    /// [`PaidError`]: nobody was charged then, unless the store failed: then what was recorded holds.
    pub async fn pay(
        &self,
        agent: &AgentName,
        task: PaidTask,
        presented: Presented,
        resource: &str,
        request: &Request,
    ) -> Result<Paid, PaidError> {
        let (own, agent, resource, request) =
            (self.clone(), agent.clone(), resource.to_owned(), request.clone());
        let id = presented.id();
        let asked = self.0.asking.spawn(async move {
            let told = own.pay_to_its_end(&agent, &task, &presented, &resource, &request).await;
            // Whatever came of it, somebody looks whether more is to be done.
            own.0.book.look_now(id, own.0.ledger.now());
            told
        });
        match asked.await {
            Ok(told) => told,
            Err(panic) => {
                Err(StoreError::Fault(format!("taking a payment panicked: {panic}")).into())
            }
        }
    }

    async fn pay_to_its_end(
        &self,
        agent: &AgentName,
        task: &PaidTask,
        presented: &Presented,
        resource: &str,
        request: &Request,
    ) -> Result<Paid, PaidError> {
        let shop = self.0.shop.as_ref().ok_or_else(|| PaidError::NotForSale(agent.clone()))?;
        let id = presented.id();
        let _one_at_a_time = self.0.locks.hold(id).await;
        let stream = StreamName::payment(id);
        let known = self.0.ledger.load::<Payment>(&stream).await?;
        let caller = caller(presented)?;
        let attempt = Attempt { payments: self, shop, presented, caller: &caller, request };
        if known.verified().is_some() {
            return attempt.again(known, agent, task).await;
        }
        attempt.first(agent, task, resource).await
    }

    /// What is recorded of a payment, for whoever sent it.
    async fn told(&self, id: PaymentId, replayed: bool) -> Result<Paid, PaidError> {
        let (payment, position) = self.look_up(id).await?;
        let redactions = payment.verified().map_or(0, |verified| verified.asked.pending.redactions);
        let execution_id = ExecutionId::paid_by(id);
        Ok(Paid { id, execution_id, payment, position, redactions, replayed })
    }

    /// A payment as the log has it, and the position of its last event.
    pub(super) async fn look_up(
        &self,
        id: PaymentId,
    ) -> Result<(Payment, Position), ExecuteError<Rejection>> {
        let stream = StreamName::payment(id);
        let with = execution_ledger_store::With::EventsOnly;
        // Few: every rule leaves a payment with less than that.
        let most = 4 * limits::payment::SETTLEMENTS_MAX as usize;
        let events = self.0.ledger.store().read_stream(&stream, 0, most, with).await?;
        let mut payment = Payment::default();
        for recorded in &events {
            let unreadable = |why: &dyn std::fmt::Display| {
                ExecuteError::Unreadable(format!("{stream}@{}: {why}", recorded.revision))
            };
            let event = recorded.event().map_err(|error| unreadable(&error))?;
            let execution_ledger_domain::Event::Payment(event) = event else {
                return Err(unreadable(&"it is no payment's"));
            };
            payment = execution_ledger_domain::Aggregate::evolve(payment, &event);
        }
        Ok((payment, events.last().map_or(Position::START, |last| last.position)))
    }

    pub(super) async fn command(
        &self,
        id: PaymentId,
        command: Command,
        context: &Context,
    ) -> Result<Executed<Payment>, ExecuteError<Rejection>> {
        self.0.ledger.execute(&StreamName::payment(id), command, &[], context).await
    }
}

/// Somebody's attempt to pay.
struct Attempt<'a> {
    payments: &'a Payments,
    shop: &'a Shop,
    presented: &'a Presented,
    caller: &'a Caller,
    request: &'a Request,
}

impl Attempt<'_> {
    /// A payment that was never seen.
    async fn first(
        &self,
        agent: &AgentName,
        task: &PaidTask,
        resource: &str,
    ) -> Result<Paid, PaidError> {
        let Self { payments, shop, presented, caller, request } = self;
        let id = presented.id();
        let for_sale = payments.for_sale(agent)?;
        let refused = |reason: &str| PaidError::NotTaken {
            reason: reason.to_owned(),
            required: Box::new(PaymentRequired::of(for_sale, resource, reason)),
        };
        if payments.0.book.len() >= OPEN_MAX {
            return Err(PaidError::TooMany);
        }
        let offered = for_sale
            .prices
            .iter()
            .find(|price| requirement(for_sale, price) == presented.accepted)
            .ok_or_else(|| refused("not_offered"))?;
        self.check(&offered.asset.pay_to, &offered.amount).map_err(refused)?;
        let prepared = payments
            .0
            .tasks
            .prepare_paid(caller, agent, task, (id, &for_sale.models), request)
            .await?;
        match shop.facilitator.verify(presented).await {
            Verdict::Good => {}
            Verdict::Bad(reason) => return Err(refused(&reason)),
            Verdict::Unanswered(why) => return Err(PaidError::NoFacilitator(why)),
        }
        failpoint::reach("paid.before_verified");
        let PreparedPaid { pending, contents, reservation } = prepared;
        let execution_id = ExecutionId::paid_by(id);
        let verified = Verified {
            x402_version: super::x402::VERSION,
            terms: offered.asset.terms(&offered.amount),
            payer: presented.payer.clone(),
            nonce: presented.nonce.clone(),
            valid_after_s: presented.valid_after_s,
            valid_before_s: presented.valid_before_s,
            payload_sha256: presented.sha256,
            payment_identifier: presented.identifier.clone(),
            resource: resource.to_owned(),
            facilitator: shop.facilitator.name(),
            asked: Asked { execution_id, pending },
        };
        let stream = StreamName::payment(id);
        let command = Command::Verify(Box::new(verified));
        let context = self.context();
        let done = payments.0.ledger.execute_new(&stream, command, &contents, &context).await;
        let done: Executed<Payment> = done.map_err(|error| reused(id, error))?;
        failpoint::reach("paid.verified");
        if !done.events.is_empty() {
            self.settle(0).await?;
        }
        // Kept until the execution is there, which is past the limit of its queue then.
        drop(reservation);
        payments.told(id, done.events.is_empty()).await
    }

    /// A payment that was seen before: what was begun goes on, what was done is told.
    async fn again(
        &self,
        known: Payment,
        agent: &AgentName,
        task: &PaidTask,
    ) -> Result<Paid, PaidError> {
        let Self { payments, presented, .. } = self;
        let id = presented.id();
        let Some(first) = known.verified() else { return payments.told(id, true).await };
        let mark = payments.0.tasks.mark_paid(agent, task);
        let same =
            first.payload_sha256 == presented.sha256 && first.asked.pending.request_sha256 == mark;
        if !same {
            return Err(PaidError::Reused(first.asked.execution_id));
        }
        let still_valid = self.check(&first.terms.pay_to, &first.terms.amount).is_ok();
        match &known {
            Payment::Verified(_) if !still_valid => {
                payments.expire(id).await?;
            }
            Payment::Verified(verified) => {
                let pending = &verified.asked.pending;
                let reserved = payments.0.tasks.reserve_again(first.asked.execution_id, pending);
                let reservation = reserved.map_err(|full| PaidError::Task(full.into()))?;
                self.settle(0).await?;
                drop(reservation);
            }
            Payment::Requested { attempt, .. } => {
                // Nobody else works on it, so whoever asked for the money is gone.
                payments.note_interrupted(id).await?;
                self.ask_again(*attempt, still_valid).await?;
            }
            Payment::Unknown { attempt, .. } => self.ask_again(*attempt, still_valid).await?,
            Payment::Settled { refund: None, .. } => payments.accept(id).await?,
            Payment::Settled { .. } | Payment::Failed { .. } | Payment::Absent => {}
        }
        payments.told(id, true).await
    }

    /// Asks for money of which nobody knows whether it came. The payment's number can be used once, so
    /// nobody is charged twice by that.
    async fn ask_again(&self, asked_before: u32, still_valid: bool) -> Result<(), PaidError> {
        if still_valid && asked_before < limits::payment::SETTLEMENTS_MAX {
            self.settle(asked_before).await?;
        }
        Ok(())
    }

    /// What of the payment itself can be told without asking anybody.
    fn check(&self, pay_to: &str, amount: &str) -> Result<(), &'static str> {
        let presented = self.presented;
        let now_s = self.payments.now_s();
        if presented.pay_to != pay_to {
            return Err("wrong_recipient");
        }
        if presented.amount != amount {
            return Err("wrong_amount");
        }
        if presented.valid_after_s > now_s {
            return Err("not_valid_yet");
        }
        if presented.valid_before_s < now_s.saturating_add(VALID_FOR_MIN_S) {
            return Err("expired");
        }
        Ok(())
    }

    /// Asks for the money, records what came of it, and has the execution accepted where it came.
    async fn settle(&self, asked_before: u32) -> Result<(), PaidError> {
        let Self { payments, shop, presented, .. } = self;
        let id = presented.id();
        let context = self.context();
        let ask = Command::RequestSettlement { asked_before };
        match payments.command(id, ask, &context).await {
            Ok(_) => {}
            // Somebody was first: what is recorded is what is told.
            Err(ExecuteError::Refused(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        failpoint::reach("paid.settlement_requested");
        let outcome = shop.facilitator.settle(presented).await;
        failpoint::reach("paid.settle_answered");
        let settled = matches!(outcome, Outcome::Settled(_));
        let command = match outcome {
            Outcome::Settled(settled) => Command::Settle(settled),
            Outcome::Failed(failed) if asked_before == 0 => {
                Command::Fail { failed, now: payments.0.ledger.now() }
            }
            // A repetition can be refused because what was asked first succeeded.
            Outcome::Failed(failed) => {
                Command::NoteUnknown(SettlementUnknown { reason: failed.reason })
            }
            Outcome::Unknown(unknown) => Command::NoteUnknown(unknown),
        };
        payments.command(id, command, &context).await?;
        if settled {
            failpoint::reach("paid.settled");
            payments.accept(id).await?;
            failpoint::reach("paid.accepted");
        }
        Ok(())
    }

    fn context(&self) -> Context {
        Context {
            actor: self.caller.actor.clone(),
            correlation_id: Some(ExecutionId::paid_by(self.presented.id()).to_string()),
            causation_id: Some(self.request.id.clone()),
            traceparent: self.request.traceparent.clone(),
        }
    }
}

impl Payments {
    /// Now, in seconds since 1970.
    pub(super) fn now_s(&self) -> u64 {
        seconds(self.0.ledger.now())
    }

    /// Records that nobody asked for the money in time.
    pub(super) async fn expire(&self, id: PaymentId) -> Result<(), ExecuteError<Rejection>> {
        let failed = SettlementFailed {
            reason: "expired".to_owned(),
            evidence: Evidence::NotRequested,
            note: None,
        };
        let fail = Command::Fail { failed, now: self.0.ledger.now() };
        self.command(id, fail, &own(id)).await.map(drop)
    }

    /// Records that whoever asked for the money did not live to record what came of it.
    pub(super) async fn note_interrupted(
        &self,
        id: PaymentId,
    ) -> Result<(), ExecuteError<Rejection>> {
        let unknown = SettlementUnknown { reason: "interrupted".to_owned() };
        self.command(id, Command::NoteUnknown(unknown), &own(id)).await.map(drop)
    }
}

/// A moment in seconds since 1970.
pub(super) fn seconds(at: execution_ledger_domain::Timestamp) -> u64 {
    at.ms_since(execution_ledger_domain::Timestamp::EPOCH) / 1_000
}

/// The ledger's own acts on a payment.
pub(super) fn own(id: PaymentId) -> Context {
    Context {
        actor: Actor::system("payments"),
        correlation_id: Some(ExecutionId::paid_by(id).to_string()),
        causation_id: None,
        traceparent: None,
    }
}

fn caller(presented: &Presented) -> Result<Caller, StoreError> {
    // An address in lower case is a name.
    let user = UserName::new(&presented.payer)
        .map_err(|_| StoreError::Fault("a payer's address is no name".to_owned()))?;
    Ok(payer(&presented.payer, user))
}

fn reused(id: PaymentId, error: ExecuteError<Rejection>) -> PaidError {
    match error {
        ExecuteError::Refused(Rejection::Reused) => PaidError::Reused(ExecutionId::paid_by(id)),
        other => other.into(),
    }
}
