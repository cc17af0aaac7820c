//! Moving the history, and walking through it.

use std::fs;
use std::path::Path;
use std::process::Output;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;

/// Answers that must be the same wherever the history lies.
const QUESTIONS: [&str; 14] = [
    "/api/executions?limit=200",
    "/api/executions?q=number&status=completed",
    "/api/executions?status=failed",
    "/api/executions/stats",
    "/api/executions/timeline?bucket=agent",
    "/api/activities?limit=100",
    "/api/costs?by=agent",
    "/api/costs?by=day",
    "/api/agents",
    "/api/agents/demo/capacity",
    "/api/sessions",
    "/api/schedules",
    "/api/keys",
    "/api/events?limit=1000",
];

/// A life of several kinds of streams, stopped and with nothing going on; answers the executions.
async fn history(server: &mut Server) -> Vec<(String, String)> {
    server.register("echo", &["/bin/echo"], json!({})).await;
    server.register("bad", &["/bin/sh", "-c", "exit 3", "sh"], json!({})).await;
    let mut executions = Vec::new();
    for (agent, message) in [
        ("echo", "number 1"),
        ("echo", "=1+1 \"quoted\"\nsecond line"),
        ("bad", "number 2"),
        ("demo", "number 3"),
    ] {
        let id = server.submit(agent, message).await;
        server.await_end(agent, &id).await;
        executions.push((agent.to_owned(), id));
    }
    let (status, session) = server.post("/api/sessions", json!({"agent_name": "demo"})).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    let path = format!("/api/sessions/{}/messages", session["session_id"].as_str().expect("an id"));
    let (status, turn) = server.post(&path, json!({"message": "number 4"})).await;
    assert!(status.is_success(), "{turn}");
    let id = turn["execution_id"].as_str().expect("an id").to_owned();
    server.await_end("demo", &id).await;
    executions.push(("demo".to_owned(), id));
    let key = json!({"name": "reader", "role": "auditor", "user": "ada"});
    let (status, key) = server.post("/api/keys", key).await;
    assert_eq!(status, StatusCode::CREATED, "{key}");
    executions
}

/// What is answered, with the log's id left out.
async fn answers(server: &Server, executions: &[(String, String)]) -> Vec<(String, Value)> {
    let details =
        executions.iter().map(|(agent, id)| format!("/api/agents/{agent}/executions/{id}"));
    let mut answers = Vec::new();
    let mut log = String::new();
    for path in QUESTIONS.into_iter().map(str::to_owned).chain(details) {
        let answer = server.request(reqwest::Method::GET, &path).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let position = answer.headers()["ledger-position"].to_str().expect("text");
        position.split_once('-').expect("a position").0.clone_into(&mut log);
        answers.push((path, answer.text().await.expect("text")));
    }
    let without = |text: &str| text.replace(&log, "LOG");
    let value = |text: String| serde_json::from_str(&without(&text)).expect("JSON");
    answers.into_iter().map(|(path, text)| (path, value(text))).collect()
}

fn succeeded(output: &Output) -> Value {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    serde_json::from_str(&out).unwrap_or(Value::Null)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of plain text")
}

#[tokio::test]
async fn an_exported_history_is_imported_with_the_same_answers_and_bytes() {
    let mut server = Server::start(&[]).await;
    let executions = history(&mut server).await;
    let file = server.work_dir().join("history.ndjson");
    let exported = succeeded(&server.command(&["export", "-o", text(&file)]));
    // The export tells of itself first: asked now, the answers are of what it holds.
    let before = answers(&server, &executions).await;
    assert_eq!(exported["sha256"].as_str().map(str::len), Some(64), "{exported}");
    let again = server.command(&["export", "-o", text(&file)]);
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
    let occupied = server.command(&["import", text(&file)]);
    assert_eq!(occupied.status.code(), Some(2), "only an empty ledger is filled");

    server.stop().await;
    let data_dir = server.data_dir().to_owned();
    let old = server.work_dir().join("old");
    fs::rename(&data_dir, &old).expect("moved away");
    let cut = server.work_dir().join("cut.ndjson");
    let whole = fs::read(&file).expect("the file");
    fs::write(&cut, &whole[..whole.len() * 2 / 3]).expect("written");
    let refused = server.command(&["import", text(&cut)]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("cut off"), "{said}");
    assert!(!data_dir.exists(), "all or nothing");
    assert!(!server.work_dir().join("data.partial").exists());

    let imported = succeeded(&server.command(&["import", text(&file)]));
    assert_eq!(imported["events"], exported["events"]);
    assert_ne!(imported["log_id"], imported["from_log"]);
    for path in [(&old), (&data_dir)] {
        let open = rusqlite::Connection::open(path.join("events.db"));
        open.expect("a log").execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("one file");
    }
    let attach = format!("ATTACH '{}' AS old", text(&old.join("events.db")));
    let log = rusqlite::Connection::open(data_dir.join("events.db")).expect("a log");
    log.execute_batch(&attach).expect("both logs");
    for table in ["events", "contents"] {
        let query = format!(
            "SELECT count(*) FROM (SELECT * FROM main.{table} EXCEPT SELECT * FROM old.{table})"
        );
        let other: i64 = log.query_row(&query, [], |row| row.get(0)).expect("compared");
        assert_eq!(other, 0, "every row of {table} is the same");
    }
    drop(log);
    server.start_again().await;
    let after = answers(&server, &executions).await;
    for ((path, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(after, before, "{path}");
    }
    let (agent, id) = &executions[0];
    let (status, _) = server
        .get(&format!(
            "/api/agents/{agent}/executions/{id}?as_of={}",
            exported["until"].as_str().expect("a position")
        ))
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "a position of the old log is refused");
}

#[tokio::test]
async fn a_filtered_table_holds_what_passed_and_no_formula() {
    let mut server = Server::start(&[]).await;
    history(&mut server).await;
    let table = server.command(&["export", "--format", "csv", "--type", "execution.pending"]);
    assert!(table.status.success());
    let table = String::from_utf8(table.stdout).expect("text");
    assert_eq!(table.matches("\r\n").count(), 6, "a head and five executions: {table}");
    assert!(table.contains(",\"'=1+1 \"\"quoted\"\"\nsecond line\"\r\n"), "{table}");
    let some = server.command(&["export", "--stream", "agent-", "--from", "2020-01-01T00:00:00Z"]);
    let some = String::from_utf8(some.stdout).expect("text");
    assert_eq!(some.lines().count(), 5, "three agents between the first and the last line: {some}");
    let partial = server.work_dir().join("agents.ndjson");
    fs::write(&partial, some).expect("written");
    let target = server.work_dir().join("new");
    let refused = server.command(&["import", text(&partial), "--data-dir", text(&target)]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("only a whole export"));
    let unknown = server.command(&["export", "--type", "execution.invented"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[tokio::test]
async fn the_history_of_everything_is_replayed_and_compared_from_the_log_alone() {
    let mut server = Server::start(&[]).await;
    let executions = history(&mut server).await;
    let (_, good) = &executions[0];
    let (_, bad) = &executions[2];
    let live = server.execution("echo", good).await;
    let told = succeeded(&server.command(&["replay", "execution", good]));
    let types: Vec<_> =
        told["events"].as_array().expect("events").iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["execution.pending", "execution.running", "execution.completed"]);
    for (field, value) in told["state"].as_object().expect("a state") {
        assert_eq!(*value, live[field], "{field} is what the service answers");
    }
    let middle = told["events"][1]["position"].as_str().expect("a position").to_owned();
    let then = succeeded(&server.command(&["replay", "execution", good, "--at", &middle]));
    assert_eq!(then["state"]["status"], "running");
    let path = format!("/api/agents/echo/executions/{good}?as_of={middle}");
    let (_, as_of) = server.get(&path).await;
    for (field, value) in then["state"].as_object().expect("a state") {
        assert_eq!(*value, as_of[field], "{field} is what the service answers of then");
    }
    let people = server.command(&["replay", "execution", good, "--table"]);
    let people = String::from_utf8(people.stdout).expect("text");
    assert!(people.contains("[2/3] execution.running"), "{people}");
    assert!(people.contains("    status: pending -> running"), "{people}");
    let agent = succeeded(&server.command(&["replay", "agent", "echo", "--state"]));
    assert_eq!(agent["state"]["status"], "active");
    let (_, sessions) = server.get("/api/sessions").await;
    let session = sessions["sessions"][0]["session_id"].as_str().expect("an id");
    let session = succeeded(&server.command(&["replay", "session", session]));
    assert_eq!(session["state"]["turns"].as_array().map(Vec::len), Some(1));
    let nobody = server.command(&["replay", "agent", "nobody"]);
    assert_eq!(nobody.status.code(), Some(4));
    let foreign = server.command(&["replay", "agent", "echo", "--at", "other-1"]);
    assert_eq!(foreign.status.code(), Some(2));

    let list = succeeded(&server.command(&["replay", "executions", "-n", "2"]));
    assert_eq!(list["counts"]["total"], 5, "{list}");
    assert_eq!(list["executions"].as_array().map(Vec::len), Some(2));
    assert_eq!(list["executions"][0]["execution_id"], json!(executions[4].1));
    let list = succeeded(&server.command(&["replay", "executions", "--at", &middle]));
    assert_eq!(list["counts"]["by_status"]["running"], 1);

    let diff = succeeded(&server.command(&["diff", good, bad]));
    let differences = diff["differences"].as_array().expect("differences");
    let status = differences.iter().find(|change| change["field"] == "status").expect("status");
    assert_eq!((&status["before"], &status["after"]), (&json!("completed"), &json!("failed")));
    let diff = succeeded(&server.command(&["diff", "--at", &middle]));
    assert_eq!(diff["before"]["total"], 1, "{diff}");
    assert_eq!(diff["after"]["total"], 5);
    assert_eq!(diff["executions"].as_array().map(Vec::len), Some(5));
    let wrong = server.command(&["diff", good]);
    assert_eq!(wrong.status.code(), Some(2));
}
