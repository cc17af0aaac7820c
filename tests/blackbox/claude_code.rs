//! Real Claude Code through the ledger, against a model API of the test's own on loopback.
//!
//! `make test-tools` installs it; nothing here speaks to any other host.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::model_api::ModelApi;
use crate::support::{Server, repository};

/// Where `make test-tools` puts the program.
const CLAUDE: &str = "target/test-tools/claude-code/node_modules/.bin/claude";
/// Its prices are known to Claude Code: 0.003575 dollars for what the model API counts.
const MODEL: &str = "claude-sonnet-5-5";
/// What one answer costs, in dollars.
const ANSWER_USD: f64 = 0.003_575;
/// A cancelled run ends well before the API would have finished its slow answer (60 s) and before
/// the grace period (5 s) makes a kill of it.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

/// A server with the agent `claude`, which may run `echo`.
pub struct Setup {
    pub server: Server,
    _home: TempDir,
    _api: ModelApi,
}

impl Setup {
    /// Starts it.
    pub async fn start() -> Self {
        let claude = repository(CLAUDE);
        assert!(claude.exists(), "{} is missing: run `make test-tools`", claude.display());
        let api = ModelApi::start("model_api.py");
        let home = tempfile::tempdir().expect("a temporary directory");
        let environment = [
            ("ANTHROPIC_BASE_URL", api.url.as_str()),
            ("ANTHROPIC_API_KEY", "dummy"),
            ("CLAUDE_CODE_MAX_RETRIES", "0"),
            ("HOME", home.path().to_str().expect("a path in UTF-8")),
            ("IS_SANDBOX", "1"),
        ];
        let server = Server::start(&environment).await;
        let agent = json!({
            "name": "coder",
            "runtime": "claude_code",
            "command": [claude],
            "cwd": home.path(),
            "models": [MODEL],
            "allowed_tools": ["Bash(echo *)"],
            "env_allow": ["CLAUDE_CODE_MAX_RETRIES"],
        });
        let (status, answer) = server.post("/api/agents", agent).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        Self { server, _home: home, _api: api }
    }

    /// Runs a task to its end.
    async fn run(&self, body: Value) -> Value {
        let (status, record) = self.server.post("/api/agents/coder/task", body).await;
        assert_eq!(status, StatusCode::OK, "{record}");
        record
    }
}

fn assert_costs(record: &Value, dollars: f64) {
    let cost = record["cost_usd"].as_f64().expect("a cost");
    assert!((cost - dollars).abs() < 1e-9, "{cost} is not {dollars}");
    assert_eq!(record["cost_basis"], "provider_reported");
}

#[tokio::test]
async fn a_text_answer_is_recorded_with_its_cost_tokens_model_and_session_and_can_be_resumed() {
    let setup = Setup::start().await;
    let first = setup.run(json!({"message": "[TEXT] hello"})).await;
    assert_eq!(first["status"], "completed", "{first}");
    let response = first["response"].as_str().expect("a response");
    assert!(response.starts_with("Hello from the fake model. mode=TEXT"), "{response}");
    assert_costs(&first, ANSWER_USD);
    let usage = json!({"input": 1200, "output": 42, "cache_read": 50, "cache_write_5m": 300,
        "cache_write_1h": 0});
    assert_eq!(first["usage"], usage);
    assert_eq!(first["model_used"], MODEL);
    assert_eq!(first["num_turns"], 1);
    assert_eq!(first["exit"], json!({"code": 0}));
    let session = first["agent_session_id"].as_str().expect("a session");
    assert_eq!(first["claude_session_id"], session);

    // The session has cost twice as much by then; this run has not.
    let again = json!({"message": "[TEXT] and again", "resume_session_id": session});
    let resumed = setup.run(again).await;
    assert_eq!(resumed["status"], "completed", "{resumed}");
    assert_eq!(resumed["agent_session_id"], session);
    assert_costs(&resumed, ANSWER_USD);
    assert_eq!(resumed["usage"], usage);
    let response = resumed["response"].as_str().expect("a response");
    assert_ne!(response, first["response"], "it remembers the messages of the first run");
}

#[tokio::test]
async fn a_tool_call_is_made_and_both_answers_are_paid_for() {
    let setup = Setup::start().await;
    let record = setup.run(json!({"message": "[TOOL] go"})).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_costs(&record, 2.0 * ANSWER_USD);
    assert_eq!(record["num_turns"], 2);
    let id = record["execution_id"].as_str().expect("an id");
    setup.server.await_output("coder", id, r#""content":"hi""#).await;
}

#[tokio::test]
async fn an_api_error_fails_the_run_although_its_last_line_says_success() {
    let setup = Setup::start().await;
    let record = setup.run(json!({"message": "[E400] go"})).await;
    assert_eq!(record["status"], "failed", "{record}");
    assert_eq!(record["error"]["code"], "agent_error");
    let words = record["error"]["message"].as_str().expect("words");
    assert!(words.contains("API Error: 400"), "{words}");
    assert_eq!(record["model_used"], Value::Null);
    let id = record["execution_id"].as_str().expect("an id");
    setup.server.await_output("coder", id, r#""subtype":"success""#).await;
}

#[tokio::test]
async fn an_overloaded_provider_is_told_apart_from_other_errors() {
    let setup = Setup::start().await;
    let record = setup.run(json!({"message": "[E529] go"})).await;
    assert_eq!(record["status"], "failed", "{record}");
    assert_eq!(record["error"]["code"], "overloaded", "{record}");
}

#[tokio::test]
async fn a_slow_answer_is_cancelled_in_the_middle() {
    let setup = Setup::start().await;
    let server = &setup.server;
    let id = server.submit("coder", "[SLOW] take your time").await;
    server.await_output("coder", &id, r#""text":"w1 ""#).await;
    let asked = Instant::now();
    let path = format!("/api/agents/coder/executions/{id}/terminate");
    let (status, answer) = server.post(&path, json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let record = server.await_end("coder", &id).await;
    assert!(asked.elapsed() < CANCELLED_WITHIN, "{:?}", asked.elapsed());
    assert_eq!(record["status"], "cancelled", "{record}");
    assert_eq!(record["response"], Value::Null);
    assert_eq!(record["model_used"], MODEL);
    assert_eq!(record["usage"]["input"], 1200);
}

#[tokio::test]
async fn a_message_that_is_too_long_for_an_argument_reaches_claude_by_standard_input() {
    let setup = Setup::start().await;
    let record = setup.run(json!({"message": format!("[TEXT] {}", "x".repeat(200_000))})).await;
    assert_eq!(record["status"], "completed", "{record}");
}
