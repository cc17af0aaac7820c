//! Real codex through the ledger, against a model API of the test's own on loopback.

use std::path::Path;

use serde_json::{Value, json};

use crate::real_agent::{AGENT, RealAgent, text};

/// A model that codex does not know; it says so and goes on.
const MODEL: &str = "gpt-fake";
/// Words of a system prompt that have to be quoted.
const SYSTEM_PROMPT: &str = "Answer \"briefly\".\nC:\\x";

/// Codex's own settings: the model API, no retries, and no sandbox, which needs more than every
/// machine that runs tests gives.
fn prepare(home: &Path, url: &str) -> Vec<(&'static str, String)> {
    let settings = format!(
        r#"
model_provider = "fake"
sandbox_mode = "danger-full-access"
approval_policy = "never"
[analytics]
enabled = false
[model_providers.fake]
name = "fake"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 0
stream_max_retries = 0
"#
    );
    let codex_home = home.join("codex");
    std::fs::create_dir(&codex_home).expect("a folder");
    std::fs::write(codex_home.join("config.toml"), settings).expect("settings");
    vec![("CODEX_HOME", codex_home.display().to_string()), ("OPENAI_API_KEY", "dummy".to_owned())]
}

async fn codex() -> RealAgent {
    let settings = json!({"models": [MODEL], "allow_system_prompt": true});
    RealAgent::start("codex", &[], settings, prepare).await
}

#[tokio::test]
async fn codex_answers_and_is_resumed_and_what_the_session_used_before_is_not_counted_again() {
    let agent = codex().await;
    let first =
        agent.run(json!({"message": "[TOOL] --help", "system_prompt": SYSTEM_PROMPT})).await;
    assert_eq!(first["status"], "completed", "{first}");
    assert!(text(&first, "/response").starts_with("Hello from the fake model."), "{first}");
    let usage = json!({"input": 2300, "output": 84, "cache_read": 100, "cache_write_5m": 0,
        "cache_write_1h": 0});
    assert_eq!(first["usage"], usage);
    assert_eq!((&first["cost_usd"], &first["cost_basis"]), (&Value::Null, &json!("unknown")));
    assert_eq!((&first["exit"], &first["model_used"]), (&json!({"code": 0}), &Value::Null));
    let id = text(&first, "/execution_id");
    agent.server.await_output(AGENT, id, r#""aggregated_output":"hi\n""#).await;

    let session = text(&first, "/agent_session_id");
    let again = json!({"message": "[TEXT] and again", "resume_session_id": session});
    let resumed = agent.run(again).await;
    assert_eq!(resumed["status"], "completed", "{resumed}");
    assert_eq!(resumed["agent_session_id"], session);
    assert_ne!(resumed["response"], first["response"], "it remembers the first run");
    assert_eq!(resumed["usage"], Value::Null, "codex tells only what the whole session used");

    let prompt = json!({"message": "x", "resume_session_id": session, "system_prompt": "y"});
    assert_eq!(agent.refused(prompt).await["code"], "system_prompt_not_permitted");
    let turns = agent.refused(json!({"message": "x", "max_turns": 3})).await;
    assert!(text(&turns, "/detail").contains("codex"), "{turns}");
}

#[tokio::test]
async fn an_error_of_codexs_api_fails_the_run_and_a_limited_rate_is_told_apart() {
    let agent = codex().await;
    let long = format!("[E400] {}", "x".repeat(200_000));
    let record = agent.run(json!({"message": long})).await;
    assert_eq!(record["status"], "failed", "{record}");
    assert_eq!(record["error"]["code"], "agent_error");
    assert!(text(&record, "/error/message").contains("prompt is bad"), "{record}");
    let record = agent.run(json!({"message": "[E429] go"})).await;
    assert_eq!(record["status"], "failed", "{record}");
    assert_eq!(record["error"]["code"], "overloaded", "{record}");
}

#[tokio::test]
async fn codex_is_cancelled_in_a_tool_and_nothing_is_left_of_it() {
    let agent = codex().await;
    let record = agent.cancelled_in_a_tool().await;
    assert!(record["agent_session_id"].is_string(), "{record}");
}

#[tokio::test]
async fn codex_reaches_the_ledger_over_mcp_without_any_set_up() {
    let agent = codex().await;
    let record = agent.run(json!({"message": "[LEDGER] what runs?"})).await;
    assert_eq!(record["status"], "completed", "{record}");
    agent.ledger_told_of_it(&record).await;
}
