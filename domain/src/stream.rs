//! Stream names: `category-id`, the category without hyphens.

use std::fmt;
use std::str::FromStr;

use crate::Timestamp;
use crate::budget::BudgetScope;
use crate::content::Digest;
use crate::ids::{AgentName, ExecutionId, KeyId, PaymentId, ScheduleId, SessionId, WebhookId};
use crate::lease::LeaseName;

/// The kinds of streams that this version writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// `execution-{id}`: one run of a task.
    Execution,
    /// `agent-{name}`: an agent's registration and settings.
    Agent,
    /// `session-{id}`: a chat.
    Session,
    /// `key-{id}`: a key by which somebody calls the ledger.
    Key,
    /// `schedule-{id}`: tasks that come by the clock.
    Schedule,
    /// `access-{day}`: who read what, and who was turned away.
    Access,
    /// `payment-{id}`: a payment for one execution.
    Payment,
    /// `budget-{scope}`: what may be spent.
    Budget,
    /// `webhook-{id}`: an address that is told of facts.
    Webhook,
    /// `content-{hash}`: a text that was erased, by its digest.
    Content,
    /// `notary`, one stream: what the notary tells of itself.
    Notary,
    /// `lease-{agent}`, `lease-@leader`: which of several nodes does what.
    Lease,
}

impl Category {
    /// The part of a stream's name before the first hyphen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Agent => "agent",
            Self::Session => "session",
            Self::Key => "key",
            Self::Schedule => "schedule",
            Self::Access => "access",
            Self::Payment => "payment",
            Self::Budget => "budget",
            Self::Webhook => "webhook",
            Self::Content => "content",
            Self::Notary => "notary",
            Self::Lease => "lease",
        }
    }
}

/// The name of one stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(std::sync::Arc<str>);

/// Longest stream name in bytes.
pub const STREAM_NAME_MAX_BYTES: usize = 200;

/// Why a text is no stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stream name is category-id: lower-case letters, a hyphen, then 1 to 190 visible ASCII characters; or notary"
)]
pub struct StreamNameError;

impl StreamName {
    /// The stream of an execution.
    pub fn execution(id: ExecutionId) -> Self {
        Self(format!("execution-{id}").into())
    }

    /// The stream of an agent.
    pub fn agent(name: &AgentName) -> Self {
        Self(format!("agent-{name}").into())
    }

    /// The stream of a chat session.
    pub fn session(id: SessionId) -> Self {
        Self(format!("session-{id}").into())
    }

    /// The stream of a key.
    pub fn key(id: KeyId) -> Self {
        Self(format!("key-{id}").into())
    }

    /// The stream of a schedule.
    pub fn schedule(id: ScheduleId) -> Self {
        Self(format!("schedule-{id}").into())
    }

    /// The stream of a day's access, by its date in UTC.
    pub fn access(at: Timestamp) -> Self {
        Self(format!("access-{}", at.to_chrono().date_naive()).into())
    }

    /// The stream of a payment.
    pub fn payment(id: PaymentId) -> Self {
        Self(format!("payment-{id}").into())
    }

    /// The stream of a budget.
    pub fn budget(scope: &BudgetScope) -> Self {
        Self(format!("budget-{scope}").into())
    }

    /// The stream of a webhook.
    pub fn webhook(id: WebhookId) -> Self {
        Self(format!("webhook-{id}").into())
    }

    /// The stream of an erased text, by the digest that its event holds.
    pub fn content(digest: Digest) -> Self {
        Self(format!("content-{digest}").into())
    }

    /// The notary's own stream.
    pub fn notary() -> Self {
        Self(Category::Notary.as_str().into())
    }

    /// The stream of a lease.
    pub fn lease(name: &LeaseName) -> Self {
        Self(format!("lease-{name}").into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first hyphen; the whole name where there is none.
    pub fn category(&self) -> &str {
        self.0.split_once('-').map_or(&self.0, |(category, _)| category)
    }

    /// The part after the first hyphen.
    pub fn id(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, id)| id)
    }

    /// The execution whose stream this is.
    pub fn execution_id(&self) -> Option<ExecutionId> {
        self.id_in(Category::Execution)
    }

    /// The agent whose stream this is.
    pub fn agent_name(&self) -> Option<AgentName> {
        self.id_in(Category::Agent)
    }

    /// The chat session whose stream this is.
    pub fn session_id(&self) -> Option<SessionId> {
        self.id_in(Category::Session)
    }

    /// The key whose stream this is.
    pub fn key_id(&self) -> Option<KeyId> {
        self.id_in(Category::Key)
    }

    /// The schedule whose stream this is.
    pub fn schedule_id(&self) -> Option<ScheduleId> {
        self.id_in(Category::Schedule)
    }

    /// The payment whose stream this is.
    pub fn payment_id(&self) -> Option<PaymentId> {
        self.id_in(Category::Payment)
    }

    /// What the budget is for whose stream this is.
    pub fn budget_scope(&self) -> Option<BudgetScope> {
        self.id_in(Category::Budget)
    }

    /// The webhook whose stream this is.
    pub fn webhook_id(&self) -> Option<WebhookId> {
        self.id_in(Category::Webhook)
    }

    /// The digest of the erased text whose stream this is.
    pub fn content_digest(&self) -> Option<Digest> {
        self.id_in(Category::Content)
    }

    /// What the lease is for whose stream this is.
    pub fn lease_name(&self) -> Option<LeaseName> {
        self.id_in(Category::Lease)
    }

    fn id_in<T: FromStr>(&self, category: Category) -> Option<T> {
        (self.category() == category.as_str()).then(|| self.id().parse().ok()).flatten()
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, StreamNameError> {
        if text == Category::Notary.as_str() {
            return Ok(Self::notary());
        }
        let (category, id) = text.split_once('-').ok_or(StreamNameError)?;
        let fits = !category.is_empty()
            && !id.is_empty()
            && text.len() <= STREAM_NAME_MAX_BYTES
            && category.bytes().all(|b| b.is_ascii_lowercase())
            && id.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(StreamNameError) }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
