//! An agent: what can be run, how, and how much of it at once.

mod config;
mod decide;
mod event;
mod runtime;

pub use config::{AgentConfig, ConfigError, PromptBy, SecretSource, is_secret_name};
pub use decide::{Agent, Command, Rejection};
pub use event::{AgentEvent, Configured, Paused, Registered, Resumed, Retired};
pub use runtime::Runtime;

#[cfg(test)]
mod tests;
