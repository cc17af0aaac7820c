//! Tasks that are paid for: checked like those of callers, before anybody is asked for money.

use std::collections::BTreeSet;

use execution_ledger_domain::agent::AgentConfig;
use execution_ledger_domain::budget::Spend;
use execution_ledger_domain::content::Digest;
use execution_ledger_domain::execution::{Pending, Trigger};
use execution_ledger_domain::policy::NotAdmitted;
use execution_ledger_domain::{
    Actor, ActorKind, AgentName, Caller, Content, ExecutionId, PaymentId, Role, Scope, UserName,
};
use serde_json::json;

use super::submit::{Above, Accepted};
use super::validate::{self, Narrowed, invalid};
use super::{NewTask, Request, SubmitError, Tasks, Via};
use crate::desk::Reservation;

/// A task that somebody pays for, as he gave it: nothing is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidTask {
    /// What the agent is to do.
    pub message: String,
    /// The model, of those that are for sale.
    pub model: Option<String>,
    /// How long the run may take, in seconds.
    pub timeout_s: Option<u64>,
}

/// A task that would be accepted, with its place kept.
pub(crate) struct PreparedPaid<'a> {
    /// Its first event.
    pub pending: Pending,
    /// The texts of it.
    pub contents: Vec<Content>,
    /// Its place.
    pub reservation: Reservation<'a>,
}

impl Tasks {
    /// Checks what could be paid for against the agent's settings and its queue, so that nobody is asked
    /// to pay for what would be refused.
    ///
    /// # Errors
    /// As the task would be refused now.
    pub(crate) async fn check_paid(
        &self,
        agent: &AgentName,
        task: &PaidTask,
        models: &[String],
        request: &Request,
    ) -> Result<(), SubmitError> {
        let caller = somebody();
        let id = ExecutionId(uuid::Uuid::now_v7());
        let (_, narrowed) = self.narrow_paid(agent, task, models)?;
        // The place is given back at once.
        self.reserve_paid(&caller, agent, id, &narrowed, request).await.map(drop)
    }

    /// Checks what is paid for and keeps its place.
    ///
    /// # Errors
    /// As the task would be refused now: nothing is to be charged then.
    pub(crate) async fn prepare_paid(
        &self,
        caller: &Caller,
        agent: &AgentName,
        task: &PaidTask,
        (payment, models): (PaymentId, &[String]),
        request: &Request,
    ) -> Result<PreparedPaid<'_>, SubmitError> {
        let id = ExecutionId::paid_by(payment);
        let (config, narrowed) = self.narrow_paid(agent, task, models)?;
        let reservation = self.reserve_paid(caller, agent, id, &narrowed, request).await?;
        let narrowed = Narrowed { max_cost: reservation.max_cost(), ..narrowed };
        let above = Above { execution: None, correlation: None, depth: 0 };
        let (task, mark) = (wishes(task), self.mark_paid(agent, task));
        let accepted = Accepted { id, agent, config: &config, task, narrowed, above, mark };
        let (pending, contents) = self.pending(caller, accepted)?;
        let pending = Pending {
            triggered_by: Trigger::Paid,
            payment_id: Some(payment.to_string()),
            // What failed is owed back at once: nobody pays for a later attempt.
            max_retries: 0,
            ..pending
        };
        Ok(PreparedPaid { pending, contents, reservation })
    }

    /// Keeps the place of an execution that was found acceptable before, and was not appended since.
    ///
    /// # Errors
    /// Where there is no place for it now.
    pub(crate) fn reserve_again(
        &self,
        id: ExecutionId,
        pending: &Pending,
    ) -> Result<Reservation<'_>, NotAdmitted> {
        let spend = Spend {
            now: self.ledger.now(),
            user: pending.user.clone(),
            max: pending.max_cost_nano_usd,
            named: false,
        };
        self.desk.reserve(&pending.agent, id, &spend)
    }

    /// Whether an agent takes tasks at all.
    pub(crate) fn takes_tasks(&self, agent: &AgentName) -> Result<(), NotAdmitted> {
        self.desk.takes_tasks(agent)
    }

    /// What an equal request is known again by.
    pub(crate) fn mark_paid(&self, agent: &AgentName, task: &PaidTask) -> Digest {
        let PaidTask { message, model, timeout_s } = task;
        let request = json!(["paid", agent, message, model, timeout_s]);
        self.secret.mark(request.to_string().as_bytes())
    }

    fn narrow_paid(
        &self,
        agent: &AgentName,
        task: &PaidTask,
        models: &[String],
    ) -> Result<(AgentConfig, Narrowed), SubmitError> {
        let unknown = || NotAdmitted::UnknownAgent(agent.clone());
        let config = self.desk.config(agent).ok_or_else(unknown)?;
        validate::message(&config, &task.message)?;
        if let Some(model) = &task.model
            && !models.contains(model)
        {
            let problem = if models.is_empty() {
                "no model can be chosen for this price: leave it out".to_owned()
            } else {
                format!("for this price, choose one of: {}", models.join(", "))
            };
            return invalid("model", "model_not_listed", problem);
        }
        let narrowed = validate::narrow(&config, &wishes(task))?;
        Ok((config, narrowed))
    }

    async fn reserve_paid(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: ExecutionId,
        narrowed: &Narrowed,
        request: &Request,
    ) -> Result<Reservation<'_>, SubmitError> {
        let spend = Spend {
            now: self.ledger.now(),
            user: caller.actor.user.clone(),
            max: narrowed.max_cost,
            named: false,
        };
        match self.desk.reserve(agent, id, &spend) {
            Ok(reservation) => Ok(reservation),
            Err(refusal) => {
                // Who asks is not known before the payment is verified.
                Err(self.refused(&somebody(), agent, &spend, refusal, request).await)
            }
        }
    }
}

/// Somebody of whom nothing is known yet.
fn somebody() -> Caller {
    payer("payer", UserName::new("payer").unwrap_or_else(|_| unreachable!("a valid name")))
}

/// Whoever pays: may do nothing but what is paid for.
pub(crate) fn payer(id: &str, user: UserName) -> Caller {
    Caller {
        actor: Actor { kind: ActorKind::Payer, id: id.to_owned(), user: user.clone(), agent: None },
        role: Role::User,
        scope: Scope::User(user),
        run: None,
        may_call: Some(BTreeSet::new()),
    }
}

/// A payer's wishes as a task: he can narrow nothing else.
fn wishes(task: &PaidTask) -> NewTask {
    NewTask {
        via: Via::Rest,
        waits: false,
        message: task.message.clone(),
        inject_result: false,
        chat_session_id: None,
        model: task.model.clone(),
        timeout_s: task.timeout_s,
        max_cost: None,
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
        resume_session_id: None,
        parent_execution_id: None,
        idempotency_key: None,
    }
}
