use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::around;

const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn activity(state: &str, details: &Value) -> Value {
    json!({
        "activity_id": "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b", "type": "self_task", "state": state,
        "agent": "demo", "action": EVIL, "started_at": "2026-11-21T09:30:00Z",
        "completed_at": null, "details": details,
    })
}

async fn shown(activities: Value, address: &str) -> (StatusCode, String) {
    let me = json!({"role": "viewer", "user": "ada", "rights": ["read"]});
    let list = json!({"activities": activities, "next_cursor": "next&one"});
    let interface = Router::new()
        .route("/api/me", get(|| async { axum::Json(me) }))
        .route("/api/activities", get(|| async { axum::Json(list) }))
        .route("/api/agents", get(|| async { axum::Json(json!({"agents": []})) }));
    let request = Request::get(address).body(Body::empty()).unwrap();
    let response = around(interface).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn what_is_done_is_text_and_leads_to_its_execution_and_its_chat() {
    let details = json!({
        "execution_id": "x-1", "chat_session_id": EVIL, "result_injected": true,
        "error": {"code": EVIL}, "execution_time_ms": 61_000, "cost_usd": 0.0084,
    });
    let address = "/activity?agent=%3Cscript%3E&type=self_task";
    let (status, body) = shown(json!([activity("failed", &details)]), address).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!body.contains("<script>alert") && !body.contains("<img"), "{body}");
    assert!(body.contains("href=\"/agents/demo/executions/x-1\""), "{body}");
    assert!(body.contains("href=\"/sessions/%3Cscript%3E"), "{body}");
    for words in ["Result injected", "1 min 01 s", "$0.0084", "Self-task"] {
        assert!(body.contains(words), "{words}: {body}");
    }
    let older = "href=\"/activity?agent=%3Cscript%3E&amp;type=self_task&amp;cursor=next%26one\"";
    assert!(body.contains(older), "{body}");
}

#[tokio::test]
async fn a_cost_that_nobody_knows_is_unknown_and_of_what_goes_on_there_is_none() {
    let ended = activity("completed", &json!({"execution_id": "x-1", "cost_usd": null}));
    let (_, body) = shown(json!([ended]), "/activity").await;
    assert!(body.contains("cost unknown") && !body.contains("$0"), "{body}");
    let running = activity("started", &json!({"execution_id": "x-1"}));
    let (_, body) = shown(json!([running]), "/activity").await;
    assert!(!body.contains("unknown") && body.contains("data-since="), "{body}");
}

#[tokio::test]
async fn an_empty_panel_says_what_will_stand_in_it() {
    let (_, body) = shown(json!([]), "/activity").await;
    assert!(body.contains("Nothing has happened yet"), "{body}");
    let (_, body) = shown(json!([]), "/activity?state=failed").await;
    assert!(body.contains("Nothing matches"), "{body}");
}
