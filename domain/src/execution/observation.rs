//! What was observed of a run, before a rule makes an ending of it.

use serde::{Deserialize, Serialize};

use super::event::{FailureCode, SignalSent};
use crate::content::{ContentRef, Digest};
use crate::ids::ClaimId;
use crate::money::NanoUsd;
use crate::time::Timestamp;

/// How a run's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Tokens by class, as the agent's own stream counted them for this run alone.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(default)]
pub struct Usage {
    /// Tokens read, not from a cache.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from a cache.
    pub cache_read: u64,
    /// Tokens written to a cache that lives for five minutes.
    pub cache_write_5m: u64,
    /// Tokens written to a cache that lives for an hour.
    pub cache_write_1h: u64,
}

/// The tokens of one model in a run, by class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ModelUsage {
    /// The model that answered.
    pub model: String,
    /// The tokens it used.
    pub usage: Usage,
    /// What they cost, as far as is known for this model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano_usd: Option<NanoUsd>,
}

/// Where a cost comes from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CostBasis {
    /// The agent said it, for this run alone.
    ProviderReported,
    /// Computed from what a stopped run had streamed.
    DerivedFromPartials,
    /// Computed from token counts and a price book.
    PricedLocally,
    /// Invented by a simulated run: no money was spent.
    Simulated,
    /// Nobody knows. Never shown as zero.
    #[default]
    Unknown,
}

impl CostBasis {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderReported => "provider_reported",
            Self::DerivedFromPartials => "derived_from_partials",
            Self::PricedLocally => "priced_locally",
            Self::Simulated => "simulated",
            Self::Unknown => "unknown",
        }
    }
}

/// The transcript as it was when the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TranscriptRef {
    /// Lines of output.
    pub lines: u64,
    /// Bytes of the transcript: NDJSON, uncompressed.
    pub bytes: u64,
    /// SHA-256 of these bytes.
    pub sha256: Digest,
}

/// Why the supervisor stopped a run before it ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// Somebody asked for it.
    Cancelled,
    /// It ran longer than its timeout.
    Timeout,
    /// It held its slot longer than the lease.
    LeaseExpired,
    /// It wrote more than a transcript may hold.
    OutputLimit,
    /// There was no room left to write its output.
    DiskFull,
    /// The host, or the supervisor, was told to stop.
    HostShutdown,
    /// It passed what it may cost.
    MaxCost,
    /// Its node had not reached the log for longer than its lease.
    NodeLapsed,
}

/// What the agent's own output says of the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It says that it succeeded.
    Success,
    /// It says that it failed.
    Failure {
        /// What kind of failure.
        code: FailureCode,
        /// Its words, where it had any.
        message: Option<ContentRef>,
    },
    /// It says nothing, or what it said is cut off.
    None,
}

/// All that was observed of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Which start of the execution this was.
    pub claim: ClaimId,
    /// When the agent's process was started.
    pub started_at: Timestamp,
    /// When its first process had ended.
    pub ended_at: Timestamp,
    /// Between the two, by a clock that does not jump, in milliseconds.
    pub duration_ms: u64,
    /// How the first process ended; unknown where nobody saw it.
    pub exit: Option<Exit>,
    /// Why it was stopped, if it was.
    pub stopped: Option<StopCause>,
    /// The signals that it was sent.
    pub signals: Vec<SignalSent>,
    /// Processes of its tree that were still alive after it and were killed.
    pub killed_processes: u32,
    /// What its output says.
    pub evidence: Evidence,
    /// Its answer.
    pub response: Option<ContentRef>,
    /// Whether the answer was cut at the limit.
    pub response_cut: bool,
    /// What it cost; unknown is `None`, never zero.
    pub cost: Option<NanoUsd>,
    /// Where the cost comes from.
    pub cost_basis: CostBasis,
    /// The version of the price book that the cost was computed with, where one was.
    pub price_book: Option<String>,
    /// The tokens it used, where it said so.
    pub usage: Option<Usage>,
    /// The same for each model, where it said so.
    pub usage_by_model: Vec<ModelUsage>,
    /// The model that answered.
    pub model_used: Option<String>,
    /// The agent's own id of its session, by which it can be resumed.
    pub agent_session_id: Option<String>,
    /// How many turns it took.
    pub num_turns: Option<u32>,
    /// Its transcript.
    pub transcript: Option<TranscriptRef>,
}
