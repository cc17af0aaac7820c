//! Agents: their settings and whether they take and start tasks.

use execution_ledger_domain::Timestamp;
use execution_ledger_domain::agent::{AgentConfig, AgentEvent};
use execution_ledger_domain::wire::Event;
use execution_ledger_store::Recorded;
use serde::{Deserialize, Serialize};

use super::versions::{After, Facets, Versioned, versions_indexes, versions_tables};
use crate::model::AgentStatus;

/// Agents as versioned things.
pub(crate) struct Agents;

/// A version of an agent.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AgentVersion {
    /// Whether it takes and starts tasks.
    pub status: AgentStatus,
    /// Its settings.
    pub config: AgentConfig,
    /// When it was registered, the last time.
    pub registered_at: Timestamp,
    /// When this version began.
    pub changed_at: Timestamp,
}

impl Versioned for Agents {
    const NAME: &'static str = "agents";
    const VERSION: u32 = 2;
    const TABLES: &'static str = versions_tables!("agents");
    const INDEXES: &'static str = versions_indexes!("agents");
    type State = AgentVersion;

    fn is_about(event: &Event) -> bool {
        matches!(event, Event::Agent(_))
    }

    fn after(
        before: Option<&AgentVersion>,
        event: &Event,
        recorded: &Recorded,
    ) -> After<AgentVersion> {
        let Event::Agent(event) = event else { return After::Same };
        let changed_at = recorded.recorded_at;
        if let AgentEvent::Registered(registered) = event {
            return After::Now(AgentVersion {
                status: AgentStatus::Active,
                config: registered.config.clone(),
                registered_at: changed_at,
                changed_at,
            });
        }
        let Some(before) = before.filter(|version| version.status != AgentStatus::Retired) else {
            return After::Same;
        };
        let mut version = AgentVersion { changed_at, ..before.clone() };
        match event {
            AgentEvent::Registered(_) => {}
            AgentEvent::Configured(configured) => version.config = configured.config.clone(),
            AgentEvent::Paused(_) => version.status = AgentStatus::Paused,
            AgentEvent::Resumed(_) => version.status = AgentStatus::Active,
            AgentEvent::Retired(_) => version.status = AgentStatus::Retired,
        }
        After::Now(version)
    }

    fn facets(version: &AgentVersion) -> Facets<'_> {
        Facets { active: version.status != AgentStatus::Retired, ..Facets::default() }
    }
}
