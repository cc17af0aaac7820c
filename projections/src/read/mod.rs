//! How rows become answers.

mod activities;
mod agent_sessions;
mod agents;
mod billing;
mod budgets;
mod costs;
mod dearest;
mod detail;
mod earned;
mod filters;
mod keys;
mod lease_slots;
mod list;
mod payments;
mod ranges;
mod records;
mod retries;
mod schedules;
mod session_work;
mod sessions;
mod stats;
mod sums;
mod timeline;
mod versions;
mod webhooks;
mod with_words;
mod words;

pub use lease_slots::LeaseSlot;
pub use webhooks::BACKLOG_COUNTED_MAX;
