//! How events become rows.

mod activities;
mod agent_sessions;
mod agents;
mod billing;
mod billing_payments;
mod billing_sums;
mod budget_spending;
mod budgets;
mod execution_sums;
mod executions;
mod file;
mod keys;
mod lease_slots;
mod payment_work;
mod payments;
mod projection;
mod rebuild;
mod row;
mod runner;
mod schedule_ticks;
mod schedules;
mod scrub;
mod search;
mod sessions;
mod versions;
mod webhook_deliveries;
mod webhooks;
mod writer;

pub(crate) use activities::{cancellation_state, last_place, run_state};
pub(crate) use agents::{AgentVersion, Agents};
pub(crate) use billing_sums::{DAY_MICROS, NANOS, OF_AGENT, OF_MODEL, OF_TRIGGER};
pub(crate) use budgets::{BudgetVersion, Budgets};
pub(crate) use execution_sums::{
    OF_AGENT as SUMS_OF_AGENT, OF_ALL as SUMS_OF_ALL, OF_MODEL as SUMS_OF_MODEL,
    OF_NO_MODEL as SUMS_OF_NO_MODEL, OF_USER as SUMS_OF_USER,
};
pub(crate) use file::prepare_reader;
pub(crate) use keys::{KeyVersion, Keys};
pub(crate) use payments::{PaymentVersion, Payments};
pub use rebuild::{RebuildError, Rebuilt, rebuild};
pub(crate) use runner::run;
pub(crate) use schedule_ticks::{HEAD_COLUMNS, head};
pub(crate) use schedules::{ScheduleVersion, Schedules, kind as schedule_kind};
pub(crate) use search::agent_word;
pub(crate) use versions::Versioned;
pub(crate) use webhook_deliveries::{
    HEAD_COLUMNS as WEBHOOK_HEAD_COLUMNS, HEAD_ID_COLUMN as WEBHOOK_HEAD_ID_COLUMN,
    head as webhook_head,
};
pub(crate) use webhooks::{WebhookVersion, Webhooks, kind as webhook_kind};
