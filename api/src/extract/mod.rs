//! Reading requests strictly: what is unknown, missing or of another type is refused by name.

mod body;
mod paid;
mod path;
mod query;
mod words;

pub use body::{Json, NoBody, Partial};
pub(crate) use body::{parse, read_body};
pub use paid::{PaidExecutionPath, PaymentPath};
pub use path::{
    AgentPath, BudgetPath, ExecutionPath, KeyPath, SchedulePath, SessionPath, WebhookPath,
};
#[cfg(test)]
pub(crate) use query::PARAMETERS_MAX;
pub use query::{FromQuery, Params, Query};
