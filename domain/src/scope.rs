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

impl Scope {
    /// Whether this scope covers an execution of that ownership.
    pub fn covers(&self, owned: &Ownership<'_>) -> bool {
        match self {
            Self::All => true,
            Self::User(user) => owned.user == user,
            Self::Agent(agent) => owned.agent == agent || owned.source_agent == Some(agent),
        }
    }
}
