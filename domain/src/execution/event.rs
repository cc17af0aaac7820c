//! The facts of an execution's life.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::observation::{CostBasis, Exit, ModelUsage, TranscriptRef, Usage};
use super::state::Outcome;
use crate::actor::ActorKind;
use crate::agent::Runtime;
use crate::content::ContentRef;
use crate::ids::{AgentName, ClaimId, ExecutionId, NodeId, ScheduleId, SessionId, UserName};
use crate::money::NanoUsd;
use crate::time::Timestamp;

/// How an execution came to be.
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
pub enum Trigger {
    /// An agent's run called its own agent.
    SelfTask,
    /// A call over MCP.
    Mcp,
    /// An agent's run called another agent over REST.
    Agent,
    /// A turn of a chat session.
    Chat,
    /// A schedule's tick.
    Schedule,
    /// A paid request.
    Paid,
    /// A new attempt at a failed execution.
    Retry,
    /// A person or a program with a key of its own.
    Manual,
}

impl Trigger {
    /// All triggers, in the order of their names in the documentation.
    pub const ALL: [Self; 8] = [
        Self::SelfTask,
        Self::Mcp,
        Self::Agent,
        Self::Chat,
        Self::Schedule,
        Self::Paid,
        Self::Retry,
        Self::Manual,
    ];

    /// Its name in JSON and in columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfTask => "self_task",
            Self::Mcp => "mcp",
            Self::Agent => "agent",
            Self::Chat => "chat",
            Self::Schedule => "schedule",
            Self::Paid => "paid",
            Self::Retry => "retry",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a run failed: stable codes for programs.
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
pub enum FailureCode {
    /// The agent's process could not be started.
    SpawnFailed,
    /// The agent's process ended without evidence of success.
    AgentFailed,
    /// The agent said that it failed.
    AgentError,
    /// The model's provider was overloaded or limits its rate, before the agent did anything.
    Overloaded,
    /// The same, but the agent had begun to work.
    OverloadedMidway,
    /// The agent stopped at its limit of turns.
    MaxTurns,
    /// The agent stopped at its limit of cost.
    MaxCost,
    /// A signal that the ledger did not send ended the agent's process.
    KilledBySignal,
    /// It ran longer than its timeout.
    Timeout,
    /// It held its slot longer than the lease.
    LeaseExpired,
    /// It wrote more than a transcript may hold.
    OutputLimit,
    /// There was no room left to write its output.
    DiskFull,
    /// The host, or the supervisor, went down while it ran.
    Interrupted,
    /// Its supervisor died without leaving a status.
    SupervisorLost,
    /// It waited for a slot for too long.
    QueueExpired,
    /// The node that ran it was not heard of any more.
    NodeLost,
}

impl FailureCode {
    /// Its name in JSON and in columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpawnFailed => "spawn_failed",
            Self::AgentFailed => "agent_failed",
            Self::AgentError => "agent_error",
            Self::Overloaded => "overloaded",
            Self::OverloadedMidway => "overloaded_midway",
            Self::MaxTurns => "max_turns",
            Self::MaxCost => "max_cost",
            Self::KilledBySignal => "killed_by_signal",
            Self::Timeout => "timeout",
            Self::LeaseExpired => "lease_expired",
            Self::OutputLimit => "output_limit",
            Self::DiskFull => "disk_full",
            Self::Interrupted => "interrupted",
            Self::SupervisorLost => "supervisor_lost",
            Self::QueueExpired => "queue_expired",
            Self::NodeLost => "node_lost",
        }
    }
}

impl FailureCode {
    /// The same in words, for people, where nothing better is known.
    pub fn describe(self) -> &'static str {
        match self {
            Self::SpawnFailed => "the agent's process could not be started",
            Self::AgentFailed => "the agent's process ended without evidence of success",
            Self::AgentError => "the agent reported an error",
            Self::Overloaded => "the model's provider was overloaded or limits its rate",
            Self::OverloadedMidway => {
                "the model's provider was overloaded or limits its rate after the agent had begun"
            }
            Self::MaxTurns => "the agent stopped at its limit of turns",
            Self::MaxCost => "the agent stopped at its limit of cost",
            Self::KilledBySignal => {
                "a signal that the ledger did not send ended the agent's process"
            }
            Self::Timeout => "the run took longer than its timeout and was stopped",
            Self::LeaseExpired => "the run held its slot longer than its lease and was killed",
            Self::OutputLimit => "the run printed more than a transcript may hold and was stopped",
            Self::DiskFull => "there was no room left for the run's output, so it was stopped",
            Self::Interrupted => "the host or the run's supervisor was told to stop while it ran",
            Self::SupervisorLost => "the run's supervisor died without leaving a status",
            Self::QueueExpired => "the execution waited for a slot for longer than 24 hours",
            Self::NodeLost => {
                "the node that ran it lost its connection to the log for longer than its lease"
            }
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who asked for an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Requester {
    /// What kind of caller.
    pub kind: ActorKind,
    /// Its id.
    pub id: String,
}

/// A task was accepted and waits for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pending {
    /// The agent that is to run it.
    pub agent: AgentName,
    /// How it came to be.
    pub triggered_by: Trigger,
    /// The task's text, after redaction.
    pub message: ContentRef,
    /// How many secrets were redacted in the message.
    pub redactions: u32,
    /// Who asked for it.
    pub requested_by: Requester,
    /// The user that it belongs to.
    pub user: UserName,
    /// When it stops waiting for a slot.
    pub expires_at: Timestamp,
    /// SHA-256 over the request, by which a reused idempotency key is recognised.
    pub request_sha256: crate::content::Digest,
    /// The agent whose run asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_agent: Option<AgentName>,
    /// The execution whose run asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_execution_id: Option<ExecutionId>,
    /// Calls above this one: 0 where no run asked for it.
    #[serde(default)]
    pub depth: u32,
    /// The chat session that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_session_id: Option<SessionId>,
    /// Whether its result is to be injected into that session.
    #[serde(default)]
    pub inject_result: bool,
    /// The execution that it is a new attempt at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<ExecutionId>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// How many more attempts follow by themselves while it fails for a reason that can pass: the
    /// agent's setting when the first was accepted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_retries: u32,
    /// It starts at this moment or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The schedule whose tick it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<ScheduleId>,
    /// The payment that it was paid with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// The model that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_requested: Option<String>,
    /// How long the run may take, in seconds.
    pub timeout_s: u64,
    /// What the run may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_nano_usd: Option<NanoUsd>,
    /// The tools that the run may use, where the caller narrowed the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// A system prompt of the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<ContentRef>,
    /// How many turns the run may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// The agent's own session that the run continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_session_id: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A waiting execution was moved to the front of its agent's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct QueueMoved {
    /// Among the moved, the highest is first.
    pub rank: u64,
}

/// A slot was taken and the agent's process is being started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Running {
    /// Which start this is: the process that reports back must name it.
    pub claim: ClaimId,
    /// When the slot lapses if nothing is heard: timeout + 300 s.
    pub slot_until: Timestamp,
    /// Which program the agent was at that moment, and so how its output is read.
    pub runtime: Runtime,
    /// The agent's own session that a chat turn goes on with: that of the turn before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_session_id: Option<String>,
    /// The executions whose injected results the agent is told of with a chat turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<ExecutionId>,
    /// Where it runs, where several nodes share the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
}

/// Why somebody wants a run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// A caller asked for it.
    Requested,
    /// Its agent was retired.
    AgentRetired,
    /// It waited as a turn of a chat session that was closed.
    SessionClosed,
    /// The next tick of its schedule took its place.
    Superseded,
}

/// Somebody wants a running execution to stop. It is still running until its end is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CancellationRequested {
    /// Why. Version 1 of this event had no cause: only callers could cancel.
    pub cause: CancelCause,
}

/// A signal that stops a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Signal {
    /// Asks the process group to stop.
    #[serde(rename = "SIGINT")]
    Interrupt,
    /// Ends the whole tree at once.
    #[serde(rename = "SIGKILL")]
    Kill,
}

/// The run was sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SignalSent {
    /// Which one.
    pub signal: Signal,
    /// When it was sent.
    pub at: Timestamp,
}

/// What every ending of a run records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunReport {
    /// Which start of the execution this was.
    pub claim: ClaimId,
    /// When the agent's process was started.
    pub started_at: Timestamp,
    /// When its first process had ended.
    pub ended_at: Timestamp,
    /// Between the two, by a clock that does not jump, in milliseconds.
    pub duration_ms: u64,
    /// How the first process ended; absent where nobody saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Processes of its tree that were still alive after it and were killed.
    #[serde(default)]
    pub killed_processes: u32,
    /// Its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ContentRef>,
    /// Whether the answer was cut at the limit; it is whole in the transcript.
    #[serde(default)]
    pub response_cut: bool,
    /// What it cost; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano_usd: Option<NanoUsd>,
    /// Where the cost comes from.
    pub cost_basis: CostBasis,
    /// The version of the price book that the cost was computed with, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_book: Option<String>,
    /// The tokens that it used, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The same for each model, where it said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage_by_model: Vec<ModelUsage>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_used: Option<String>,
    /// The agent's own id of its session, by which it can be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session_id: Option<String>,
    /// How many turns it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_turns: Option<u32>,
    /// Its transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<TranscriptRef>,
}

/// The run ended with evidence of success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Completed {
    /// What was observed.
    pub report: RunReport,
}

/// The execution ended without success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Failed {
    /// Why.
    pub code: FailureCode,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<ContentRef>,
    /// What was observed of the run; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RunReport>,
}

/// The execution was stopped by somebody's wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cancelled {
    /// Why.
    pub cause: CancelCause,
    /// What was observed of the run; absent where it never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RunReport>,
}

/// The result was put into its chat session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ResultInjected {
    /// The session.
    pub session_id: SessionId,
}

/// Why a result was not put into its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InjectionRefusal {
    /// There is no such session.
    SessionNotFound,
    /// The session was closed.
    SessionClosed,
    /// The session belongs to another user.
    SessionNotOwned,
}

/// The result was not put into its chat session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InjectionRefused {
    /// The session.
    pub session_id: SessionId,
    /// Why not.
    pub reason: InjectionRefusal,
}

/// What an ended execution cost is known better now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CostCorrected {
    /// The cost that holds from now on.
    pub cost_nano_usd: NanoUsd,
    /// Where it comes from.
    pub cost_basis: CostBasis,
    /// The version of the price book that it was computed with, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_book: Option<String>,
    /// The reason, in a person's words.
    pub reason: ContentRef,
}

/// A fact of an execution's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutionEvent {
    /// `execution.pending`
    Pending(Box<Pending>),
    /// `execution.queue_moved`
    QueueMoved(QueueMoved),
    /// `execution.running`
    Running(Running),
    /// `execution.cancellation_requested`
    CancellationRequested(CancellationRequested),
    /// `execution.signal_sent`
    SignalSent(SignalSent),
    /// `execution.completed`
    Completed(Box<Completed>),
    /// `execution.failed`
    Failed(Box<Failed>),
    /// `execution.cancelled`
    Cancelled(Box<Cancelled>),
    /// `execution.result_injected`
    ResultInjected(ResultInjected),
    /// `execution.injection_refused`
    InjectionRefused(InjectionRefused),
    /// `execution.cost_corrected`
    CostCorrected(CostCorrected),
}

impl ExecutionEvent {
    /// How the event ends its execution, if it does.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Completed(_) => Some(Outcome::Completed),
            Self::Failed(_) => Some(Outcome::Failed),
            Self::Cancelled(_) => Some(Outcome::Cancelled),
            _ => None,
        }
    }

    /// What was observed of the run, where the event is an ending of one.
    pub fn report(&self) -> Option<&RunReport> {
        match self {
            Self::Completed(ended) => Some(&ended.report),
            Self::Failed(ended) => ended.report.as_ref(),
            Self::Cancelled(ended) => ended.report.as_ref(),
            _ => None,
        }
    }
}
