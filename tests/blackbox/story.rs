//! The first things that a user does.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Server;

#[tokio::test]
async fn a_task_runs_as_a_process_and_its_story_can_be_read_in_events() {
    let server = Server::start(&[]).await;
    server.register("echo", &["/bin/echo", "-n"], json!({})).await;
    let (status, record) =
        server.post("/api/agents/echo/task", json!({"message": "hello there"})).await;
    assert_eq!(status, StatusCode::OK, "{record}");
    assert_eq!(record["status"], "completed");
    assert_eq!(record["response"], "hello there");
    assert_eq!(record["triggered_by"], "manual");
    assert_eq!(record["cost_usd"], Value::Null);
    assert_eq!(record["cost_basis"], "unknown");
    assert_eq!(record["exit"], json!({"code": 0}));

    let id = record["execution_id"].as_str().expect("an id");
    let detail = server.execution("echo", id).await;
    let types: Vec<_> =
        detail["events"].as_array().expect("events").iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["execution.pending", "execution.running", "execution.completed"]);
    let lines = server.transcript("echo", id).await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["line"], "hello there");
    assert_eq!(lines[0]["stream"], "stdout");
    let bytes = detail["transcript"]["bytes"].as_u64().expect("bytes");
    assert_eq!(detail["transcript"]["lines"], 1);
    assert!(bytes > 0);
}

#[tokio::test]
async fn the_simulated_agent_is_there_from_the_first_start_and_obeys_its_message() {
    let server = Server::start(&[]).await;
    let (status, record) = server.post("/api/agents/demo/task", json!({"message": "hello"})).await;
    assert_eq!(status, StatusCode::OK, "{record}");
    assert_eq!(record["status"], "completed");
    assert!(record["cost_usd"].as_f64().expect("a cost") > 0.0);
    let (_, record) = server.post("/api/agents/demo/task", json!({"message": "fail"})).await;
    assert_eq!(record["status"], "failed");
    assert!(record["error"]["code"].is_string(), "{record}");

    let id = server.submit("demo", "sleep 600").await;
    server.await_running("demo", &id).await;
    let path = format!("/api/agents/demo/executions/{id}/terminate");
    let (status, answer) = server.post(&path, json!({})).await;
    assert_eq!(
        (status, &answer["status"]),
        (StatusCode::ACCEPTED, &json!("cancelling")),
        "{answer}"
    );
    let record = server.await_end("demo", &id).await;
    assert_eq!(record["status"], "cancelled");
    assert!(record["cancellation_requested_at"].is_string());
    let (_, answer) = server.post(&path, json!({})).await;
    assert_eq!(answer["status"], "already_finished");
}

#[tokio::test]
async fn a_waiting_task_says_why_and_is_cancelled_without_ever_starting() {
    let server = Server::start(&[]).await;
    server.register("slow", &["/bin/sleep"], json!({"max_parallel_tasks": 1})).await;
    let first = server.submit("slow", "600").await;
    server.await_running("slow", &first).await;
    let request = server.request(Method::POST, "/api/agents/slow/task");
    let body = json!({"message": "600", "async_mode": true});
    let accepted = request.json(&body).send().await.expect("an answer");
    let accepted: Value = accepted.json().await.expect("JSON");
    let second = accepted["execution_id"].as_str().expect("an id");
    // Whoever writes reads what was written, by its position.
    let position = accepted["position"].as_str().expect("a position");
    let path = format!("/api/agents/slow/capacity?wait_for={position}");
    let (status, capacity) = server.get(&path).await;
    assert_eq!(status, StatusCode::OK);
    let text = capacity.to_string();
    assert!(text.contains(&first) && text.contains(second), "{capacity}");
    let (_, answer) =
        server.post(&format!("/api/agents/slow/executions/{second}/terminate"), json!({})).await;
    assert_eq!(answer["status"], "cancelled", "{answer}");
    let record = server.await_end("slow", second).await;
    assert_eq!(record["status"], "cancelled");
    assert_eq!(record["started_at"], Value::Null);
    server.post(&format!("/api/agents/slow/executions/{first}/terminate"), json!({})).await;
    assert_eq!(server.await_end("slow", &first).await["status"], "cancelled");
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_execution() {
    let server = Server::start(&[]).await;
    server.register("echo", &["/bin/echo"], json!({})).await;
    let submit = |message: &'static str| {
        let request = server.request(Method::POST, "/api/agents/echo/task");
        request
            .header("Idempotency-Key", "order-17")
            .json(&json!({"message": message, "async_mode": true}))
            .send()
    };
    let first = submit("one").await.expect("an answer");
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    assert!(first.headers().get("Idempotent-Replayed").is_none());
    let first: Value = first.json().await.expect("JSON");
    let again = submit("one").await.expect("an answer");
    assert_eq!(again.headers()["Idempotent-Replayed"], "true");
    let again: Value = again.json().await.expect("JSON");
    assert_eq!(again["execution_id"], first["execution_id"]);
    let other = submit("two").await.expect("an answer");
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = other.json().await.expect("JSON");
    assert_eq!(problem["code"], "idempotency_key_reused");
    let (_, list) = server.get("/api/executions").await;
    assert_eq!(list["executions"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn a_client_reads_its_own_writes_and_the_past() {
    let server = Server::start(&[]).await;
    server.register("echo", &["/bin/echo"], json!({})).await;
    let before = position(&server, "/api/executions").await;
    let id = server.submit("echo", "x").await;
    server.await_end("echo", &id).await;
    let after = position(&server, "/api/executions").await;
    let (status, list) = server.get(&format!("/api/executions?wait_for={after}")).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    assert_eq!(list["executions"][0]["execution_id"], json!(id));
    let (status, list) = server.get(&format!("/api/executions?as_of={before}")).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    assert_eq!(list["executions"], json!([]));
    let (status, problem) = server.get("/api/executions?as_of=otherlog1234-7").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("other_log")),
        "{problem}"
    );
}

async fn position(server: &Server, path: &str) -> String {
    let answer = server.request(Method::GET, path).send().await.expect("an answer");
    answer.headers()["Ledger-Position"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_run_calls_its_own_agent_with_nothing_but_its_environment() {
    let server = Server::start(&[]).await;
    let script = r#"if [ "$1" = child ]; then echo child of $EXECUTION_LEDGER_AGENT; exit 0; fi
        exec python3 - <<'END'
import json, os, urllib.request
def call(path, body=None):
    request = urllib.request.Request(os.environ["EXECUTION_LEDGER_URL"] + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + os.environ["EXECUTION_LEDGER_KEY"], "Content-Type": "application/json"})
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        return json.load(error)
own = os.environ["EXECUTION_LEDGER_AGENT"]
child = call(f"/api/agents/{own}/task", {"message": "child"})
print(json.dumps([child["status"], child["triggered_by"], child["parent_execution_id"]]))
print(call("/api/agents/other/task", {"message": "x"})["code"])
print(call("/api/events")["code"])
END"#;
    server.register("other", &["/bin/true"], json!({})).await;
    server.register("caller", &["/bin/sh", "-c", script, "sh"], json!({})).await;
    let (_, record) = server.post("/api/agents/caller/task", json!({"message": "parent"})).await;
    assert_eq!(record["status"], "completed", "{record}");
    let response = record["response"].as_str().expect("a response");
    let lines: Vec<_> = response.lines().collect();
    let parent = record["execution_id"].as_str().expect("an id");
    assert_eq!(lines[0], format!(r#"["completed", "self_task", "{parent}"]"#), "{response}");
    assert_eq!(lines[1], "agent_not_callable", "{response}");
    assert_eq!(lines[2], "forbidden", "{response}");
}

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_is_refused() {
    let server = Server::start(&[]).await;
    let output = server.command(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&server.pid().to_string()), "{said}");
}

#[tokio::test]
async fn nothing_is_told_without_a_key() {
    let server = Server::start(&[]).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for path in ["/api/executions", "/api/agents", "/api/events", "/api/costs", "/metrics"] {
        let answer = client.get(format!("{}{path}", server.url)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        let problem: Value = answer.json().await.expect("problem JSON");
        assert_eq!(problem["code"], "unauthorized");
    }
    for path in ["/healthz", "/readyz"] {
        let answer = client.get(format!("{}{path}", server.url)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
}
