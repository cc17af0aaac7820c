//! What a run costs while it runs, read from the same lines by the same readers as its cost at the end.

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::agent::Runtime;

use super::counted::Pricing;
use super::text::Joiner;
use super::{demo, opencode, stream_json};
use crate::transcript::{Line, OutputStream};

/// Follows the cost of one run, line by line, in memory that does not grow with them.
pub struct Meter {
    joiner: Joiner,
    seen: Seen,
}

enum Seen {
    StreamJson(Box<stream_json::Seen>),
    Demo(Box<stream_json::Seen>),
    Opencode(Box<opencode::Seen>),
}

impl Meter {
    /// Of a run of this runtime; `resumed`: it continues a session of the agent's.
    ///
    /// None where the agent says nothing of its cost before it ends: commands say nothing at all, codex
    /// and gemini count their tokens in their last line.
    pub fn of(runtime: Runtime, resumed: bool) -> Option<Self> {
        let stream_json = || Box::new(stream_json::Seen::new(resumed));
        let seen = match runtime {
            Runtime::ClaudeCode => Seen::StreamJson(stream_json()),
            Runtime::Demo => Seen::Demo(stream_json()),
            Runtime::Opencode => Seen::Opencode(Box::default()),
            Runtime::Command | Runtime::Codex | Runtime::Gemini => return None,
        };
        Some(Self { joiner: Joiner::default(), seen })
    }

    /// One more line of its output.
    pub fn push(&mut self, line: Line) {
        if line.stream == OutputStream::Stderr {
            return;
        }
        let Some(line) = self.joiner.push(line) else { return };
        match &mut self.seen {
            Seen::StreamJson(seen) | Seen::Demo(seen) => seen.line(&line),
            Seen::Opencode(seen) => seen.line(&line),
        }
    }

    /// What it has cost until now at the least: what has no price is left out.
    pub fn at_least(&self, pricing: &Pricing<'_>) -> NanoUsd {
        match &self.seen {
            Seen::StreamJson(seen) => seen.at_least(pricing),
            Seen::Demo(seen) => seen.at_least(&Pricing { book: &demo::prices(), ..*pricing }),
            Seen::Opencode(seen) => seen.at_least(),
        }
    }
}
