//! What is open: what the process manager starts from.

use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::scope::Ownership;
use execution_ledger_domain::{AgentName, ClaimId, ExecutionId, SessionId, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use super::record::Status;

/// An execution that has not ended: what the process manager needs to go on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenExecution {
    /// Which one.
    pub id: ExecutionId,
    /// Position of its first event, as a number: its place among all executions.
    pub no: u64,
    /// Its agent.
    pub agent: AgentName,
    /// Whether it holds a slot; else it waits.
    pub running: bool,
    /// How it came to be.
    pub triggered_by: Trigger,
    /// The user that it belongs to.
    pub user: UserName,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it stops waiting.
    pub expires_at: Timestamp,
    /// Its place before others: the highest is first, then the oldest. 0 unless it was moved.
    pub rank: u64,
    /// How long its run may take, in seconds.
    pub timeout_s: u64,
    /// The agent whose run asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_agent: Option<AgentName>,
    /// The execution whose run asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ExecutionId>,
    /// Calls above it.
    #[serde(default)]
    pub depth: u32,
    /// Its chat session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_session_id: Option<SessionId>,
    /// Whether its result is to be injected there.
    #[serde(default)]
    pub inject_result: bool,
    /// When it starts at the earliest, where it is to wait for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Whether another attempt follows by itself should it fail for a reason that can pass.
    #[serde(default)]
    pub is_retried: bool,
    /// Its start, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimId>,
    /// The runtime that was started: how its output is read, whatever its agent has become since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When its slot lapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_until: Option<Timestamp>,
    /// When somebody asked for it to be stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation_requested_at: Option<Timestamp>,
}

impl OpenExecution {
    /// Whose it is.
    pub fn ownership(&self) -> Ownership<'_> {
        Ownership { agent: &self.agent, user: &self.user, source_agent: self.source_agent.as_ref() }
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        if self.running { Status::Running } else { Status::Pending }
    }
}
