//! The agents' pages over an interface of the tests' own.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::around;

const ID: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
const AT: &str = "2026-11-21T09:30:00.000000Z";
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn agent() -> Value {
    json!({
        "name": "demo", "status": "active", "runtime": "command", "command": ["/bin/echo", EVIL],
        "cwd": EVIL, "env": {"A": EVIL}, "env_from": {"B": {"file": EVIL}}, "env_allow": [EVIL],
        "run_as": EVIL, "prompt": "argument", "models": [EVIL], "allowed_tools": [EVIL],
        "allow_system_prompt": false, "may_call": [], "max_parallel_tasks": 2, "timeout_s": 900,
        "queue_limit": 50, "grace_s": 5, "max_retries": 0, "retry_backoff_s": 5,
        "registered_at": AT, "changed_at": AT, "running": 1, "pending": 2,
    })
}

fn execution(status: &str, message: Option<&str>) -> Value {
    let erased = if message.is_none() { json!(["message", "response"]) } else { json!([]) };
    json!({
        "execution_id": ID, "agent_name": "demo", "status": status, "triggered_by": "manual",
        "message": message, "response": message, "created_at": AT, "requested_by": {"kind": "key", "id": EVIL},
        "attempt": 1, "timeout_s": 900, "redactions": 0, "response_cut": false, "killed_processes": 0,
        "cost_basis": "unknown", "erased": erased, "completed_at": AT, "duration_ms": 5,
    })
}

fn problem(status: StatusCode, code: &str) -> Response {
    let body = json!({"status": status.as_u16(), "code": code, "title": "A title", "detail": EVIL, "field": "message"});
    (status, axum::Json(body)).into_response()
}

/// An interface that knows one agent; its executions have `message`.
fn interface(rights: &'static [&'static str], message: Option<&'static str>) -> Router {
    let answer = |value: Value| get(move || async move { axum::Json(value) });
    let stats = json!({"total": 3, "pending": 2, "running": 0, "cost_usd": 0.0, "cost_unknown": 1});
    let day = json!({"bucket": AT, "total": 3, "completed": 1, "failed": 0, "cancelled": 0});
    let by_agent =
        json!({"bucket": "demo", "total": 1, "completed": 1, "failed": 0, "cancelled": 0});
    let slot = json!({"execution_id": null, "triggered_by": "manual", "since": AT, "slot_until": AT, "cancelling": false});
    let waiting = |id: Option<&str>, place: u64, reason: Option<&str>| json!({"execution_id": id, "place": place, "triggered_by": "manual", "since": AT, "reason": reason});
    let capacity = json!({
        "max_parallel_tasks": 2, "slots": [slot], "chats": [], "pending": 2,
        "queue": [waiting(Some(ID), 1, Some("slots_taken")), waiting(None, 2, None)],
    });
    let schedule = json!({
        "schedule_id": ID, "name": EVIL, "enabled": true, "cron": EVIL, "description": EVIL,
        "last": {"decision": "skipped", "reason": EVIL, "decided_at": AT},
    });
    Router::new()
        .route("/api/me", answer(json!({"role": "admin", "user": "ada", "rights": rights})))
        .route("/api/agents", answer(json!({"agents": [agent()]})))
        .route(
            "/api/agents/demo",
            answer(agent())
                .put(|| async { problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field") }),
        )
        .route("/api/agents/demo/capacity", answer(capacity))
        .route(
            "/api/agents/demo/executions",
            answer(json!({"executions": [execution("completed", message)]})),
        )
        .route(
            "/api/agents/demo/task",
            axum::routing::post(
                |headers: HeaderMap, axum::Json(task): axum::Json<Value>| async move {
                    if headers.get("origin").is_none() {
                        return problem(StatusCode::FORBIDDEN, "origin_not_allowed");
                    }
                    if task != json!({"message": "one\ntwo", "async_mode": true, "timeout_s": 60}) {
                        return problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field");
                    }
                    axum::Json(json!({"position": "p-1"})).into_response()
                },
            ),
        )
        .route("/api/executions/stats", answer(stats))
        .route("/api/executions/timeline", answer(json!({"buckets": [day, by_agent]})))
        .route(
            "/api/costs",
            answer(json!({"costs": [{"key": "demo", "runs": 1, "cost_usd": 0.0, "unknown": 1}]})),
        )
        .route("/api/schedules", answer(json!({"schedules": [schedule]})))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "not_found") })
}

const ALL: &[&str] =
    &["operate", "read", "manage_queues", "manage_agents", "read_schedules", "manage_schedules"];
const PAGES: [&str; 7] = [
    "/agents",
    "/register-agent",
    "/agents/demo",
    "/agents/demo/tasks",
    "/agents/demo/schedules",
    "/agents/demo/settings",
    "/agents/demo/retire",
];

async fn asked(interface: Router, request: Request) -> (StatusCode, HeaderMap, String) {
    let response = around(interface).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn page(address: &str) -> Request {
    Request::get(address).header("accept", "text/html").body(Body::empty()).unwrap()
}

fn form(address: &str, fields: &str) -> Request {
    Request::post(address)
        .header("origin", "http://127.0.0.1")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(fields.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn settings_tasks_and_schedules_are_text_on_every_page_of_an_agent() {
    for address in PAGES {
        let (status, _, body) = asked(interface(ALL, Some(EVIL)), page(address)).await;
        assert_eq!(status, StatusCode::OK, "{address}");
        assert!(!body.contains("<script>alert") && !body.contains("<img"), "{address}: {body}");
        assert!(!body.contains("style="), "{address}");
    }
}

#[tokio::test]
async fn what_nobody_knows_is_said_to_be_unknown_and_what_is_not_ones_own_is_not_named() {
    let (_, _, list) = asked(interface(ALL, Some("x")), page("/agents")).await;
    assert!(list.contains("1 unknown") && !list.contains("$0"), "{list}");
    let (_, _, own) = asked(interface(ALL, Some("x")), page("/agents/demo")).await;
    assert!(own.contains("<dd>unknown</dd>") && !own.contains("$0"), "{own}");
    assert!(own.contains("Somebody else’s task") && own.contains("not told"), "{own}");
}

#[tokio::test]
async fn what_was_erased_is_said_to_be_and_offers_nothing_that_needs_it() {
    let (_, _, body) = asked(interface(ALL, None), page("/agents/demo/tasks")).await;
    assert!(body.contains("erased") && body.contains("The response was erased."), "{body}");
    assert!(!body.contains("Run again") && !body.contains("data-copy"), "{body}");
}

#[tokio::test]
async fn whoever_may_only_read_is_offered_nothing_to_change() {
    for address in PAGES {
        let (_, _, body) = asked(interface(&["read"], Some("x")), page(address)).await;
        let main = body.split("<main").nth(1).unwrap().split("</main>").next().unwrap();
        assert!(!main.contains("method=\"post\""), "{address}: {main}");
        assert!(!main.contains("/schedules\""), "{address}: {main}");
    }
}

#[tokio::test]
async fn a_task_is_given_with_its_limits_and_a_refused_one_keeps_what_was_typed() {
    let given = form("/agents/demo/tasks", "message=one%0D%0Atwo&timeout_s=60&max_cost_usd=");
    let (status, headers, _) = asked(interface(ALL, Some("x")), given).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers[LOCATION], "/agents/demo/tasks");
    let refused = form("/agents/demo/tasks", "message=%3Cb%3Ekept&timeout_s=soon");
    let (status, _, body) = asked(interface(ALL, Some("x")), refused).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body.contains("&lt;b&gt;kept</textarea>") && body.contains("value=\"soon\""), "{body}");
}

#[tokio::test]
async fn refused_settings_keep_what_was_typed() {
    let refused = form("/agents/demo/settings", "grace_s=301&was-grace_s=5");
    let (status, _, body) = asked(interface(ALL, Some("x")), refused).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body.contains("value=\"301\"") && body.contains("invalid_field"), "{body}");
}
