//! The read models over a real event log.

mod answers;
mod billing;
mod budgets;
mod erasing;
mod history;
mod keys;
mod paging;
mod retries;
mod running;
mod schedules;
mod sessions;
mod sums;
mod webhooks;
mod world;
