//! The layer around all routes.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use crate::gate::{Gate, Peer, RequestInfo, is_probe};
use crate::problem::{Code, Fault, Problem};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Lets a request pass the gate, has it answered whatever happens, and finishes the answer.
pub(crate) async fn guard(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let info = request_info(&gate, &request);
    let route =
        request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).map(str::to_owned);
    let method = known_method(request.method());
    let (id, source) = (info.id, info.source);
    request.extensions_mut().insert(info);

    let route = route.unwrap_or_else(|| "none".to_owned());
    let span = tracing::debug_span!("request", %id, method, route);

    let mut response = match gate.admit(&request) {
        Ok(()) => answer(&gate, request, next).instrument(span).await,
        Err(problem) => problem.into_response(),
    };

    let status = response.status();
    if status == StatusCode::FORBIDDEN {
        gate.forbade(source);
    }
    let elapsed = begun.elapsed();
    if let Some(Fault(cause)) = response.extensions_mut().remove() {
        tracing::error!(%id, method, route, cause, "a request failed by a fault of the ledger");
    }
    tracing::debug!(target: "access", %id, %source, method, route, status = status.as_u16(),
        ms = elapsed.as_millis(), "answered");
    metrics::histogram!("ledger_http_request_duration_seconds",
        "route" => route, "method" => method, "status" => status_text(status.as_u16()))
    .record(elapsed);
    finish_headers(response.headers_mut(), id);
    response
}

async fn answer(gate: &Gate, request: Request, next: Next) -> Response {
    let place = gate.place();
    if place.is_none() && !is_probe(&request) {
        return Problem::new(Code::Overloaded, "as many requests are worked on as may be")
            .limit(gate.options.requests_max as u64)
            .retry_after(1)
            .into_response();
    }
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
    let headers = request.headers();
    let traceparent = headers.get(&TRACEPARENT).and_then(|value| value.to_str().ok());
    RequestInfo {
        id: Uuid::now_v7(),
        source: if gate.options.trusted_proxies.is_empty() {
            peer.to_canonical()
        } else {
            gate.options.source(peer, forwarded_for(headers).as_deref())
        },
        traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
    }
}

/// All hops in the order in which they were added: a proxy may add its own as a line of its own.
fn forwarded_for(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(&FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or("?"));
    let hops: Vec<&str> = lines.collect();
    (!hops.is_empty()).then(|| hops.join(","))
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

/// Few enough for a label of a metric: what is told apart here, and the class of the rest.
fn status_text(status: u16) -> &'static str {
    match status {
        101 => "101",
        200 => "200",
        201 => "201",
        202 => "202",
        401 => "401",
        404 => "404",
        422 => "422",
        429 => "429",
        503 => "503",
        504 => "504",
        _ => match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        },
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
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::options::Options;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_for_and_says_nothing_of_it() {
        async fn broken() -> &'static str {
            panic!("a secret of the inside");
        }
        let gate = Arc::new(Gate::new(Options::default()));
        let router =
            Router::new().route("/", get(broken)).layer(from_fn_with_state(gate.clone(), guard));
        for _ in 0..2 {
            let request = Request::builder().uri("/").header("host", "localhost");
            let request = request.body(Body::empty()).expect("a request");
            let response = router.clone().oneshot(request).await.expect("an answer");
            assert_eq!(response.status().as_u16(), 500);
            assert!(response.headers().contains_key(&REQUEST_ID));
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains("\"internal\"") && !text.contains("secret"), "{text}");
        }
        assert!(gate.place().is_some());
    }

    #[test]
    fn every_line_of_forwarded_hops_counts_in_its_order() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded_for(&headers), None);
        headers.append(&FORWARDED_FOR, HeaderValue::from_static("6.6.6.6"));
        headers.append(&FORWARDED_FOR, HeaderValue::from_static("9.9.9.9, 10.0.0.1"));
        assert_eq!(forwarded_for(&headers).as_deref(), Some("6.6.6.6,9.9.9.9, 10.0.0.1"));
    }

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
}
