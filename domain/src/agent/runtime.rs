//! Which programs agents are, and what each of them can be held to.

use serde::{Deserialize, Serialize};

/// Which program an agent is, and so how its output is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Any program: its response is its output, its cost unknown.
    Command,
    /// Claude Code: `claude -p --output-format stream-json`.
    ClaudeCode,
    /// Codex: `codex exec --json`.
    Codex,
    /// Gemini CLI: `gemini --output-format stream-json`.
    Gemini,
    /// opencode: `opencode run --format json`.
    Opencode,
    /// A simulated run of the ledger's own, which needs no model.
    Demo,
}

impl Runtime {
    /// Its name in JSON and in columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::ClaudeCode => "claude_code",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Demo => "demo",
        }
    }

    /// The program that it is, where the agent's settings name none: to be found on the PATH.
    /// A `command` names its own, and the simulated agent is the ledger itself.
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::ClaudeCode => Some("claude"),
            Self::Codex => Some("codex"),
            Self::Gemini => Some("gemini"),
            Self::Opencode => Some("opencode"),
            Self::Command | Self::Demo => None,
        }
    }

    /// Whether a run can be kept to a list of tools. Codex has sandboxes instead, and Gemini CLI's
    /// list says only what needs no confirmation. A `command` is given no list, and none is
    /// promised.
    pub fn narrows_tools(self) -> bool {
        !matches!(self, Self::Codex | Self::Gemini)
    }

    /// Whether the turns of one run can be limited.
    pub fn limits_turns(self) -> bool {
        !matches!(self, Self::Codex | Self::Gemini | Self::Opencode)
    }

    /// Whether a run can be given more system prompt beside the program's own.
    pub fn takes_system_prompt(self) -> bool {
        !matches!(self, Self::Gemini | Self::Opencode)
    }

    /// Whether a session that is resumed can be given another system prompt: Codex keeps the one
    /// that the session began with.
    pub fn takes_system_prompt_on_resume(self) -> bool {
        self.takes_system_prompt() && self != Self::Codex
    }

    /// Whether this variable of its environment belongs to the ledger, which keeps the list of
    /// tools by it.
    pub fn reserves(self, variable: &str) -> bool {
        self == Self::Opencode && variable == Self::OPENCODE_PERMISSION
    }

    /// By this variable opencode is told what it may do.
    pub const OPENCODE_PERMISSION: &str = "OPENCODE_PERMISSION";
}
