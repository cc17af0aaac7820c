//! Real opencode through the ledger, against a model API of the test's own on loopback.

use std::path::Path;

use serde_json::{Value, json};

use crate::real_agent::{AGENT, RealAgent, text};

const MODEL: &str = "fake/m1";
/// What one answer costs at the prices below, in dollars.
const ANSWER_USD: f64 = 0.001_239;

/// Opencode's own settings: a provider with a price, and nothing that asks another host.
fn prepare(home: &Path, url: &str) -> Vec<(&'static str, String)> {
    let settings = json!({
        "autoupdate": false,
        "share": "disabled",
        "provider": {"fake": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "fake",
            "options": {"baseURL": format!("{url}/v1"), "apiKey": "dummy"},
            "models": {"m1": {
                "name": "m1",
                // Dollars for a million tokens.
                "cost": {"input": 1, "output": 2, "cache_read": 0.1},
                "limit": {"context": 200_000, "output": 8_000},
            }},
        }},
    });
    let file = home.join("opencode.json");
    std::fs::write(&file, settings.to_string()).expect("settings");
    vec![("OPENCODE_CONFIG", file.display().to_string())]
}

async fn opencode() -> RealAgent {
    let settings = json!({
        "models": [MODEL],
        "allowed_tools": ["bash", "read"],
        "env": {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"},
    });
    RealAgent::start("opencode", &["--pure"], settings, prepare).await
}

fn assert_costs(record: &Value, dollars: f64) {
    let cost = record["cost_usd"].as_f64().expect("a cost");
    assert!((cost - dollars).abs() < 1e-9, "{cost} is not {dollars}");
    assert_eq!(record["cost_basis"], "provider_reported");
}

#[tokio::test]
async fn opencode_answers_and_is_resumed_and_each_run_has_its_own_cost_and_tokens() {
    let agent = opencode().await;
    let first = agent.run(json!({"message": "[TOOL] go"})).await;
    assert_eq!(first["status"], "completed", "{first}");
    assert!(text(&first, "/response").starts_with("Hello from the fake model."), "{first}");
    let usage = |input: u64, output: u64, cache_read: u64| {
        json!({"input": input, "output": output, "cache_read": cache_read, "cache_write_5m": 0,
            "cache_write_1h": 0})
    };
    assert_eq!(first["usage"], usage(2300, 84, 100));
    assert_costs(&first, 2.0 * ANSWER_USD);
    assert_eq!(first["num_turns"], 2);
    let id = text(&first, "/execution_id");
    agent.server.await_output(AGENT, id, r#""output":"hi\n""#).await;

    // The session keeps its messages, and this run has no tool for a command.
    let session = text(&first, "/agent_session_id");
    let again = json!({"message": "[TOOL] and again", "resume_session_id": session,
        "allowed_tools": ["read"]});
    let resumed = agent.run(again).await;
    assert_eq!(resumed["status"], "completed", "{resumed}");
    assert_eq!(resumed["agent_session_id"], session);
    assert!(text(&resumed, "/response").contains("mode=TOOL turns=3"), "{resumed}");
    assert_eq!((&resumed["usage"], &resumed["num_turns"]), (&usage(1150, 42, 50), &json!(1)));
    assert_costs(&resumed, ANSWER_USD);
}

#[tokio::test]
async fn an_error_of_opencodes_api_fails_the_run() {
    let agent = opencode().await;
    let record = agent.run(json!({"message": format!("[E400] {}", "x".repeat(200_000))})).await;
    assert_eq!(record["status"], "failed", "{record}");
    assert_eq!(record["error"]["code"], "agent_error");
    assert!(text(&record, "/error/message").contains("prompt is bad"), "{record}");
}

#[tokio::test]
async fn opencode_is_cancelled_in_a_tool_and_nothing_is_left_of_it() {
    let agent = opencode().await;
    let record = agent.cancelled_in_a_tool().await;
    assert!(record["agent_session_id"].is_string(), "{record}");
}

#[tokio::test]
async fn opencode_reaches_the_ledger_over_mcp_without_any_set_up() {
    let agent = opencode().await;
    let record = agent.run(json!({"message": "[LEDGER] what runs?"})).await;
    assert_eq!(record["status"], "completed", "{record}");
    agent.ledger_told_of_it(&record).await;
}
