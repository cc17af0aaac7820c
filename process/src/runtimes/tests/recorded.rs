use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{CostBasis, Exit, FailureCode, ModelUsage, Usage};

use super::super::{Ended, ReadEvidence, Reading};
use super::{book, exited, read, stdout, stopped};

const TOOL_USE: &str = include_str!("../../../tests/fixtures/claude_code/02_tooluse.jsonl");
const INTERRUPTED: &str =
    include_str!("../../../tests/fixtures/claude_code/07_sigint_stream.jsonl");
const API_ERROR: &str = include_str!("../../../tests/fixtures/claude_code/11_E400.jsonl");
const RESUMED: &str = include_str!("../../../tests/fixtures/claude_code/12_resume.jsonl");
const MAX_TURNS: &str = include_str!("../../../tests/fixtures/claude_code/21_max_turns.jsonl");
const MAX_BUDGET: &str = include_str!("../../../tests/fixtures/claude_code/22_max_budget.jsonl");

fn claude(output: &str, ended: Ended) -> Reading {
    read(Runtime::ClaudeCode, stdout(output), &ended)
}

fn nano(nanos: i64) -> Option<NanoUsd> {
    NanoUsd::from_nanos(nanos).ok()
}

#[expect(clippy::unnecessary_wraps, reason = "a reading's usage is optional")]
fn usage(input: u64, output: u64, cache_read: u64, cache_write_5m: u64) -> Option<Usage> {
    Some(Usage { input, output, cache_read, cache_write_5m, cache_write_1h: 0 })
}

/// All of it used by one model, for so many nano-dollars.
fn all_by(model: &str, used: Option<Usage>, nanos: i64) -> Vec<ModelUsage> {
    let of = |usage| ModelUsage { model: model.to_owned(), usage, cost_nano_usd: nano(nanos) };
    used.map(of).into_iter().collect()
}

fn failure(code: FailureCode, message: &str) -> ReadEvidence {
    ReadEvidence::Failure { code, message: Some(message.to_owned()) }
}

#[test]
fn a_run_that_used_a_tool_is_read_exactly() {
    let expected = Reading {
        evidence: ReadEvidence::Success,
        response: Some("Hello from the fake model. mode=TOOL messages=4. ".to_owned()),
        response_cut: false,
        // 0.014299999999999997 dollars.
        cost: nano(14_300_000),
        cost_basis: CostBasis::ProviderReported,
        price_book: None,
        usage: usage(2400, 84, 100, 600),
        usage_by_model: all_by("claude-opus-5-5", usage(2400, 84, 100, 600), 14_300_000),
        model_used: Some("claude-opus-5-5".to_owned()),
        agent_session_id: Some("29ccbe19-73f1-4c03-8430-b2ac525694cd".to_owned()),
        num_turns: Some(2),
    };
    assert_eq!(claude(TOOL_USE, exited(0)), expected);
}

#[test]
fn a_run_that_was_stopped_while_it_streamed_has_no_outcome_but_its_cost_and_tokens() {
    let expected = Reading {
        evidence: ReadEvidence::None,
        response: None,
        response_cut: false,
        cost: nano(6_650_000),
        cost_basis: CostBasis::ProviderReported,
        price_book: None,
        usage: usage(1200, 17, 50, 300),
        usage_by_model: all_by("claude-opus-5-5", usage(1200, 17, 50, 300), 6_650_000),
        model_used: Some("claude-opus-5-5".to_owned()),
        agent_session_id: Some("f4f4b274-1788-4705-93f5-cbc588dd40b1".to_owned()),
        num_turns: Some(2),
    };
    assert_eq!(claude(INTERRUPTED, stopped(Exit::Code(0))), expected);
}

#[test]
fn a_run_that_somebody_else_interrupted_failed() {
    let reading = claude(INTERRUPTED, exited(0));
    let words = "[ede_diagnostic] result_type=user last_content_type=n/a stop_reason=null";
    assert_eq!(reading.evidence, failure(FailureCode::AgentError, words));
}

#[test]
fn a_run_that_was_killed_while_it_streamed_has_the_tokens_and_the_cost_of_its_partial_messages() {
    let killed: Vec<&str> = INTERRUPTED.lines().take(11).collect();
    // By the prices of these tests: 1.2 + 0.002 + 0.005 + 0.9 dollars.
    let expected = Reading {
        cost: nano(2_107_000_000),
        cost_basis: CostBasis::DerivedFromPartials,
        price_book: Some(book().version().to_owned()),
        usage_by_model: all_by("claude-opus-5-5", usage(1200, 1, 50, 300), 2_107_000_000),
        usage: usage(1200, 1, 50, 300),
        model_used: Some("claude-opus-5-5".to_owned()),
        agent_session_id: Some("f4f4b274-1788-4705-93f5-cbc588dd40b1".to_owned()),
        ..Reading::default()
    };
    assert_eq!(claude(&killed.join("\n"), stopped(Exit::Signal(9))), expected);
}

#[test]
fn an_api_error_is_a_failure_although_its_line_says_success() {
    let expected = Reading {
        evidence: failure(FailureCode::AgentError, "API Error: 400 prompt is bad"),
        response: None,
        response_cut: false,
        cost: nano(0),
        cost_basis: CostBasis::ProviderReported,
        price_book: None,
        usage: usage(0, 0, 0, 0),
        usage_by_model: Vec::new(),
        model_used: None,
        agent_session_id: Some("63a4f768-0b53-4b69-9fb0-57c8d5498747".to_owned()),
        num_turns: Some(1),
    };
    assert_eq!(claude(API_ERROR, exited(1)), expected);
}

#[test]
fn an_api_error_of_an_overloaded_provider_is_told_apart_by_its_status() {
    for (status, code) in [
        ("529", FailureCode::Overloaded),
        ("503", FailureCode::Overloaded),
        ("429", FailureCode::Overloaded),
        ("500", FailureCode::AgentError),
        ("null", FailureCode::AgentError),
        ("\"429\"", FailureCode::AgentError),
    ] {
        let status = format!("\"api_error_status\":{status}");
        let line = API_ERROR.replace("\"api_error_status\":400", &status);
        let evidence = claude(&line, exited(1)).evidence;
        assert_eq!(evidence, failure(code, "API Error: 400 prompt is bad"), "{status}");
    }
}

#[test]
fn an_overloaded_provider_in_the_midst_of_work_is_another_failure_than_one_before_it() {
    let overloaded = API_ERROR.replace("\"api_error_status\":400", "\"api_error_status\":529");
    let used_a_tool =
        r#"{"type":"assistant","message":{"id":"m1","model":"claude-sonnet-5-5","content":
        [{"type":"tool_use","name":"Bash","input":{"command":"git push"}}]}}"#
            .replace('\n', "");
    let of_subagent =
        used_a_tool.replace(r#""assistant","#, r#""assistant","parent_tool_use_id":"t","#);
    let counted = r#"{"type":"result","subtype":"success","is_error":false,"result":"one",
        "usage":{"input_tokens":5,"output_tokens":9}}"#
        .replace('\n', "");
    let turns = overloaded.replace("\"num_turns\":1", "\"num_turns\":12");
    assert_ne!(turns, overloaded);
    for output in [
        format!("{used_a_tool}\n{overloaded}"),
        format!("{of_subagent}\n{overloaded}"),
        format!("{counted}\n{overloaded}"),
        turns,
    ] {
        let evidence = claude(&output, exited(1)).evidence;
        let expected = failure(FailureCode::OverloadedMidway, "API Error: 400 prompt is bad");
        assert_eq!(evidence, expected, "{output}");
    }
}

#[test]
fn a_resumed_run_has_only_its_own_cost_and_tokens() {
    let expected = Reading {
        evidence: ReadEvidence::Success,
        response: Some("Hello from the fake model. mode=TEXT messages=6. ".to_owned()),
        response_cut: false,
        // Of 0.010725 dollars that the session has cost in all.
        cost: nano(3_575_000),
        cost_basis: CostBasis::ProviderReported,
        price_book: None,
        usage: usage(1200, 42, 50, 300),
        usage_by_model: all_by("claude-sonnet-5-5", usage(1200, 42, 50, 300), 3_575_000),
        model_used: Some("claude-sonnet-5-5".to_owned()),
        agent_session_id: Some("11111111-2222-4333-8444-555555555555".to_owned()),
        num_turns: Some(1),
    };
    assert_eq!(claude(RESUMED, Ended { resumed: true, ..exited(0) }), expected);
}

#[test]
fn the_total_of_a_session_is_the_cost_of_a_run_only_where_it_resumed_nothing() {
    let line =
        RESUMED.replace("model_usage_since_last_result", "an_older_version_has_no_such_field");
    let fresh = claude(&line, exited(0));
    assert_eq!((fresh.cost, fresh.cost_basis), (nano(10_725_000), CostBasis::ProviderReported));
    let resumed = claude(&line, Ended { resumed: true, ..exited(0) });
    assert_eq!((resumed.cost, resumed.cost_basis), (None, CostBasis::Unknown));
    assert_eq!(resumed.usage, usage(1200, 42, 50, 300));
}

#[test]
fn a_run_that_reached_a_limit_failed_by_it_and_has_a_cost() {
    let turns = claude(MAX_TURNS, exited(1));
    assert_eq!(
        turns.evidence,
        failure(FailureCode::MaxTurns, "Reached maximum number of turns (1)")
    );
    assert_eq!((turns.cost, turns.usage), (nano(3_575_000), usage(1200, 42, 50, 300)));
    let budget = claude(MAX_BUDGET, exited(1));
    assert_eq!(budget.evidence, failure(FailureCode::MaxCost, "Reached maximum budget ($0.001)"));
    // Its `usage` is all zero; what each model used is not.
    assert_eq!((budget.cost, budget.usage), (nano(3_575_000), usage(1200, 42, 50, 300)));
}

#[test]
fn the_results_of_one_run_add_up_and_the_last_one_is_its_outcome() {
    let twice = format!("{TOOL_USE}\n{TOOL_USE}\n{API_ERROR}");
    let reading = claude(&twice, exited(1));
    assert_eq!(reading.cost, nano(28_600_000));
    assert_eq!(reading.usage, usage(4800, 168, 200, 1200));
    assert!(matches!(
        reading.evidence,
        ReadEvidence::Failure { code: FailureCode::AgentError, .. }
    ));
}

#[test]
fn what_a_run_used_after_its_last_result_is_priced_and_added_or_leaves_its_cost_unknown() {
    let cut: Vec<&str> = INTERRUPTED.lines().take(11).collect();
    let cut = cut.join("\n");
    let unpriced = cut.replace("claude-opus-5-5", "claude-nobody-knows");
    let reading = claude(&format!("{TOOL_USE}\n{unpriced}"), stopped(Exit::Signal(9)));
    assert_eq!((reading.cost, reading.cost_basis), (None, CostBasis::Unknown));
    assert_eq!((reading.usage, reading.price_book), (usage(3600, 85, 150, 900), None));
    let costs: Vec<_> = reading.usage_by_model.iter().map(|of| of.cost_nano_usd).collect();
    assert_eq!(costs, [None, nano(14_300_000)]);
    let reading = claude(&format!("{TOOL_USE}\n{cut}"), stopped(Exit::Signal(9)));
    let sum = 14_300_000 + 2_107_000_000;
    assert_eq!((reading.cost, reading.cost_basis), (nano(sum), CostBasis::DerivedFromPartials));
    let of_opus = all_by("claude-opus-5-5", usage(3600, 85, 150, 900), sum);
    assert_eq!(reading.usage_by_model, of_opus);
    assert_eq!(reading.evidence, ReadEvidence::Success);
}

#[test]
fn an_empty_report_of_models_is_no_report_of_a_cost_of_nothing() {
    let result = |total: &str| {
        format!(
            r#"{{"type":"result","subtype":"success","is_error":false,"result":"yes",
            "usage":{{"input_tokens":0,"output_tokens":0}},"model_usage_since_last_result":{{}},
            "total_cost_usd":{total}}}"#
        )
        .replace('\n', "")
    };
    // What was streamed is what was used, and it was not for nothing.
    let streamed: Vec<&str> = INTERRUPTED.lines().take(11).collect();
    let streamed = streamed.join("\n");
    let free = claude(&format!("{streamed}\n{}", result("0")), exited(0));
    assert_eq!((free.cost, free.cost_basis), (nano(2_107_000_000), CostBasis::DerivedFromPartials));
    assert_eq!(free.usage, usage(1200, 1, 50, 300));
    let paid = format!("{streamed}\n{}", result("0.5"));
    assert_eq!(claude(&paid, exited(0)).cost, nano(500_000_000));
    let resumed = claude(&paid, Ended { resumed: true, ..exited(0) });
    assert_eq!(resumed.cost, nano(2_107_000_000), "not the half dollar of the whole session");
}

#[test]
fn the_cost_of_a_simulated_run_is_named_as_such() {
    let simulated = read(Runtime::Demo, stdout(TOOL_USE), &exited(0));
    assert_eq!((simulated.cost, simulated.cost_basis), (nano(14_300_000), CostBasis::Simulated));
    let unknown = read(Runtime::Demo, stdout("nothing"), &exited(1));
    assert_eq!((unknown.cost, unknown.cost_basis), (None, CostBasis::Unknown));
}
