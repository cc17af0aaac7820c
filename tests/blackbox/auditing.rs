//! What somebody who does not trust the operator can find out.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Server};

/// Has the server run a few tasks; their ids.
async fn history(server: &Server) -> Vec<String> {
    let mut ids = Vec::new();
    for message in ["one", "two", "fail"] {
        let id = server.submit("demo", message).await;
        server.await_end("demo", &id).await;
        ids.push(id);
    }
    ids
}

/// The latest checkpoint as an auditor keeps it, once there is one.
async fn checkpoint(server: &Server) -> String {
    let asked = async {
        loop {
            let answer = server.request(Method::GET, "/tlog/checkpoint").send().await;
            let answer = answer.expect("an answer");
            if answer.status() == StatusCode::OK {
                return answer.text().await.expect("a checkpoint");
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("a checkpoint in time")
}

/// What `verify` reports, and its exit code.
fn verify(server: &Server, arguments: &[&str]) -> (i32, Value) {
    let output = server.command(&[&["verify", "--json"], arguments].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code().expect("an exit code"), report)
}

fn finds(report: &Value, check: &str, part: &str) -> bool {
    report["problems"].as_array().expect("problems").iter().any(|problem| {
        problem["check"] == check
            && (problem["place"].as_str().is_some_and(|place| place.contains(part))
                || problem["problem"].as_str().is_some_and(|problem| problem.contains(part)))
    })
}

fn change(database: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(database).expect("the database");
    connection.execute_batch(sql).expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_behind_a_stopped_ledger_is_found_and_named() {
    let mut server = Server::start(&[]).await;
    let ids = history(&server).await;
    let kept = server.work_dir().join("kept.txt");
    std::fs::write(&kept, checkpoint(&server).await).expect("kept");
    let kept = kept.to_str().expect("a path").to_owned();

    let (code, live) = verify(&server, &["--checkpoint", &kept]);
    assert_eq!((code, &live["sound"]), (0, &json!(true)), "while the server runs: {live}");
    assert_eq!(live["rows"], Value::Null);
    server.stop().await;
    let (code, sound) = verify(&server, &["--checkpoint", &kept]);
    assert_eq!((code, &sound["problems"]), (0, &json!([])));
    assert_eq!(sound["signed_events"], sound["events"], "signed at the end");
    assert_eq!(sound["transcripts"], 3);
    assert!(sound["rows"].as_u64().is_some_and(|rows| rows > 0) && sound["kept_checkpoints"] == 1);

    let archive = walk(&server.data_dir().join("transcripts"), &ids[0]);
    let original = std::fs::read(&archive).expect("an archive");
    let other = walk(&server.data_dir().join("transcripts"), &ids[1]);
    std::fs::copy(&other, &archive).expect("changed");
    let (code, report) = verify(&server, &["--skip-read-models"]);
    assert!(code == 1 && finds(&report, "transcript", &ids[0]), "{report}");
    std::fs::write(&archive, original).expect("restored");

    change(
        &server.data_dir().join("views.db"),
        "UPDATE executions SET agent = 'other' WHERE rowid = (SELECT min(rowid) FROM executions)",
    );
    let (code, report) = verify(&server, &[]);
    assert!(code == 1 && finds(&report, "read_model", "executions"), "{report}");

    change(
        &server.data_dir().join("events.db"),
        "DROP TRIGGER contents_are_only_erased;
         UPDATE contents SET body = 'something else' WHERE id = (SELECT max(id) FROM contents);",
    );
    let (_, report) = verify(&server, &["--skip-read-models"]);
    assert!(finds(&report, "content", "text 1"), "{report}");

    change(
        &server.data_dir().join("events.db"),
        "DROP TRIGGER events_stay_as_they_are;
         UPDATE events SET data = replace(data, '\"demo\"', '\"emo\"') WHERE position = 1;",
    );
    let (code, report) = verify(&server, &["--skip-read-models", "--checkpoint", &kept]);
    assert_eq!((code, &report["sound"]), (1, &json!(false)));
    let named = finds(&report, "checkpoint", "first") || finds(&report, "schema", "event 1 ");
    assert!(named && finds(&report, "kept_checkpoint", "kept.txt"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_changed_moved_removed_or_cut_off_and_changed_checkpoints_are_each_named() {
    let mut server = Server::start(&[]).await;
    history(&server).await;
    let kept = server.work_dir().join("kept.txt");
    std::fs::write(&kept, checkpoint(&server).await).expect("kept");
    let kept = kept.to_str().expect("a path").to_owned();
    server.stop().await;
    let open = "DROP TRIGGER events_stay; DROP TRIGGER events_stay_as_they_are;";
    // Two events of one execution, one after the other: its first and its second.
    let pending = "(SELECT min(position) FROM events WHERE type = 'execution.pending')";
    let next = "(SELECT min(position) FROM events WHERE type = 'execution.running')";
    let cases = [
        (
            format!(
                "UPDATE events SET data = replace(data, '\"a', '\"b') WHERE position = {pending}"
            ),
            "checkpoint",
            "are not those that were signed",
        ),
        (
            format!(
                "CREATE TEMP TABLE p AS SELECT {pending} AS a, {next} AS b;
                 UPDATE events SET position = 99999 WHERE position = (SELECT a FROM p);
                 UPDATE events SET position = (SELECT a FROM p) WHERE position = (SELECT b FROM p);
                 UPDATE events SET position = (SELECT b FROM p) WHERE position = 99999;"
            ),
            "stream",
            "execution-",
        ),
        (format!("DELETE FROM events WHERE position = {next}"), "stream", "execution-"),
        (
            "DELETE FROM events WHERE position = (SELECT max(position) FROM events)".to_owned(),
            "checkpoint",
            "events are missing at its end",
        ),
    ];
    let database = server.data_dir().join("events.db");
    change(&database, "PRAGMA wal_checkpoint(TRUNCATE)");
    let sound = std::fs::read(&database).expect("the log");
    for (sql, check, part) in cases {
        change(&database, &format!("{open}{sql}"));
        let (code, report) = verify(&server, &["--skip-read-models", "--checkpoint", &kept]);
        assert!(code == 1 && finds(&report, check, part), "{sql}: {report}");
        // What stands in the file beside it belongs to the changed log.
        for beside in ["events.db-wal", "events.db-shm"] {
            std::fs::remove_file(server.data_dir().join(beside)).ok();
        }
        std::fs::write(&database, &sound).expect("restored");
    }
    let checkpoints = server.data_dir().join("notary/checkpoints.ndjson");
    let mut bytes = std::fs::read(&checkpoints).expect("checkpoints");
    let digit = bytes.iter().rposition(u8::is_ascii_digit).expect("a digit");
    bytes[digit] = if bytes[digit] == b'1' { b'2' } else { b'1' };
    std::fs::write(&checkpoints, bytes).expect("changed");
    let (code, report) = verify(&server, &["--skip-read-models"]);
    assert!(code == 1 && finds(&report, "checkpoint", ""), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_execution_is_proven_to_somebody_who_has_the_key_alone() {
    let mut server = Server::start(&[]).await;
    let ids = history(&server).await;
    server.stop().await;
    let file = server.work_dir().join("proof.json");
    let path = file.to_str().expect("a path");
    let made = server.command(&["prove", &ids[0], "--to", path]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = std::fs::read_to_string(server.data_dir().join("notary/verifier")).expect("a key");
    let unknown = server.command(&["prove", "01936b2e-7a3c-7000-8000-00000000ffff"]);
    assert_eq!(unknown.status.code(), Some(4));

    std::fs::remove_dir_all(server.data_dir()).expect("the ledger is gone");
    let (code, proven) = verify(&server, &["--proof", path, "--key", key.trim()]);
    assert_eq!(
        (code, &proven["sound"], &proven["execution_id"]),
        (0, &json!(true), &json!(ids[0]))
    );
    assert!(proven["events"].as_u64() >= Some(3) && proven["key_was_given"] == true, "{proven}");
    let text = std::fs::read_to_string(&file).expect("the proof");
    let changed = text.replacen("demo", "dema", 1);
    assert_ne!(changed, text);
    std::fs::write(&file, changed).expect("changed");
    let (code, refused) = verify(&server, &["--proof", path, "--key", key.trim()]);
    assert_eq!((code, &refused["sound"]), (1, &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notary_goes_on_after_a_kill_and_alarms_where_the_log_was_cut() {
    let mut server = Server::start(&[]).await;
    history(&server).await;
    let first = checkpoint(&server).await;
    server.kill();
    server.start_again().await;
    history(&server).await;
    let second = checkpoint(&server).await;
    let line = |text: &str, at: usize| text.lines().nth(at).map(str::to_owned);
    assert_eq!(line(&first, 0), line(&second, 0), "the same tree");
    server.stop().await;
    change(
        &server.data_dir().join("events.db"),
        "DROP TRIGGER events_stay;
         DELETE FROM events WHERE position > (SELECT max(position) - 2 FROM events);",
    );
    std::fs::remove_file(server.data_dir().join("views.db")).expect("removed");
    server.start_again().await;
    let asked = async {
        loop {
            let (_, ready) = server.get("/readyz").await;
            if ready["notary"] == "alarm" {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("the alarm in time");
    let (status, problem) = server.get("/tlog/checkpoint").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("events are missing")));
    assert!(server.log().contains("ALARM"));
}

/// The file below a folder whose name begins so.
fn walk(folder: &Path, name: &str) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with(name) {
                return entry.path();
            }
        }
    }
    panic!("no transcript of {name}");
}
