//! What runs cost: where that comes from, when it is too much, and when it is known better later.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Server, repository};

/// A recorded run of Claude Code that was interrupted while it streamed.
const INTERRUPTED: &str = "process/tests/fixtures/claude_code/07_sigint_stream.jsonl";
/// So many of its lines come before the answer is whole.
const LINES_BEFORE_THE_END: usize = 11;

/// Starts a simulated run that may cost so much.
async fn submit_demo(server: &Server, message: &str, max_cost_usd: f64) -> String {
    let body = json!({"message": message, "async_mode": true, "max_cost_usd": max_cost_usd});
    let (status, accepted) = server.post("/api/agents/demo/task", body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    accepted["execution_id"].as_str().expect("an id").to_owned()
}

fn assert_stopped_by_its_cost(record: &Value, max_cost_usd: f64) {
    assert_eq!(
        (&record["status"], &record["error"]["code"]),
        (&json!("failed"), &json!("max_cost")),
        "{record}"
    );
    assert_eq!(record["cost_basis"], "simulated");
    let cost = record["cost_usd"].as_f64().expect("a cost");
    // Seen soon after: not twenty seconds of it.
    assert!(cost > max_cost_usd && cost < 2.0 * max_cost_usd, "{cost}");
    let events = record["events"].as_array().expect("events").iter();
    let signals: Vec<_> = events.filter(|event| event["type"] == "execution.signal_sent").collect();
    assert_eq!(signals.len(), 1, "{record}");
    assert_eq!(record["cancellation_requested_at"], Value::Null, "nobody asked for it");
}

#[tokio::test]
async fn a_run_that_passes_what_it_may_cost_is_stopped() {
    let server = Server::start(&[]).await;
    let id = submit_demo(&server, "sleep 20", 0.01).await;
    assert_stopped_by_its_cost(&server.await_end("demo", &id).await, 0.01);
    // What it costs exactly, it may.
    let id = submit_demo(&server, "just the four steps", 0.0084).await;
    let record = server.await_end("demo", &id).await;
    assert_eq!((&record["status"], &record["cost_usd"]), (&json!("completed"), &json!(0.0084)));
}

#[tokio::test]
async fn a_ledger_that_is_killed_and_started_again_keeps_what_a_run_may_cost() {
    let mut server = Server::start(&[]).await;
    let id = submit_demo(&server, "sleep 20", 0.0125).await;
    server.await_output("demo", &id, "second 1 of 20").await;
    server.kill();
    server.start_again().await;
    assert_stopped_by_its_cost(&server.await_end("demo", &id).await, 0.0125);
}

/// An agent that says what the recorded run said, and then nothing more; it does not obey SIGINT.
async fn register_interrupted(server: &Server) {
    let recorded = std::fs::read_to_string(repository(INTERRUPTED)).expect("the recorded run");
    let lines: Vec<&str> = recorded.lines().take(LINES_BEFORE_THE_END).collect();
    let said = server.data_dir().with_file_name("said.jsonl");
    std::fs::write(&said, lines.join("\n") + "\n").expect("written");
    let script = format!("trap '' INT; cat {}; sleep 60 & wait; sleep 60", said.display());
    let agent = json!({"name": "coder", "runtime": "claude_code", "grace_s": 1,
        "command": ["/bin/sh", "-c", script]});
    let (status, answer) = server.post("/api/agents", agent).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

#[tokio::test]
async fn a_killed_run_has_the_cost_that_its_stream_proves_until_somebody_knows_better() {
    let server = Server::start(&[]).await;
    register_interrupted(&server).await;
    let id = server.submit("coder", "hello").await;
    server.await_output("coder", &id, "message_start").await;
    let path = format!("/api/agents/coder/executions/{id}");
    server.post(&format!("{path}/terminate"), json!({})).await;
    let record = server.await_end("coder", &id).await;
    assert_eq!(
        (&record["status"], &record["exit"]),
        (&json!("cancelled"), &json!({"signal": 9})),
        "{record}"
    );
    // 1200 at 4, 1 at 20, 50 at 0.2 and 300 at 5 dollars a million.
    assert_eq!(
        (&record["cost_usd"], &record["cost_basis"]),
        (&json!(0.00633), &json!("derived_from_partials"))
    );
    let used = &record["usage_by_model"][0];
    assert_eq!((&used["model"], &used["cost_usd"]), (&json!("claude-opus-5-5"), &json!(0.00633)));
    let book = record["price_book"].as_str().expect("a price book").to_owned();

    let correct = |arguments: &[&str]| {
        let all: Vec<&str> =
            ["costs", "correct", &id].iter().chain(arguments).chain(&["--json"]).copied().collect();
        let output = server.command(&all);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let same = correct(&["--reprice", "--reason", "is it right?"]);
    assert_eq!((&same["changed"], &same["price_book"]), (&json!(false), &json!(book)));
    let then = same["position"].as_str().expect("a position").to_owned();
    let done = correct(&["--cost", "0.02", "--reason", "the invoice says so"]);
    assert_eq!((&done["cost_before_usd"], &done["changed"]), (&json!(0.00633), &json!(true)));
    let now = done["position"].as_str().expect("a position");

    let (_, costs) = server.get(&format!("/api/costs?by=agent&wait_for={now}")).await;
    assert_eq!(costs["total"]["cost_usd"], json!(0.02), "{costs}");
    let (_, costs) = server.get(&format!("/api/costs?by=agent&as_of={then}")).await;
    assert_eq!(costs["total"]["cost_usd"], json!(0.00633), "{costs}");
    let (_, before) = server.get(&format!("{path}?as_of={then}")).await;
    assert_eq!((&before["cost_usd"], &before["price_book"]), (&json!(0.00633), &json!(book)));
    let shown = server.command(&["show", &id, "--table"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("$0.02 (provider_reported)"), "{shown}");
    assert!(shown.contains("claude-opus-5-5: 1,200 input"), "{shown}");
}

#[tokio::test]
async fn a_price_book_of_ones_own_is_used_or_refused_by_its_line_and_without_a_price_a_cost_is_unknown()
 {
    let folder = tempfile::tempdir().expect("a folder");
    let book = folder.path().join("prices.toml");
    std::fs::write(
        &book,
        "version = \"ours\"\n[[prices]]\nmodel = \"other\"\nfrom = 2026-01-01\ninput = 1\n",
    )
    .expect("written");
    let setting = ("EXECUTION_LEDGER_PRICE_BOOK", book.to_str().expect("a path in UTF-8"));
    let mut server = Server::start(&[setting]).await;
    let prices = server.command(&["costs", "prices", "--json"]);
    let prices: Value = serde_json::from_slice(&prices.stdout).expect("JSON");
    assert!(
        prices["version"].as_str().is_some_and(|version| version.starts_with("ours+")),
        "{prices}"
    );
    register_interrupted(&server).await;
    let id = server.submit("coder", "hello").await;
    server.await_output("coder", &id, "message_start").await;
    server.post(&format!("/api/agents/coder/executions/{id}/terminate"), json!({})).await;
    let record = server.await_end("coder", &id).await;
    assert_eq!((&record["cost_usd"], &record["cost_basis"]), (&Value::Null, &json!("unknown")));
    assert_eq!(record["usage_by_model"][0]["cost_usd"], Value::Null, "{record}");
    assert_eq!(record["usage"]["input"], 1200);
    let listed = server.command(&["list", "--table"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("unknown"), "{listed}");

    server.stop().await;
    std::fs::write(
        &book,
        "version = \"ours\"\n[[prices]]\nmodel = \"other\"\nfrom = 2026-01-01\ninput = -1\n",
    )
    .expect("written");
    server.start_again_unready(&[setting]);
    server.await_exit().await;
    assert!(server.log().contains("line 5: input: -1 is no price"), "{}", server.log());
}
