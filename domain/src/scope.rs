//! What a caller may see.

use crate::ids::{AgentName, UserName};

/// The part of the ledger that a caller may see. Every query takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// What belongs to one user.
    User(UserName),
    /// What one agent ran or started.
    Agent(AgentName),
    /// What one agent ran or started for one user: what its run for that user may see.
    AgentFor {
        /// The agent.
        agent: AgentName,
        /// The user.
        user: UserName,
    },
}

/// Whose an execution is: what scopes are checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership<'a> {
    /// The agent that runs it.
    pub agent: &'a AgentName,
    /// The user that it belongs to.
    pub user: &'a UserName,
    /// The agent that started it, if one did.
    pub source_agent: Option<&'a AgentName>,
}

impl Ownership<'_> {
    /// Whether the agent runs it or started it.
    fn is_of(&self, agent: &AgentName) -> bool {
        self.agent == agent || self.source_agent == Some(agent)
    }
}

impl Scope {
    /// The agent to whose doings the scope is limited.
    pub fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::All | Self::User(_) => None,
            Self::Agent(agent) | Self::AgentFor { agent, .. } => Some(agent),
        }
    }

    /// The user to whom the scope is limited.
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Self::All | Self::Agent(_) => None,
            Self::User(user) | Self::AgentFor { user, .. } => Some(user),
        }
    }

    /// Whether this scope covers an execution of that ownership.
    pub fn covers(&self, owned: &Ownership<'_>) -> bool {
        match self {
            Self::All => true,
            Self::User(user) => owned.user == user,
            Self::Agent(agent) => owned.is_of(agent),
            Self::AgentFor { agent, user } => owned.is_of(agent) && owned.user == user,
        }
    }
}
