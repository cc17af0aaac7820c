//! What a schedule is to do, and when.

use serde::{Deserialize, Serialize};

use super::cron::Cron;
use crate::content::ContentRef;
use crate::ids::AgentName;
use crate::limits::schedule as limit;
use crate::money::NanoUsd;

/// What becomes of a tick while an execution of the same schedule is still open.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// It fires, and its execution waits in the agent's queue like any other.
    Queue,
    /// What is open is cancelled, and it fires.
    CancelPrevious,
}

/// What becomes of ticks that could not be decided when they came.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// The latest of them fires, the others are skipped.
    #[default]
    One,
    /// Each of them fires, up to a limit.
    All,
    /// All of them are skipped.
    None,
}

impl Overlap {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Queue, Self::CancelPrevious];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::CancelPrevious => "cancel_previous",
        }
    }
}

impl CatchUp {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::One, Self::All, Self::None];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// What a schedule is to do, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Settings {
    /// What people call it, where they gave it a name. The beginning of the message takes its place, and
    /// is not stored here: it can be erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The agent that runs its tasks.
    pub agent: AgentName,
    /// The task's text, after redaction.
    pub message: ContentRef,
    /// How many secrets were redacted in the message.
    pub redactions: u32,
    /// The five fields of its cron expression.
    pub cron: String,
    /// The IANA name of the time zone in which they are meant.
    pub timezone: String,
    /// What becomes of a tick while an earlier execution is still open.
    pub overlap: Overlap,
    /// What becomes of ticks that were missed.
    pub catch_up: CatchUp,
    /// The model, from the agent's list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How long a run may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// What a run may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_nano_usd: Option<NanoUsd>,
    /// The tools that a run may use, of the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// A system prompt, where the agent permits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<ContentRef>,
    /// How many turns a run may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
}

/// Why settings can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SettingsError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it and what it may be.
    pub problem: String,
}

impl Settings {
    /// Checks what does not depend on the agent.
    ///
    /// # Errors
    /// [`SettingsError`] names the field.
    pub fn check(&self) -> Result<(), SettingsError> {
        let most = limit::NAME_MAX_CHARS;
        let fits = |name: &String| {
            (1..=most).contains(&name.chars().count()) && !name.chars().any(char::is_control)
        };
        if !self.name.as_ref().is_none_or(fits) {
            let problem = format!("1 to {most} characters, none of them a control character");
            return Err(SettingsError { field: "name", problem });
        }
        match Cron::parse(&self.cron, &self.timezone) {
            Ok(_) => Ok(()),
            Err(error) => Err(SettingsError { field: error.field, problem: error.problem }),
        }
    }

    /// Its expression in its time zone; nothing where an earlier version took one that this one does
    /// not.
    pub fn cron(&self) -> Option<Cron> {
        Cron::stored(&self.cron, &self.timezone).ok()
    }

    /// Whether both have the same ticks.
    pub(super) fn same_ticks(&self, other: &Self) -> bool {
        self.cron == other.cron && self.timezone == other.timezone
    }
}
