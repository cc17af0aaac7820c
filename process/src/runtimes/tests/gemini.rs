use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{CostBasis, Exit, FailureCode, ModelUsage, Usage};

use super::super::{Ended, ReadEvidence, Reading, RunRequest, plan};
use super::plans::{agent, argv, request};
use super::{book, exited, read, stderr, stdout, stopped};

const TOOL_USE: &str = include_str!("../../../tests/fixtures/gemini/41_tool.jsonl");
const SESSION: &str = "7c07789a-8a99-4eaa-815a-2fd327bc9972";

fn gemini(output: &str, ended: Ended) -> Reading {
    read(Runtime::Gemini, stdout(output), &ended)
}

fn failure(code: FailureCode, message: &str) -> ReadEvidence {
    ReadEvidence::Failure { code, message: Some(message.to_owned()) }
}

fn says(text: &str) -> String {
    serde_json::json!({"type": "message", "role": "assistant", "content": text, "delta": true})
        .to_string()
}

#[test]
fn a_run_that_used_a_tool_is_read_exactly() {
    let used = Usage { input: 2300, output: 84, cache_read: 100, ..Usage::default() };
    let expected = Reading {
        evidence: ReadEvidence::Success,
        response: Some("Hello from fake openai mode=TOOL.".to_owned()),
        response_cut: false,
        // 2300 at 2, 84 at 20 and 100 at 0.2 dollars a million.
        cost: NanoUsd::from_nanos(6_300_000).ok(),
        cost_basis: CostBasis::PricedLocally,
        price_book: Some(book().version().to_owned()),
        usage: Some(used),
        usage_by_model: vec![ModelUsage {
            model: "gemini-fake".to_owned(),
            usage: used,
            cost_nano_usd: NanoUsd::from_nanos(6_300_000).ok(),
        }],
        // Not the one that its first line says was asked for.
        model_used: Some("gemini-fake".to_owned()),
        agent_session_id: Some(SESSION.to_owned()),
        num_turns: None,
    };
    assert_eq!(gemini(TOOL_USE, exited(0)), expected);
    // What it counts is this run's alone.
    assert_eq!(gemini(TOOL_USE, Ended { resumed: true, ..exited(0) }), expected);
}

#[test]
fn the_answer_is_all_that_was_said_after_the_last_tool_call() {
    let success = r#"{"type":"result","status":"success","stats":{}}"#;
    let tool = r#"{"type":"tool_use","tool_name":"x"}"#;
    let lines = [&says("I will look."), tool, &says("It is "), &says("blue."), success];
    assert_eq!(gemini(&lines.join("\n"), exited(0)).response.as_deref(), Some("It is blue."));
    // Where it says nothing more, the last that it said.
    let lines = [&says("Done with this."), tool, success];
    assert_eq!(gemini(&lines.join("\n"), exited(0)).response.as_deref(), Some("Done with this."));
    let user = says("hello").replace("assistant", "user");
    assert_eq!(gemini(&[&user, success].join("\n"), exited(0)).response.as_deref(), Some(""));
}

#[test]
fn thoughts_are_output_and_the_model_is_the_one_that_wrote_most() {
    let result = r#"{"type":"result","status":"success","stats":{"total_tokens":1500,
        "input_tokens":1000,"output_tokens":200,"cached":0,"models":{
        "flash-lite":{"total_tokens":900,"output_tokens":10},"pro":{"output_tokens":190},
        "odd":7,"idle":{"output_tokens":0}}}}"#;
    let reading = gemini(&result.replace('\n', ""), exited(0));
    assert_eq!(reading.usage, Some(Usage { input: 1000, output: 500, ..Usage::default() }));
    assert_eq!(reading.model_used.as_deref(), Some("pro"));
}

#[test]
fn an_api_error_is_a_failure_whose_kind_is_told_by_the_exit_code() {
    let error = r#"{"type":"result","status":"error","error":{"type":"unknown",
        "message":"[API Error: try again later]"},"stats":{"total_tokens":0,"input_tokens":0,
        "output_tokens":0,"cached":0,"models":{"gemini-2.5-pro":{"output_tokens":0}}}}"#
        .replace('\n', "");
    for (exit, code) in [
        // The last bytes of 429, 503, 529, 500 and 400.
        (173, FailureCode::Overloaded),
        (247, FailureCode::Overloaded),
        (17, FailureCode::Overloaded),
        (244, FailureCode::AgentError),
        (144, FailureCode::AgentError),
    ] {
        let reading = gemini(&error, exited(exit));
        assert_eq!(reading.evidence, failure(code, "[API Error: try again later]"), "{exit}");
        assert_eq!(reading.model_used, None);
    }
    let used_a_tool =
        r#"{"type":"tool_use","tool_name":"write_file","tool_id":"1","parameters":{}}"#;
    let wrote = error.replacen("\"output_tokens\":0", "\"output_tokens\":7", 1);
    for output in [format!("{used_a_tool}\n{error}"), wrote] {
        let evidence = gemini(&output, exited(173)).evidence;
        let code = FailureCode::OverloadedMidway;
        assert_eq!(evidence, failure(code, "[API Error: try again later]"), "{output}");
    }
    let turns = error.replace("unknown", "FatalTurnLimitedError");
    let code = FailureCode::MaxTurns;
    assert_eq!(gemini(&turns, exited(53)).evidence, failure(code, "[API Error: try again later]"));
}

#[test]
fn a_run_that_was_stopped_says_nothing_and_one_that_ended_by_itself_failed_in_its_own_words() {
    let started: Vec<&str> = TOOL_USE.lines().take(5).collect();
    let reading = gemini(&started.join("\n"), stopped(Exit::Code(0)));
    let expected = Reading { agent_session_id: Some(SESSION.to_owned()), ..Reading::default() };
    assert_eq!(reading, expected);
    let lines = stderr("Error resuming session: Invalid session identifier");
    let evidence = read(Runtime::Gemini, lines, &exited(42)).evidence;
    let words = "Error resuming session: Invalid session identifier";
    assert_eq!(evidence, failure(FailureCode::AgentFailed, words));
}

#[test]
fn it_is_given_its_message_on_standard_input_and_trusts_the_folder_that_its_agent_works_in() {
    let run = RunRequest {
        model: Some("gemini-2.5-pro"),
        resume_session_id: Some(SESSION),
        ..request("/help -x")
    };
    let config = agent(Runtime::Gemini, &["gemini", "--approval-mode=yolo"]);
    let made = plan(&config, &run).expect("a plan");
    let resume = format!("--resume={SESSION}");
    let expected = [
        "gemini",
        "--approval-mode=yolo",
        "--output-format=stream-json",
        "--model=gemini-2.5-pro",
        &resume,
    ];
    assert_eq!((argv(&made), made.stdin.as_deref()), (expected.to_vec(), Some("/help -x")));
    assert_eq!(made.env["GEMINI_CLI_TRUST_WORKSPACE"], "true");
    assert!(made.env_allow.contains(&"GEMINI_API_KEY".to_owned()));
}
