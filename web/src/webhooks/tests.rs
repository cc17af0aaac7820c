//! Webhooks over an interface of the tests' own: what the real one comes to only after three days.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::around;

const ID: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn webhook() -> Value {
    json!({
        "webhook_id": ID, "name": EVIL, "url": EVIL, "kinds": [EVIL], "enabled": true, "secret_generation": 1,
        "created_at": "2026-11-21T09:30:00Z", "changed_at": "2026-11-21T09:30:00Z",
        "health": {"pending": 0, "dead": 2, "failures": 3, "failing_since": "2026-11-18T09:30:00Z",
            "last_attempt_at": "2026-11-21T09:30:00Z", "last_status": 500, "last_reason": EVIL},
    })
}

fn interface(rights: &'static [&'static str]) -> Router {
    let me = json!({"role": "admin", "user": "ada", "rights": rights});
    let dead = json!({"message_id": EVIL, "event_id": ID, "kind": "run_cost", "state": "dead",
        "since": "2026-11-21T09:30:00Z", "attempts": 10, "status": 500, "reason": EVIL, "position": "log-7"});
    let deliveries = json!({"deliveries": [dead], "next_cursor": "next&one"});
    let redriven = |Json(body): Json<Value>| async move {
        let count = if body == json!({}) { 2 } else { 1 };
        assert!(count == 2 || body == json!({"event_id": ID, "kind": "run_cost"}), "{body}");
        Json(json!({"redriven": count, "position": "log-9"}))
    };
    Router::new()
        .route("/api/me", get(|| async { Json(me) }))
        .route("/api/webhooks", get(|| async { Json(json!({"webhooks": [webhook()]})) }))
        .route("/api/webhooks/{id}", get(|| async { Json(webhook()) }))
        .route("/api/webhooks/{id}/deliveries", get(|| async { Json(deliveries) }))
        .route("/api/webhooks/{id}/redrive", post(redriven))
}

async fn asked(rights: &'static [&'static str], request: Request) -> (StatusCode, String) {
    let response = around(interface(rights)).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, String::from_utf8(body.to_vec()).unwrap())
}

fn page(address: &str) -> Request {
    Request::get(address).body(Body::empty()).unwrap()
}

fn form(address: &str, fields: &'static str) -> Request {
    let builder = Request::post(address).header("origin", "http://127.0.0.1");
    let builder = builder.header("content-type", "application/x-www-form-urlencoded");
    builder.body(Body::from(fields)).unwrap()
}

#[tokio::test]
async fn what_was_given_up_is_shown_with_its_answer_and_the_way_to_try_it_again() {
    const MANAGES: &[&str] = &["read_webhooks", "manage_webhooks"];
    let own = format!("/webhooks/{ID}");
    let (status, body) = asked(MANAGES, page(&format!("{own}?state=dead"))).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    for shown in ["Try all 2 again", "given up", "500", "state=dead&amp;cursor=next%26one"] {
        assert!(body.contains(shown), "{shown} in {body}");
    }
    let (_, body) = asked(MANAGES, form(&format!("{own}/redrive"), "")).await;
    assert!(body.contains("2 messages are tried again"), "{body}");
    let one = "event_id=0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b&kind=run_cost";
    let (_, body) = asked(MANAGES, form(&format!("{own}/redrive"), one)).await;
    assert!(body.contains("1 message is tried again"), "{body}");
}

#[tokio::test]
async fn who_may_only_look_is_offered_nothing_to_do() {
    for address in ["/webhooks", &format!("/webhooks/{ID}")] {
        let (status, body) = asked(&["read_webhooks"], page(address)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(!body.contains(&format!("action=\"{address}")), "{body}");
        assert!(!body.contains("New webhook") && !body.contains("Try "), "{body}");
    }
}

#[tokio::test]
async fn names_addresses_and_answers_are_text() {
    for address in ["/webhooks", &format!("/webhooks/{ID}")] {
        let (_, body) = asked(&["read_webhooks", "manage_webhooks"], page(address)).await;
        assert!(!body.contains("<script>alert") && !body.contains("<img"), "{address}");
        assert!(body.contains("&lt;script&gt;alert(1)"), "{address}");
    }
}
