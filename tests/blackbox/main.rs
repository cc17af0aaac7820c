//! The whole product, as its users meet it: the real binary, started and spoken to.

mod auditing;
mod billing;
mod budgets;
mod claude_code;
mod cli;
mod codex;
mod crash;
mod gemini;
mod erasing;
mod keys;
mod mcp;
mod misbehaving;
mod model_api;
mod opencode;
mod operating;
mod paid;
mod pages;
mod real_agent;
mod replaying;
mod retries;
mod schedules;
mod sessions;
mod spare;
mod story;
mod supervisor;
mod support;
