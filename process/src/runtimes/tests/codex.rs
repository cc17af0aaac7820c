use execution_ledger_domain::agent::{AgentConfig, Runtime};
use execution_ledger_domain::execution::{CostBasis, Exit, FailureCode, Usage};
use execution_ledger_domain::limits::MESSAGE_MAX_BYTES;

use super::super::{Ended, PlanError, ReadEvidence, Reading, RunRequest, plan};
use super::plans::{agent, argv, request};
use super::{exited, read, stderr, stdout, stopped};

const TOOL_USE: &str = include_str!("../../../tests/fixtures/codex/31_tool.jsonl");
const SESSION: &str = "01a1fd82-4afe-7020-baff-d06dbc968203";

fn codex(output: &str, ended: Ended) -> Reading {
    read(Runtime::Codex, stdout(output), &ended)
}

fn failed(words: &str) -> String {
    serde_json::json!({"type": "turn.failed", "error": {"message": words}}).to_string()
}

fn failure(code: FailureCode, message: &str) -> ReadEvidence {
    ReadEvidence::Failure { code, message: Some(message.to_owned()) }
}

#[test]
fn a_run_that_used_a_tool_is_read_exactly() {
    let expected = Reading {
        evidence: ReadEvidence::Success,
        response: Some("Hello from fake openai mode=TOOL.".to_owned()),
        response_cut: false,
        cost: None,
        cost_basis: CostBasis::Unknown,
        // 2400 in, of which 100 were read from a cache.
        price_book: None,
        usage: Some(Usage { input: 2300, output: 84, cache_read: 100, ..Usage::default() }),
        usage_by_model: Vec::new(),
        model_used: None,
        agent_session_id: Some(SESSION.to_owned()),
        num_turns: None,
    };
    assert_eq!(codex(TOOL_USE, exited(0)), expected);
}

#[test]
fn a_resumed_run_has_no_tokens_because_those_that_are_told_are_the_whole_sessions() {
    let reading = codex(TOOL_USE, Ended { resumed: true, ..exited(0) });
    assert_eq!((reading.evidence, reading.usage), (ReadEvidence::Success, None));
    assert_eq!(reading.agent_session_id.as_deref(), Some(SESSION));
}

#[test]
fn the_last_word_on_the_turn_counts_and_only_a_success_has_an_answer() {
    let reading = codex(&format!("{TOOL_USE}\n{}", failed("prompt is bad")), exited(0));
    assert_eq!(reading.evidence, failure(FailureCode::AgentError, "prompt is bad"));
    assert_eq!(reading.response, None);
    let reading = codex(&format!("{}\n{TOOL_USE}", failed("once more")), exited(1));
    assert_eq!(reading.evidence, ReadEvidence::Success);
}

#[test]
fn an_overloaded_provider_is_known_by_the_words_that_codex_has_for_it() {
    for (words, code) in [
        ("exceeded retry limit, last status: 429 Too Many Requests", FailureCode::Overloaded),
        ("unexpected status 503 Service Unavailable: later", FailureCode::Overloaded),
        ("Selected model is at capacity. Please try a different model.", FailureCode::Overloaded),
        ("You’ve hit your usage limit. Try again at 9 PM.", FailureCode::Overloaded),
        ("unexpected status 500 Internal Server Error", FailureCode::AgentError),
        ("the status of issue 429 is not known", FailureCode::AgentError),
        ("status", FailureCode::AgentError),
        ("status 4é", FailureCode::AgentError),
    ] {
        assert_eq!(codex(&failed(words), exited(1)).evidence, failure(code, words));
    }
    let (words, ended) = ("Selected model is at capacity.", exited(1));
    let warned = r#"{"type":"item.completed","item":{"type":"error","message":"a warning"}}"#;
    let reading = codex(&format!("{warned}\n{}", failed(words)), ended);
    assert_eq!(reading.evidence, failure(FailureCode::Overloaded, words));
    let began = r#"{"type":"item.started","item":{"type":"command_execution","command":"make"}}"#;
    let reading = codex(&format!("{began}\n{}", failed(words)), ended);
    assert_eq!(reading.evidence, failure(FailureCode::OverloadedMidway, words));
}

#[test]
fn a_run_that_was_stopped_says_nothing_and_one_that_ended_by_itself_failed_in_its_own_words() {
    let started: Vec<&str> = TOOL_USE.lines().take(4).collect();
    let reading = codex(&started.join("\n"), stopped(Exit::Code(1)));
    let expected = Reading { agent_session_id: Some(SESSION.to_owned()), ..Reading::default() };
    assert_eq!(reading, expected);
    let lines = stderr("Error: thread/resume failed: no rollout found for thread id");
    let reading = read(Runtime::Codex, lines, &exited(1));
    let words = "Error: thread/resume failed: no rollout found for thread id";
    assert_eq!(reading.evidence, failure(FailureCode::AgentFailed, words));
}

#[test]
fn it_is_given_its_message_on_standard_input_however_long_it_is() {
    let long = "x".repeat(MESSAGE_MAX_BYTES);
    let made = plan(&agent(Runtime::Codex, &[]), &request(&long)).expect("a plan");
    let expected = ["codex", "exec", "--json", "--skip-git-repo-check", "--", "-"];
    assert_eq!((argv(&made), made.stdin.as_ref()), (expected.to_vec(), Some(&long)));
    assert!(made.env_allow.contains(&"OPENAI_API_KEY".to_owned()));
}

#[test]
fn a_session_a_model_and_a_system_prompt_are_an_argument_each() {
    let run = RunRequest {
        model: Some("gpt-x"),
        resume_session_id: Some(SESSION),
        system_prompt: Some("say \"a\\b\"\u{7f}\n"),
        has_mcp: true,
        ..request("go")
    };
    let config = agent(Runtime::Codex, &["/opt/codex", "-c", "sandbox_mode=read-only"]);
    let made = plan(&config, &run).expect("a plan");
    let expected = [
        "/opt/codex",
        "-c",
        "sandbox_mode=read-only",
        "exec",
        "resume",
        "--json",
        "--skip-git-repo-check",
        "--model=gpt-x",
        r#"--config=developer_instructions="say \"a\\b\"\u007f\n""#,
        r#"--config=mcp_servers.execution-ledger.url="http://127.0.0.1:7171/mcp""#,
        r#"--config=mcp_servers.execution-ledger.bearer_token_env_var="EXECUTION_LEDGER_KEY""#,
        r#"--config=mcp_servers.execution-ledger.default_tools_approval_mode="approve""#,
        "--",
        SESSION,
        "-",
    ];
    assert_eq!(argv(&made), expected);
}

#[test]
fn what_it_can_not_be_held_to_is_refused_also_where_it_was_accepted_for_another_program() {
    let config = AgentConfig { models: vec!["m".to_owned()], ..agent(Runtime::Codex, &[]) };
    let refused = |run: RunRequest<'_>| {
        matches!(plan(&config, &run), Err(PlanError::Unkeepable { runtime: Runtime::Codex, .. }))
    };
    assert!(refused(RunRequest { allowed_tools: Some(&[]), ..request("go") }));
    assert!(refused(RunRequest { max_turns: Some(1), ..request("go") }));
    assert!(!refused(RunRequest { system_prompt: Some("x"), ..request("go") }));
}
