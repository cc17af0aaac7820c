//! What a lease is for.

use std::fmt;
use std::str::FromStr;

use crate::ids::AgentName;

/// How the lease of the leader is called: no agent can have this name.
const LEADER: &str = "@leader";

/// What a lease is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseName {
    /// Doing what is done once: admission, schedules, webhooks, payments, retries, injections.
    Leader,
    /// Starting the runs of an agent.
    Agent(AgentName),
}

/// Why a text names no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lease is called after an agent, or {LEADER}")]
pub struct LeaseNameError;

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.pad(LEADER),
            Self::Agent(agent) => agent.fmt(f),
        }
    }
}

impl FromStr for LeaseName {
    type Err = LeaseNameError;

    fn from_str(text: &str) -> Result<Self, LeaseNameError> {
        if text == LEADER {
            return Ok(Self::Leader);
        }
        AgentName::new(text).map(Self::Agent).map_err(|_| LeaseNameError)
    }
}
