//! Read models: folds of the log into rows that can be dropped and rebuilt.
//!
//! All of them live in one file, `views.db`, and move together: one transaction holds the rows that
//! a batch of events led to and the position of its last event. [`Views`] runs them and answers
//! questions. No free text is kept here but the search index: texts are read from the log.

mod columns;
mod cursor;
mod digest;
mod durations;
mod health;
mod model;
mod query;
mod read;
mod views;
mod write;

pub use digest::{TableDigest, digest};
pub use health::{Behind, Health, Poison, Progress};
pub use model::{
    Activity, ActivityEvent, ActivityState, ActivityType, AgentRow, AgentStatus, Announcement,
    Backlog, BillingPage, Bucket, BudgetRow, BudgetSums, BudgetWork, Budgeted, Capacity,
    ChatSession, Continues, CostSummary, Costs, DeliveryRow, DeliveryState, Earned, EntryKind,
    ErrorInfo, ExecutionRecord, KeyRow, OpenExecution, OpenKept, OpenTask, OwedRow, PaymentRow,
    ScheduleHead, ScheduleRow, ScheduleRun, SessionDetail, SessionEntry, SessionStatus, Slot,
    Stats, Status, TickRow, Timeline, TimelineBucket, Waiting, WebhookHead, WebhookRow,
};
pub use query::{
    ActivityQuery, At, BILLING_PAGE_MAX, BUCKETS_MAX, CostsBy, CostsQuery, DeliveryQuery,
    ExecutionFilters, ExecutionQuery, FILTER_MAX_BYTES, KeyQuery, LIST_TEXT_MAX_CHARS,
    PAGE_DEFAULT, PAGE_MAX, Page, PageQuery, PaymentQuery, QUEUE_SHOWN_MAX, QueryError,
    SEARCH_MAX_BYTES, SEARCH_WORDS_MAX, SESSION_TEXT_MAX_CHARS, SESSION_TITLE_MAX_CHARS,
    ScheduleQuery, Seen, SessionQuery, Sort, WebhookQuery,
};
pub use read::{BACKLOG_COUNTED_MAX, LeaseSlot};
pub use views::{OpenError, Views, ViewsOptions};
pub use write::{RebuildError, Rebuilt, rebuild};
