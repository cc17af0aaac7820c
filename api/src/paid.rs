//! What keeps the route that needs no key from being asked without end, and the headers of x402.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use execution_ledger_process::paid::{PaymentRequired, Presented, Receipt};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gate::network;
use crate::problem::{Code, Problem};

/// Payments that are taken at once; more are told to come back.
const PAYING_MAX: usize = 64;
/// When it is worth coming back, in seconds.
const PAYING_RETRY_S: u64 = 2;
/// How often the table of addresses forgets who has been quiet: once in that many checks.
const FORGET_EVERY: u32 = 4_096;

static PAYMENT_REQUIRED: HeaderName = HeaderName::from_static("payment-required");
static PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static("payment-signature");
static PAYMENT_RESPONSE: HeaderName = HeaderName::from_static("payment-response");

/// How much may be asked of paid tasks.
pub(crate) struct PaidGate {
    by_address: Option<(NonZeroU32, DefaultKeyedRateLimiter<IpAddr>)>,
    checks: AtomicU32,
    paying: Arc<Semaphore>,
}

impl PaidGate {
    /// So many requests of one address in a minute; none where nothing is sold.
    pub fn new(requests_per_min: Option<u32>) -> Self {
        let most = requests_per_min.and_then(NonZeroU32::new);
        Self {
            by_address: most.map(|most| (most, RateLimiter::keyed(Quota::per_minute(most)))),
            checks: AtomicU32::new(0),
            paying: Arc::new(Semaphore::new(PAYING_MAX)),
        }
    }

    /// Whether an address may ask once more.
    pub fn check(&self, source: IpAddr) -> Result<(), Problem> {
        let Some((most, limiter)) = &self.by_address else { return Ok(()) };
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            limiter.retain_recent();
        }
        limiter.check_key(&network(source)).map_err(|until| {
            let limit = u64::from(most.get());
            let wait = until.wait_time_from(DefaultClock::default().now());
            Problem::new(Code::RateLimited, format!("at most {limit} requests a minute"))
                .limit(limit)
                .retry_after(wait.as_secs() + 1)
        })
    }

    /// A place among those who pay.
    pub fn paying(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.paying).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Overloaded, "as many payments are taken at the moment as may be")
                .limit(PAYING_MAX as u64)
                .retry_after(PAYING_RETRY_S)
        })
    }
}

/// The payment that a request shows, if it shows one.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Option<Presented>, &'static str> {
    let mut values = headers.get_all(&PAYMENT_SIGNATURE).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Presented::decode(value.as_bytes()).map(Some),
        (Some(_), Some(_)) => Err("there are two of them"),
    }
}

/// The answer to whoever has not paid, or not well: what is offered.
pub(crate) fn asking_for(problem: Problem, required: &PaymentRequired) -> Response {
    with_header(problem.into_response(), &PAYMENT_REQUIRED, &required.encoded())
}

/// An answer that says what came of the money.
pub(crate) fn with_receipt(response: Response, receipt: &Receipt) -> Response {
    with_header(response, &PAYMENT_RESPONSE, &receipt.encoded())
}

fn with_header(mut response: Response, name: &HeaderName, text: &str) -> Response {
    // Base64 always is a header's text.
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(name, value);
    }
    response
}
