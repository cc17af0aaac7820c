//! Webhooks: what callers do with them, and the part that tells them what they are owed.
//!
//! What a webhook is owed follows from the log alone, and stands in the read models until its stream
//! says that it was taken or given up. So a ledger that dies forgets nothing: what was taken and not yet
//! recorded is sent again under the same id, and what was recorded is not sent again. How often a
//! message was tried is known while the ledger runs: a start begins to count anew.

mod address;
mod book;
mod change;
mod deliver;
mod message;
mod run;
mod schedule;
mod send;
mod sign;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use execution_ledger_domain::billing::BillingRow;
use execution_ledger_domain::webhook::{Kind, Message, Rejection, Webhook, WebhookFieldError};
use execution_ledger_domain::{Timestamp, WebhookId};
use execution_ledger_store::{
    Context, ExecuteError, Executed, Ledger, Position, StoreError, StreamHead,
};
use tokio::sync::{Notify, Semaphore};

use crate::run_token::LedgerSecret;
pub use address::{AddressRefused, Allowed, Network};
use book::{Book, Line};
pub use change::{Change, Registered, Tested};
pub use run::WebhooksError;
pub use schedule::ATTEMPTS_MAX;
use send::{ATTEMPT_TIMEOUT, Sender};
pub use send::{Fault, Tried, UrlRefused};

#[cfg(test)]
mod tests;

/// Test messages that are under way at once: most.
const TESTS_MAX: usize = 4;

/// A message that a webhook is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Which message.
    pub message: Message,
    /// Position of the event that it tells of.
    pub position: Position,
}

/// What the read models know of what webhooks are owed.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// The next messages that a webhook is owed, those of the earliest events first, after one of them
    /// or from the first on; at most `limit`. The answer has seen the log up to `seen`.
    async fn owed(
        &self,
        webhook: WebhookId,
        after: Option<(Position, Kind)>,
        limit: usize,
        seen: Position,
    ) -> Result<Vec<Owed>, StoreError>;

    /// The row of the billing feed that the event at a position led to.
    async fn billing_row(&self, at: Position) -> Result<Option<BillingRow>, StoreError>;
}

/// A webhook as it is known at a start.
#[derive(Clone, Debug)]
pub struct LoadedWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Its state after the last event of its stream.
    pub state: Webhook,
    /// That event.
    pub head: StreamHead,
}

/// What came of an attempt at a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTry {
    /// When.
    pub at: Timestamp,
    /// The status, where one came.
    pub status: Option<u16>,
    /// What was wrong; absent where it was taken.
    pub reason: Option<Fault>,
}

/// How a webhook stands, since the ledger was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Since when.
    pub failing_since: Option<Timestamp>,
    /// The last attempt.
    pub last: Option<LastTry>,
    /// When the next attempt comes, where one is waited for.
    pub next_try: Option<Timestamp>,
}

/// Why a webhook was not registered, changed or tried.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There is none of that id.
    #[error("there is no such webhook")]
    NotFound,
    /// There are as many as may be.
    #[error("there are {0} webhooks already, which is the most")]
    TooMany(usize),
    /// The message is none of those that were given up.
    #[error("this message was not given up, or was redriven already")]
    NotDead,
    /// Too many test messages are under way.
    #[error("{TESTS_MAX} test messages are under way: try again")]
    Busy,
    /// A setting breaks a rule.
    #[error(transparent)]
    Field(#[from] WebhookFieldError),
    /// The write failed.
    #[error(transparent)]
    Write(ExecuteError<Rejection>),
}

impl From<ExecuteError<Rejection>> for WebhookError {
    fn from(error: ExecuteError<Rejection>) -> Self {
        match error {
            ExecuteError::Refused(Rejection::NotFound) => Self::NotFound,
            ExecuteError::Refused(Rejection::NotDead) => Self::NotDead,
            ExecuteError::Refused(Rejection::Settings(broken)) => Self::Field(broken),
            other => Self::Write(other),
        }
    }
}

/// What callers can do with webhooks, and what is sent to them. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Shared>);

struct Shared {
    ledger: Ledger,
    outbox: Arc<dyn Outbox>,
    secret: LedgerSecret,
    sender: Sender,
    book: Mutex<Book>,
    wake: Notify,
    tests: Semaphore,
}

impl Webhooks {
    /// Over what the read models know as of the position from which [`Webhooks::run`] follows the log.
    pub fn new(
        ledger: Ledger,
        outbox: Arc<dyn Outbox>,
        secret: LedgerSecret,
        allowed: Allowed,
        webhooks: Vec<LoadedWebhook>,
    ) -> Self {
        let sender = Sender::new(allowed, ATTEMPT_TIMEOUT);
        Self::sending_by(sender, ledger, outbox, secret, webhooks)
    }

    fn sending_by(
        sender: Sender,
        ledger: Ledger,
        outbox: Arc<dyn Outbox>,
        secret: LedgerSecret,
        webhooks: Vec<LoadedWebhook>,
    ) -> Self {
        let mut book = Book::default();
        for webhook in webhooks {
            book.insert(webhook.id, Line::new(webhook.state, webhook.head));
        }
        Self(Arc::new(Shared {
            ledger,
            outbox,
            secret,
            sender,
            book: Mutex::new(book),
            wake: Notify::new(),
            tests: Semaphore::new(TESTS_MAX),
        }))
    }

    /// How a webhook stands; nothing where there is none.
    pub fn standing(&self, id: WebhookId) -> Option<Standing> {
        self.book().standing(id)
    }

    /// What is in hand. Held for a moment only, never across an await.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.0.ledger.now()
    }

    /// Gives a command on what is known of a webhook, and learns what it led to.
    async fn command(
        &self,
        id: WebhookId,
        command: execution_ledger_domain::webhook::Command,
        context: &Context,
    ) -> Result<Executed<Webhook>, ExecuteError<Rejection>> {
        let absent = || ExecuteError::Refused(Rejection::NotFound);
        let turn = self.book().line(id).map(|line| Arc::clone(&line.turn)).ok_or_else(absent)?;
        let _turn = turn.lock().await;
        let known = self.book().line(id).map(|line| (line.state.clone(), line.head));
        let known = known.ok_or_else(absent)?;
        let stream = execution_ledger_domain::StreamName::webhook(id);
        let done = self.0.ledger.execute_from(&stream, known, command, &[], context).await?;
        self.book().learn(id, &done);
        self.0.wake.notify_one();
        Ok(done)
    }
}

/// Where the story of a webhook's own events is found.
fn story(id: WebhookId) -> String {
    format!("webhook-{id}")
}
