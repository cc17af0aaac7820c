//! Agents that do not behave: each is ended as it deserves, recorded as it was, and leaves nothing.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Server, processes_of};

/// A `command` agent that runs this shell script; the message is `$1`.
async fn shell(server: &Server, name: &str, script: &str, settings: Value) {
    server.register(name, &["/bin/sh", "-c", script, "sh"], settings).await;
}

async fn terminate(server: &Server, agent: &str, id: &str) {
    let path = format!("/api/agents/{agent}/executions/{id}/terminate");
    let (status, answer) = server.post(&path, json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

fn event_types(record: &Value) -> Vec<&str> {
    let events = record["events"].as_array().expect("events");
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

fn nothing_is_left(id: &str) {
    assert_eq!(processes_of(id), Vec::<i32>::new(), "processes of {id} are alive");
}

/// The signals that a record says were sent, in the order of its events.
fn signals_of(record: &Value) -> Vec<&str> {
    let events = record["events"].as_array().expect("events");
    let sent = events.iter().filter(|event| event["type"] == "execution.signal_sent");
    sent.filter_map(|event| event["data"]["signal"].as_str()).collect()
}

/// An agent that does not hear SIGINT is asked to stop; answers its execution, and its record as soon
/// as that shows the signal.
async fn ask_a_deaf_one_to_stop(server: &Server) -> (String, Value) {
    let script = "trap '' INT TERM; echo up; while :; do sleep 0.05; done";
    shell(server, "deaf", script, json!({"grace_s": 3})).await;
    let id = server.submit("deaf", "x").await;
    server.await_output("deaf", &id, "up").await;
    terminate(server, "deaf", &id).await;
    let shown = |record: &Value| !signals_of(record).is_empty();
    let record = server.await_record("deaf", &id, "interrupted", shown).await;
    (id, record)
}

#[tokio::test]
async fn one_that_ignores_the_interrupt_is_killed_after_its_grace_period() {
    let server = Server::start(&[]).await;
    let (id, record) = ask_a_deaf_one_to_stop(&server).await;
    // Each signal is recorded when it is sent.
    assert_eq!((&record["status"], signals_of(&record)), (&json!("running"), vec!["SIGINT"]));
    let types = event_types(&record);
    assert_eq!(types[2..], ["execution.cancellation_requested", "execution.signal_sent"]);
    let record = server.await_end("deaf", &id).await;
    assert_eq!(record["status"], "cancelled", "{record}");
    assert_eq!(signals_of(&record), ["SIGINT", "SIGKILL"]);
    assert_eq!(record["exit"], json!({"signal": 9}));
    nothing_is_left(&id);
}

#[tokio::test]
async fn a_signal_that_nobody_heard_of_is_recorded_with_the_ending_and_none_is_twice() {
    let mut server = Server::start(&[]).await;
    let (id, _) = ask_a_deaf_one_to_stop(&server).await;
    server.kill();
    server.start_again().await;
    let record = server.await_end("deaf", &id).await;
    assert_eq!(record["status"], "cancelled", "{record}");
    assert_eq!(signals_of(&record), ["SIGINT", "SIGKILL"]);
    nothing_is_left(&id);
}

#[tokio::test]
async fn children_in_sessions_of_their_own_do_not_outlive_a_cancelled_run() {
    let server = Server::start(&[]).await;
    let script = "setsid sleep 1000 & nohup sleep 1000 >/dev/null 2>&1 & \
                  setsid sh -c 'setsid sleep 1000 & sleep 1000' & sleep 0.3; echo up; wait";
    shell(&server, "parent", script, json!({"grace_s": 1})).await;
    let id = server.submit("parent", "x").await;
    server.await_output("parent", &id, "up").await;
    assert!(processes_of(&id).len() > 4);
    terminate(&server, "parent", &id).await;
    let record = server.await_end("parent", &id).await;
    assert_eq!(record["status"], "cancelled", "{record}");
    nothing_is_left(&id);
}

#[tokio::test]
async fn one_that_exits_and_leaves_a_child_holding_its_output_ends_when_it_exits() {
    let server = Server::start(&[]).await;
    let script = "nohup setsid sleep 1000 & echo done";
    shell(&server, "leaver", script, json!({})).await;
    let id = server.submit("leaver", "x").await;
    let record = server.await_end("leaver", &id).await;
    assert_eq!((&record["status"], &record["response"]), (&json!("completed"), &json!("done")));
    assert!(record["killed_processes"].as_u64().expect("a number") >= 1, "{record}");
    assert!(record["duration_ms"].as_u64().expect("a number") < 30_000);
    nothing_is_left(&id);
}

#[tokio::test]
async fn a_flood_of_output_ends_at_the_limit_of_a_transcript() {
    let server = Server::start(&[]).await;
    let script = "yes 'a line of some forty characters, or so' | head -c 200000000";
    shell(&server, "flood", script, json!({})).await;
    let id = server.submit("flood", "x").await;
    let record = server.await_end("flood", &id).await;
    assert_eq!(
        (&record["status"], &record["error"]["code"]),
        (&json!("failed"), &json!("output_limit"))
    );
    let bytes = record["transcript"]["bytes"].as_u64().expect("bytes");
    assert!((60 * 1024 * 1024..=64 * 1024 * 1024).contains(&bytes), "{bytes}");
    nothing_is_left(&id);
}

#[tokio::test]
async fn one_line_of_100_mb_is_split_and_ends_at_the_limit() {
    let server = Server::start(&[]).await;
    let script = "head -c 100000000 /dev/zero | tr '\\0' 'x'";
    shell(&server, "line", script, json!({})).await;
    let id = server.submit("line", "x").await;
    let record = server.await_end("line", &id).await;
    assert_eq!(
        (&record["status"], &record["error"]["code"]),
        (&json!("failed"), &json!("output_limit"))
    );
    let path = format!("/api/agents/line/executions/{id}/log?limit=1");
    let (status, page) = server.get(&path).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.to_string().contains("\"continued\":true"), "a part of a longer line");
    nothing_is_left(&id);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_shown_as_such() {
    let server = Server::start(&[]).await;
    shell(&server, "bytes", r"printf 'ab\377\376cd\nfine\n'", json!({})).await;
    let id = server.submit("bytes", "x").await;
    let record = server.await_end("bytes", &id).await;
    assert_eq!(record["status"], "completed", "{record}");
    let lines = server.transcript("bytes", &id).await;
    assert_eq!(lines[0]["invalid_utf8"], json!(true));
    assert!(lines[0]["line"].as_str().expect("text").starts_with("ab\u{fffd}"));
    assert_eq!(lines[1]["line"], "fine");
}

#[tokio::test]
async fn one_that_does_not_exist_fails_with_its_name() {
    let server = Server::start(&[]).await;
    server.register("ghost", &["/no/such/program"], json!({})).await;
    let id = server.submit("ghost", "x").await;
    let record = server.await_end("ghost", &id).await;
    assert_eq!(
        (&record["status"], &record["error"]["code"]),
        (&json!("failed"), &json!("spawn_failed"))
    );
    let message = record["error"]["message"].as_str().expect("a message");
    assert!(message.contains("/no/such/program"), "{message}");
    let (_, capacity) = server.get("/api/agents/ghost/capacity").await;
    assert!(!capacity.to_string().contains(&id), "its slot is free: {capacity}");
}

#[tokio::test]
async fn one_that_closes_its_output_and_hangs_is_stopped_at_its_timeout() {
    let server = Server::start(&[]).await;
    let script = "exec >&- 2>&-; while :; do sleep 0.05; done";
    shell(&server, "silent", script, json!({"timeout_s": 1, "grace_s": 0})).await;
    let id = server.submit("silent", "x").await;
    let record = server.await_end("silent", &id).await;
    assert_eq!(
        (&record["status"], &record["error"]["code"]),
        (&json!("failed"), &json!("timeout"))
    );
    nothing_is_left(&id);
}

#[tokio::test]
async fn one_that_reads_its_input_meets_its_end_or_its_message() {
    let server = Server::start(&[]).await;
    shell(&server, "reader", "cat; echo end of input", json!({})).await;
    let (_, record) = server.post("/api/agents/reader/task", json!({"message": "x"})).await;
    assert_eq!(record["response"], "end of input", "{record}");
    server.register("stdin", &["/bin/cat"], json!({"prompt": "stdin"})).await;
    let message = "läuft ".repeat(30_000);
    let (_, record) = server.post("/api/agents/stdin/task", json!({"message": message})).await;
    assert_eq!(record["status"], "completed", "{}", record["error"]);
    let response = record["response"].as_str().expect("a response");
    assert_eq!((response.len() <= 64 * 1024, &record["response_cut"]), (true, &json!(true)));
    assert!(message.trim_end().ends_with(response.trim_end()));
}

#[tokio::test]
async fn a_message_fits_as_an_argument_up_to_128_000_bytes() {
    let server = Server::start(&[]).await;
    shell(&server, "length", "printf %s \"$1\" | wc -c", json!({})).await;
    let body = |length: usize| json!({"message": "m".repeat(length)});
    let (_, record) = server.post("/api/agents/length/task", body(128_000)).await;
    assert_eq!(record["response"].as_str().map(str::trim), Some("128000"), "{}", record["error"]);
    let (status, problem) = server.post("/api/agents/length/task", body(128_001)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["code"], "message_too_long_for_argument");
    let (_, list) = server.get("/api/agents/length/executions").await;
    assert_eq!(list["executions"].as_array().map(Vec::len), Some(1), "nothing was stored");
}

#[tokio::test]
async fn secrets_in_messages_and_output_reach_no_file() {
    let server = Server::start(&[]).await;
    let secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789";
    let script =
        r#"echo "$1"; printf 'Authorization: Bearer %s%s\n' abcdefghijklmnop 1234567890 >&2"#;
    shell(&server, "leaky", script, json!({})).await;
    let body = json!({"message": format!("use {secret} please"), "async_mode": true});
    let (_, accepted) = server.post("/api/agents/leaky/task", body).await;
    assert_eq!(accepted["redactions"], json!(1), "{accepted}");
    let id = accepted["execution_id"].as_str().expect("an id");
    let record = server.await_end("leaky", id).await;
    assert_eq!(event_types(&record).last(), Some(&"execution.completed"));
    for needle in [secret, "abcdefghijklmnop1234567890"] {
        let found = std::process::Command::new("grep")
            .args(["-r", "-l", "-a", needle])
            .arg(server.data_dir())
            .output()
            .expect("grep runs");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{needle}");
    }
}

#[tokio::test]
async fn an_agent_whose_settings_hold_a_secret_is_not_registered() {
    let server = Server::start(&[]).await;
    let secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789";
    for (field, body) in [
        ("env", json!({"command": ["/bin/echo"], "env": {"PLAIN": secret}})),
        ("env", json!({"command": ["/bin/echo"], "env": {"MY_TOKEN": "x"}})),
    ] {
        let mut body = body;
        body["name"] = json!("holder");
        body["runtime"] = json!("command");
        let (status, problem) = server.post("/api/agents", body).await;
        assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)));
        assert!(problem.to_string().contains("env_from"), "{problem}");
    }
    let (status, _) = server.get("/api/agents/holder").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_full_queue_refuses_with_when_to_come_back() {
    let server = Server::start(&[]).await;
    shell(&server, "narrow", "sleep 600", json!({"max_parallel_tasks": 1, "queue_limit": 1})).await;
    let first = server.submit("narrow", "x").await;
    server.await_running("narrow", &first).await;
    server.submit("narrow", "x").await;
    let request = server.request(reqwest::Method::POST, "/api/agents/narrow/task");
    let answer = request.json(&json!({"message": "x", "async_mode": true})).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers().contains_key("Retry-After"));
    let problem: Value = answer.json().await.expect("JSON");
    assert_eq!(problem["code"], "queue_full");
}
