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
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use uuid::Uuid;

use crate::gate::{Gate, Peer, RequestInfo, is_probe};
use crate::problem::{Code, Problem};

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
}
