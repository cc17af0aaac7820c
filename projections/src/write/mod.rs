//! How events become rows.

mod activities;
mod agent_sessions;
mod agents;
mod costs;
mod executions;
mod file;
mod projection;
mod rebuild;
mod row;
mod runner;
mod search;
mod writer;

pub(crate) use activities::{cancellation_state, run_state};
pub(crate) use file::prepare_reader;
pub use rebuild::{RebuildError, Rebuilt, rebuild};
pub(crate) use runner::run;
