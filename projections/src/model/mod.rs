//! What the queries answer: plain data, as the API gives it out.

mod activity;
mod billing;
mod budget;
mod fold;
mod key;
mod open;
mod payment;
mod record;
mod schedule;
mod session;
mod summary;
mod webhook;

pub(crate) use activity::ending_details;
pub use activity::{Activity, ActivityEvent, ActivityState, ActivityType, Announcement};
pub use billing::{BillingPage, Earned};
pub(crate) use billing::{PaymentFacts, basis_code, basis_from_code, kind_code, kind_from_code};
pub use budget::{BudgetRow, BudgetSums, BudgetWork, Budgeted, OpenKept};
pub use key::KeyRow;
pub use open::OpenExecution;
pub use payment::PaymentRow;
pub use record::{ErrorInfo, ExecutionRecord, Status};
pub(crate) use record::{trigger_code, trigger_from_code};
pub use schedule::{ScheduleHead, ScheduleRow, ScheduleRun, TickRow};
pub use session::{
    ChatSession, Continues, EntryKind, OpenTask, SessionDetail, SessionEntry, SessionStatus,
};
pub use summary::{
    AgentRow, AgentStatus, Bucket, Capacity, CostSummary, Costs, Slot, Stats, Timeline,
    TimelineBucket, Waiting,
};
pub use webhook::{Backlog, DeliveryRow, DeliveryState, OwedRow, WebhookHead, WebhookRow};
