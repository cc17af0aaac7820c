//! The facts of an agent's life.

use serde::{Deserialize, Serialize};

use super::config::AgentConfig;

/// The agent can be given tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Registered {
    /// Its settings.
    pub config: AgentConfig,
}

/// Its settings are others from now on; runs that have started keep theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Configured {
    /// All of its settings, not only the changed ones.
    pub config: AgentConfig,
}

/// It starts nothing new until it is resumed; tasks are accepted and wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Paused {}

/// It starts waiting tasks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Resumed {}

/// It takes no more tasks; what waited is cancelled, what runs may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Retired {}

/// A fact of an agent's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// `agent.registered`
    Registered(Box<Registered>),
    /// `agent.configured`
    Configured(Box<Configured>),
    /// `agent.paused`
    Paused(Paused),
    /// `agent.resumed`
    Resumed(Resumed),
    /// `agent.retired`
    Retired(Retired),
}
