//! The list as it goes to a browser.

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request};
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use tower::ServiceExt;

use crate::around;

/// The largest that the HTML of a page may be, in bytes.
const HTML_MAX_BYTES: usize = 100 * 1024;

/// An execution with names of the greatest length and a long title, each character of it three bytes.
fn record(number: usize) -> Value {
    json!({
        "execution_id": format!("01990000-0000-7000-8000-{number:012}"),
        "agent_name": "a".repeat(63),
        "status": "cancelled",
        "triggered_by": "self_task",
        "message": "\u{4f01}".repeat(1_000),
        "error": {"code": "behind_others_for_too_long", "message": "x".repeat(1_000)},
        "created_at": "2026-11-21T09:30:00.123456Z",
        "started_at": "2026-11-21T09:30:00.123456Z",
        "completed_at": "2026-11-21T09:30:00.123456Z",
        "duration_ms": 1_234_567,
        "cost_usd": 1_234.123_456_789,
        "model_used": "m".repeat(64),
        "attempt": 2,
        "requested_by": {"kind": "key", "id": "k"},
        "cost_basis": "provider_reported",
        "timeout_s": 900,
        "redactions": 0,
        "response_cut": false,
        "killed_processes": 0,
    })
}

fn interface() -> Router {
    let list = |Query(query): Query<HashMap<String, String>>| async move {
        let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(50);
        let executions: Vec<_> = (0..limit).map(record).collect();
        axum::Json(json!({"executions": executions, "next_cursor": "n".repeat(200)}))
    };
    let stats = json!({"total": 1, "pending": 0, "running": 0, "cost_usd": 0.0, "cost_unknown": 1});
    let me = json!({"role": "admin", "user": "ada", "rights": ["operate", "read"]});
    let answer = |body: Value| get(|| async { axum::Json(body) });
    Router::new()
        .route("/api/me", answer(me))
        .route("/api/executions", get(list))
        .route("/api/executions/stats", answer(stats))
        .route("/api/agents", answer(json!({"agents": [{"name": "demo", "status": "active"}]})))
}

#[tokio::test]
async fn a_page_of_the_list_stays_small_however_many_rows_are_asked_for() {
    for address in ["/", "/?limit=50", "/?limit=200", "/?limit=200&status=failed"] {
        let request = Request::get(address).header("accept", "text/html").header("cookie", "c=1");
        let request = request.body(Body::empty()).unwrap();
        let response = around(interface()).oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let rows = String::from_utf8_lossy(&body).matches("<tr id=\"x-").count();
        assert_eq!(rows, 50, "{address}");
        assert!(body.len() < HTML_MAX_BYTES, "{address}: {} bytes", body.len());
    }
}
