//! New attempts: by themselves, by hand, and through a kill; and the queue on the command line.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;

/// The attempts from this one on: each follows on the one before it by itself.
async fn chain(server: &Server, agent: &str, first: &str, attempts: usize) -> Vec<Value> {
    let mut records = vec![server.await_end(agent, first).await];
    while records.len() < attempts {
        let before = records[records.len() - 1]["execution_id"].as_str().expect("an id").to_owned();
        let followed = |record: &Value| record["retries"] != json!([]);
        let record = server.await_record(agent, &before, "followed", followed).await;
        let next = record["retries"][0].as_str().expect("an id").to_owned();
        records.push(server.await_end(agent, &next).await);
    }
    records
}

fn time(record: &Value, field: &str) -> chrono::DateTime<chrono::Utc> {
    record[field].as_str().and_then(|text| text.parse().ok()).expect("a time")
}

#[tokio::test]
async fn what_can_not_be_started_is_tried_again_with_growing_waits_until_none_is_left() {
    let server = Server::start(&[]).await;
    let settings = json!({"max_retries": 2, "retry_backoff_s": 1});
    server.register("gone", &["/nonexistent/program"], settings).await;
    let first = server.submit("gone", "hello").await;
    let records = chain(&server, "gone", &first, 3).await;
    let mut waits = Vec::new();
    for (number, record) in (1_u64..).zip(&records) {
        assert_eq!(record["error"]["code"], "spawn_failed", "{record}");
        assert_eq!((&record["attempt"], &record["message"]), (&json!(number), &json!("hello")));
        if number == 1 {
            assert_eq!((&record["retry_of"], &record["not_before"]), (&Value::Null, &Value::Null));
            continue;
        }
        let before = &records[usize::try_from(number).expect("small") - 2];
        assert_eq!(record["retry_of"], before["execution_id"]);
        assert_eq!(record["triggered_by"], "retry");
        assert_eq!(record["events"][0]["actor"]["kind"], "system");
        assert_eq!(record["events"][0]["correlation_id"], json!(first));
        let started = time(record, "not_before");
        assert!(time(&record["events"][1], "recorded_at") >= started, "too early: {record}");
        waits.push(started - time(before, "completed_at"));
    }
    assert!(waits[1] > waits[0], "{waits:?}");
    let last = records[2]["execution_id"].as_str().expect("an id");
    let (_, list) = server.get("/api/executions?agent=gone").await;
    assert_eq!(list["executions"].as_array().expect("rows").len(), 3, "none follows on {last}");
}

#[tokio::test]
async fn an_attempt_that_waits_says_until_when_and_stands_behind_the_others() {
    let server = Server::start(&[]).await;
    let settings = json!({"max_retries": 1, "retry_backoff_s": 600, "max_parallel_tasks": 1});
    server.register("gone", &["/nonexistent/program"], settings).await;
    let first = server.submit("gone", "x").await;
    let followed = |record: &Value| record["retries"] != json!([]);
    let record = server.await_record("gone", &first, "followed", followed).await;
    let next = record["retries"][0].as_str().expect("an id").to_owned();
    let waiting = server.execution("gone", &next).await;
    assert_eq!(waiting["status"], "pending");
    assert_eq!(waiting["waiting"]["reason"], "retry_backoff", "{waiting}");
    assert_eq!(waiting["waiting"]["until"], waiting["not_before"]);
    let (_, capacity) = server.get("/api/agents/gone/capacity").await;
    assert_eq!(capacity["queue"][0]["until"], waiting["not_before"], "{capacity}");

    let shown = server.command(&["queue", "--table"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&next) && shown.contains("retry backoff until"), "{shown}");
    // What is cancelled while it waits is not tried again.
    let output = server.command(&["cancel", "--agent", "gone", "--json"]);
    let done: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&done["cancelled"], &done["matched"]), (&json!(1), &json!(1)), "{done}");
    let ended = server.await_end("gone", &next).await;
    assert_eq!((&ended["status"], &ended["retries"]), (&json!("cancelled"), &json!([])));
}

#[tokio::test]
async fn a_kill_between_a_failure_and_the_next_attempt_loses_no_attempt_and_doubles_none() {
    let mut server = Server::start(&[]).await;
    let settings = json!({"max_retries": 1, "retry_backoff_s": 0});
    server.register("gone", &["/nonexistent/program"], settings).await;
    server.stop().await;
    server.start_again_with(&[("EXECUTION_LEDGER_FAIL_AT", "manager.before_retry")]).await;
    let body = json!({"message": "x", "async_mode": true});
    let (status, answer) = server.post("/api/agents/gone/task", body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let first = answer["execution_id"].as_str().expect("an id").to_owned();
    server.await_exit().await;
    server.start_again_with(&[]).await;
    let records = chain(&server, "gone", &first, 2).await;
    assert_eq!(records[1]["error"]["code"], "spawn_failed");
    server.kill();
    server.start_again().await;
    let (_, list) = server.get("/api/executions?agent=gone").await;
    assert_eq!(list["executions"].as_array().expect("rows").len(), 2, "{list}");
}

#[tokio::test]
async fn what_was_stopped_or_failed_by_its_own_fault_is_not_tried_again() {
    let server = Server::start(&[]).await;
    let settings = json!({"max_retries": 5, "retry_backoff_s": 0});
    server.register("slow", &["/bin/sleep"], settings.clone()).await;
    server.register("bad", &["/bin/false"], settings).await;
    let stopped = server.submit("slow", "600").await;
    server.await_running("slow", &stopped).await;
    let path = format!("/api/agents/slow/executions/{stopped}/terminate");
    assert_eq!(server.post(&path, json!({})).await.0, StatusCode::ACCEPTED);
    assert_eq!(server.await_end("slow", &stopped).await["status"], "cancelled");
    let failed = server.submit("bad", "x").await;
    assert_eq!(server.await_end("bad", &failed).await["error"]["code"], "agent_failed");
    // One more that ends after them: whatever was to follow on them would have been begun by now.
    let last = server.submit("bad", "y").await;
    server.await_end("bad", &last).await;
    let (_, list) = server.get("/api/executions?triggered_by=retry").await;
    assert_eq!(list["executions"], json!([]), "{list}");
}

#[tokio::test]
async fn an_execution_is_tried_again_from_the_command_line_and_followed() {
    let server = Server::start(&[]).await;
    server.register("echo", &["/bin/echo", "said"], json!({})).await;
    let first = server.submit("echo", "hello").await;
    assert_eq!(server.await_end("echo", &first).await["status"], "completed");
    let output = server.command(&["retry", &first, "--follow", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&record["response"], &record["attempt"]), (&json!("said hello"), &json!(2)));
    assert_eq!(record["retry_of"], json!(first));
    let shown = server.command(&["show", &first, "--table"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let again = record["execution_id"].as_str().expect("an id");
    assert!(shown.contains("Tried again") && shown.contains(again), "{shown}");
}

#[tokio::test]
async fn a_queue_is_shown_reordered_and_emptied_from_the_command_line() {
    let server = Server::start(&[]).await;
    server.register("slow", &["/bin/sleep"], json!({"max_parallel_tasks": 1})).await;
    let runs = server.submit("slow", "600").await;
    server.await_running("slow", &runs).await;
    let (one, two) = (server.submit("slow", "600").await, server.submit("slow", "600").await);
    let moved = server.command(&["queue", "--to-front", &two, "--table"]);
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let shown = server.command(&["queue", "slow", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let queue = &shown["queues"][0]["queue"];
    assert_eq!((&queue[0]["execution_id"], &queue[1]["execution_id"]), (&json!(two), &json!(one)));
    assert_eq!(queue[0]["reason"], "slots_taken");
    assert_eq!(shown["queues"][0]["slots"][0]["execution_id"], json!(runs));

    let refused = server.command(&["cancel", "--dry-run"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    let dry = server.command(&["cancel", "--agent", "slow", "--dry-run", "--table"]);
    let dry = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(dry.contains("WOULD BE") && dry.contains(&one) && dry.contains(&runs), "{dry}");
    assert_eq!(server.execution("slow", &one).await["status"], "pending");
    let done = server.command(&["cancel", "--agent", "slow", "--json"]);
    let done: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((&done["cancelled"], &done["cancelling"]), (&json!(2), &json!(1)));
    for id in [&runs, &one, &two] {
        assert_eq!(server.await_end("slow", id).await["status"], "cancelled");
    }
}
