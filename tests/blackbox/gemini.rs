//! Real Gemini CLI through the ledger, against a model API of the test's own on loopback.

use std::path::Path;

use serde_json::{Value, json};

use crate::real_agent::{AGENT, RealAgent, text};

const MODEL: &str = "gemini-2.5-pro";

/// Gemini's own settings: how it signs in, no retries, and where a run finds the ledger.
fn prepare(home: &Path, url: &str) -> Vec<(&'static str, String)> {
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"maxAttempts": 1, "disableAutoUpdate": true},
        "mcpServers": {"execution-ledger": {
            "httpUrl": "$EXECUTION_LEDGER_URL/mcp",
            "headers": {"Authorization": "Bearer $EXECUTION_LEDGER_KEY"},
            "trust": true,
        }},
        "privacy": {"usageStatisticsEnabled": false},
    });
    let folder = home.join(".gemini");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("settings.json"), settings.to_string()).expect("settings");
    vec![("GEMINI_API_KEY", "dummy".to_owned()), ("GOOGLE_GEMINI_BASE_URL", url.to_owned())]
}

async fn gemini() -> RealAgent {
    let settings = json!({"models": [MODEL]});
    RealAgent::start("gemini", &["--approval-mode=yolo"], settings, prepare).await
}

#[tokio::test]
async fn gemini_answers_and_is_resumed_and_each_run_has_its_own_tokens() {
    let agent = gemini().await;
    let first = agent.run(json!({"message": "[TOOL] go"})).await;
    assert_eq!(first["status"], "completed", "{first}");
    assert!(text(&first, "/response").starts_with("Hello from the fake model."), "{first}");
    let usage = |input: u64, output: u64, cache_read: u64| {
        json!({"input": input, "output": output, "cache_read": cache_read, "cache_write_5m": 0,
            "cache_write_1h": 0})
    };
    assert_eq!(first["usage"], usage(2300, 84, 100));
    assert_eq!(first["model_used"], MODEL);
    // gemini-cli names no dollars: its tokens are priced by the built-in book.
    assert_eq!(
        (&first["cost_usd"], &first["cost_basis"]),
        (&json!(0.003_727_5), &json!("priced_locally"))
    );
    let id = text(&first, "/execution_id");
    agent.server.await_output(AGENT, id, r#""output":"hi""#).await;

    let session = text(&first, "/agent_session_id");
    let again = json!({"message": "[TEXT] and again", "resume_session_id": session});
    let resumed = agent.run(again).await;
    assert_eq!(resumed["status"], "completed", "{resumed}");
    assert_eq!(resumed["agent_session_id"], session);
    assert_ne!(resumed["response"], first["response"], "it remembers the first run");
    assert_eq!(resumed["usage"], usage(1150, 42, 50));

    let tools = agent.refused(json!({"message": "x", "allowed_tools": ["read_file"]})).await;
    assert_eq!(tools["code"], "tools_not_listed");
    assert!(text(&tools, "/detail").contains("gemini"), "{tools}");
}

#[tokio::test]
async fn an_error_of_geminis_api_fails_the_run_and_a_limited_rate_is_told_apart() {
    let agent = gemini().await;
    let bad = agent.run(json!({"message": format!("[E400] {}", "x".repeat(200_000))}));
    let limited = agent.run(json!({"message": "[E429] go"}));
    let (bad, limited) = tokio::join!(bad, limited);
    assert_eq!(bad["status"], "failed", "{bad}");
    assert_eq!(bad["error"]["code"], "agent_error");
    assert!(text(&bad, "/error/message").contains("prompt is bad"), "{bad}");
    assert_eq!(limited["status"], "failed", "{limited}");
    assert_eq!(limited["error"]["code"], "overloaded", "{limited}");
    assert_eq!(limited["model_used"], Value::Null);
}

#[tokio::test]
async fn gemini_is_cancelled_in_a_tool_and_nothing_is_left_of_it() {
    let agent = gemini().await;
    let record = agent.cancelled_in_a_tool().await;
    assert!(record["agent_session_id"].is_string(), "{record}");
}

#[tokio::test]
async fn gemini_reaches_the_ledger_over_mcp_by_an_entry_of_its_own_settings() {
    let agent = gemini().await;
    let record = agent.run(json!({"message": "[LEDGER] what runs?"})).await;
    assert_eq!(record["status"], "completed", "{record}");
    agent.ledger_told_of_it(&record).await;
}
