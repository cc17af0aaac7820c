//! Who is calling, and what they may do.

use std::collections::BTreeSet;

use crate::actor::Actor;
use crate::ids::{AgentName, ExecutionId};
use crate::scope::Scope;

/// What a caller is to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// A run of an agent: what it ran or started, calls to itself and to the agents it may call.
    Agent,
}

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Submit tasks and stop executions.
    Operate,
    /// Read executions, activities and agents, within the caller's scope.
    Read,
    /// Read cost summaries, within the caller's scope.
    ReadCosts,
    /// Read the raw log, which knows no scope.
    ReadLog,
    /// Register, configure, pause, resume and retire agents.
    ManageAgents,
}

impl Role {
    /// Whether the role has the right at all; the caller's scope narrows it further.
    pub fn has(self, right: Right) -> bool {
        match (self, right) {
            (Self::Admin, _) | (Self::Agent, Right::Operate | Right::Read | Right::ReadCosts) => {
                true
            }
            (Self::Agent, Right::ReadLog | Right::ManageAgents) => false,
        }
    }
}

/// The run that is calling: what a run token says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerRun {
    /// The execution that is calling: the parent of what it starts.
    pub execution_id: ExecutionId,
    /// The agent that runs it.
    pub agent: AgentName,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As events name them.
    pub actor: Actor,
    /// What they are.
    pub role: Role,
    /// What they may see.
    pub scope: Scope,
    /// The run that is calling, where one is.
    pub run: Option<CallerRun>,
    /// The agents that the caller may give tasks to; `None` for all.
    pub may_call: Option<BTreeSet<AgentName>>,
}
