//! From the read models to what the process manager and admission need of them.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use execution_ledger_domain::execution::{CancelCause, Trigger};
use execution_ledger_domain::policy::{
    AgentStatus as Status, Ceiling, HeldSlot, OpenExecution, Place, Policy,
};
use execution_ledger_domain::{
    AgentName, ExecutionId, NodeId, Scope, SessionId, Timestamp, limits,
};
use execution_ledger_process::desk::Desk;
use execution_ledger_process::tasks::SessionIndex;
use execution_ledger_projections::{AgentStatus, At, QueryError, Views};
use execution_ledger_store::{Ledger, Position, StoreError};

use super::ServeError;

/// How long ago an execution may have been accepted that failed within the last day, in seconds: it
/// waits for a day and runs for a week at most.
const RETRIED_WITHIN_S: u64 = limits::QUEUE_MAX_S + limits::agent::TIMEOUT_MAX_S + 24 * 3_600;

/// How long a turn's start waits at a time until the read models know which results its agent was not
/// told of yet. After that it is begun again.
const RESULTS_WAIT: Duration = Duration::from_secs(5);

/// The policy as of the read models' position: all agents, all that has not ended, what failed so that
/// another attempt may have to follow, and what is spent of budgets.
pub async fn load(
    views: &Views,
    ceiling: Ceiling,
    now: Timestamp,
    me: Option<NodeId>,
) -> Result<(Policy, Position), ServeError> {
    let unread = |error: &QueryError| ServeError::Part(format!("the read models: {error}"));
    let (position, open, agents) = views.open_work().await.map_err(|error| unread(&error))?;
    let mut policy = Policy::new(ceiling);
    let mut slots = HashMap::new();
    if let Some(me) = me {
        policy.share(me);
        let taken = views.lease_slots().await.map_err(|error| unread(&error))?;
        slots.extend(taken.value.into_iter().map(|slot| (slot.execution, slot)));
    }
    for agent in agents {
        let status = match agent.status {
            AgentStatus::Active => Status::Active,
            AgentStatus::Paused => Status::Paused,
            AgentStatus::Retired => Status::Retired,
        };
        policy.load_agent(&agent.name, agent.config, status);
    }
    for row in open {
        let held = row.claim.zip(row.slot_until).map(|(claim, slot_until)| HeldSlot {
            claim,
            slot_until,
            cancellation: row.cancellation_requested_at.map(|_| CancelCause::Requested),
            node: slots.get(&row.id).filter(|slot| slot.claim == claim).map(|slot| slot.node),
        });
        policy.load_execution(&OpenExecution {
            id: row.id,
            agent: row.agent,
            place: Place::new(row.no, row.rank),
            expires_at: row.expires_at,
            parent: row.parent,
            chat_session: row.chat_session_id.filter(|_| row.triggered_by == Trigger::Chat),
            inject_into: row.chat_session_id.filter(|_| row.inject_result),
            not_before: row.not_before,
            is_retried: row.is_retried,
            held,
        });
        if slots.contains_key(&row.id) {
            policy.load_taken(row.id);
        }
    }
    // Read after the others: what failed meanwhile comes back with the log, and does no harm twice.
    let since = now.minus_s(RETRIED_WITHIN_S);
    for failed in views.retries_owed(since).await.map_err(|error| unread(&error))? {
        policy.load_retry(failed);
    }
    for (execution, session) in views.injections_owed().await.map_err(|error| unread(&error))? {
        policy.load_injection(execution, session);
    }
    for session in views.closed_with_turns().await.map_err(|error| unread(&error))? {
        policy.close_session(session);
    }
    load_budgets(views, &mut policy, position, now).await?;
    Ok((policy, position))
}

/// The budgets, and what is spent and kept of them, as of the position that the policy was loaded at.
async fn load_budgets(
    views: &Views,
    policy: &mut Policy,
    position: Position,
    now: Timestamp,
) -> Result<(), ServeError> {
    let seen = views.budget_work(now).await;
    let seen = seen.map_err(|error| ServeError::Part(format!("the read models: {error}")))?;
    if seen.position != position {
        // Nothing is written before the parts that follow the log are there.
        return Err(ServeError::Part("the log was written to while it was taken up".to_owned()));
    }
    let (work, budgets) = (seen.value, policy.budgets_mut());
    budgets.load_spent(work.moment, &work.spent);
    for (scope, budget) in work.budgets {
        budgets.load_budget(scope, budget);
    }
    for open in work.open {
        budgets.load_open(open.id, &open.agent, &open.user, open.max, open.started);
    }
    Ok(())
}

/// The keys that held at the position up to which the policy has seen the log.
pub async fn load_keys(views: &Views, position: Position, desk: &Desk) -> Result<(), ServeError> {
    let keys = views.keys_in_use(At::Position(position)).await;
    let keys = keys.map_err(|error| ServeError::Part(format!("the read models: {error}")))?;
    for key in keys.value {
        desk.keys().take_up(key.id, &key.issued);
    }
    Ok(())
}

/// The browsers that were signed out before the log is followed.
pub async fn load_signed_out(ledger: &Ledger, desk: &Desk) -> Result<(), ServeError> {
    let loaded = desk.signed_out().load(ledger.store(), ledger.now()).await;
    loaded.map_err(|error| ServeError::Part(format!("the event log: {error}")))
}

/// Which sessions of agents can be resumed: the read models know.
pub struct Sessions(pub Views);

#[async_trait]
impl SessionIndex for Sessions {
    async fn is_resumable(
        &self,
        agent: &AgentName,
        agent_session_id: &str,
        scope: &Scope,
    ) -> Result<bool, StoreError> {
        let found = self.0.has_agent_session(agent, agent_session_id, scope).await;
        found.map_err(|error| StoreError::Fault(format!("the read models: {error}")))
    }

    async fn untold_results(
        &self,
        session: SessionId,
        seen: Position,
        most: usize,
    ) -> Result<Vec<ExecutionId>, StoreError> {
        let unread =
            |error: &dyn std::fmt::Display| StoreError::Fault(format!("the read models: {error}"));
        self.0.wait_for(seen, RESULTS_WAIT).await.map_err(|behind| unread(&behind))?;
        let untold = self.0.untold_results(session, most).await;
        untold.map(|untold| untold.value).map_err(|error| unread(&error))
    }
}
