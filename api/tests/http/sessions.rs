//! Chat sessions over HTTP. Their agents are paused, so turns wait.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::support::{PATIENCE, Server};

async fn open(server: &Server) -> String {
    let answer = server.post("/api/sessions", &json!({"agent_name": "a"})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["session_id"].as_str().expect("an id").to_owned()
}

async fn post(
    server: &Server,
    session: &str,
    message: &str,
    key: &str,
) -> (StatusCode, Value, bool) {
    let path = format!("/api/sessions/{session}/messages");
    let request = Server::request(Method::POST, &path)
        .header(CONTENT_TYPE, "application/json")
        .header("Idempotency-Key", key);
    let body = json!({"message": message, "async_mode": true}).to_string();
    let answer = server.send(request.body(Body::from(body)).expect("a request")).await;
    (answer.status, answer.json(), answer.header("idempotent-replayed").is_some())
}

#[tokio::test]
async fn a_message_waits_as_a_turn_and_is_posted_once_however_often_it_comes() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let session = open(&server).await;
    let (status, first, replayed) = post(&server, &session, "hello", "k1").await;
    assert_eq!((status, replayed), (StatusCode::ACCEPTED, false), "{first}");
    let (_, again, replayed) = post(&server, &session, "hello", "k1").await;
    assert_eq!((&again["execution_id"], replayed), (&first["execution_id"], true));
    let (status, problem, _) = post(&server, &session, "other", "k1").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["code"], "idempotency_key_reused");
    let position = first["position"].as_str().expect("a position");
    let path = format!("/api/sessions/{session}?wait_for={position}");
    let detail = server.get(&path).await.json();
    assert_eq!((&detail["status"], &detail["title"]), (&json!("open"), &json!("hello")));
    let entry = &detail["entries"][0];
    assert_eq!((&entry["kind"], &entry["triggered_by"]), (&json!("turn"), &json!("chat")));
    assert_eq!((&entry["status"], &entry["message"]), (&json!("pending"), &json!("hello")));
    assert_eq!(detail["entries"].as_array().expect("entries").len(), 1);
    let list = server.get("/api/sessions?agent=a&status=open&user=admin&limit=1").await.json();
    assert_eq!(list["sessions"][0]["session_id"], json!(session));
    // As it was before the message.
    let before = server.get(&format!("/api/sessions?as_of={}", start_of(position))).await.json();
    assert_eq!(before["sessions"], json!([]));
}

fn start_of(position: &str) -> String {
    format!("{}-0", position.split('-').next().expect("a log"))
}

#[tokio::test]
async fn what_a_session_can_t_be_asked_for_is_refused_by_name() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (waiting, _) = server.submit("a", "x").await;
    let session = open(&server).await;
    let unknown = uuid::Uuid::from_u128(7);
    let messages = format!("/api/sessions/{session}/messages");
    for (method, path, body, expected) in [
        (Method::POST, "/api/sessions", json!({}), (422, "missing_field", "agent_name")),
        (
            Method::POST,
            "/api/sessions",
            json!({"agent_name": "A"}),
            (422, "invalid_field", "agent_name"),
        ),
        (
            Method::POST,
            "/api/sessions",
            json!({"agent_name": "b"}),
            (404, "agent_not_found", "agent_name"),
        ),
        (
            Method::POST,
            "/api/sessions",
            json!({"agent_name": "a", "execution_id": waiting}),
            (422, "not_continuable", "execution_id"),
        ),
        (
            Method::POST,
            "/api/sessions",
            json!({"agent_name": "a", "user": "x"}),
            (422, "unknown_field", "user"),
        ),
        (Method::POST, &messages, json!({}), (422, "message_required", "message")),
        (
            Method::POST,
            &messages,
            json!({"message": "x", "inject_result": true}),
            (422, "unknown_field", "inject_result"),
        ),
        (
            Method::POST,
            &messages,
            json!({"message": "x", "model": "-m"}),
            (422, "looks_like_option", "model"),
        ),
        (
            Method::POST,
            &format!("/api/sessions/{unknown}/messages"),
            json!({"message": "x"}),
            (404, "session_not_found", "id"),
        ),
        (
            Method::DELETE,
            &format!("/api/sessions/{unknown}"),
            json!({}),
            (404, "session_not_found", "id"),
        ),
    ] {
        let answer = server.call(method, path, body.to_string()).await;
        let (status, code, field) =
            (expected.0, expected.1.to_owned(), Some(expected.2.to_owned()));
        assert_eq!(answer.problem(), (status, code, field), "{path} {body}");
    }
    for (path, expected) in [
        (format!("/api/sessions/{unknown}"), (404, "session_not_found", "id")),
        (format!("/api/sessions/{unknown}/stream"), (404, "session_not_found", "id")),
        ("/api/sessions/x".to_owned(), (422, "invalid_parameter", "id")),
        ("/api/sessions?state=open".to_owned(), (422, "unknown_parameter", "state")),
        ("/api/sessions?status=ended".to_owned(), (422, "invalid_parameter", "status")),
        (format!("/api/sessions/{session}?limit=0"), (422, "invalid_parameter", "limit")),
        (format!("/api/sessions/{session}?cursor=x"), (422, "invalid_cursor", "cursor")),
        (
            format!("/api/sessions/{session}/stream?as_of=2026-01-01T00:00:00Z"),
            (422, "invalid_parameter", "as_of"),
        ),
    ] {
        let answer = server.get(&path).await;
        let (status, code, field) =
            (expected.0, expected.1.to_owned(), Some(expected.2.to_owned()));
        assert_eq!(answer.problem(), (status, code, field), "{path}");
    }
}

#[tokio::test]
async fn a_closed_session_ends_its_waiting_turns_and_its_streams() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let session = open(&server).await;
    let (_, first, _) = post(&server, &session, "one", "k1").await;
    let path = format!("/api/sessions/{session}/stream");
    let request = Server::request(Method::GET, &path).body(Body::empty()).expect("a request");
    let stream = server.router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(stream.status(), StatusCode::OK);
    let (_, second, _) = post(&server, &session, "two", "k2").await;
    let closed = server.call(Method::DELETE, &format!("/api/sessions/{session}"), "").await;
    assert_eq!((closed.status, &closed.json()["status"]), (StatusCode::OK, &json!("closed")));
    let body = tokio::time::timeout(PATIENCE, stream.into_body().collect()).await;
    let body = body.expect("it ends").expect("a body").to_bytes();
    let text = String::from_utf8(body.to_vec()).expect("UTF-8");
    let kinds: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(kinds.first(), Some(&"accepted"), "{text}");
    assert_eq!(kinds.last(), Some(&"end"), "{text}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "ended").count(), 2, "{text}");
    assert!(kinds.contains(&"closed"), "{text}");
    // Whoever is told of something reads it by its position.
    let told = text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back();
    let told = told.expect("a position");
    for turn in [&first, &second] {
        let id = turn["execution_id"].as_str().expect("an id");
        let path = format!("/api/agents/a/executions/{id}?wait_for={told}");
        let record = server.get(&path).await.json();
        assert_eq!(record["status"], "cancelled", "{record}");
    }
    let (status, problem, _) = post(&server, &session, "three", "k3").await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("session_closed")));
    // Resumed before the closing, the same is told again, and then the end.
    let id = second["position"].as_str().expect("a position");
    let request = Server::request(Method::GET, &path).header("last-event-id", id);
    let again = server.send(request.body(Body::empty()).expect("a request")).await;
    let kinds: Vec<_> =
        again.text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!((kinds[0], kinds.last()), ("closed", Some(&"end")), "{}", again.text);
    let task = json!({"message": "x", "chat_session_id": session, "inject_result": true});
    let refused = server.post("/api/agents/a/task", &task).await;
    assert_eq!(refused.problem().1, "session_closed");
}

#[tokio::test]
async fn as_many_turns_wait_as_the_queue_limit_says_beside_the_tasks() {
    let server = Server::start().await;
    let body = json!({"name": "a", "runtime": "command", "command": ["/bin/true"],
        "queue_limit": 2, "max_parallel_tasks": 1});
    assert_eq!(server.post("/api/agents", &body).await.status, StatusCode::CREATED);
    server.post("/api/agents/a/pause", &json!({})).await;
    for _ in 0..2 {
        server.submit("a", "x").await;
    }
    let task = json!({"message": "x", "async_mode": true});
    assert_eq!(server.post("/api/agents/a/task", &task).await.code(), "queue_full");
    let session = open(&server).await;
    for number in 0..3 {
        let (status, answer, _) = post(&server, &session, "x", &format!("k{number}")).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    let (status, problem, _) = post(&server, &session, "x", "k9").await;
    assert_eq!((status, &problem["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("queue_full")));
}
