use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::agent::{AgentConfig, Runtime};
use execution_ledger_domain::execution::{CostBasis, Exit, FailureCode, Usage};
use serde_json::{Value, json};

use super::super::{Ended, ReadEvidence, Reading, RunRequest, plan};
use super::plans::{agent, argv, request};
use super::{exited, read, stderr, stdout, stopped};

const TOOL_USE: &str = include_str!("../../../tests/fixtures/opencode/51_tool.jsonl");
const SESSION: &str = "ses_e02795bbdffeXgGppu79wr9zXg";

fn opencode(output: &str, ended: Ended) -> Reading {
    read(Runtime::Opencode, stdout(output), &ended)
}

fn failure(code: FailureCode, message: &str) -> ReadEvidence {
    ReadEvidence::Failure { code, message: Some(message.to_owned()) }
}

fn error(status: &Value) -> String {
    json!({"type": "error", "sessionID": SESSION, "error": {"name": "APIError",
        "data": {"message": "not now", "statusCode": status, "isRetryable": false}}})
    .to_string()
}

#[test]
fn the_steps_of_a_run_add_up_exactly() {
    let expected = Reading {
        evidence: ReadEvidence::Success,
        response: Some("Hello from fake openai mode=TOOL.".to_owned()),
        response_cut: false,
        // Twice 0.001234 dollars.
        cost: NanoUsd::from_nanos(2_468_000).ok(),
        cost_basis: CostBasis::ProviderReported,
        price_book: None,
        usage: Some(Usage { input: 2300, output: 84, cache_read: 100, ..Usage::default() }),
        usage_by_model: Vec::new(),
        model_used: None,
        agent_session_id: Some(SESSION.to_owned()),
        num_turns: Some(2),
    };
    assert_eq!(opencode(TOOL_USE, exited(0)), expected);
    // Each step counts for itself, also in a session that had others before.
    assert_eq!(opencode(TOOL_USE, Ended { resumed: true, ..exited(0) }), expected);
}

#[test]
fn a_run_that_was_stopped_in_a_tool_has_what_its_finished_steps_cost() {
    let lines: Vec<&str> = TOOL_USE.lines().take(3).collect();
    let reading = opencode(&lines.join("\n"), stopped(Exit::Signal(2)));
    assert_eq!((reading.evidence, reading.response), (ReadEvidence::None, None));
    assert_eq!(reading.cost, NanoUsd::from_nanos(1_234_000).ok());
    assert_eq!(reading.num_turns, Some(1));
    // What a step that was cut off has cost, nobody knows: it is what is proven.
    let lines: Vec<&str> = TOOL_USE.lines().take(5).collect();
    let reading = opencode(&lines.join("\n"), stopped(Exit::Signal(2)));
    assert_eq!(reading.cost, NanoUsd::from_nanos(1_234_000).ok());
    assert_eq!(reading.cost_basis, CostBasis::DerivedFromPartials);
    assert_eq!(reading.usage.map(|usage| usage.output), Some(42));
}

#[test]
fn success_is_that_the_last_step_stopped_and_nothing_went_wrong_after_it() {
    let length = TOOL_USE.replace(r#""reason":"stop""#, r#""reason":"length""#);
    let words = "the model stopped because of: length";
    assert_eq!(opencode(&length, exited(0)).evidence, failure(FailureCode::AgentError, words));
    let open = TOOL_USE.replace(r#""reason":"stop""#, r#""reason":"tool-calls""#);
    let words = "opencode ended without finishing its last step";
    assert_eq!(opencode(&open, exited(0)).evidence, failure(FailureCode::AgentFailed, words));
    let failed = format!("{TOOL_USE}\n{}", error(&json!(400)));
    assert_eq!(opencode(&failed, exited(1)).evidence, failure(FailureCode::AgentError, "not now"));
    let lines = stderr("Error: Session not found");
    let evidence = read(Runtime::Opencode, lines, &exited(1)).evidence;
    assert_eq!(evidence, failure(FailureCode::AgentFailed, "Error: Session not found"));
}

#[test]
fn an_overloaded_provider_is_known_by_its_status() {
    for (status, code) in [
        (json!(429), FailureCode::Overloaded),
        (json!(529), FailureCode::Overloaded),
        (json!(500), FailureCode::AgentError),
        (json!("429"), FailureCode::AgentError),
        (Value::Null, FailureCode::AgentError),
    ] {
        let evidence = opencode(&error(&status), exited(1)).evidence;
        assert_eq!(evidence, failure(code, "not now"), "{status}");
    }
    let begun = r#"{"type":"step_start","part":{"type":"step-start"}}"#;
    let used_a_tool = r#"{"type":"tool_use","part":{"type":"tool","tool":"bash"}}"#;
    for (before, code) in
        [(begun, FailureCode::Overloaded), (used_a_tool, FailureCode::OverloadedMidway)]
    {
        let output = format!("{before}\n{}", error(&json!(429)));
        assert_eq!(opencode(&output, exited(1)).evidence, failure(code, "not now"), "{before}");
    }
    let nameless = r#"{"type":"error","error":{"name":"UnknownError"}}"#;
    let expected = failure(FailureCode::AgentError, "UnknownError");
    assert_eq!(opencode(nameless, exited(1)).evidence, expected);
}

#[test]
fn a_cost_of_nothing_for_some_tokens_is_unknown() {
    let free = TOOL_USE.replace("0.001234", "0");
    let reading = opencode(&free, exited(0));
    assert_eq!((reading.cost, reading.cost_basis), (None, CostBasis::Unknown));
    let half = TOOL_USE.replacen("0.001234", "0", 1);
    assert_eq!(opencode(&half, exited(0)).cost, None);
}

#[test]
fn reasoning_is_output_and_what_was_written_to_a_cache_is_told_apart() {
    let step = r#"{"type":"step_finish","sessionID":"s","part":{"reason":"stop","tokens":
        {"total":1000,"input":100,"output":200,"reasoning":50,"cache":{"write":300,"read":350}},
        "cost":0.5}}"#;
    let reading = opencode(&step.replace('\n', ""), exited(0));
    let expected =
        Usage { input: 100, output: 250, cache_read: 350, cache_write_5m: 300, cache_write_1h: 0 };
    assert_eq!(reading.usage, Some(expected));
}

#[test]
fn a_new_session_is_given_a_title_so_that_no_model_is_asked_for_one() {
    let made = plan(&agent(Runtime::Opencode, &[]), &request("go")).expect("a plan");
    let title = format!("--title=execution {}", request("go").execution_id);
    assert_eq!(argv(&made), ["opencode", "run", "--format=json", &title]);
    assert_eq!(made.stdin.as_deref(), Some("go"));
    assert!(!made.env.contains_key("OPENCODE_PERMISSION"));
    let run = RunRequest { resume_session_id: Some(SESSION), model: Some("a/b"), ..request("go") };
    let made = plan(&agent(Runtime::Opencode, &["/opt/opencode"]), &run).expect("a plan");
    let session = format!("--session={SESSION}");
    let expected = ["/opt/opencode", "run", "--format=json", "--model=a/b", &session];
    assert_eq!(argv(&made), expected);
}

#[test]
fn all_tools_are_denied_but_those_that_are_allowed_and_the_ledgers() {
    let config = AgentConfig {
        allowed_tools: Some(vec!["bash".to_owned(), "read".to_owned()]),
        ..agent(Runtime::Opencode, &[])
    };
    let narrowed = ["read".to_owned()];
    let run = RunRequest { allowed_tools: Some(&narrowed), has_mcp: true, ..request("go") };
    let made = plan(&config, &run).expect("a plan");
    let expected = r#"{"*":"deny","execution-ledger_*":"allow","read":"allow"}"#;
    assert_eq!(made.env["OPENCODE_PERMISSION"], expected);
    let settings: Value = serde_json::from_str(&made.env["OPENCODE_CONFIG_CONTENT"]).expect("JSON");
    let server = &settings["mcp"]["execution-ledger"];
    assert_eq!(server["url"], "http://127.0.0.1:7171/mcp");
    assert_eq!(server["headers"]["Authorization"], "Bearer {env:EXECUTION_LEDGER_KEY}");
}
