//! Calls that wait: progress, cancellation, tasks, and the end of waiting.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use execution_ledger_api::Options;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::rights::key;
use super::{LEGACY, MODERN, answer, message, modern, post, send};
use crate::keys::run_token;
use crate::support::{KEY, PATIENCE, Server};

/// The messages of a call that waits, as they come.
struct Waiting(Body);

impl Waiting {
    async fn open(server: &Server, message: &Value, version: &str) -> Self {
        Self::open_with(server, KEY, message, version).await
    }

    async fn open_with(server: &Server, key: &str, message: &Value, version: &str) -> Self {
        let request = post(key, version, message).body(Body::from(message.to_string()));
        let answered = server.router.clone().oneshot(request.expect("a request"));
        let response = answered.await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body())
    }

    async fn next(&mut self) -> Value {
        let next = async {
            loop {
                let frame = self.0.frame().await.expect("a frame").expect("no error");
                let Ok(data) = frame.into_data() else { continue };
                let text = String::from_utf8(data.to_vec()).expect("UTF-8");
                let data = text.lines().find_map(|line| line.strip_prefix("data:"));
                if let Some(Ok(message)) = data.map(|data| serde_json::from_str(data.trim())) {
                    return message;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("a message in time")
    }
}

fn execution_id(progress: &Value) -> String {
    assert_eq!(progress["method"], "notifications/progress", "{progress}");
    assert_eq!(progress["params"]["progressToken"], "p");
    let text = progress["params"]["message"].as_str().expect("a text");
    text.split(' ').nth(1).expect("an id").to_owned()
}

#[tokio::test]
async fn a_call_that_waits_tells_the_execution_first_and_a_cancellation_stops_it() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let mut params =
        json!({"name": "chat_with_agent", "arguments": {"agent_name": "a", "message": "x"}});
    params["_meta"] = json!({"progressToken": "p"});
    let mut waiting = Waiting::open(&server, &message("tools/call", &params), LEGACY).await;
    let id = execution_id(&waiting.next().await);

    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": 1, "reason": "no need"}});
    assert_eq!(send(&server, KEY, LEGACY, &cancel).await.status, StatusCode::ACCEPTED);
    let result = waiting.next().await["result"]["structuredContent"].clone();
    assert_eq!((&result["execution_id"], &result["status"]), (&json!(id), &json!("cancelled")));
}

#[tokio::test]
async fn in_the_newest_revision_closing_the_stream_is_the_cancellation() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let arguments = json!({"agent_name": "a", "message": "x"});
    let mut asked =
        modern("tools/call", json!({"name": "chat_with_agent", "arguments": arguments}), false);
    asked["params"]["_meta"]["progressToken"] = json!("p");
    let mut waiting = Waiting::open(&server, &asked, MODERN).await;
    let id = execution_id(&waiting.next().await);
    drop(waiting);
    let look = json!({"execution_id": id, "wait_s": 20});
    let found = answer(&server, "get_execution_result", look).await;
    assert_eq!(found["status"], "cancelled");
}

#[tokio::test]
async fn in_the_older_revisions_a_broken_connection_stops_nothing() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let mut params =
        json!({"name": "chat_with_agent", "arguments": {"agent_name": "a", "message": "x"}});
    params["_meta"] = json!({"progressToken": "p"});
    let mut waiting = Waiting::open(&server, &message("tools/call", &params), LEGACY).await;
    let id = execution_id(&waiting.next().await);
    drop(waiting);
    let task = json!({"agent_name": "a", "message": "x", "async": true});
    let again = answer(&server, "chat_with_agent", task).await;
    assert_eq!((&again["execution_id"], &again["replayed"]), (&json!(id), &json!(true)));
    assert_eq!(again["status"], "pending");
}

#[tokio::test]
async fn a_client_that_takes_tasks_is_answered_with_one_that_is_the_execution() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let arguments = json!({"agent_name": "a", "message": "x"});
    let asked = json!({"name": "chat_with_agent", "arguments": arguments});
    let created = send(&server, KEY, MODERN, &modern("tools/call", asked, true)).await.json();
    let created = &created["result"];
    assert_eq!((&created["resultType"], &created["status"]), (&json!("task"), &json!("working")));
    let id = created["taskId"].as_str().expect("an id");
    let found = answer(&server, "get_execution_result", json!({"execution_id": id})).await;
    assert_eq!(found["status"], "pending");

    let get = modern("tasks/get", json!({"taskId": id}), true);
    let task = send(&server, KEY, MODERN, &get).await.json();
    assert_eq!(task["result"]["status"], "working", "{task}");
    // A task of somebody else is none.
    let (own, _) = server.submit("b", "mine").await;
    let stranger = run_token(&server, &own).await;
    for method in ["tasks/get", "tasks/cancel"] {
        let asked = modern(method, json!({"taskId": id}), true);
        let refused = send(&server, &stranger, MODERN, &asked).await.json();
        assert_eq!(refused["error"]["code"], -32602, "{method} {refused}");
        assert_eq!(refused["error"]["data"]["code"], "execution_not_found");
    }
    let cancel = modern("tasks/cancel", json!({"taskId": id}), true);
    let cancelled = send(&server, KEY, MODERN, &cancel).await.json();
    assert!(cancelled["result"].is_object(), "{cancelled}");
    let task = send(&server, KEY, MODERN, &get).await.json();
    assert_eq!(task["result"]["status"], "cancelled", "{task}");
}

#[tokio::test]
async fn a_wait_that_is_over_says_how_to_go_on() {
    let sync_wait = std::time::Duration::from_millis(50);
    let server = Server::with(Options { sync_wait, ..Options::default() }).await;
    server.paused_agent("a").await;
    let waited =
        answer(&server, "chat_with_agent", json!({"agent_name": "a", "message": "x"})).await;
    assert_eq!((&waited["status"], &waited["replayed"]), (&json!("pending"), &json!(false)));
    assert!(waited["next"].as_str().expect("a text").contains("get_execution_result"));
    let again =
        answer(&server, "chat_with_agent", json!({"agent_name": "a", "message": "x"})).await;
    assert_eq!(again["execution_id"], waited["execution_id"]);
    let look = json!({"execution_id": waited["execution_id"], "wait_s": 45});
    assert_eq!(answer(&server, "get_execution_result", look).await["status"], "pending");
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_the_calls_that_wait_with_it() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (key_id, user) = key(&server, "user", "uma", json!(["a"])).await;
    let mut params =
        json!({"name": "chat_with_agent", "arguments": {"agent_name": "a", "message": "x"}});
    params["_meta"] = json!({"progressToken": "p"});
    let asked = message("tools/call", &params);
    let mut waiting = Waiting::open_with(&server, &user, &asked, LEGACY).await;
    let id = execution_id(&waiting.next().await);
    let revoked = server.call(Method::DELETE, &format!("/api/keys/{key_id}"), "").await;
    assert!(revoked.status.is_success(), "{}", revoked.text);
    let refused = waiting.next().await["result"].clone();
    assert_eq!(refused["_meta"]["execution-ledger/problem"]["code"], "unauthorized");
    // Its work goes on.
    let found = answer(&server, "get_execution_result", json!({"execution_id": id})).await;
    assert_eq!(found["status"], "pending");
}

#[tokio::test]
async fn a_server_that_is_being_stopped_answers_those_who_wait() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let mut params =
        json!({"name": "chat_with_agent", "arguments": {"agent_name": "a", "message": "x"}});
    params["_meta"] = json!({"progressToken": "p"});
    let mut waiting = Waiting::open(&server, &message("tools/call", &params), LEGACY).await;
    let id = execution_id(&waiting.next().await);
    server.app.gate().stopping().cancel();
    let told = waiting.next().await["result"]["structuredContent"].clone();
    assert_eq!((&told["execution_id"], &told["status"]), (&json!(id), &json!("pending")));
    assert!(told["next"].as_str().expect("a text").contains("restarted"), "{told}");
}
