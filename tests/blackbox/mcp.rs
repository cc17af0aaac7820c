//! MCP as other people's programs speak it: the official conformance suite, the official Python
//! client, the Inspector's command line, and Claude Code. `make test-tools` installs them; nothing
//! here speaks to any other host.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Server, repository};

/// Where `make test-tools` puts the clients.
const CLIENTS: &str = "target/test-tools/mcp";
const CLAUDE: &str = "target/test-tools/claude-code/node_modules/.bin/claude";
/// What the suite puts behind the name of a scenario's folder: `-2026-11-21T15-17-19-424Z`.
const TIME_BYTES: usize = 25;
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// What of the conformance suite is expected to fail, and why.
const EXPECTED_FAILURES: &str = include_str!("mcp_expected_failures.json");

fn client(path: &str) -> PathBuf {
    let path = repository(CLIENTS).join(path);
    assert!(path.exists(), "{} is missing: run `make test-tools`", path.display());
    path
}

/// The node that the clients need, which is newer than most systems'.
fn node() -> Command {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    Command::new(client(&format!("node_modules/node-linux-{architecture}/bin/node")))
}

fn output(mut command: Command) -> String {
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{told}\n{errors}");
    told
}

/// A program that prints its port first and ends when its standard input does.
struct Helper {
    child: Child,
    input: Option<ChildStdin>,
    url: String,
}

impl Helper {
    fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take();
        let mut port = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut port).expect("its port");
        Self { child, input, url: format!("http://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.input.take());
        // It ends by itself; an error would only mean that it already has.
        drop(self.child.wait());
    }
}

/// The checks that failed in one revision, as `scenario/check`.
fn conformance(server: &Server, revision: &str) -> BTreeSet<String> {
    // The suite has no means to send a key.
    let mut proxy = node();
    proxy.arg(repository("tests/support/with_key.mjs")).arg(&server.url).env("KEY", &server.key);
    let proxy = Helper::start(proxy);
    let results = server.work_dir().join(format!("conformance-{revision}"));
    let mut suite = node();
    suite
        .arg(client("node_modules/.bin/conformance"))
        .args(["server", "--suite", "all", "--spec-version", revision])
        .args(["--url", &format!("{}/mcp", proxy.url)])
        .arg("--output-dir")
        .arg(&results);
    // It fails where any check does, and says which by its results alone.
    let ran = suite.output().expect("the suite runs");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(told.contains("Total: "), "{told}\n{}", String::from_utf8_lossy(&ran.stderr));
    failures(&results)
}

fn failures(results: &Path) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    for scenario in std::fs::read_dir(results).expect("results") {
        let folder = scenario.expect("a scenario").path();
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
        let name = name.strip_prefix("server-").expect("a scenario of servers");
        let name = &name[..name.len() - TIME_BYTES];
        let checks = std::fs::read_to_string(folder.join("checks.json")).expect("checks");
        let checks: Vec<Value> = serde_json::from_str(&checks).expect("JSON");
        let of_scenario = checks.iter().filter(|check| check["status"] == "FAILURE");
        failed.extend(of_scenario.map(|check| {
            let id = check["id"].as_str().expect("an id");
            format!("{name}/{id}")
        }));
    }
    failed
}

#[tokio::test]
async fn the_conformance_suite_fails_only_where_its_own_fixtures_are_absent() {
    let server = Server::start(&[]).await;
    let expected: Value = serde_json::from_str(EXPECTED_FAILURES).expect("JSON");
    for revision in ["2025-11-25", "2026-07-28"] {
        let failed = conformance(&server, revision);
        let reasons = expected[revision].as_array().expect("reasons");
        let listed = reasons.iter().flat_map(|reason| {
            assert!(reason["reason"].is_string());
            reason["checks"].as_array().expect("checks").iter()
        });
        let listed: BTreeSet<String> =
            listed.map(|check| check.as_str().expect("a text").to_owned()).collect();
        let news: Vec<_> = failed.difference(&listed).collect();
        assert!(news.is_empty(), "{revision}: not expected to fail: {news:#?}");
        let olds: Vec<_> = listed.difference(&failed).collect();
        assert!(olds.is_empty(), "{revision}: expected to fail, but did not: {olds:#?}");
    }
}

#[tokio::test]
async fn the_official_python_client_calls_every_tool_in_both_ways_of_the_protocol() {
    let server = Server::start(&[]).await;
    for (mode, version) in [("legacy", "2025-11-25"), ("2026-07-28", "2026-07-28")] {
        let mut python = Command::new(client("python/bin/python"));
        python
            .arg(repository("tests/support/mcp_client.py"))
            .arg(mode)
            .env("EXECUTION_LEDGER_URL", &server.url)
            .env("EXECUTION_LEDGER_KEY", &server.key);
        let found: Value = serde_json::from_str(&output(python)).expect("JSON");
        assert_eq!(found["version"], version);
        let refused = found["refused"].as_str().expect("a text");
        assert!(refused.starts_with("agent_not_found: "), "{refused}");
        let waited = found["waited"].as_str().expect("an id");
        let record = server.execution("demo", waited).await;
        assert_eq!(record["triggered_by"], "mcp");
    }
}

/// A call with the Inspector's command line, which answers with what the tool answered.
fn inspect(server: &Server, tool: &str, arguments: &[&str]) -> Value {
    let told = inspector(server, &["--method", "tools/call", "--tool-name", tool], arguments);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("no JSON: {told}"));
    assert_eq!(told["isError"], false, "{told}");
    told["structuredContent"].clone()
}

fn inspector(server: &Server, what: &[&str], arguments: &[&str]) -> String {
    let mut command = node();
    command
        .arg(client("node_modules/.bin/inspector"))
        .args(["--cli", &format!("{}/mcp", server.url), "--transport", "http"])
        .args(["--header", &format!("Authorization: Bearer {}", server.key)])
        .args(what)
        // It keeps settings of its own.
        .env("HOME", server.work_dir());
    if !arguments.is_empty() {
        command.arg("--tool-arg").args(arguments);
    }
    output(command)
}

#[tokio::test]
async fn the_inspector_finds_the_tools_portable_and_calls_every_one() {
    let server = Server::start(&[]).await;
    let mut strict = node();
    strict
        .arg(client("node_modules/.bin/inspector"))
        .args(["--cli", &format!("{}/mcp", server.url), "--transport", "http"])
        .args(["--header", &format!("Authorization: Bearer {}", server.key)])
        .args(["--method", "tools/list", "--strict"])
        .env("HOME", server.work_dir());
    let strict = strict.output().expect("the inspector runs");
    let judged = String::from_utf8_lossy(&strict.stderr);
    assert!(strict.status.success(), "{judged}");
    assert!(!judged.contains("Warning: "), "{judged}");
    let listed: Value = serde_json::from_slice(&strict.stdout).expect("JSON");
    assert_eq!(listed["tools"].as_array().expect("tools").len(), 6);

    let task = ["agent_name=demo", "message=sleep 600", "async=true"];
    let started = inspect(&server, "chat_with_agent", &task);
    let id = started["execution_id"].as_str().expect("an id");
    let it = format!("execution_id={id}");
    let stopped = inspect(&server, "cancel_execution", &[&it]);
    assert!(["cancelling", "cancelled"].iter().any(|status| stopped["status"] == *status));
    let found = inspect(&server, "get_execution_result", &[&it, "wait_s=30"]);
    assert_eq!(found["status"], "cancelled");
    let events = inspect(&server, "get_execution_events", &[&it]);
    assert_eq!(events["events"][0]["type"], "execution.pending");
    let list = inspect(&server, "list_recent_executions", &["agent_name=demo", "limit=5"]);
    assert_eq!(list["executions"][0]["execution_id"], json!(id));
    let summary = inspect(&server, "get_agent_activity_summary", &["agent_name=demo", "hours=1"]);
    assert_eq!(summary["cancelled"], 1);
}

/// A call in the older way, as a client without any library would make it.
fn call(server: &Server, arguments: &Value) -> reqwest::RequestBuilder {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "chat_with_agent", "arguments": arguments}});
    server
        .request(Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .json(&message)
}

#[tokio::test]
async fn a_call_that_a_crash_cut_off_is_answered_by_the_same_execution_when_it_comes_again() {
    let mut server = Server::start(&[]).await;
    let task = json!({"agent_name": "demo", "message": "sleep 2"});
    let waiting = tokio::spawn(call(&server, &task).send());
    let began = std::time::Instant::now();
    let id = loop {
        let (_, list) = server.get("/api/executions?agent=demo&status=running").await;
        if let Some(id) = list["executions"][0]["execution_id"].as_str() {
            break id.to_owned();
        }
        assert!(began.elapsed() < PATIENCE, "it does not start");
        tokio::time::sleep(LOOK).await;
    };
    server.kill();
    assert!(waiting.await.expect("no panic").is_err(), "the ledger was killed while it waited");
    server.start_again().await;
    let answer = call(&server, &task).send().await.expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    let answer = &answer["result"]["structuredContent"];
    assert_eq!((&answer["execution_id"], &answer["replayed"]), (&json!(id), &json!(true)));
    assert_eq!(answer["status"], "completed", "{answer}");
}

#[tokio::test]
async fn a_real_claude_code_run_reaches_the_ledgers_tools_without_any_set_up() {
    let claude = repository(CLAUDE);
    assert!(claude.exists(), "{} is missing: run `make test-tools`", claude.display());
    let mut api = Command::new("python3");
    api.arg(repository("tests/support/model_api.py"));
    let api = Helper::start(api);
    let home = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(&[
        ("ANTHROPIC_BASE_URL", api.url.as_str()),
        ("ANTHROPIC_API_KEY", "dummy"),
        ("HOME", home.path().to_str().expect("a path in UTF-8")),
        ("IS_SANDBOX", "1"),
    ])
    .await;
    let agent = json!({"name": "coder", "runtime": "claude_code", "command": [claude],
        "cwd": home.path(), "models": ["claude-sonnet-5-5"], "allowed_tools": ["Bash(echo *)"]});
    let (status, answer) = server.post("/api/agents", agent).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let task = json!({"message": "[LEDGER] what is going on?"});
    let (status, record) = server.post("/api/agents/coder/task", task).await;
    assert_eq!((status, &record["status"]), (StatusCode::OK, &json!("completed")), "{record}");
    let id = record["execution_id"].as_str().expect("an id");
    // It found itself running, with the key of its own environment.
    let lines = server.transcript("coder", id).await;
    let results = lines.iter().filter_map(|line| line["line"].as_str());
    let mut results = results.filter(|line| line.contains("tool_result"));
    assert!(
        results.any(|line| line.contains(id) && line.contains("running")),
        "the tool was not answered: {lines:#?}"
    );
}
