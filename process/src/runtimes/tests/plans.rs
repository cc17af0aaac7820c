use std::path::{Path, PathBuf};

use execution_ledger_domain::agent::{AgentConfig, PromptBy, Runtime};
use execution_ledger_domain::limits::MESSAGE_AS_ARGUMENT_MAX_BYTES;
use execution_ledger_domain::{ExecutionId, NanoUsd};

use super::super::{Plan, PlanError, RunRequest, plan};

pub(super) fn request(message: &str) -> RunRequest<'_> {
    RunRequest {
        execution_id: ExecutionId::derived("a test", &"a".parse().expect("a name"), "key"),
        message,
        model: None,
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
        resume_session_id: None,
        max_cost: None,
        mcp_config_path: Path::new("/runs/mcp.json"),
        ledger_url: "http://127.0.0.1:7171",
        has_mcp: false,
    }
}

pub(super) fn agent(runtime: Runtime, command: &[&str]) -> AgentConfig {
    AgentConfig::of(runtime, command.iter().map(|&word| word.to_owned()).collect())
}

pub(super) fn argv(plan: &Plan) -> Vec<&str> {
    plan.argv.iter().map(String::as_str).collect()
}

const CLAUDE: [&str; 6] =
    ["claude", "-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"];

#[test]
fn a_command_gets_the_message_as_its_last_argument_and_nothing_else() {
    let made = plan(&agent(Runtime::Command, &["sh", "-c"]), &request("-x $HOME")).expect("a plan");
    let expected = ["sh", "-c", "-x $HOME"].map(str::to_owned).to_vec();
    assert_eq!(made, Plan { argv: expected, ..Plan::default() });
}

#[test]
fn a_command_gets_the_message_on_standard_input_where_its_agent_says_so() {
    let config = AgentConfig { prompt: PromptBy::Stdin, ..agent(Runtime::Command, &["cat"]) };
    let long = "x".repeat(MESSAGE_AS_ARGUMENT_MAX_BYTES + 1);
    let made = plan(&config, &request(&long)).expect("a plan");
    assert_eq!((argv(&made), made.stdin.as_ref()), (vec!["cat"], Some(&long)));
}

#[test]
fn a_message_of_128_001_bytes_is_no_argument() {
    let fits = "x".repeat(MESSAGE_AS_ARGUMENT_MAX_BYTES);
    let too_long = format!("{fits}x");
    let config = agent(Runtime::Command, &["echo"]);
    assert!(plan(&config, &request(&fits)).is_ok());
    let refused = PlanError::MessageTooLong { bytes: 128_001 };
    assert_eq!(plan(&config, &request(&too_long)), Err(refused));
    assert_eq!(plan(&agent(Runtime::Command, &[]), &request("x")), Err(PlanError::NoCommand));
}

#[test]
fn claude_is_started_in_print_mode_with_the_message_behind_two_dashes() {
    let made = plan(&agent(Runtime::ClaudeCode, &[]), &request("--help")).expect("a plan");
    assert_eq!(argv(&made), [&CLAUDE[..], &["--", "--help"]].concat());
    assert_eq!((made.stdin, made.files), (None, vec![]));
    assert_eq!(made.env["DISABLE_AUTOUPDATER"], "1");
    assert_eq!(made.env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"], "1");
    assert!(made.env_allow.contains(&"ANTHROPIC_API_KEY".to_owned()));
}

#[test]
fn each_wish_is_one_argument_of_claudes_so_that_no_value_is_a_flag() {
    let tools = ["Bash(git log, --all *)", "Read", "mcp__wiki__search"].map(str::to_owned);
    let run = RunRequest {
        model: Some("sonnet"),
        allowed_tools: Some(&tools),
        system_prompt: Some("- be brief"),
        max_turns: Some(7),
        resume_session_id: Some("s-1"),
        max_cost: Some(NanoUsd::from_nanos(1_500_000_001).expect("in range")),
        ..request("go")
    };
    let made = plan(&agent(Runtime::ClaudeCode, &["/opt/claude", "--x"]), &run).expect("a plan");
    let mut expected = vec!["/opt/claude", "--x"];
    expected.extend(&CLAUDE[1..]);
    expected.extend([
        "--model=sonnet",
        "--append-system-prompt=- be brief",
        "--max-turns=7",
        "--max-budget-usd=1.500000001",
        "--resume=s-1",
        "--tools=Bash,Read",
        "--allowedTools=Bash(git log, --all *)",
        "--allowedTools=Read",
        "--allowedTools=mcp__wiki__search",
        "--",
        "go",
    ]);
    assert_eq!(argv(&made), expected);
}

#[test]
fn what_a_caller_leaves_open_is_the_agents_own_setting() {
    let config = AgentConfig {
        models: vec!["opus".to_owned(), "sonnet".to_owned()],
        allowed_tools: Some(vec![]),
        max_turns: Some(3),
        max_cost_nano_usd: Some(NanoUsd::from_nanos(250_000_000).expect("in range")),
        ..agent(Runtime::ClaudeCode, &[])
    };
    let made = plan(&config, &request("go")).expect("a plan");
    let wishes = ["--model=opus", "--max-turns=3", "--max-budget-usd=0.25", "--tools="];
    assert_eq!(argv(&made), [&CLAUDE[..], &wishes, &["--", "go"]].concat());
}

#[test]
fn a_long_message_goes_to_claude_by_standard_input() {
    let long = "x".repeat(MESSAGE_AS_ARGUMENT_MAX_BYTES + 1);
    let made = plan(&agent(Runtime::ClaudeCode, &[]), &request(&long)).expect("a plan");
    assert_eq!((argv(&made), made.stdin.as_ref()), (CLAUDE.to_vec(), Some(&long)));
}

#[test]
fn a_run_that_may_use_the_ledger_is_given_it_as_an_mcp_server_without_a_secret_in_the_file() {
    let run = RunRequest { has_mcp: true, ..request("go") };
    let made = plan(&agent(Runtime::ClaudeCode, &[]), &run).expect("a plan");
    let flags = ["--allowedTools=mcp__execution-ledger", "--mcp-config=/runs/mcp.json"];
    assert_eq!(argv(&made), [&CLAUDE[..], &flags, &["--", "go"]].concat());
    let [(path, text)] = &made.files[..] else { panic!("one file") };
    assert_eq!(path, &PathBuf::from("/runs/mcp.json"));
    let file: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let server = &file["mcpServers"]["execution-ledger"];
    assert_eq!(server["url"], "http://127.0.0.1:7171/mcp");
    assert_eq!(server["headers"]["Authorization"], "Bearer ${EXECUTION_LEDGER_KEY}");
}

#[test]
fn a_run_of_another_system_user_is_given_the_mcp_server_as_an_argument() {
    let run = RunRequest { has_mcp: true, ..request("go") };
    let config =
        AgentConfig { run_as: Some("nobody".to_owned()), ..agent(Runtime::ClaudeCode, &[]) };
    let made = plan(&config, &run).expect("a plan");
    assert!(made.files.is_empty());
    let text = argv(&made).into_iter().find_map(|word| word.strip_prefix("--mcp-config="));
    let text: serde_json::Value = serde_json::from_str(text.expect("a flag")).expect("JSON");
    let server = &text["mcpServers"]["execution-ledger"];
    assert_eq!(server["headers"]["Authorization"], "Bearer ${EXECUTION_LEDGER_KEY}");
}

#[test]
fn the_simulated_agent_is_the_ledgers_own_program() {
    let run = RunRequest { resume_session_id: Some("demo-1"), ..request("fail") };
    let made = plan(&agent(Runtime::Demo, &[]), &run).expect("a plan");
    assert_eq!(argv(&made), ["/proc/self/exe", "demo-agent"]);
    assert_eq!(made.stdin.as_deref(), Some("fail"));
    assert_eq!(made.env["EXECUTION_LEDGER_DEMO_RESUME"], "demo-1");
}
