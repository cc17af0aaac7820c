//! What every request passes: host, sizes, how much goes on at once, its id, its trace, its log line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::options::Options;
use crate::problem::{Code, Problem};

/// Longest path and query, in bytes.
const URI_MAX_BYTES: usize = 8 * 1024;
/// Headers of a request: most.
pub(crate) const HEADERS_MAX: usize = 96;
/// Names and values of a request's headers together: largest, in bytes.
pub(crate) const HEADERS_MAX_BYTES: usize = 32 * 1024;
/// How often the tables of rate limits forget who has been quiet: once in that many checks.
const FORGET_EVERY: u32 = 16_384;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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
    requests: Semaphore,
    streams: Arc<Semaphore>,
    by_key: DefaultKeyedRateLimiter<String>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    checks: AtomicU32,
    stopping: CancellationToken,
}

impl Gate {
    /// With nothing going on.
    pub fn new(options: Options) -> Self {
        let by_key = Quota::per_second(options.rate_per_s).allow_burst(options.rate_burst);
        let failures = Quota::per_minute(options.failures_per_minute);
        Self {
            requests: Semaphore::new(options.requests_max),
            streams: Arc::new(Semaphore::new(options.streams_max)),
            by_key: RateLimiter::keyed(by_key),
            failures: RateLimiter::keyed(failures),
            checks: AtomicU32::new(0),
            stopping: CancellationToken::new(),
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
        match self.failures.check_key(&network(source)) {
            Ok(()) => Problem::new(
                Code::Unauthorized,
                "send a valid key as `Authorization: Bearer KEY`",
            ),
            Err(until) => Problem::new(Code::TooManyFailures, "try again later")
                .retry_after(whole_seconds(&until)),
        }
    }

    /// Room for one more stream, kept until the permit is dropped.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        permit.map_err(|_| {
            Problem::new(Code::Overloaded, "as many streams are open as may be")
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

    fn forget_now_and_then(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.by_key.retain_recent();
            self.failures.retain_recent();
        }
    }

    /// What a request looks like before anything is done for it.
    fn admit(&self, request: &Request) -> Result<(), Problem> {
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
            return Err(
                Problem::new(Code::HeadersTooLarge, detail).limit(HEADERS_MAX_BYTES as u64)
            );
        }
        if matches!(uri.path(), "/healthz" | "/readyz") {
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

/// An IPv6 subscriber has a whole /64: it counts as one source.
fn network(source: IpAddr) -> IpAddr {
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

/// The layer around all routes.
pub(crate) async fn guard(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let info = request_info(&gate, &request);
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).map(str::to_owned);
    let method = known_method(request.method());
    let (id, source) = (info.id, info.source);
    request.extensions_mut().insert(info);

    let mut response = match gate.admit(&request) {
        Ok(()) => answer(&gate, request, next).await,
        Err(problem) => problem.into_response(),
    };

    let status = response.status();
    let route = route.unwrap_or_else(|| "none".to_owned());
    let elapsed = begun.elapsed();
    if status.is_server_error() {
        tracing::warn!(target: "access", %id, %source, method, route, status = status.as_u16(),
            ms = elapsed.as_millis(), "answered with a fault");
    } else {
        tracing::debug!(target: "access", %id, %source, method, route, status = status.as_u16(),
            ms = elapsed.as_millis(), "answered");
    }
    metrics::histogram!("ledger_http_request_duration_seconds",
        "route" => route, "method" => method, "status" => status_text(status.as_u16()))
    .record(elapsed);
    finish_headers(response.headers_mut(), id);
    response
}

async fn answer(gate: &Gate, request: Request, next: Next) -> Response {
    let Ok(_permit) = gate.requests.try_acquire() else {
        return Problem::new(Code::Overloaded, "as many requests are worked on as may be")
            .limit(gate.options.requests_max as u64)
            .retry_after(1)
            .into_response();
    };
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => Problem::internal(&panic_text(&*panic)).into_response(),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("without a text"))
}

fn request_info(gate: &Gate, request: &Request) -> RequestInfo {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let peer = request.extensions().get::<Peer>().map_or(unknown, |peer| peer.0.ip());
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    RequestInfo {
        id: Uuid::now_v7(),
        source: if gate.options.trusted_proxies.is_empty() {
            peer.to_canonical()
        } else {
            gate.options.source(peer, header(&FORWARDED_FOR))
        },
        traceparent: header(&TRACEPARENT).filter(|text| is_traceparent(text)).map(str::to_owned),
    }
}

/// W3C Trace Context, version 00: `00-<32 hex>-<16 hex>-<2 hex>`, ids not all zero.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    matches!(parts[..], ["00", trace, span, flags]
        if hex(trace, 32) && hex(span, 16) && hex(flags, 2) && !zero(trace) && !zero(span))
}

fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn status_text(status: u16) -> &'static str {
    match status {
        101 => "101",
        200 => "200",
        201 => "201",
        202 => "202",
        200..300 => "2xx",
        300..400 => "3xx",
        401 => "401",
        404 => "404",
        422 => "422",
        429 => "429",
        400..500 => "4xx",
        503 => "503",
        504 => "504",
        _ => "5xx",
    }
}

fn finish_headers(headers: &mut HeaderMap, id: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    if let Ok(id) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer)) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(CONTENT_SECURITY_POLICY, nothing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_trace_context_is_kept() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
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
