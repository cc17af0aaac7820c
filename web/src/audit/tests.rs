//! Audit and keys over an interface of the tests' own.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::around;

const ID: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
const AT: &str = "2026-11-21T09:30:00.000000Z";

fn record(cost: &Value, message: &Value) -> Value {
    json!({
        "execution_id": ID, "agent_name": "demo", "status": "completed", "triggered_by": "manual",
        "message": message, "response": EVIL, "created_at": AT, "cost_usd": cost,
        "requested_by": {"kind": "key", "id": EVIL}, "attempt": 1, "timeout_s": 900,
        "redactions": 0, "response_cut": false, "killed_processes": 0, "erased": ["message"],
        "events": [{
            "position": "k3x-4", "revision": 0, "type": "execution.pending", "event_id": ID,
            "recorded_at": AT, "data": {}, "actor": {"kind": "key", "id": "k", "user": EVIL},
        }],
    })
}

fn at(position: &'static str, value: Value) -> impl IntoResponse {
    ([("ledger-position", position)], axum::Json(value))
}

async fn issued(axum::Json(asked): axum::Json<Value>) -> Response {
    if asked["name"] == "ada" {
        let key = json!({"key": "elk_secret", "name": EVIL, "role": "user", "user": "ada", "position": "k3x-5"});
        return (StatusCode::CREATED, axum::Json(key)).into_response();
    }
    let problem =
        json!({"status": 422, "code": "invalid_field", "title": "A title", "detail": EVIL});
    (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(problem)).into_response()
}

fn interface() -> Router {
    let me = json!({"role": "admin", "user": "ada", "rights": ["read", "read_log", "manage_keys", "read_keys"]});
    let key = json!({
        "key_id": ID, "name": EVIL, "role": "user", "user": "ada", "agent": null, "may_call": [EVIL],
        "issued_at": AT, "revoked_at": null,
    });
    let event = json!({
        "position": "k3x-4", "stream": EVIL, "type": "access.read", "recorded_at": AT,
        "actor": {"kind": "key", "id": EVIL, "user": EVIL}, "data": {"kind": EVIL, "execution_id": EVIL},
    });
    let report = json!({
        "sound": false, "events": 1, "streams": 1, "contents": 0, "contents_erased": 0, "tiles": 0,
        "tiles_missing": 0, "checkpoints": 0, "signed_events": 0, "cosignatures": 2,
        "witnessed_events": 7, "transcripts": 0, "transcripts_absent": 0,
        "transcripts_erased": 0, "clocks_apart": 3, "clocks_apart_ms": 41, "key": EVIL, "keys_before": [EVIL], "root": EVIL, "problems_untold": 2,
        "problems": [{"check": "event", "place": EVIL, "problem": EVIL}],
    });
    let stats = json!({"total": 1, "pending": 0, "running": 0, "cost_usd": 0.0, "cost_unknown": 1});
    let list = json!({"executions": [record(&Value::Null, &Value::Null)], "next_cursor": null});
    let own = record(&Value::Null, &Value::Null);
    let keys = json!({"keys": [key], "next_cursor": null});
    let events = json!({"events": [event], "next_cursor": null});
    Router::new()
        .route("/api/me", get(|| async { axum::Json(me) }))
        .route("/api/agents", get(|| async { axum::Json(json!({"agents": []})) }))
        .route("/api/keys", get(|| async { axum::Json(keys) }).post(issued))
        .route("/api/events", get(|| async { at("k3x-9", events) }))
        .route("/api/verify", get(|| async { axum::Json(report) }))
        .route("/api/executions", get(|| async { at("k3x-4", list) }))
        .route("/api/executions/stats", get(|| async { axum::Json(stats) }))
        .route("/api/agents/demo/executions/{id}", get(|| async { at("k3x-4", own) }))
        .route("/tlog/checkpoint", get(|| async { format!("{EVIL}\n9\n{EVIL}\n\n— {EVIL} x\n") }))
}

async fn asked(request: Request) -> (StatusCode, String) {
    let response = around(interface()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn page(address: &str) -> Request {
    Request::get(address).header("accept", "text/html").body(Body::empty()).unwrap()
}

fn form(address: &str, body: &'static str) -> Request {
    let request =
        Request::post(address).header("content-type", "application/x-www-form-urlencoded");
    request.body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn whatever_names_and_findings_hold_is_text() {
    let one = format!("/audit/executions/demo/{ID}?at=4");
    let mut requests: Vec<_> =
        ["/keys", "/audit", "/audit?at=4", &one, "/audit/evidence", "/audit/facts"]
            .map(page)
            .into();
    requests.push(form("/audit/verify", ""));
    requests.push(form("/keys/issued", "name=%3Cimg%3E&role=user"));
    requests.push(form("/keys/issued", "name=ada&role=user"));
    for request in requests {
        let address = request.uri().clone();
        let (status, body) = asked(request).await;
        assert!(!status.is_server_error(), "{address}: {status}");
        assert!(!body.contains("<script>alert") && !body.contains("<img"), "{address}: {body}");
    }
}

#[tokio::test]
async fn a_key_is_in_the_answer_to_its_issuing_and_nowhere_else() {
    let (status, body) = asked(form("/keys/issued", "name=ada&role=user&may_call=a%2C+b")).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(body.contains("elk_secret"), "{body}");
    let (status, body) = asked(page("/keys/issued")).await;
    assert_eq!((status, body.contains("elk_secret")), (StatusCode::SEE_OTHER, false));
}

#[tokio::test]
async fn a_key_that_is_refused_leaves_what_was_typed() {
    let (status, body) = asked(form("/keys/issued", "name=Not+Ada&role=agent&may_call=x")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body.contains("value=\"Not Ada\"") && body.contains("role=\"alert\""), "{body}");
}

#[tokio::test]
async fn unknown_costs_and_erased_texts_are_said_to_be_that() {
    let (_, body) = asked(page(&format!("/audit/executions/demo/{ID}?at=4"))).await;
    assert!(body.contains("unknown") && body.contains("erased") && !body.contains("$0"), "{body}");
    let (_, body) = asked(page("/audit?at=4")).await;
    assert!(body.contains("unknown") && body.contains("erased"), "{body}");
}

#[tokio::test]
async fn a_finding_is_told_and_so_is_how_many_more_there_are() {
    let (_, body) = asked(form("/audit/verify", "")).await;
    assert!(body.contains("Something is wrong") && body.contains("and 2 more"), "{body}");
}

#[tokio::test]
async fn clocks_that_go_apart_and_witnesses_are_told() {
    let (_, body) = asked(form("/audit/verify", "")).await;
    let told = "of 3 events a little behind another node's, by 41 ms at most";
    assert!(body.contains("<dt>Clocks</dt>") && body.contains(told), "{body}");
    assert!(body.contains("(1 before it)") && body.contains("2 signatures, the last"), "{body}");
}

#[tokio::test]
async fn an_export_asks_for_nothing_that_the_form_left_empty() {
    let request = page("/audit/export?format=csv&stream=&type=execution.failed&from=&to=");
    let response = around(interface()).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["location"], "/api/export?format=csv&type=execution.failed");
}
