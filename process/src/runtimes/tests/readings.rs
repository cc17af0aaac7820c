use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{Exit, FailureCode, Usage};
use execution_ledger_domain::limits::{ERROR_TEXT_MAX_BYTES, RESPONSE_MAX_BYTES};
use proptest::prelude::*;

use super::super::{
    Ended, JOINED_LINE_MAX_BYTES, RESPONSE_TAIL_MAX_BYTES, ReadEvidence, STDERR_TAIL_MAX_BYTES,
};
use super::{exited, line, read, stderr, stdout, stopped};
use crate::transcript::{LINE_MAX_BYTES, Line, OutputStream};

const SUCCESS: &str = r#"{"type":"result","subtype":"success","is_error":false,"result":"yes"}"#;

fn failure(code: FailureCode, message: Option<&str>) -> ReadEvidence {
    ReadEvidence::Failure { code, message: message.map(str::to_owned) }
}

#[test]
fn a_commands_answer_is_what_it_prints_and_its_success_is_exit_0() {
    let mut lines = stdout("one\ntwo");
    lines.extend(stderr("a warning"));
    let reading = read(Runtime::Command, lines, &exited(0));
    assert_eq!(reading.evidence, ReadEvidence::Success);
    assert_eq!(reading.response.as_deref(), Some("one\ntwo"));
    assert_eq!((reading.cost, reading.response_cut), (None, false));
}

#[test]
fn a_command_that_exits_otherwise_failed_in_the_words_of_its_standard_error() {
    let lines = stderr("no such file\n");
    let reading = read(Runtime::Command, lines.clone(), &exited(3));
    assert_eq!(reading.evidence, failure(FailureCode::AgentFailed, Some("no such file")));
    let killed = Ended { exit: Some(Exit::Signal(11)), signalled: false, resumed: false };
    let reading = read(Runtime::Command, lines, &killed);
    assert_eq!(reading.evidence, failure(FailureCode::KilledBySignal, Some("no such file")));
    let long = stderr(&"ä".repeat(STDERR_TAIL_MAX_BYTES));
    let ReadEvidence::Failure { message: Some(words), .. } =
        read(Runtime::Command, long, &exited(1)).evidence
    else {
        panic!("a failure with words");
    };
    assert_eq!(words.len(), STDERR_TAIL_MAX_BYTES);
}

#[test]
fn a_command_that_exits_with_0_after_our_signal_has_not_succeeded() {
    let reading = read(Runtime::Command, stdout("bye"), &stopped(Exit::Code(0)));
    assert_eq!(reading.evidence, ReadEvidence::None);
    assert_eq!(reading.response.as_deref(), Some("bye"));
}

#[test]
fn of_a_long_output_the_end_is_the_answer_cut_between_characters() {
    let mut lines = vec![line(OutputStream::Stdout, &"ä".repeat(LINE_MAX_BYTES / 2)); 3];
    lines[0].continued = true;
    lines.push(line(OutputStream::Stdout, "end"));
    let reading = read(Runtime::Command, lines, &exited(0));
    let response = reading.response.expect("an answer");
    assert!(reading.response_cut);
    assert!(response.ends_with("ä\nend"));
    assert_eq!(response.len(), RESPONSE_TAIL_MAX_BYTES);
}

#[test]
fn claude_without_a_result_failed_in_the_words_of_its_standard_error() {
    let lines = stderr("Error: Session ID is already in use.");
    let reading = read(Runtime::ClaudeCode, lines, &exited(1));
    let words = Some("Error: Session ID is already in use.");
    assert_eq!(reading.evidence, failure(FailureCode::AgentFailed, words));
    let silent = read(Runtime::ClaudeCode, stdout("what?"), &exited(0));
    let words = Some("the agent ended without a result");
    assert_eq!(silent.evidence, failure(FailureCode::AgentFailed, words));
    let ours = read(Runtime::ClaudeCode, stdout(""), &stopped(Exit::Signal(9)));
    assert_eq!(ours.evidence, ReadEvidence::None);
}

#[test]
fn claude_succeeds_by_its_word_alone_also_against_our_signal() {
    let reading = read(Runtime::ClaudeCode, stdout(SUCCESS), &stopped(Exit::Code(0)));
    assert_eq!(reading.evidence, ReadEvidence::Success);
    for unsure in [
        SUCCESS.replace("false", "null"),
        SUCCESS.replace(r#""is_error":false,"#, ""),
        SUCCESS.replace(r#""success""#, r#""error_max_turns""#),
    ] {
        let reading = read(Runtime::ClaudeCode, stdout(&unsure), &exited(0));
        assert!(matches!(reading.evidence, ReadEvidence::Failure { .. }), "{unsure}");
    }
}

#[test]
fn an_unknown_session_that_was_to_be_resumed_is_no_session_of_this_run() {
    let output = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"num_turns":0,
        "session_id":"s","total_cost_usd":0,"errors":["No conversation found with session ID: s"]}"#;
    let reading = read(
        Runtime::ClaudeCode,
        stdout(&output.replace('\n', "")),
        &Ended { resumed: true, ..exited(1) },
    );
    let words = Some("No conversation found with session ID: s");
    assert_eq!(reading.evidence, failure(FailureCode::AgentError, words));
    assert_eq!(reading.agent_session_id, None);
    // The whole session has cost nothing, so this run has neither.
    assert_eq!(reading.cost.map(NanoUsd::nanos), Some(0));
}

#[test]
fn cache_writes_are_told_apart_and_those_without_a_class_count_as_five_minutes() {
    let output = r#"{"type":"result","is_error":false,"usage":{"input_tokens":1,"output_tokens":2,
        "cache_read_input_tokens":3,"cache_creation_input_tokens":100,
        "cache_creation":{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":60}}}"#;
    let reading = read(Runtime::ClaudeCode, stdout(&output.replace('\n', "")), &exited(0));
    let expected =
        Usage { input: 1, output: 2, cache_read: 3, cache_write_5m: 40, cache_write_1h: 60 };
    assert_eq!(reading.usage, Some(expected));
}

#[test]
fn the_model_is_the_one_that_answered_and_never_a_sub_agents() {
    let assistant = |model: &str, parent: &str| {
        format!(
            r#"{{"type":"assistant","message":{{"model":"{model}"}},"parent_tool_use_id":{parent}}}"#
        )
    };
    let lines = [
        assistant("main-model", "null"),
        assistant("small-model", r#""toolu_1""#),
        assistant("<synthetic>", "null"),
    ];
    let reading = read(Runtime::ClaudeCode, stdout(&lines.join("\n")), &exited(1));
    assert_eq!(reading.model_used.as_deref(), Some("main-model"));
}

/// The parts of one long line, as the supervisor splits it.
fn split(text: &str) -> Vec<Line> {
    let chunks: Vec<&[u8]> = text.as_bytes().chunks(LINE_MAX_BYTES).collect();
    let last = chunks.len() - 1;
    let part = |(index, chunk): (usize, &&[u8])| {
        let mut part = line(OutputStream::Stdout, std::str::from_utf8(chunk).expect("ASCII"));
        part.continued = index < last;
        part
    };
    chunks.iter().enumerate().map(part).collect()
}

#[test]
fn a_split_line_is_read_whole_and_one_beyond_the_limit_is_passed_over() {
    let long = SUCCESS.replace("yes", &"y".repeat(3 * LINE_MAX_BYTES));
    let mut lines = split(&long);
    lines.insert(1, line(OutputStream::Stderr, "in between"));
    let reading = read(Runtime::ClaudeCode, lines, &exited(0));
    assert_eq!(reading.response.map(|answer| answer.len()), Some(RESPONSE_MAX_BYTES));
    assert!(reading.response_cut);

    let mut lines = split(&SUCCESS.replace("yes", &"y".repeat(JOINED_LINE_MAX_BYTES)));
    lines.extend(stdout(SUCCESS));
    let reading = read(Runtime::ClaudeCode, lines, &exited(0));
    assert_eq!(reading.response.as_deref(), Some("yes"));
}

/// Output that is nearly right: known keys with values of any kind.
fn nearly_right() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "type",
        "subtype",
        "event",
        "message",
        "usage",
        "model_usage_since_last_result",
        "modelUsage",
        "m",
        "total_cost_usd",
        "is_error",
        "result",
        "errors",
        "session_id",
        "model",
        "api_message_id",
        "costUSD",
        "input_tokens",
        "thread_id",
        "sessionID",
        "item",
        "text",
        "content",
        "role",
        "status",
        "stats",
        "models",
        "part",
        "reason",
        "cost",
        "tokens",
        "error",
        "data",
        "statusCode",
    ]);
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "result",
            "assistant",
            "stream_event",
            "message_delta",
            "item.completed",
            "agent_message",
            "turn.completed",
            "turn.failed",
            "message",
            "tool_use",
            "success",
            "text",
            "step_start",
            "step_finish",
            "stop",
            "error",
            "x",
        ])
        .prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
    .prop_map(|value| value.to_string())
}

proptest! {
    #[test]
    fn no_output_makes_the_reading_fail_or_break_its_limits(
        lines in prop::collection::vec(
            (any::<bool>(), any::<bool>(), prop_oneof![nearly_right(), any::<String>()]),
            0..24,
        ),
        signalled: bool,
        resumed: bool,
    ) {
        let lines: Vec<Line> = lines.into_iter().map(|(error, continued, text)| {
            let stream = if error { OutputStream::Stderr } else { OutputStream::Stdout };
            Line { continued, ..line(stream, &text) }
        }).collect();
        let ended = Ended { exit: Some(Exit::Code(0)), signalled, resumed };
        for runtime in [
            Runtime::Command,
            Runtime::ClaudeCode,
            Runtime::Codex,
            Runtime::Gemini,
            Runtime::Opencode,
            Runtime::Demo,
        ] {
            let reading = read(runtime, lines.clone(), &ended);
            prop_assert!(reading.cost.is_none_or(|cost| cost.nanos() >= 0));
            prop_assert!(reading.response.is_none_or(|text| text.len() <= RESPONSE_MAX_BYTES));
            if let ReadEvidence::Failure { message: Some(text), .. } = reading.evidence {
                prop_assert!(text.len() <= ERROR_TEXT_MAX_BYTES);
            }
        }
    }
}
