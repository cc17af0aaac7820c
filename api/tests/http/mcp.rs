//! The tools at `/mcp`, over both kinds of the protocol: the revisions up to 2025-11-25, and
//! 2026-07-28, in which every request says of itself what it needs.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use execution_ledger_api::Options;
use futures::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::keys::run_token;
use crate::support::{Answer, KEY, PATIENCE, Server};

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
async fn call(server: &Server, key: &str, tool: &str, arguments: Value) -> Value {
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
async fn refusal(server: &Server, key: &str, tool: &str, arguments: Value) -> (String, Value) {
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
async fn a_run_reaches_its_own_agent_and_its_own_executions_and_nothing_else() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (own, _) = server.submit("a", "mine").await;
    let (foreign, _) = server.submit("b", "not mine").await;
    let key = run_token(&server, &own).await;

    let task = json!({"agent_name": "a", "message": "more", "async": true});
    let child = call(&server, &key, "chat_with_agent", task).await["structuredContent"].clone();
    let found = json!({"execution_id": child["execution_id"]});
    let found = call(&server, &key, "get_execution_result", found).await;
    let found = &found["structuredContent"];
    assert_eq!(found["triggered_by"], "self_task");
    assert_eq!(found["parent_execution_id"], json!(own));

    let task = json!({"agent_name": "b", "message": "more"});
    let (code, field) = refusal(&server, &key, "chat_with_agent", task).await;
    assert_eq!((code.as_str(), field), ("agent_not_callable", json!("agent_name")));
    for tool in ["get_execution_result", "get_execution_events", "cancel_execution"] {
        let asked = json!({"execution_id": foreign});
        let (code, field) = refusal(&server, &key, tool, asked).await;
        assert_eq!(
            (code.as_str(), field),
            ("execution_not_found", json!("execution_id")),
            "{tool}"
        );
    }
    for tool in ["list_recent_executions", "get_agent_activity_summary"] {
        let (code, _) = refusal(&server, &key, tool, json!({"agent_name": "b"})).await;
        assert_eq!(code, "agent_not_found", "{tool}");
    }
    let all = call(&server, &key, "list_recent_executions", json!({})).await;
    let all = all["structuredContent"]["executions"].as_array().expect("rows").clone();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|row| row["agent_name"] == "a"), "{all:?}");
}

/// A key of that role: its id and the key.
async fn key(server: &Server, role: &str, user: &str, may_call: Value) -> (String, String) {
    let body = json!({"name": "k", "role": role, "user": user, "may_call": may_call});
    let issued = server.post("/api/keys", &body).await;
    assert_eq!(issued.status, StatusCode::CREATED, "{}", issued.text);
    let issued = issued.json();
    let text = |name: &str| issued[name].as_str().expect("a text").to_owned();
    (text("key_id"), text("key"))
}

#[tokio::test]
async fn each_role_has_its_rights_through_the_tools_too() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (foreign, _) = server.submit("a", "not theirs").await;
    let it = json!({"execution_id": foreign});
    let task = json!({"agent_name": "a", "message": "x", "async": true});

    let (_, auditor) = key(&server, "auditor", "ann", Value::Null).await;
    for (tool, arguments) in [("chat_with_agent", &task), ("cancel_execution", &it)] {
        let (code, _) = refusal(&server, &auditor, tool, arguments.clone()).await;
        assert_eq!(code, "forbidden", "{tool}");
    }
    let found = call(&server, &auditor, "get_execution_result", it.clone()).await;
    assert_eq!(found["structuredContent"]["status"], "pending");

    let (_, billing) = key(&server, "billing", "bea", Value::Null).await;
    let named = json!({"agent_name": "a"});
    for (tool, arguments) in [
        ("chat_with_agent", &task),
        ("cancel_execution", &it),
        ("get_execution_result", &it),
        ("get_execution_events", &it),
        ("list_recent_executions", &named),
        ("get_agent_activity_summary", &named),
    ] {
        let (code, _) = refusal(&server, &billing, tool, arguments.clone()).await;
        assert_eq!(code, "forbidden", "{tool}");
    }

    let (_, user) = key(&server, "user", "uma", json!(["a"])).await;
    let own = call(&server, &user, "chat_with_agent", task).await["structuredContent"].clone();
    for tool in ["get_execution_result", "get_execution_events", "cancel_execution"] {
        let (code, _) = refusal(&server, &user, tool, it.clone()).await;
        assert_eq!(code, "execution_not_found", "{tool}");
    }
    let task = json!({"agent_name": "b", "message": "x"});
    assert_eq!(refusal(&server, &user, "chat_with_agent", task).await.0, "agent_not_callable");
    let list = call(&server, &user, "list_recent_executions", json!({})).await;
    let rows = list["structuredContent"]["executions"].as_array().expect("rows").clone();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["execution_id"], own["execution_id"]);
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
async fn whoever_reads_a_transcript_stands_in_the_log() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, _) = server.submit("a", "x").await;
    for _ in 0..2 {
        let look = json!({"execution_id": id, "include_log": true});
        answer(&server, "get_execution_result", look).await;
    }
    let events = server.get("/api/events?type=access.read").await.json();
    let events = events["events"].as_array().expect("events").clone();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["data"]["execution_id"], json!(id));
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
async fn strangers_and_pages_of_other_hosts_are_not_answered() {
    let server = Server::start().await;
    let list = message("tools/list", &json!({}));
    let answer = send(&server, "elk_wrong", LEGACY, &list).await;
    assert_eq!(answer.problem(), (401, "unauthorized".to_owned(), None));
    for (origin, status) in [
        ("http://localhost:3000", StatusCode::OK),
        ("https://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
    ] {
        let request = post(KEY, LEGACY, &list).header("origin", origin);
        let answer = server.send(request.body(Body::from(list.to_string())).expect("it")).await;
        assert_eq!(answer.status, status, "{origin}");
    }
    assert_eq!(server.get("/mcp").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

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
