//! What can be asked, and how an answer says what it has seen.

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{AgentName, NanoUsd, Role, Timestamp, UserName};
use execution_ledger_store::{Position, StoreError};
use serde::{Deserialize, Serialize};

use crate::model::{ActivityState, ActivityType, DeliveryState, SessionStatus, Status};

/// Rows of a page: most.
pub const PAGE_MAX: u32 = 200;
/// Rows of a page of billing's rows: most.
pub const BILLING_PAGE_MAX: u32 = 10_000;
/// Rows of a page where nobody asks for a number.
pub const PAGE_DEFAULT: u32 = 50;
/// A search text: longest, in bytes.
pub const SEARCH_MAX_BYTES: usize = 1_000;
/// Words of a search text: most.
pub const SEARCH_WORDS_MAX: usize = 32;
/// A filter's text: longest, in bytes.
pub const FILTER_MAX_BYTES: usize = 1_000;
/// Texts in lists are cut here, in characters; see [`crate::ExecutionRecord::texts_cut`].
pub const LIST_TEXT_MAX_CHARS: usize = 1_000;
/// Texts of a session's entries are cut here, in characters; their executions have them whole.
pub const SESSION_TEXT_MAX_CHARS: usize = 16_000;
/// A session's title is so much of its first message, in characters.
pub const SESSION_TITLE_MAX_CHARS: usize = 80;
/// Buckets of a timeline and groups of costs: most. 20,000 hours are more than two years.
pub const BUCKETS_MAX: usize = 20_000;
/// New attempts at one execution that an answer names: most.
pub const RETRIES_SHOWN_MAX: u32 = 100;
/// Executions that a run asked for, as an answer names them: most.
pub const CHILDREN_SHOWN_MAX: u32 = 100;
/// Waiting executions that a capacity answer names: most. It counts them all.
pub const QUEUE_SHOWN_MAX: u32 = 200;

/// As of when a question is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// As of what the read models have seen.
    #[default]
    Now,
    /// As of this position: what was known when the event there was the last one.
    Position(Position),
}

/// An answer and the position of the last event that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// Position of the last event that the answer has seen.
    pub position: Position,
    /// The answer.
    pub value: T,
}

impl<T> Seen<T> {
    /// The same with another answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        Seen { position: self.position, value: change(self.value) }
    }
}

/// Rows and where the next ones begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to ask for the next page with; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Which executions are meant. All conditions must hold; the default is all executions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionFilters {
    /// Run by this agent.
    pub agent: Option<AgentName>,
    /// In this status.
    pub status: Option<Status>,
    /// Triggered in this way.
    pub triggered_by: Option<Trigger>,
    /// Accepted at this moment or later.
    pub from: Option<Timestamp>,
    /// Accepted before this moment.
    pub to: Option<Timestamp>,
    /// All of these words stand in the message, or all in the response. A word that ends in `*`
    /// stands for all words that begin so.
    pub q: Option<String>,
    /// Known to have cost at least this much.
    pub min_cost: Option<NanoUsd>,
    /// This model answered; until one has, this one was asked for.
    pub model: Option<String>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sort {
    /// The newest first.
    #[default]
    #[serde(rename = "-created_at")]
    NewestFirst,
    /// The oldest first.
    #[serde(rename = "created_at")]
    OldestFirst,
    /// The dearest first; executions of unknown cost are left out.
    #[serde(rename = "-cost")]
    DearestFirst,
}

/// A page of executions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionQuery {
    /// Which ones.
    pub filters: ExecutionFilters,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
    /// In which order.
    pub sort: Sort,
    /// Whether message, response and error are read too; shortened to [`LIST_TEXT_MAX_CHARS`].
    pub texts: bool,
}

impl Default for ExecutionQuery {
    fn default() -> Self {
        Self {
            filters: ExecutionFilters::default(),
            limit: PAGE_DEFAULT,
            cursor: None,
            sort: Sort::default(),
            texts: true,
        }
    }
}

/// A page of activities, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Of this agent.
    pub agent: Option<AgentName>,
    /// Of this type.
    pub activity_type: Option<ActivityType>,
    /// In this state.
    pub state: Option<ActivityState>,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

impl Default for ActivityQuery {
    fn default() -> Self {
        Self { agent: None, activity_type: None, state: None, limit: PAGE_DEFAULT, cursor: None }
    }
}

/// A page of keys, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuery {
    /// Of this role.
    pub role: Option<Role>,
    /// Of this user.
    pub user: Option<UserName>,
    /// Revoked, or not.
    pub revoked: Option<bool>,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// A page of payments, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentQuery {
    /// For this agent.
    pub agent: Option<AgentName>,
    /// Of this status.
    pub status: Option<&'static str>,
    /// Of this payer: an address in lower case.
    pub payer: Option<String>,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// A page of schedules, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleQuery {
    /// For this agent.
    pub agent: Option<AgentName>,
    /// Enabled, or not.
    pub enabled: Option<bool>,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// A page of webhooks, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookQuery {
    /// Enabled, or not.
    pub enabled: Option<bool>,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// A page of the messages to a webhook, those of the latest events first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Those of which this has become.
    pub state: Option<DeliveryState>,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// A page of something that is not filtered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

/// A page of chat sessions, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionQuery {
    /// With this agent.
    pub agent: Option<AgentName>,
    /// Open or closed.
    pub status: Option<SessionStatus>,
    /// Of this user.
    pub user: Option<UserName>,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub limit: u32,
    /// Where the page begins, as the page before said.
    pub cursor: Option<String>,
}

impl Default for SessionQuery {
    fn default() -> Self {
        Self { agent: None, status: None, user: None, limit: PAGE_DEFAULT, cursor: None }
    }
}

/// What costs are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostsBy {
    /// The day on which the cost was recorded, in UTC.
    Day,
    /// The agent.
    Agent,
    /// The model that answered.
    Model,
    /// The trigger.
    Trigger,
}

/// Which costs are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostsQuery {
    /// What they are grouped by.
    pub by: CostsBy,
    /// Recorded at this moment or later.
    pub from: Option<Timestamp>,
    /// Recorded before this moment.
    pub to: Option<Timestamp>,
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The read models are being rebuilt.
    #[error("the read models are being rebuilt: {done} of {head} events are in")]
    NotReady {
        /// Events that are in.
        done: u64,
        /// Events that were in the log when it began.
        head: u64,
    },
    /// A cursor that was not made here, or for another question.
    #[error("this cursor was not given out for this question")]
    InvalidCursor,
    /// A cursor of another log, for example from before a restore.
    #[error("this cursor belongs to the log {given}, but this ledger holds another")]
    OtherLog {
        /// The log of the cursor.
        given: String,
    },
    /// A filter's value that can't be.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which filter.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A stored event can't be read.
    #[error("a stored event can't be read: {0}")]
    Unreadable(String),
    /// A sum beyond what an amount can hold.
    #[error("the sum is beyond what an amount can hold")]
    Overflow,
    /// The store, or the connections to the read models, failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The read models failed.
    #[error("the read models failed")]
    Sqlite(#[from] rusqlite::Error),
}

impl QueryError {
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }
}
