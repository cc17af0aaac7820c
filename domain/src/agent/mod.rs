//! An agent: what can be run, how, and how much of it at once.

mod check;
mod config;
mod decide;
mod event;
mod runtime;

pub use check::{ConfigError, is_secret_name};
pub use config::{AgentConfig, PromptBy, SecretSource};
pub use decide::{Agent, Command, Rejection};
pub use event::{AgentEvent, Configured, Paused, Registered, Resumed, Retired};
pub use runtime::Runtime;

#[cfg(test)]
mod tests;
