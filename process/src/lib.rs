//! Everything that runs agents: the process manager, one supervisor process for each run, the
//! runtimes that know how a kind of agent is started and read, and the transcripts.

mod accepted;
pub mod budgets;
pub mod desk;
pub mod erasing;
pub mod failpoint;
mod following;
pub mod keys;
pub mod manager;
pub mod nodes;
pub mod orders;
pub mod paid;
pub mod pricing;
pub mod redact;
pub mod run_token;
pub mod runtimes;
mod salt;
pub mod scheduler;
pub mod signed_out;
pub mod status;
pub mod supervisor;
pub mod tasks;
pub mod transcript;
pub mod webhooks;

pub use salt::{random, salt};
