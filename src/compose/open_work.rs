//! From the read models to what the process manager and admission need of them.

use async_trait::async_trait;
use execution_ledger_domain::execution::{CancelCause, Trigger};
use execution_ledger_domain::policy::{
    AgentStatus as Status, Ceiling, HeldSlot, OpenExecution, Place, Policy,
};
use execution_ledger_domain::{AgentName, Scope};
use execution_ledger_process::tasks::SessionIndex;
use execution_ledger_projections::{AgentStatus, Views};
use execution_ledger_store::{Position, StoreError};

use super::ServeError;

/// The policy as of the read models' position: all agents, and all that has not ended.
pub async fn load(views: &Views, ceiling: Ceiling) -> Result<(Policy, Position), ServeError> {
    let (position, open, agents) = views
        .open_work()
        .await
        .map_err(|error| ServeError::Part(format!("the read models: {error}")))?;
    let mut policy = Policy::new(ceiling);
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
        });
        policy.load_execution(&OpenExecution {
            id: row.id,
            agent: row.agent,
            place: Place::new(row.no, row.rank),
            expires_at: row.expires_at,
            parent: row.parent,
            chat_session: row.chat_session_id.filter(|_| row.triggered_by == Trigger::Chat),
            held,
        });
    }
    Ok((policy, position))
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
}
