//! Budgets: setting them, telling that a part of one is reached, recording what they refuse.
//!
//! What is spent, and whether a task may be accepted, is the desk's: a fold of the log.

mod corrections;
mod refusals;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::budget::{Budget, BudgetSet, Command, Rejection};
use execution_ledger_domain::{
    AgentName, Aggregate, BudgetScope, Caller, Event, StreamName, limits,
};
use execution_ledger_store::{Context, ExecuteError, Ledger, Position};
use tokio::sync::Mutex;

use crate::desk::Desk;
use crate::tasks::Request;

pub(crate) use corrections::correction;
pub(crate) use refusals::{Asked, Refusals, for_caller, record};
pub(crate) use watch::watch;

/// How long a change waits until the desk follows the log.
const APPLIED_WAIT: Duration = Duration::from_secs(5);

/// Why a budget was not set or lifted.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// It has no limits.
    #[error("there is no budget {0}")]
    NotSet(BudgetScope),
    /// It would be the budget of an agent that there is not.
    #[error("there is no agent {0}")]
    UnknownAgent(AgentName),
    /// There are as many as may be.
    #[error("there are {} budgets already, which is the most", limits::budget::BUDGETS_MAX)]
    TooMany,
    /// A field breaks a rule.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it and what it may be.
        problem: &'static str,
    },
    /// The desk does not follow the log at the moment: what holds is not known.
    #[error("the process manager is behind the log: try again")]
    Behind,
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<std::convert::Infallible>),
}

/// Whose turn it is to write about budgets, and up to where the log has to be followed for it.
///
/// A budget's stream holds its refusals too and can become longer than anything that is read at once,
/// so commands are decided on the state that the desk has folded. That is sound because one process
/// writes at a time (the data directory is locked), one at a time within it, and each waits until the
/// desk has seen what the one before it wrote.
#[derive(Debug, Default)]
pub(crate) struct Turn(Mutex<Position>);

impl Turn {
    /// Decides a command on the state that the log has now, and appends what follows. Answers the
    /// position of it; nothing where it was so already.
    async fn execute(
        &self,
        ledger: &Ledger,
        desk: &Desk,
        scope: &BudgetScope,
        command: Command,
        context: &Context,
    ) -> Result<Option<Position>, BudgetError> {
        let mut last = self.0.lock().await;
        if !desk.wait_applied(*last, APPLIED_WAIT).await {
            return Err(BudgetError::Behind);
        }
        let budget: Budget = desk.policy().budgets().budget(scope);
        let decided = budget.decide(command).map_err(|refused| match refused {
            Rejection::NotSet => BudgetError::NotSet(scope.clone()),
            Rejection::Outdated => BudgetError::Behind,
            Rejection::Invalid { field, problem } => BudgetError::Invalid { field, problem },
        })?;
        if decided.is_empty() {
            return Ok(None);
        }
        let facts: Vec<Event> = decided.into_iter().map(Into::into).collect();
        *last = ledger.note(&StreamName::budget(scope), &facts, context).await?;
        Ok(Some(*last))
    }
}

/// What can be done about budgets. Cheap to clone.
#[derive(Clone)]
pub struct BudgetBook {
    ledger: Ledger,
    desk: Arc<Desk>,
}

impl BudgetBook {
    /// Over the one write path and what follows the log.
    pub fn new(ledger: Ledger, desk: Arc<Desk>) -> Self {
        Self { ledger, desk }
    }

    /// Sets a budget's limits in place of those before. They hold as soon as this answers, with the
    /// position of the change; where they were like that before, the position that the desk has seen.
    ///
    /// # Errors
    /// [`BudgetError`]: nothing was changed then.
    pub async fn set(
        &self,
        caller: &Caller,
        scope: &BudgetScope,
        limits: BudgetSet,
        request: &Request,
    ) -> Result<Position, BudgetError> {
        if let BudgetScope::Agent(agent) = scope
            && self.desk.config(agent).is_none()
        {
            return Err(BudgetError::UnknownAgent(agent.clone()));
        }
        let (new, full) = {
            let policy = self.desk.policy();
            let budgets = policy.budgets();
            let full = budgets.in_force() >= limits::budget::BUDGETS_MAX;
            (budgets.budget(scope).limits.is_empty(), full)
        };
        if new && full {
            return Err(BudgetError::TooMany);
        }
        self.execute(caller, scope, Command::Set(limits), request).await
    }

    /// Lifts a budget: it limits nothing any more.
    ///
    /// # Errors
    /// [`BudgetError::NotSet`] where there is none.
    pub async fn lift(
        &self,
        caller: &Caller,
        scope: &BudgetScope,
        request: &Request,
    ) -> Result<Position, BudgetError> {
        self.execute(caller, scope, Command::Lift, request).await
    }

    async fn execute(
        &self,
        caller: &Caller,
        scope: &BudgetScope,
        command: Command,
        request: &Request,
    ) -> Result<Position, BudgetError> {
        let context = Context {
            actor: caller.actor.clone(),
            correlation_id: Some(request.id.clone()),
            causation_id: Some(request.id.clone()),
            traceparent: request.traceparent.clone(),
        };
        let turn = self.desk.budget_turn();
        match turn.execute(&self.ledger, &self.desk, scope, command, &context).await? {
            Some(position) => {
                if !self.desk.wait_applied(position, APPLIED_WAIT).await {
                    tracing::warn!(%scope, "the process manager is behind the log: a budget holds later");
                }
                Ok(position)
            }
            None => Ok(self.desk.applied()),
        }
    }
}
