//! What every request passes: host, sizes, how much goes on at once, its id, its trace, its log line.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::HOST;
use execution_ledger_domain::access::RefusedFor;
use execution_ledger_store::{Clock as _, SystemClock};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::options::Options;
use crate::problem::{Code, Problem};
use crate::refusals::Refusals;

/// Longest path and query, in bytes.
const URI_MAX_BYTES: usize = 8 * 1024;
/// Headers of a request: most.
const HEADERS_MAX: usize = 96;
/// Names and values of a request's headers together: largest, in bytes.
pub(crate) const HEADERS_MAX_BYTES: usize = 32 * 1024;
/// How often the tables of rate limits forget who has been quiet: once in that many checks.
const FORGET_EVERY: u32 = 16_384;

/// The address at the other end of the connection; the server puts it into every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What the gate found out about a request.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// Its id, also answered as `X-Request-Id`.
    pub id: Uuid,
    /// Where it comes from, beyond trusted proxies.
    pub source: IpAddr,
    /// W3C trace context, where the caller sent a well-formed one.
    pub traceparent: Option<String>,
}

/// The limits that all requests share.
pub struct Gate {
    /// The settings.
    pub options: Options,
    requests: AtomicUsize,
    streams: Arc<Semaphore>,
    by_key: DefaultKeyedRateLimiter<String>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    checks: AtomicU32,
    stopping: CancellationToken,
    /// How often callers were turned away.
    pub(crate) refusals: Refusals,
}

impl Gate {
    /// With nothing going on.
    pub fn new(options: Options) -> Self {
        let by_key = Quota::per_second(options.rate_per_s).allow_burst(options.rate_burst);
        let failures = Quota::per_minute(options.failures_per_minute);
        Self {
            requests: AtomicUsize::new(0),
            streams: Arc::new(Semaphore::new(options.streams_max)),
            by_key: RateLimiter::keyed(by_key),
            failures: RateLimiter::keyed(failures),
            checks: AtomicU32::new(0),
            stopping: CancellationToken::new(),
            refusals: Refusals::default(),
            options,
        }
    }

    /// Cancelled once the server is to stop: streams end then.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Whether a caller may make one more request now.
    pub(crate) fn check_rate(&self, caller: &String) -> Result<(), Problem> {
        self.forget_now_and_then();
        self.by_key.check_key(caller).map_err(|until| {
            let limit = u64::from(self.options.rate_per_s.get());
            Problem::new(Code::RateLimited, format!("at most {limit} requests a second"))
                .limit(limit)
                .retry_after(whole_seconds(&until))
        })
    }

    /// Counts a failed attempt from an address and says what to answer to it. A key that holds is
    /// never refused for the failures of others at the same address: guessing 256 random bits is
    /// hopeless anyhow, but locking out everybody behind one address would be easy.
    pub(crate) fn failed_attempt(&self, source: IpAddr) -> Problem {
        self.forget_now_and_then();
        metrics::counter!("ledger_auth_failures_total").increment(1);
        let source = network(source);
        self.refusals.add(source, RefusedFor::Unauthorized, SystemClock.now());
        match self.failures.check_key(&source) {
            Ok(()) => {
                Problem::new(Code::Unauthorized, "send a valid key as `Authorization: Bearer KEY`")
            }
            Err(until) => Problem::new(Code::TooManyFailures, "try again later")
                .retry_after(whole_seconds(&until)),
        }
    }

    /// Counts a caller whose key holds, but not for what was asked.
    pub(crate) fn forbade(&self, source: IpAddr) {
        self.refusals.add(network(source), RefusedFor::Forbidden, SystemClock.now());
    }

    /// Room for one more stream or waiting caller, kept until the permit is dropped.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        permit.map_err(|_| {
            Problem::new(
                Code::Overloaded,
                "as many streams are open, or callers waiting, as may be",
            )
            .limit(self.options.streams_max as u64)
            .retry_after(5)
        })
    }

    /// Waits until no stream is open any more.
    pub(crate) async fn streams_ended(&self) {
        let all = u32::try_from(self.options.streams_max).unwrap_or(u32::MAX);
        if self.streams.acquire_many(all).await.is_err() {
            tracing::debug!("the streams' semaphore is closed");
        }
    }

    /// A place among the requests that are worked on, if there is one.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        let place = Place(&self.requests);
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        // Dropped, and so given back, where it is one too many.
        (before < self.options.requests_max).then_some(place)
    }

    /// Gives the place of a request back while it only waits: whoever waits for an hour must not
    /// keep others from being answered. It is taken again when the answer is dropped.
    pub(crate) fn lend_place(&self) -> Lent<'_> {
        self.requests.fetch_sub(1, Ordering::Relaxed);
        Lent(&self.requests)
    }

    fn forget_now_and_then(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.by_key.retain_recent();
            self.failures.retain_recent();
        }
    }

    /// What a request looks like before anything is done for it.
    pub(crate) fn admit(&self, request: &Request) -> Result<(), Problem> {
        let uri = request.uri();
        let length = uri.path().len() + uri.query().map_or(0, str::len);
        if length > URI_MAX_BYTES {
            let detail = format!("{length} bytes are more than {URI_MAX_BYTES}");
            return Err(Problem::new(Code::UriTooLong, detail).limit(URI_MAX_BYTES as u64));
        }
        let headers = request.headers();
        let bytes: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers.len() > HEADERS_MAX || bytes > HEADERS_MAX_BYTES {
            let detail = format!("at most {HEADERS_MAX} headers of {HEADERS_MAX_BYTES} bytes");
            return Err(Problem::new(Code::HeadersTooLarge, detail).limit(HEADERS_MAX_BYTES as u64));
        }
        if is_probe(request) {
            return Ok(());
        }
        let named = headers.get(HOST).map(HeaderValue::to_str);
        let host = match (named, uri.authority()) {
            (Some(Ok(host)), _) => host,
            (None, Some(authority)) => authority.as_str(),
            (Some(Err(_)) | None, _) => "",
        };
        if self.options.allows_host(host) {
            return Ok(());
        }
        Err(Problem::new(Code::HostNotAllowed, "the Host header names another server")
            .field("Host")
            .hint("add the host to the setting allowed_hosts"))
    }
}

/// A place among the requests that are worked on.
pub(crate) struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place that was given back for a while.
pub(crate) struct Lent<'a>(&'a AtomicUsize);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Machines that ask whether the ledger lives come by its address, and are answered however busy
/// it is.
pub(crate) fn is_probe(request: &Request) -> bool {
    matches!(request.uri().path(), "/healthz" | "/readyz")
}

/// An IPv6 subscriber has a whole /64: it counts as one source.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

fn whole_seconds(until: &governor::NotUntil<governor::clock::QuantaInstant>) -> u64 {
    until.wait_time_from(DefaultClock::default().now()).as_secs() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::PARAMETERS_MAX;
    use crate::feed::BEHIND_MAX;
    use crate::serve::{HEAD_BUFFER_BYTES, HEADERS_READ_MAX};

    #[test]
    fn the_guide_names_the_limits_as_they_are() {
        const KIB: usize = 1024;
        let guide = include_str!("../../docs/API.md");
        let (thousands, rest) = (BEHIND_MAX / 1_000, BEHIND_MAX % 1_000);
        for said in [
            format!("| path and query | {} KiB |", URI_MAX_BYTES / KIB),
            format!("| headers | {HEADERS_MAX}, together {} KiB |", HEADERS_MAX_BYTES / KIB),
            format!("| query parameters | {PARAMETERS_MAX} |"),
            format!("more than {HEADERS_READ_MAX} headers"),
            format!("more than {} KiB in all", HEAD_BUFFER_BYTES / KIB),
            format!("{thousands},{rest:03} messages wait"),
        ] {
            assert!(guide.contains(&said), "{said}");
        }
    }

    #[test]
    fn failed_attempts_of_one_network_run_out_and_those_of_another_do_not() {
        let options = Options {
            failures_per_minute: std::num::NonZeroU32::MIN.saturating_add(1),
            ..Options::default()
        };
        let gate = Gate::new(options);
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let code = |source: &str| gate.failed_attempt(ip(source)).code();
        assert_eq!(code("2001:db8::1"), Code::Unauthorized);
        assert_eq!(code("2001:db8::2"), Code::Unauthorized);
        assert_eq!(code("2001:db8::3"), Code::TooManyFailures);
        assert_eq!(code("2001:db8:0:1::1"), Code::Unauthorized);
        assert_eq!(code("192.0.2.1"), Code::Unauthorized);
    }
}
