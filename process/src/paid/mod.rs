//! Tasks that somebody pays for, by x402 version 2.
//!
//! The order of the steps is what makes it exactly once: the task is checked and its place kept; the
//! facilitator finds the payment good; that is recorded with what is paid for, in a stream that is named
//! by the payment; that the money is asked for is recorded, and then it is asked for; what came of it is
//! recorded; and only once it has come, the execution is accepted, whose id follows from the payment's.
//! Each step is decided by the stream, so a server that dies between two of them is followed by one that
//! goes on. Where nobody can say whether the payer was charged, that is what is recorded, until the chain
//! or a person says it.

mod book;
mod chain;
pub mod config;
mod facilitator;
mod follow;
mod http;
mod locks;
mod pay;
mod resolve;
pub mod selling;
mod work;
mod x402;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use execution_ledger_domain::payment::{Payment, Rejection};
use execution_ledger_domain::{AgentName, ExecutionId, PaymentId};
use execution_ledger_store::{ExecuteError, Ledger, Position, StoreError};
use tokio_util::task::TaskTracker;

use crate::tasks::{PaidTask, Request, SubmitError, Tasks};
use book::Book;
use chain::Chain;
use facilitator::Facilitator;
use locks::Locks;
use selling::{ForSale, Selling};

pub use follow::FollowError;
pub use resolve::{Resolution, ResolveError};
pub use x402::{PaymentRequired, Presented, Receipt, VERSION};

/// What came of a payment that was sent.
#[derive(Clone, Debug)]
pub struct Paid {
    /// The payment.
    pub id: PaymentId,
    /// The execution that it pays for: there once the money has come.
    pub execution_id: ExecutionId,
    /// What is known of it.
    pub payment: Payment,
    /// Position of its last event.
    pub position: Position,
    /// How many secrets were redacted in the message.
    pub redactions: u32,
    /// Whether it had been sent before.
    pub replayed: bool,
}

impl Paid {
    /// What the payer is told of his money.
    pub fn receipt(&self) -> Option<Receipt> {
        let verified = self.payment.verified()?;
        let (success, error_reason, transaction) = match &self.payment {
            Payment::Settled { settled, .. } => (true, None, settled.transaction.clone()),
            Payment::Failed { failed, .. } => (false, Some(failed.reason.clone()), None),
            other => (false, Some(other.status().to_owned()), None),
        };
        Some(Receipt {
            success,
            error_reason,
            payer: verified.payer.clone(),
            transaction: transaction.unwrap_or_default(),
            network: verified.terms.network.clone(),
            amount: verified.terms.amount.clone(),
        })
    }
}

/// Why a payment was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PaidError {
    /// The agent is not sold.
    #[error("the agent {0} is not for sale")]
    NotForSale(AgentName),
    /// The payment is not one that is taken: nobody was charged.
    #[error("the payment is not taken: {reason}")]
    NotTaken {
        /// A stable code.
        reason: String,
        /// What is offered.
        required: Box<PaymentRequired>,
    },
    /// It was used for another request.
    #[error("this payment was sent with another request before; that one stands for {0}")]
    Reused(ExecutionId),
    /// The facilitator does not say whether it is good: nobody was charged.
    #[error("the facilitator could not be asked: {0}")]
    NoFacilitator(String),
    /// So many payments are open that no more are taken.
    #[error("too many payments are open")]
    TooMany,
    /// The task would not be accepted: nobody was charged.
    #[error(transparent)]
    Task(#[from] SubmitError),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] ExecuteError<Rejection>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes payments, and looks after those that are open. Cheap to clone.
#[derive(Clone)]
pub struct Payments(Arc<Shared>);

struct Shared {
    ledger: Ledger,
    tasks: Tasks,
    shop: Option<Shop>,
    locks: Locks,
    book: Book,
    /// Those who ask for money: they are seen to their end whoever goes away.
    asking: TaskTracker,
}

/// What is sold, and whom to ask about it.
struct Shop {
    selling: Selling,
    facilitator: Facilitator,
    chains: HashMap<(String, String), Chain>,
}

impl Payments {
    /// Over what is sold, which can be nothing, and the payments that are open as of the position from
    /// which [`Payments::run`] follows the log.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(
        ledger: Ledger,
        tasks: Tasks,
        selling: Option<Selling>,
        open: Vec<PaymentId>,
    ) -> Result<Self, reqwest::Error> {
        let shop = selling.map(Shop::open).transpose()?;
        let book = Book::of(open, ledger.now());
        Ok(Self(Arc::new(Shared {
            ledger,
            tasks,
            shop,
            locks: Locks::default(),
            book,
            asking: TaskTracker::new(),
        })))
    }

    /// Whether anything is sold at all.
    pub fn sells(&self) -> bool {
        self.0.shop.is_some()
    }

    /// Requests of one address in a minute: most.
    pub fn requests_per_min(&self) -> Option<u32> {
        self.0.shop.as_ref().map(|shop| shop.selling.requests_per_min)
    }

    /// What an agent costs, once the task would be accepted: why nothing was done yet stands in it.
    ///
    /// # Errors
    /// Where the agent is not sold, or the task would be refused.
    pub async fn price(
        &self,
        agent: &AgentName,
        task: &PaidTask,
        resource: &str,
        request: &Request,
    ) -> Result<PaymentRequired, PaidError> {
        let for_sale = self.for_sale(agent)?;
        self.0.tasks.check_paid(agent, task, &for_sale.models, request).await?;
        Ok(PaymentRequired::of(for_sale, resource, "PAYMENT-SIGNATURE header is required"))
    }

    /// What an agent costs, whatever the task.
    ///
    /// # Errors
    /// Where the agent is not sold.
    pub fn offers(
        &self,
        agent: &AgentName,
        resource: &str,
        error: &str,
    ) -> Result<PaymentRequired, PaidError> {
        Ok(PaymentRequired::of(self.for_sale(agent)?, resource, error))
    }

    /// What the facilitator supports, of what is needed: the networks that it does not.
    ///
    /// # Errors
    /// Where it does not say, in words.
    pub async fn unsupported(&self) -> Result<Vec<String>, String> {
        match &self.0.shop {
            Some(shop) => shop.unsupported().await,
            None => Ok(Vec::new()),
        }
    }

    /// Waits until nobody asks for money any more, but no longer than `most`. False where somebody
    /// still does: then what came of it is unknown until the next start looks.
    pub async fn finish(&self, most: Duration) -> bool {
        self.0.asking.close();
        tokio::time::timeout(most, self.0.asking.wait()).await.is_ok()
    }

    fn for_sale(&self, agent: &AgentName) -> Result<&ForSale, PaidError> {
        let for_sale = self.0.shop.as_ref().and_then(|shop| shop.selling.agents.get(agent));
        for_sale.ok_or_else(|| PaidError::NotForSale(agent.clone()))
    }
}

impl Shop {
    fn open(selling: Selling) -> Result<Self, reqwest::Error> {
        let facilitator = Facilitator::new(
            selling.facilitator.clone(),
            selling.authorization.clone(),
            Duration::from_secs(selling.settle_timeout_s),
        )?;
        let mut chains = HashMap::new();
        for asset in &selling.assets {
            if let Some(url) = &asset.rpc_url {
                let key = (asset.network.clone(), asset.asset.clone());
                chains.insert(key, Chain::new(url.clone(), asset.confirmations)?);
            }
        }
        Ok(Self { selling, facilitator, chains })
    }

    async fn unsupported(&self) -> Result<Vec<String>, String> {
        let supported = self.facilitator.supported().await?;
        let mut wanted: Vec<&str> =
            self.selling.assets.iter().map(|a| a.network.as_str()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let is_supported = |network: &&str| {
            let mut kinds = supported.iter();
            kinds.any(|(scheme, of)| scheme == x402::SCHEME && of == network)
        };
        Ok(wanted.into_iter().filter(|network| !is_supported(network)).map(str::to_owned).collect())
    }
}

/// Asks a facilitator that is about to be configured what it does not support of what is needed.
///
/// # Errors
/// Where it does not answer, in words.
pub async fn check_facilitator(selling: Selling) -> Result<Vec<String>, String> {
    Shop::open(selling).map_err(|error| error.to_string())?.unsupported().await
}
