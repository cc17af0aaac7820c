//! What a run cost where its agent does not say it whole.

use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{CostBasis, Exit, Usage};
use execution_ledger_domain::{NanoUsd, Timestamp};
use serde_json::{Value, json};

use super::super::{Ended, Meter, Pricing, Reading};
use super::{book, exited, read, stdout, stopped, told};

const CODEX: &str = include_str!("../../../tests/fixtures/codex/31_tool.jsonl");
const GEMINI: &str = include_str!("../../../tests/fixtures/gemini/41_tool.jsonl");
const OPENCODE: &str = include_str!("../../../tests/fixtures/opencode/51_tool.jsonl");
const CLAUDE: &str = include_str!("../../../tests/fixtures/claude_code/02_tooluse.jsonl");

fn killed(lines: &[Value]) -> Reading {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    read(Runtime::ClaudeCode, stdout(&lines.join("\n")), &stopped(Exit::Signal(9)))
}

/// One message of a model, whole.
fn message(id: &str, model: &str, input: u64, output: u64) -> Vec<Value> {
    let streamed = |event: Value| json!({"type": "stream_event", "event": event});
    let usage = |output| json!({"input_tokens": input, "output_tokens": output});
    vec![
        streamed(json!({"type": "message_start",
            "message": {"id": id, "model": model, "usage": usage(1)}})),
        streamed(json!({"type": "message_delta", "usage": usage(output)})),
        streamed(json!({"type": "message_stop"})),
    ]
}

fn nanos(reading: &Reading) -> Option<i64> {
    reading.cost.map(NanoUsd::nanos)
}

#[test]
fn a_codex_run_is_priced_as_the_model_that_it_was_told_to_use_and_not_where_it_was_told_none() {
    let reading = told(Runtime::Codex, stdout(CODEX), &exited(0), Some("gpt-fake"));
    // 2300 at 1, 84 at 10 and 100 at 0.1 dollars a million.
    assert_eq!(nanos(&reading), Some(3_150_000));
    assert_eq!(reading.cost_basis, CostBasis::PricedLocally);
    assert_eq!(reading.price_book.as_deref(), Some(book().version()));
    assert_eq!(reading.usage_by_model[0].model, "gpt-fake");
    assert_eq!(reading.model_used, None, "it never said");
    for model in [None, Some("gpt-nobody-knows")] {
        let reading = told(Runtime::Codex, stdout(CODEX), &exited(0), model);
        assert_eq!((reading.cost, reading.cost_basis), (None, CostBasis::Unknown));
        assert_eq!((reading.price_book, reading.usage.is_some()), (None, true));
        assert_eq!(reading.usage_by_model.len(), usize::from(model.is_some()));
    }
    let resumed = Ended { resumed: true, ..exited(0) };
    let reading = told(Runtime::Codex, stdout(CODEX), &resumed, Some("gpt-fake"));
    assert_eq!((reading.cost, reading.usage_by_model), (None, Vec::new()));
}

#[test]
fn of_several_models_one_without_a_price_leaves_the_cost_unknown_and_all_tokens_recorded() {
    let counts = |input: u64, output: u64| json!({"total_tokens": input + output, "input_tokens": input, "output_tokens": output});
    let mut stats = counts(1_010, 102);
    stats["models"] = json!({"gemini-fake": counts(1_000, 100), "gemini-none": counts(10, 2)});
    let two = json!({"type": "result", "status": "success", "stats": stats}).to_string();
    let reading = read(Runtime::Gemini, stdout(&two), &exited(0));
    assert_eq!((reading.cost, reading.cost_basis), (None, CostBasis::Unknown));
    assert_eq!(reading.price_book, None);
    let models: Vec<_> = reading.usage_by_model.iter().map(|of| of.model.as_str()).collect();
    assert_eq!(models, ["gemini-fake", "gemini-none"]);
    // What the models counted is not what the run counted: then nobody knows whose the rest is.
    let rest = GEMINI.replacen("\"total_tokens\":2484", "\"total_tokens\":3000", 1);
    let reading = read(Runtime::Gemini, stdout(&rest), &exited(0));
    assert_eq!((reading.cost, reading.usage_by_model), (None, Vec::new()));
}

#[test]
fn each_message_of_a_killed_run_counts_once_and_for_its_own_model() {
    let mut lines = message("m1", "claude-opus-5-5", 100, 10);
    lines.extend(message("m2", "claude-opus-5-5", 200, 20));
    // Said again, and more than once.
    lines.extend(message("m1", "claude-opus-5-5", 100, 10));
    let reading = killed(&lines);
    assert_eq!(reading.usage, Some(Usage { input: 300, output: 30, ..Usage::default() }));
    // 300 at 1000 and 30 at 2000 dollars a million.
    assert_eq!(nanos(&reading), Some(360_000_000));
    lines.extend(message("m3", "claude-none", 1, 1));
    let reading = killed(&lines);
    assert_eq!((nanos(&reading), reading.cost_basis), (None, CostBasis::Unknown));
    assert_eq!(reading.usage_by_model.len(), 2);
}

#[test]
fn a_message_of_no_known_model_and_a_message_too_many_leave_the_cost_unknown() {
    let mut lines = message("m1", "claude-opus-5-5", 100, 10);
    let delta = json!({"type": "stream_event", "api_message_id": "x",
        "event": {"type": "message_delta", "usage": {"input_tokens": 5, "output_tokens": 5}}});
    lines.push(delta);
    let reading = killed(&lines);
    assert_eq!(nanos(&reading), None);
    assert_eq!(reading.usage, Some(Usage { input: 105, output: 15, ..Usage::default() }));
    // More messages at once than are followed.
    let many: Vec<_> = (0..300)
        .map(|number| message(&format!("m{number}"), "claude-opus-5-5", 1, 1).remove(0))
        .collect();
    let reading = killed(&many);
    assert_eq!((nanos(&reading), reading.usage_by_model), (None, Vec::new()));
}

#[test]
fn a_run_that_was_killed_before_anything_was_used_has_no_cost_and_not_a_cost_of_nothing() {
    let reading = killed(&[json!({"type": "system", "subtype": "init", "session_id": "s"})]);
    assert_eq!((reading.cost, reading.cost_basis), (None, CostBasis::Unknown));
    assert_eq!((reading.usage, reading.usage_by_model), (None, Vec::new()));
}

#[test]
fn a_result_with_tokens_and_without_dollars_is_priced_where_its_messages_say_by_which_model() {
    let mut lines = message("m1", "claude-opus-5-5", 100, 10);
    let result = |input: u64| {
        json!({"type": "result", "subtype": "success", "is_error": false, "result": "yes",
            "usage": {"input_tokens": input, "output_tokens": 10}})
    };
    lines.push(result(100));
    let reading = killed(&lines);
    assert_eq!(nanos(&reading), Some(120_000_000));
    assert_eq!(reading.cost_basis, CostBasis::PricedLocally);
    lines.pop();
    lines.push(result(101));
    assert_eq!(nanos(&killed(&lines)), None);
}

/// What a run cost after each of its lines.
fn costs(runtime: Runtime, output: &str) -> Vec<i64> {
    let mut meter = Meter::of(runtime, false).expect("it says so");
    let prices = book();
    let pricing = Pricing { book: &prices, at: Timestamp::EPOCH, model_told: None };
    let cost = |line| {
        meter.push(line);
        meter.at_least(&pricing).nanos()
    };
    stdout(output).into_iter().map(cost).collect()
}

#[test]
fn the_cost_of_a_run_grows_while_it_runs_and_never_shrinks_before_its_result() {
    let mut lines = message("m1", "claude-opus-5-5", 100, 10);
    lines.extend(message("m2", "claude-none", 100, 10));
    lines.extend(message("m3", "claude-opus-5-5", 1, 0));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let grown = costs(Runtime::ClaudeCode, &lines.join("\n"));
    let million = 1_000_000;
    let expected =
        [102, 120, 120, 120, 120, 120, 123, 123, 123].map(|million_nanos| million_nanos * million);
    assert_eq!(grown, expected);
    assert_eq!(costs(Runtime::Opencode, OPENCODE).last(), Some(&2_468_000));
    assert_eq!(costs(Runtime::ClaudeCode, CLAUDE).last(), Some(&14_300_000));
}

#[test]
fn what_says_its_cost_only_at_its_end_can_not_be_followed() {
    for runtime in [Runtime::Command, Runtime::Codex, Runtime::Gemini] {
        assert!(Meter::of(runtime, false).is_none(), "{runtime:?}");
    }
}
