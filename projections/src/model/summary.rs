//! Sums, and agents with their slots and queues.

use execution_ledger_domain::agent::AgentConfig;
use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{AgentName, ExecutionId, NanoUsd, Timestamp};
use execution_ledger_store::Position;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::billing::Earned;

/// Counts and sums over executions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// All of them.
    pub total: u64,
    /// Those that wait.
    pub pending: u64,
    /// Those that run.
    pub running: u64,
    /// Those that ended with success.
    pub completed: u64,
    /// Those that ended without.
    pub failed: u64,
    /// Those that were stopped.
    pub cancelled: u64,
    /// Completed among the finished (completed, failed and cancelled), 0 to 1; null where none is.
    pub success_rate: Option<f64>,
    /// What they cost as far as is known, in dollars.
    #[serde(rename = "cost_usd", serialize_with = "usd")]
    #[schema(value_type = f64)]
    pub cost: NanoUsd,
    /// Runs whose cost nobody knows.
    pub cost_unknown: u64,
    /// Half of the runs took at most this long, in milliseconds.
    pub duration_ms_p50: Option<u64>,
    /// 95 of 100 runs took at most this long, in milliseconds.
    pub duration_ms_p95: Option<u64>,
}

/// What a timeline is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// By hour of creation, in UTC; hours without executions are shown as such.
    Hour,
    /// By day of creation, in UTC; days without executions are shown as such.
    Day,
    /// By agent.
    Agent,
    /// By trigger.
    Trigger,
    /// By the model that answered, or was asked for.
    Model,
}

/// One part of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TimelineBucket {
    /// The hour or day as its first moment, the agent, the trigger or the model; null: no model.
    pub bucket: Option<String>,
    /// Executions in it.
    pub total: u64,
    /// Those that wait.
    pub pending: u64,
    /// Those that run.
    pub running: u64,
    /// Those that ended with success.
    pub completed: u64,
    /// Those that ended without.
    pub failed: u64,
    /// Those that were stopped.
    pub cancelled: u64,
    /// What they cost as far as is known, in dollars.
    #[serde(rename = "cost_usd", serialize_with = "usd")]
    #[schema(value_type = f64)]
    pub cost: NanoUsd,
}

/// Executions divided into parts.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Timeline {
    /// What it is divided by.
    pub bucket: Bucket,
    /// The parts: times ascending, all else by name.
    pub buckets: Vec<TimelineBucket>,
    /// Whether parts beyond the limit were left out.
    pub truncated: bool,
}

/// What one day, agent, model or trigger cost.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CostSummary {
    /// The day (`2026-11-21`, UTC, of the run's end), agent, model or trigger; null: no model.
    pub key: Option<String>,
    /// Runs that ended.
    pub runs: u64,
    /// Their cost as far as is known, corrections included, in dollars.
    #[serde(rename = "cost_usd", serialize_with = "usd")]
    #[schema(value_type = f64)]
    pub cost: NanoUsd,
    /// Runs among them whose cost nobody knows.
    pub unknown: u64,
    /// What was paid for executions, by token.
    pub earned: Vec<Earned>,
}

/// Costs in groups, with their sum.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Costs {
    /// The groups, by key ascending.
    pub costs: Vec<CostSummary>,
    /// All of them together.
    pub total: CostSummary,
    /// Whether groups beyond the limit were left out; the total holds them all the same.
    pub truncated: bool,
}

/// Whether an agent takes and starts tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// It takes and starts tasks.
    Active,
    /// It takes tasks and starts none.
    Paused,
    /// It takes no more tasks.
    Retired,
}

impl AgentStatus {
    /// Its name in JSON and in columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Retired => "retired",
        }
    }
}

/// An agent as it is registered, and what it is busy with.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRow {
    /// Its name.
    pub name: AgentName,
    /// Whether it takes and starts tasks.
    pub status: AgentStatus,
    /// Its settings. For the ledger's own use and for callers who may register agents: variables
    /// of its environment are among them.
    pub config: AgentConfig,
    /// When it was registered, for the last time where its name was used again.
    pub registered_at: Timestamp,
    /// When its settings or its status were last changed.
    pub changed_at: Timestamp,
    /// Position of that change.
    pub position: Position,
    /// Executions that hold one of its slots. A chat turn holds none.
    pub running: u64,
    /// Chat turns that run.
    pub chatting: u64,
    /// Executions that wait.
    pub pending: u64,
}

/// A slot that is taken.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Slot {
    /// The execution that holds it; null where it is not the caller's to see.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub execution_id: Option<ExecutionId>,
    /// How that came to be.
    #[schema(value_type = String)]
    pub triggered_by: Trigger,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When the slot lapses if nothing is heard.
    #[schema(value_type = String, format = DateTime)]
    pub slot_until: Timestamp,
    /// Whether somebody asked for it to be stopped.
    pub cancelling: bool,
}

/// An execution that waits.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Waiting {
    /// The execution, whoever asks.
    #[serde(skip)]
    pub id: ExecutionId,
    /// The execution; null where it is not the caller's to see.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub execution_id: Option<ExecutionId>,
    /// Its place in the queue, from 1.
    pub place: u64,
    /// How it came to be.
    #[schema(value_type = String)]
    pub triggered_by: Trigger,
    /// Since when it waits.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When it stops waiting.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it starts at the earliest, where it is to wait for a while.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
}

/// An agent's slots and queue.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Capacity {
    /// The agent.
    #[schema(value_type = String)]
    pub agent: AgentName,
    /// Whether it takes and starts tasks.
    pub status: AgentStatus,
    /// Executions that it runs at once, at most.
    pub max_parallel_tasks: u32,
    /// Executions that may wait, at most.
    pub queue_limit: u32,
    /// The slots that are taken.
    pub slots: Vec<Slot>,
    /// Chat turns that run; they take no slot.
    pub chats: Vec<Slot>,
    /// Executions that wait.
    pub pending: u64,
    /// The first of them, in the order in which they will start.
    pub queue: Vec<Waiting>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn usd<S: Serializer>(amount: &NanoUsd, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(amount.to_usd())
}
