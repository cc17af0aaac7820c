//! What is refused before or below JSON-RPC: told as everywhere else, by a problem with a code.

use axum::body::to_bytes;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::de::IgnoredAny;

use crate::problem::{Code, Problem};

/// Longest text of the protocol's library that is passed on as the reason, in bytes.
const REASON_MAX_BYTES: usize = 4 * 1024;

/// Refuses a body that is no JSON at all.
pub(super) fn check_json(body: &[u8]) -> Result<(), Problem> {
    serde_json::from_slice::<IgnoredAny>(body).map(|_| ()).map_err(|error| {
        Problem::new(Code::MalformedJson, error.to_string())
            .hint("send one JSON-RPC message, for example {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}")
    })
}

/// Whoever takes any form, or names none, takes both forms in which MCP is answered.
pub(super) fn accept_both_forms(headers: &mut HeaderMap) {
    let named: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let any = |range: &str| range.split(';').next().is_some_and(|kind| kind.trim() == "*/*");
    if named.is_empty() || named.iter().any(|value| value.split(',').any(any)) {
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, both);
    }
}

/// A refusal of the protocol's library, which is plain text, as a problem; all else as it is.
pub(super) async fn as_problem(response: Response) -> Result<Response, Problem> {
    let code = match response.status() {
        StatusCode::BAD_REQUEST => Code::MalformedRequest,
        StatusCode::FORBIDDEN => Code::OriginNotAllowed,
        StatusCode::NOT_ACCEPTABLE => Code::NotAcceptable,
        // The body is JSON, but no message of JSON-RPC; or it is declared to be something else.
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        _ => return Ok(response),
    };
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/json")) {
        return Ok(response);
    }
    let text = to_bytes(response.into_body(), REASON_MAX_BYTES).await.unwrap_or_default();
    let reason = String::from_utf8_lossy(&text).trim().to_owned();
    let no_message = code == Code::UnsupportedMediaType && reason.contains("deserialize");
    if no_message {
        return Err(Problem::new(Code::MalformedRequest, "the body is no JSON-RPC message"));
    }
    Err(Problem::new(code, reason))
}
