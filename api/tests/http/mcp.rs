//! The tools at `/mcp`, over both kinds of the protocol: the revisions up to 2025-11-25, and
//! 2026-07-28, in which every request says of itself what it needs.

mod rights;
mod waiting;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::{Answer, KEY, Server};

const ACCEPT: &str = "application/json, text/event-stream";
const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn post(key: &str, version: &str, message: &Value) -> axum::http::request::Builder {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/mcp")
        .header("host", "localhost:7171")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("accept", ACCEPT)
        .header("mcp-protocol-version", version);
    if version == MODERN {
        request = request.header("mcp-method", message["method"].as_str().expect("a method"));
        if let Some(name) = message["params"]["name"].as_str() {
            request = request.header("mcp-name", name);
        }
        if let Some(id) = message["params"]["taskId"].as_str() {
            request = request.header("mcp-name", id);
        }
    }
    request
}

async fn send(server: &Server, key: &str, version: &str, message: &Value) -> Answer {
    let request = post(key, version, message).body(Body::from(message.to_string()));
    server.send(request.expect("a request")).await
}

/// The result of a tool, called in the older way.
pub async fn call(server: &Server, key: &str, tool: &str, arguments: Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    let answer = send(server, key, LEGACY, &message("tools/call", &params)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["result"].clone()
}

/// What a tool answers where it does what it was asked for.
async fn answer(server: &Server, tool: &str, arguments: Value) -> Value {
    let result = call(server, KEY, tool, arguments).await;
    assert_eq!(result["isError"], false, "{result}");
    let text = result["content"][0]["text"].as_str().expect("a text");
    let told: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(told, result["structuredContent"]);
    told
}

/// Code and argument of a refusal.
pub async fn refusal(server: &Server, key: &str, tool: &str, arguments: Value) -> (String, Value) {
    let result = call(server, key, tool, arguments).await;
    assert_eq!(result["isError"], true, "{result}");
    let problem = &result["_meta"]["execution-ledger/problem"];
    let code = problem["code"].as_str().expect("a code").to_owned();
    let text = result["content"][0]["text"].as_str().expect("a text");
    assert!(text.starts_with(&format!("{code}: ")), "{text}");
    (code, problem["field"].clone())
}

/// A request of the newest revision; the client takes tasks where `tasks` is set.
fn modern(method: &str, mut params: Value, tasks: bool) -> Value {
    let extensions = if tasks { json!({"io.modelcontextprotocol/tasks": {}}) } else { json!({}) };
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"extensions": extensions},
    });
    message(method, &params)
}

#[tokio::test]
async fn the_tools_say_what_they_take_and_what_they_answer() {
    let server = Server::start().await;
    let listed = send(&server, KEY, LEGACY, &message("tools/list", &json!({}))).await.json();
    insta::assert_json_snapshot!(listed["result"]["tools"]);
}

#[tokio::test]
async fn a_client_of_either_kind_is_told_who_answers() {
    let server = Server::start().await;
    let hello = json!({"protocolVersion": LEGACY, "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"}});
    let answer = send(&server, KEY, LEGACY, &message("initialize", &hello)).await;
    assert_eq!(answer.header("mcp-session-id"), None);
    let told = answer.json()["result"].clone();
    assert_eq!(told["protocolVersion"], LEGACY);
    assert_eq!(told["serverInfo"]["name"], "execution-ledger");
    assert!(told["instructions"].as_str().expect("a text").contains("chat_with_agent"));
    let answer = send(&server, KEY, MODERN, &modern("server/discover", json!({}), false)).await;
    let told = answer.json()["result"].clone();
    assert!(told["supportedVersions"].to_string().contains(MODERN), "{told}");
    assert!(told["capabilities"]["extensions"]["io.modelcontextprotocol/tasks"].is_object());
}

#[tokio::test]
async fn a_call_that_comes_again_starts_nothing_twice_unless_that_is_wanted() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let task = json!({"agent_name": "a", "message": "work", "async": true});
    let first = answer(&server, "chat_with_agent", task.clone()).await;
    assert_eq!((&first["status"], &first["replayed"]), (&json!("pending"), &json!(false)));
    let again = answer(&server, "chat_with_agent", task.clone()).await;
    assert_eq!(again["execution_id"], first["execution_id"]);
    assert_eq!(again["replayed"], true);
    // How it is to be answered is no part of what is to be done.
    let parallel = json!({"agent_name": "a", "message": "work", "parallel": true, "model": null});
    let again = answer(&server, "chat_with_agent", parallel).await;
    assert_eq!(again["execution_id"], first["execution_id"]);
    let mut repeated = task;
    repeated["repeat"] = json!(true);
    let other = answer(&server, "chat_with_agent", repeated).await;
    assert_ne!(other["execution_id"], first["execution_id"]);
    assert_eq!(other["replayed"], false);
    // What has ended meanwhile is not said to go on, whichever way the answer was asked for.
    let id = json!({"execution_id": other["execution_id"]});
    answer(&server, "cancel_execution", id).await;
    for waits in [true, false] {
        let task = json!({"agent_name": "a", "message": "work", "async": !waits});
        let result = call(&server, KEY, "chat_with_agent", task).await;
        let again = &result["structuredContent"];
        assert_eq!(again["execution_id"], other["execution_id"]);
        assert_eq!((&again["status"], &again["replayed"]), (&json!("cancelled"), &json!(true)));
        assert!(again["next"].as_str().is_some_and(|next| next.contains("its result")), "{again}");
    }
    let list = answer(&server, "list_recent_executions", json!({"agent_name": "a"})).await;
    let rows = list["executions"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{list}");
    assert_eq!(rows[0]["triggered_by"], "mcp");
}

#[tokio::test]
async fn an_execution_can_be_looked_up_followed_summed_up_and_stopped() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let task = json!({"agent_name": "a", "message": "work", "async": true});
    let started = answer(&server, "chat_with_agent", task).await;
    let id = &started["execution_id"];
    let look = json!({"execution_id": id, "include_log": true, "wait_s": 1});
    let found = answer(&server, "get_execution_result", look.clone()).await;
    assert_eq!(found["waiting"], json!({"reason": "agent_paused", "place": 1}));
    assert_eq!((&found["status"], &found["log"]), (&json!("pending"), &Value::Null));
    let stopped = answer(&server, "cancel_execution", json!({"execution_id": id})).await;
    assert_eq!(stopped["status"], "cancelled");
    let stopped = answer(&server, "cancel_execution", json!({"execution_id": id})).await;
    assert_eq!(stopped["status"], "already_finished");
    let found = answer(&server, "get_execution_result", look).await;
    assert_eq!(found["status"], "cancelled");
    let asked = json!({"execution_id": id, "limit": 1});
    let events = answer(&server, "get_execution_events", asked).await;
    assert_eq!(events["events"][0]["type"], "execution.pending");
    assert_eq!(events["next_after_revision"], 0);
    let asked = json!({"execution_id": id, "after_revision": 0});
    let events = answer(&server, "get_execution_events", asked).await;
    assert_eq!(events["events"][0]["type"], "execution.cancelled");
    assert_eq!(events["events"][0]["actor"]["kind"], "key");
    assert_eq!(events["next_after_revision"], Value::Null);
    let asked = json!({"agent_name": "a", "hours": 1});
    let summary = answer(&server, "get_agent_activity_summary", asked).await;
    assert_eq!((&summary["total"], &summary["cancelled"]), (&json!(1), &json!(1)));
    assert_eq!(summary["by_trigger"][0]["trigger"], "mcp");
    let asked = json!({"status": "cancelled", "limit": 1});
    let list = answer(&server, "list_recent_executions", asked).await;
    assert_eq!(list["executions"][0]["execution_id"], *id);
}

#[tokio::test]
async fn what_can_not_be_is_refused_by_the_name_of_the_argument() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let chat = "chat_with_agent";
    for (tool, arguments, code, field) in [
        (chat, json!({"agent_name": "a"}), "missing_field", "message"),
        (chat, json!({"agent_name": "A", "message": "x"}), "invalid_field", "agent_name"),
        (chat, json!({"agent_name": "a", "message": 1}), "invalid_field", "message"),
        (chat, json!({"agent_name": "a", "message": "x", "sync": 1}), "unknown_field", "sync"),
        (chat, json!({"agent_name": "a", "message": ""}), "message_required", "message"),
        (chat, json!({"agent_name": "no", "message": "x"}), "agent_not_found", "agent_name"),
        ("list_recent_executions", json!({"limit": 101}), "invalid_parameter", "limit"),
        ("list_recent_executions", json!({"status": "done"}), "invalid_field", "status"),
        ("get_execution_result", json!({"execution_id": "x"}), "invalid_field", "execution_id"),
        ("get_agent_activity_summary", json!({"hours": 0}), "invalid_parameter", "hours"),
    ] {
        let refused = refusal(&server, KEY, tool, arguments.clone()).await;
        assert_eq!(refused, (code.to_owned(), json!(field)), "{tool} {arguments}");
    }
    let unknown = message("tools/call", &json!({"name": "chat", "arguments": {}}));
    let answer = send(&server, KEY, LEGACY, &unknown).await.json();
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test]
async fn calls_at_the_same_time_start_one_execution() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let task = json!({"agent_name": "a", "message": "x", "async": true});
    let calls = futures::stream::iter(0..16)
        .map(|_| answer(&server, "chat_with_agent", task.clone()))
        .buffer_unordered(16);
    let answers: Vec<Value> = calls.collect().await;
    let ids: std::collections::HashSet<_> =
        answers.iter().map(|answer| answer["execution_id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer["replayed"] == false).count(), 1);
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_a_code_and_any_accepted_form_will_do() {
    let server = Server::start().await;
    let ping = message("ping", &json!({}));
    let ask = |name: &'static str, value: Option<&'static str>, body: String| {
        let mut request = post(KEY, LEGACY, &ping).body(Body::from(body)).expect("a request");
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        server.send(request)
    };
    for body in ["", "{"] {
        let answer = ask("x-none", None, body.to_owned()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "malformed_json".into())
        );
    }
    for body in ["{}", "[]", "1"] {
        let answer = ask("x-none", None, body.to_owned()).await;
        let refused = (StatusCode::BAD_REQUEST, "malformed_request".into());
        assert_eq!((answer.status, answer.code()), refused, "{body}");
    }
    for accept in [None, Some("*/*"), Some("text/html, */*;q=0.1")] {
        let answer = ask("accept", accept, ping.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{accept:?}: {}", answer.text);
    }
    for (name, value, status, code) in [
        ("accept", "text/html", StatusCode::NOT_ACCEPTABLE, "not_acceptable"),
        ("origin", "https://evil.example", StatusCode::FORBIDDEN, "origin_not_allowed"),
        ("mcp-protocol-version", "1999-01-01", StatusCode::BAD_REQUEST, "malformed_request"),
        (
            "content-type",
            "text/plain",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
        ),
    ] {
        let answer = ask(name, Some(value), ping.to_string()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code.into()),
            "{name}: {}",
            answer.text
        );
    }
}
