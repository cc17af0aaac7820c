//! How rows become answers.

mod activities;
mod agent_sessions;
mod agents;
mod costs;
mod detail;
mod filters;
mod list;
mod stats;
mod words;
