//! A ledger moves from its file to a KurrentDB and back, by the commands, one of them killed half-way.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::support::{PATIENCE, PROGRAM, Server};

/// Tasks that wait in the queue: more events than an import gives to the log at a time.
const WAITING: usize = 1_300;
/// Lines of an export that a first attempt gets to read.
const LINES_BEFORE_THE_KILL: usize = 1_250;
/// Events that the first attempt has sent by then.
const SENT_BEFORE_THE_KILL: i64 = 1_000;

/// A server of the protocol, as a process of its own.
struct OpenStore {
    child: Child,
    file: PathBuf,
    place: String,
}

impl OpenStore {
    fn start(folder: &Path) -> Self {
        let file = folder.join("open.db");
        let mut child = Command::new(PROGRAM)
            .args(["eventstore-open", "--listen", "127.0.0.1:0", "--file"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut told = String::new();
        let output = child.stdout.as_mut().expect("its output");
        BufReader::new(output).read_line(&mut told).expect("a line");
        let address = told.trim().rsplit(' ').next().expect("an address");
        Self { child, file, place: format!("esdb://{address}?tls=false") }
    }

    /// What makes a ledger use it.
    fn settings(&self) -> [(&str, &str); 2] {
        [("EXECUTION_LEDGER_STORE", "kurrentdb"), ("EXECUTION_LEDGER_KURRENTDB", &self.place)]
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn events_in(file: &Path) -> i64 {
    let opened = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let count = opened.and_then(|connection| {
        // Texts on the open store are no facts; an embedded log has them elsewhere.
        let facts = "SELECT count(*) FROM events WHERE stream NOT LIKE 'text.%'";
        connection.query_row(facts, [], |row| row.get(0))
    });
    // It may be in the middle of being made.
    count.unwrap_or(0)
}

fn done(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {error}"))
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}

/// Imports from a pipe that never ends, until enough events are there, and kills that.
fn killed_half_way(file: &Path, data_dir: &Path, settings: &[(&str, &str)], log: &Path) {
    let mut importing = Command::new(PROGRAM)
        .args(["import", "-", "--data-dir", text(data_dir)])
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let whole = fs::read(file).expect("the export");
    let lines = whole.split_inclusive(|byte| *byte == b'\n').take(LINES_BEFORE_THE_KILL);
    let mut pipe = importing.stdin.take().expect("its input");
    for line in lines {
        pipe.write_all(line).expect("it reads");
    }
    let began = Instant::now();
    while events_in(log) < SENT_BEFORE_THE_KILL {
        assert!(began.elapsed() < PATIENCE, "{} events came", events_in(log));
        std::thread::sleep(Duration::from_millis(20));
    }
    importing.kill().expect("our child");
    importing.wait().expect("our child");
    drop(pipe);
}

/// A ledger with runs that ended, and with many tasks that wait.
async fn lived() -> Server {
    let server = Server::start(&[]).await;
    let settings = json!({"queue_limit": WAITING + 10});
    server.register("later", &["/bin/true"], settings).await;
    assert_eq!(server.post("/api/agents/later/pause", json!({})).await.0, StatusCode::OK);
    server.register("echo", &["/bin/echo"], json!({})).await;
    for number in 0..3 {
        let id = server.submit("echo", &format!("number {number} \u{2028} \"quoted\"")).await;
        server.await_end("echo", &id).await;
    }
    let submit = |number: usize| {
        let server = &server;
        async move { server.submit("later", &format!("waiting {number}")).await }
    };
    let ids: Vec<String> =
        futures::stream::iter(0..WAITING).map(submit).buffer_unordered(32).collect().await;
    assert_eq!(ids.len(), WAITING);
    server
}

/// What is asked before and after.
const ASKED: [&str; 5] = [
    "/api/executions?agent=echo",
    "/api/executions?status=pending&q=waiting&limit=5",
    "/api/executions/stats",
    "/api/costs?by=agent",
    "/api/agents/later/capacity",
];

async fn answers(server: &Server) -> Vec<Value> {
    let answers = futures::stream::iter(ASKED).then(|path| async move {
        let (status, mut answer) = server.get(path).await;
        if status != StatusCode::OK {
            return Err(format!("{path}: {answer}"));
        }
        without_positions(&mut answer);
        Ok(answer)
    });
    answers.try_collect().await.expect("answers")
}

/// Takes away what names a place of one log.
fn without_positions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !["position", "next_cursor", "queue_ms"].contains(&&**name));
            fields.values_mut().for_each(without_positions);
        }
        Value::Array(values) => values.iter_mut().for_each(without_positions),
        _ => {}
    }
}

fn verified(server: &Server, settings: &[(&str, &str)]) -> Value {
    let report = done(&server.command_with(&["verify", "--json", "--skip-read-models"], settings));
    assert_eq!(report["sound"], true, "{report}");
    report
}

#[tokio::test]
async fn a_ledger_moves_to_a_kurrentdb_and_back_with_the_same_answers_and_the_same_tree() {
    let mut server = lived().await;
    let before = answers(&server).await;
    let (_, events) = server.get("/api/events?limit=5").await;
    let old = events["events"][2]["position"].as_str().expect("a position").to_owned();
    server.stop().await;
    let embedded = verified(&server, &[]);
    let (there, back) = (server.work_dir().join("a.ndjson"), server.work_dir().join("b.ndjson"));
    let written = done(&server.command(&["export", "--offline", "--json", "-o", text(&there)]));

    // Killed half-way, nobody opens what came; then the same file brings the rest.
    let store = OpenStore::start(server.work_dir());
    let settings = store.settings();
    killed_half_way(&there, server.data_dir(), &settings, &store.file);
    for command in [["export", "--offline"], ["verify", "--json"]] {
        let why = refused(&server.command_with(&command, &settings));
        assert!(why.contains("an import into this log did not end"), "{why}");
    }
    let import = ["import", "--json", text(&there)];
    let moved = done(&server.command_with(&import, &settings));
    assert_eq!(moved["events"], written["events"]);
    assert!(moved["held"].as_i64() >= Some(SENT_BEFORE_THE_KILL), "it went on: {moved}");
    let again = done(&server.command_with(&import, &settings));
    assert_eq!((&again["held"], &again["log_id"]), (&again["events"], &moved["log_id"]));

    // The same data directory on the other log: what the notary signed before is true of it.
    let on_server = verified(&server, &settings);
    assert_eq!(on_server["root"], embedded["root"]);
    assert!(on_server["checkpoints"].as_u64() > Some(0), "{on_server}");
    server.start_again_with(&settings).await;
    assert_eq!(answers(&server).await, before);
    let (status, problem) = server.get(&format!("/api/events?after={old}")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("other_log")));
    let id = server.submit("echo", "on the other log").await;
    assert_eq!(server.await_end("echo", &id).await["status"], "completed");
    let after = answers(&server).await;
    server.stop().await;

    // And home again, also killed half-way.
    let all = ["export", "--offline", "--json", "-o", text(&back)];
    let written = done(&server.command_with(&all, &settings));
    let signed = verified(&server, &settings);
    drop(store);
    let home = server.work_dir().join("home");
    let draft = server.work_dir().join("home.importing/events.db");
    killed_half_way(&back, &home, &[], &draft);
    assert!(!home.exists(), "not there before it is whole");
    let moved =
        done(&server.command(&["import", "--json", text(&back), "--data-dir", text(&home)]));
    assert_eq!(moved["events"], written["events"]);
    assert!(moved["held"].as_i64() >= Some(SENT_BEFORE_THE_KILL), "it went on: {moved}");
    assert!(!draft.exists());
    fs::rename(home.join("events.db"), server.data_dir().join("events.db")).expect("put back");
    for beside in ["events.db-wal", "events.db-shm"] {
        // They belong to the file that was there before.
        drop(fs::remove_file(server.data_dir().join(beside)));
    }
    let at_home = verified(&server, &[]);
    assert_eq!((&at_home["root"], &at_home["events"]), (&signed["root"], &signed["events"]));
    server.start_again_with(&[]).await;
    assert_eq!(answers(&server).await, after);
}
