//! The service with its log on a KurrentDB: everything dies once, nothing is lost.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PATIENCE, PROGRAM, Server};

/// Between two looks at something that is waited for, in milliseconds.
const LOOK_MS: u64 = 50;

/// An open event store in a process of its own, on a file that stays.
struct OpenStore {
    child: Child,
    file: PathBuf,
    address: String,
    _folder: TempDir,
}

fn launch(file: &std::path::Path, listen: &str) -> (Child, String) {
    let mut child = Command::new(PROGRAM)
        .args(["eventstore-open", "--listen", listen, "--file"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut told = String::new();
    let output = child.stdout.as_mut().expect("its output");
    BufReader::new(output).read_line(&mut told).expect("a line");
    let address = told.trim().rsplit(' ').next().expect("an address").to_owned();
    (child, address)
}

impl OpenStore {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("open.db");
        let (child, address) = launch(&file, "127.0.0.1:0");
        Self { child, file, address, _folder: folder }
    }

    fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it ends");
    }

    fn start_again(&mut self) {
        (self.child, _) = launch(&self.file, &self.address);
    }

    fn place(&self) -> String {
        format!("esdb://{}?tls=false", self.address)
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What makes a ledger use it, and wait for it no longer than a test likes to.
fn settings(place: &str) -> [(&str, &str); 5] {
    [
        ("EXECUTION_LEDGER_STORE", "kurrentdb"),
        ("EXECUTION_LEDGER_KURRENTDB", place),
        ("EXECUTION_LEDGER_KURRENTDB_PREFIX", "blackbox."),
        ("EXECUTION_LEDGER_KURRENTDB_ATTEMPT_TIMEOUT_S", "2"),
        ("EXECUTION_LEDGER_KURRENTDB_TIMEOUT_S", "3"),
    ]
}

async fn until_ready(server: &Server, ready: bool) -> Value {
    let began = Instant::now();
    loop {
        let (status, told) = server.get("/readyz").await;
        if (status == StatusCode::OK) == ready {
            return told;
        }
        assert!(began.elapsed() < PATIENCE, "{told}\n{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(LOOK_MS)).await;
    }
}

fn succeeds(server: &Server, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let output = server.command_with(arguments, environment);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

#[tokio::test]
async fn the_service_lives_on_a_kurrentdb_and_survives_the_death_of_each() {
    let mut store = OpenStore::start();
    let place = store.place();
    let settings = settings(&place);
    let mut server = Server::start(&settings).await;

    let first = server.submit("demo", "Say hello").await;
    assert_eq!(server.await_end("demo", &first).await["status"], "completed");
    let (status, session) = server.post("/api/sessions", json!({"agent_name": "demo"})).await;
    assert_eq!(status, StatusCode::CREATED, "{session}");
    let session = session["session_id"].as_str().expect("an id").to_owned();
    let background = json!({
        "message": "sleep 2", "async_mode": true, "inject_result": true, "chat_session_id": session,
    });
    let (status, task) = server.post("/api/agents/demo/task", background).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{task}");
    let task = task["execution_id"].as_str().expect("an id").to_owned();
    server.await_running("demo", &task).await;

    // The ledger dies while it runs.
    server.kill();
    server.start_again_in_place().await;
    assert_eq!(server.await_end("demo", &task).await["status"], "completed");
    let path = format!("/api/sessions/{session}");
    let began = Instant::now();
    let results = loop {
        let (_, shown) = server.get(&path).await;
        let entries = shown["entries"].as_array().cloned().unwrap_or_default();
        let is_result = |entry: &&Value| entry["kind"] == "background_result";
        let results = entries.iter().filter(is_result).count();
        if results > 0 {
            break results;
        }
        assert!(began.elapsed() < PATIENCE, "no result: {shown}");
        tokio::time::sleep(std::time::Duration::from_millis(LOOK_MS)).await;
    };
    assert_eq!(results, 1);

    // The store dies while something runs, and stays away for longer than anything waits.
    let third = server.submit("demo", "sleep 3").await;
    server.await_running("demo", &third).await;
    store.kill();
    let told = until_ready(&server, false).await.to_string();
    assert!(told.contains("the event log can't be reached since 20"), "{told}");
    let (status, refused) =
        server.post("/api/agents/demo/task", json!({"message": "now", "async_mode": true})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refused}");
    // So long it is away.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    store.start_again();
    until_ready(&server, true).await;
    let third = server.await_end("demo", &third).await;
    assert_eq!(third["status"], "completed", "{third}\n{}", server.log());
    let fourth = server.submit("demo", "Say bye").await;
    assert_eq!(server.await_end("demo", &fourth).await["status"], "completed");
    let metrics = server.request(reqwest::Method::GET, "/metrics").send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains("ledger_log_reconnects_total"), "{metrics}");
    assert!(metrics.contains("ledger_log_append_seconds"), "{metrics}");

    // Nothing is in the read models that is not in the log, and the log is what was signed.
    let (_, list) = server.get("/api/executions").await;
    server.stop().await;
    let compared = succeeds(&server, &["rebuild", "--check"], &settings);
    assert_eq!(compared["differences"], json!([]));
    let verified = succeeds(&server, &["verify"], &settings);
    assert_eq!(verified["sound"], true, "{verified}");
    assert!(!server.data_dir().join("events.db").exists(), "the log is elsewhere");
    std::fs::remove_file(server.data_dir().join("views.db")).expect("the read models");
    server.start_again().await;
    let (_, again) = server.get("/api/executions").await;
    assert_eq!(again["executions"], list["executions"]);
}

#[tokio::test]
async fn a_log_that_can_t_be_reached_is_said_at_the_start_with_its_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let began = Instant::now();
    let output = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .envs(settings("esdb://127.0.0.1:1?tls=false"))
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("127.0.0.1:1"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_password_stands_in_no_configuration_file_and_in_no_argument() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.toml");
    let place = "esdb://admin:changeit@127.0.0.1:1?tls=false";
    let serve = |arguments: &[&str]| {
        let output = Command::new(PROGRAM)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .args(arguments)
            .output()
            .expect("the program runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    std::fs::write(&config, format!("store = \"kurrentdb\"\nkurrentdb = \"{place}\"\n"))
        .expect("a file");
    let in_file = serve(&["--config", config.to_str().expect("a path")]);
    let as_argument = serve(&["--store", "kurrentdb", "--kurrentdb", place]);
    for said in [in_file, as_argument] {
        assert!(said.contains("kurrentdb_credentials_file"), "{said}");
        assert!(!said.contains("changeit"), "{said}");
    }
}
