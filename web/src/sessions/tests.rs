use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::around;

const ID: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
const TASK: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1c";
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn record(id: &str, status: &str) -> Value {
    json!({
        "execution_id": id, "agent_name": "demo", "status": status, "triggered_by": "chat",
        "message": EVIL, "created_at": "2026-11-21T09:30:00.000000Z", "cost_usd": null,
        "requested_by": {"kind": "key", "id": "k"}, "attempt": 1, "timeout_s": 900,
        "redactions": 0, "response_cut": false, "killed_processes": 0,
    })
}

fn with(mut record: Value, more: Value) -> Value {
    let (Value::Object(record_fields), Value::Object(more)) = (&mut record, more) else {
        panic!("objects")
    };
    record_fields.extend(more);
    record
}

fn session(user: &str, status: &str) -> Value {
    json!({
        "session_id": ID, "agent_name": "demo", "user": user, "status": status, "title": EVIL,
        "opened_at": "2026-11-21T09:29:00.000000Z", "closed_at": null, "continues": null,
    })
}

fn chat(user: &str, status: &str) -> Value {
    let error = json!({"code": "agent_failed", "message": EVIL});
    let turns = [
        with(
            record(TASK, "completed"),
            json!({"kind": "turn", "response": format!("{EVIL}\u{202e}")}),
        ),
        with(
            record(TASK, "completed"),
            json!({"kind": "turn", "message": null, "erased": ["message", "response"]}),
        ),
        with(
            record(TASK, "failed"),
            json!({"kind": "background_result", "told": false, "error": error}),
        ),
        with(record(TASK, "cancelled"), json!({"kind": "background_result", "told": true})),
        with(record(TASK, "pending"), json!({"kind": "turn"})),
    ];
    let more = json!({
        "entries": turns, "next_cursor": "a&b",
        "background": [record(TASK, "running"), record(TASK, "completed")],
    });
    with(session(user, status), more)
}

fn problem(status: StatusCode, code: &str) -> Response {
    let body = json!({"status": status.as_u16(), "code": code, "title": "A title", "detail": EVIL});
    (status, axum::Json(body)).into_response()
}

/// The interface of a chat of `user`, as ada with these rights is answered.
fn interface(user: &'static str, status: &'static str, rights: &'static [&'static str]) -> Router {
    let me =
        move || async move { axum::Json(json!({"role": "user", "user": "ada", "rights": rights})) };
    let sessions = move || async move {
        axum::Json(json!({"sessions": [session(user, status)], "next_cursor": null}))
    };
    let agents = json!({"agents": [{"name": "demo", "status": "active"}]});
    let waits = json!({"execution_id": TASK, "waiting": {"reason": "session_busy", "place": 2}});
    Router::new()
        .route("/api/me", get(me))
        .route(
            "/api/sessions",
            get(sessions).post(|| async { problem(StatusCode::CONFLICT, "agent_retired") }),
        )
        .route("/api/sessions/{id}", get(move || async move { axum::Json(chat(user, status)) }))
        .route(
            "/api/sessions/{id}/messages",
            post(|| async { problem(StatusCode::CONFLICT, "session_full") }),
        )
        .route("/api/agents", get(|| async { axum::Json(agents) }))
        .route("/api/agents/demo/executions/{id}", get(|| async { axum::Json(waits) }))
        .route(
            "/api/agents/demo/task",
            post(|axum::Json(task): axum::Json<Value>| async move {
                let wish = (&task["inject_result"], &task["chat_session_id"], &task["message"]);
                assert_eq!(wish, (&json!(true), &json!(ID), &json!("one\ntwo")), "{task}");
                axum::Json(json!({"position": "log-7"}))
            }),
        )
}

const ALL: &[&str] = &["read", "operate", "chat", "read_sessions"];

async fn asked(interface: Router, request: Request) -> (StatusCode, HeaderMap, String) {
    let response = around(interface).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn page(address: &str) -> Request {
    Request::get(address).header("accept", "text/html").body(Body::empty()).unwrap()
}

fn form(address: &str, fields: &'static str) -> Request {
    let kind = "application/x-www-form-urlencoded";
    Request::post(address).header("content-type", kind).body(Body::from(fields)).unwrap()
}

fn own() -> String {
    format!("/sessions/{ID}")
}

#[tokio::test]
async fn what_people_and_agents_wrote_is_text_in_chats() {
    for address in [own(), "/sessions".to_owned()] {
        let (status, _, body) = asked(interface("ada", "open", ALL), page(&address)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(!body.contains("<script>alert") && !body.contains("<img"), "{body}");
        assert!(!body.contains('\u{202e}'), "nothing turns the direction of what stands beside it");
    }
}

#[tokio::test]
async fn what_is_erased_unknown_or_waiting_is_said_to_be() {
    let (_, _, body) = asked(interface("ada", "open", ALL), page(&own())).await;
    for words in [
        "The text was erased.",
        "unknown",
        "Background Task Result",
        "agent failed",
        "It was stopped before it had a result.",
        "Another turn is running: this one comes after it. Place 2 in the queue.",
        "its result is on its way here",
        "The agent is told of it with your next message.",
        "?cursor=a%26b",
    ] {
        assert!(body.contains(words), "{words}\n{body}");
    }
    assert!(!body.contains("$0"), "{body}");
}

#[tokio::test]
async fn nobody_is_offered_what_they_may_not_do() {
    let offered = ["name=\"message\"", "Close it", "Send in the background", "/stop\""];
    let cases: [(Router, [bool; 4]); 4] = [
        (interface("ada", "open", ALL), [true, true, true, true]),
        (interface("bob", "open", ALL), [false, true, false, true]),
        (interface("ada", "closed", ALL), [false, false, false, true]),
        (interface("ada", "open", &["read", "read_sessions"]), [false, false, false, false]),
    ];
    for (interface, expected) in cases {
        let (_, _, body) = asked(interface, page(&own())).await;
        assert_eq!(offered.map(|words| body.contains(words)), expected, "{body}");
    }
}

#[tokio::test]
async fn what_can_not_be_sent_is_still_there_with_the_reason() {
    let sent = form(&format!("{}/messages", own()), "message=my+words&agent=demo&how=turn");
    let (status, _, body) = asked(interface("ada", "open", ALL), sent).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body.contains("session_full") && body.contains(">my words</textarea>"), "{body}");
    let sent = form("/sessions", "agent=demo&message=my+words");
    let (status, _, body) = asked(interface("ada", "open", ALL), sent).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body.contains("agent_retired") && body.contains(">my words</textarea>"), "{body}");
}

#[tokio::test]
async fn a_message_for_the_background_is_a_task_whose_result_comes_into_the_chat() {
    let fields = "message=one%0D%0Atwo&agent=demo&how=background";
    let sent = form(&format!("{}/messages", own()), fields);
    let (status, headers, body) = asked(interface("ada", "open", ALL), sent).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    assert_eq!(headers[LOCATION], own());
}
