//! Who is calling, and what they may do.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::ids::{AgentName, ExecutionId};
use crate::scope::Scope;

/// What a caller is to the ledger.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything but keys and the registration of agents, which is the right to run a command.
    Operator,
    /// Reads everything, changes nothing.
    Auditor,
    /// Reads what runs cost, and nothing else.
    Billing,
    /// Own executions and sessions, on the agents that the key may call.
    User,
    /// What an agent ran or started, calls to itself and to the agents it may call.
    Agent,
}

impl Role {
    /// All roles, the widest first.
    pub const ALL: [Self; 6] =
        [Self::Admin, Self::Operator, Self::Auditor, Self::Billing, Self::User, Self::Agent];

    /// Its name in JSON and in columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Billing => "billing",
            Self::User => "user",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Submit tasks, stop executions and try them again, within the caller's scope.
    Operate,
    /// Read executions, transcripts, activities and agents, within the caller's scope.
    Read,
    /// Read cost summaries, within the caller's scope.
    ReadCosts,
    /// Read the raw log, which knows no scope.
    ReadLog,
    /// Open chat sessions, post messages in them and close them, within the caller's scope.
    Chat,
    /// Read chat sessions, within the caller's scope.
    ReadSessions,
    /// Change the order of queues; let agents start nothing new, or start again.
    ManageQueues,
    /// Create, change and trigger schedules.
    ManageSchedules,
    /// Read schedules and what they decided.
    ReadSchedules,
    /// Register, configure and retire agents.
    ManageAgents,
    /// Issue and revoke keys.
    ManageKeys,
    /// Read which keys there are; their secrets are never kept.
    ReadKeys,
}

impl Right {
    /// All rights.
    pub const ALL: [Self; 12] = [
        Self::Operate,
        Self::Read,
        Self::ReadCosts,
        Self::ReadLog,
        Self::Chat,
        Self::ReadSessions,
        Self::ManageQueues,
        Self::ManageSchedules,
        Self::ReadSchedules,
        Self::ManageAgents,
        Self::ManageKeys,
        Self::ReadKeys,
    ];
}

impl Role {
    /// Whether the role has the right at all; the caller's scope narrows it further.
    pub fn has(self, right: Right) -> bool {
        use Right as R;
        match self {
            Self::Admin => true,
            Self::Operator => !matches!(right, R::ManageAgents | R::ManageKeys | R::ReadKeys),
            Self::Auditor => matches!(
                right,
                R::Read
                    | R::ReadCosts
                    | R::ReadLog
                    | R::ReadSessions
                    | R::ReadSchedules
                    | R::ReadKeys
            ),
            Self::Billing => right == R::ReadCosts,
            Self::User => {
                matches!(right, R::Operate | R::Read | R::ReadCosts | R::Chat | R::ReadSessions)
            }
            Self::Agent => matches!(right, R::Operate | R::Read | R::ReadCosts),
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
