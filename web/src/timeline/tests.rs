use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::StatusCode;
use axum::routing::get;
use chrono::{Duration, Utc};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tower::ServiceExt;

use crate::around;

const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn record(id: usize, status: &str) -> Value {
    let at = |minutes: i64| (Utc::now() - Duration::minutes(minutes)).to_rfc3339();
    let ended = (status != "running").then(|| at(10));
    json!({
        "execution_id": format!("x-{id}"), "agent_name": "demo", "status": status,
        "triggered_by": "self_task", "message": EVIL, "created_at": at(22), "started_at": at(20),
        "completed_at": ended, "requested_by": {"kind": "key", "id": "k"}, "attempt": 1,
        "timeout_s": 900, "redactions": 0, "response_cut": false, "killed_processes": 0,
    })
}

fn interface(total: u64, records: Vec<Value>) -> Router {
    let me = json!({"role": "viewer", "user": "ada", "rights": ["read"]});
    let list = move |Query(query): Query<BTreeMap<String, String>>| async move {
        let none = query.contains_key("status");
        axum::Json(json!({"executions": if none { vec![] } else { records }, "next_cursor": null}))
    };
    let buckets = move |Query(query): Query<BTreeMap<String, String>>| async move {
        let hour = format!("{}:00:00Z", Utc::now().format("%Y-%m-%dT%H"));
        let name = if query["bucket"] == "agent" { "demo".to_owned() } else { hour };
        let bucket = json!({"bucket": name, "total": total, "running": 0, "failed": 7});
        axum::Json(json!({"buckets": [bucket]}))
    };
    Router::new()
        .route("/api/me", get(|| async { axum::Json(me) }))
        .route("/api/executions", get(list))
        .route("/api/executions/timeline", get(buckets))
}

async fn shown(interface: Router, address: &str) -> (StatusCode, String) {
    let request = Request::get(address).body(Body::empty()).unwrap();
    let response = around(interface).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn executions_are_bars_in_lanes_and_what_they_say_is_text() {
    let records = vec![record(1, "completed"), record(2, "running")];
    let (status, body) = shown(interface(2, records), "/timeline?range=1h").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!body.contains("<script>alert") && !body.contains("<img"), "{body}");
    assert!(body.contains("href=\"/agents/demo/executions/x-1\""), "{body}");
    assert!(body.contains("cost unknown") && !body.contains("$0"), "{body}");
    assert!(body.contains("by-self_task is-running") && body.contains("data-grows="), "{body}");
    // They ran at the same time, so each has a lane of its own.
    assert!(body.contains("y=\"0\"") && body.contains("y=\"24\""), "{body}");
}

#[tokio::test]
async fn runs_one_after_the_other_share_a_lane_also_where_they_were_accepted_together() {
    let runs = [(50, 40), (39, 30), (29, 20)].into_iter().enumerate();
    let records = runs.map(|(id, (started, ended))| {
        let at = |minutes: i64| json!((Utc::now() - Duration::minutes(minutes)).to_rfc3339());
        let mut record = record(id, "completed");
        record["created_at"] = at(50);
        record["started_at"] = at(started);
        record["completed_at"] = at(ended);
        record
    });
    let (_, body) = shown(interface(3, records.collect()), "/timeline?range=1h").await;
    let lanes = body.matches("class=\"bar ").count();
    assert_eq!((lanes, body.matches("height=\"24\" role=\"group\"").count()), (3, 1), "{body}");
    // What each waited is drawn as far as nothing ran in its lane: the first did not wait.
    assert_eq!(body.matches("class=\"wait\"").count(), 2, "{body}");
}

#[tokio::test]
async fn a_million_executions_are_counted_and_the_page_stays_small() {
    let (status, body) = shown(interface(1_000_000, vec![]), "/timeline?range=7d").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("1\u{202f}000\u{202f}000 executions"), "{body}");
    assert!(body.contains("class=\"column\"") && body.len() < 100 * 1024, "{} bytes", body.len());
}

#[tokio::test]
async fn as_many_bars_as_are_drawn_make_no_large_page_and_the_rest_is_told() {
    let records = (0..200).map(|id| record(id, "completed")).collect();
    let (_, body) = shown(interface(1_000, records), "/timeline?range=1h").await;
    assert!(body.contains("Only the newest 400 are drawn; 800 are not."), "{body}");
    assert!(body.len() < 250 * 1024, "{} bytes", body.len());
}

#[tokio::test]
async fn a_time_that_can_not_be_read_is_told_beside_what_was_typed() {
    let (status, body) = shown(interface(0, vec![]), "/timeline?from=%22%3E%3Cscript%3E").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("From and to must be times") && !body.contains("\"><script>"), "{body}");
    assert!(body.contains("Nothing ran in this time"), "{body}");
}
