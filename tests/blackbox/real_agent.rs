//! Real agents through the ledger, against a model API of the test's own.
//!
//! `make test-tools` installs them; nothing here speaks to any other host.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::model_api::ModelApi;
use crate::support::{PATIENCE, Server, processes_of, repository};

/// Where `make test-tools` puts the programs.
const PROGRAMS: &str = "target/test-tools/agents/node_modules/.bin";
/// A cancelled run ends well before its tool would (600 s): after the grace period of these agents
/// at the latest, if they don't obey SIGINT.
const CANCELLED_WITHIN: Duration = Duration::from_secs(10);
/// The seconds that the tool of a `[SLEEP]` sleeps, as they stand in its command line.
const SLEEP_S: &str = "600";
/// How long an agent has to obey SIGINT, in seconds.
const GRACE_S: u64 = 2;

/// The name that the agents of these tests have.
pub const AGENT: &str = "coder";

/// A server with a real agent, whose home is its own.
pub struct RealAgent {
    pub server: Server,
    _home: TempDir,
    _api: ModelApi,
}

impl RealAgent {
    /// Registers the program as an agent of its runtime with these settings beside. `prepare` is
    /// given its home and the address of the model API, and answers the variables of its
    /// environment.
    pub async fn start(
        program: &str,
        arguments: &[&str],
        settings: Value,
        prepare: impl FnOnce(&Path, &str) -> Vec<(&'static str, String)>,
    ) -> Self {
        let path = repository(PROGRAMS).join(program);
        assert!(path.exists(), "{} is missing: run `make test-tools`", path.display());
        let api = ModelApi::start("model_api_others.py");
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut environment = prepare(home.path(), &api.url);
        environment.push(("HOME", home.path().display().to_string()));
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let server = Server::start(&environment).await;
        let mut command = vec![path.display().to_string()];
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let cwd = home.path().join("work");
        std::fs::create_dir(&cwd).expect("a folder");
        let mut agent = json!({"name": AGENT, "runtime": program, "command": command, "cwd": cwd,
            "grace_s": GRACE_S});
        for (name, value) in settings.as_object().into_iter().flatten() {
            agent[name] = value.clone();
        }
        let (status, answer) = server.post("/api/agents", agent).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        Self { server, _home: home, _api: api }
    }

    /// Runs a task to its end.
    pub async fn run(&self, body: Value) -> Value {
        let (status, record) = self.server.post("/api/agents/coder/task", body).await;
        assert_eq!(status, StatusCode::OK, "{record}");
        record
    }

    /// Waits until a run's transcript shows that the ledger's own tool told it of itself.
    pub async fn ledger_told_of_it(&self, record: &Value) {
        let id = text(record, "/execution_id");
        // The JSON of its answer is a text inside the JSON of the line.
        self.server.await_output(AGENT, id, &format!(r#"execution_id\":\"{id}"#)).await;
    }

    /// Runs a task that is refused; answers the problem.
    pub async fn refused(&self, body: Value) -> Value {
        let (status, problem) = self.server.post("/api/agents/coder/task", body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        problem
    }

    /// Cancels a run while its tool sleeps; answers its record, after a look that nothing is left.
    pub async fn cancelled_in_a_tool(&self) -> Value {
        let id = self.server.submit(AGENT, "[SLEEP] take your time").await;
        let began = Instant::now();
        while !processes_of(&id).into_iter().any(sleeps) {
            assert!(began.elapsed() < PATIENCE, "its tool was never started");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = Instant::now();
        let path = format!("/api/agents/{AGENT}/executions/{id}/terminate");
        let (status, answer) = self.server.post(&path, json!({})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let record = self.server.await_end(AGENT, &id).await;
        assert!(asked.elapsed() < CANCELLED_WITHIN, "{:?}", asked.elapsed());
        assert_eq!(record["status"], "cancelled", "{record}");
        assert_eq!(record["response"], Value::Null);
        assert_eq!(processes_of(&id), Vec::<i32>::new());
        record
    }
}

/// Whether a process is the tool of a `[SLEEP]` itself, and no shell around it.
fn sleeps(pid: i32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = words.split(|byte| *byte == 0);
    words.next().is_some_and(|program| program.ends_with(b"sleep"))
        && words.next() == Some(SLEEP_S.as_bytes())
}

/// The text of a field.
pub fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}: {record}"))
}
