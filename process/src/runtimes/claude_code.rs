//! Claude Code, started for one task: `claude -p --output-format stream-json`.
//!
//! Its output is read by [`super::stream_json`].

use execution_ledger_domain::agent::{AgentConfig, PromptBy, Runtime};
use execution_ledger_domain::limits::MESSAGE_AS_ARGUMENT_MAX_BYTES;

use super::plan::{MCP_SERVER, Plan, RunRequest, model_argument, program};

/// How its MCP tools are named: they have this prefix and are switched on by other means.
const MCP_TOOL_PREFIX: &str = "mcp__";

/// Print mode, one line of JSON for each event. `--verbose` is required with it; partial messages
/// are all that a killed run leaves of its token counts.
const ALWAYS: [&str; 5] =
    ["-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"];

/// No telemetry, no update check: neither belongs into an unattended run.
const SET: [(&str, &str); 2] =
    [("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"), ("DISABLE_AUTOUPDATER", "1")];

/// How it finds its model, its credentials and its own settings; `IS_SANDBOX` says that it may be
/// root without asking for each tool.
const ENV_ALLOW: [&str; 7] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
    "HOME",
    "IS_SANDBOX",
];

/// The command line of a run.
///
/// Values stand in the argument of their flag (`--model=X`), so none can be taken for a flag, and
/// the message stands behind `--`. A message that is too long for an argument goes by standard
/// input, which print mode reads; otherwise that is /dev/null, because an open pipe makes it wait.
///
/// A system prompt is appended to Claude Code's own, not put in its place: its own tells the model
/// how to use the tools.
pub(super) fn plan(config: &AgentConfig, run: &RunRequest<'_>) -> Plan {
    let mut plan = Plan {
        argv: program(config, Runtime::ClaudeCode),
        env: SET.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        env_allow: ENV_ALLOW.map(str::to_owned).to_vec(),
        ..Plan::default()
    };
    plan.argv.extend(ALWAYS.map(str::to_owned));
    add_limits(&mut plan.argv, config, run);
    add_tools(&mut plan.argv, run.allowed_tools.or(config.allowed_tools.as_deref()), run.has_mcp);
    if run.has_mcp {
        add_mcp(&mut plan, config, run);
    }
    if config.prompt == PromptBy::Stdin || run.message.len() > MESSAGE_AS_ARGUMENT_MAX_BYTES {
        plan.stdin = Some(run.message.to_owned());
    } else {
        plan.argv.extend(["--".to_owned(), run.message.to_owned()]);
    }
    plan
}

fn add_limits(argv: &mut Vec<String>, config: &AgentConfig, run: &RunRequest<'_>) {
    argv.extend(model_argument(config, run));
    if let Some(text) = run.system_prompt {
        argv.push(format!("--append-system-prompt={text}"));
    }
    if let Some(turns) = run.max_turns.or(config.max_turns) {
        argv.push(format!("--max-turns={turns}"));
    }
    // Its budget is this run's alone, also where it resumes a session that has cost more.
    if let Some(cost) = run.max_cost.or(config.max_cost_nano_usd) {
        argv.push(format!("--max-budget-usd={cost}"));
    }
    if let Some(session) = run.resume_session_id {
        argv.push(format!("--resume={session}"));
    }
}

/// `--allowedTools` only says what needs no permission; `--tools` takes all other built-in tools
/// away, so that a narrowed list holds even where the agent's own settings permit more.
fn add_tools(argv: &mut Vec<String>, tools: Option<&[String]>, has_mcp: bool) {
    if let Some(tools) = tools {
        let built_in: Vec<&str> = tools
            .iter()
            .filter(|tool| !tool.starts_with(MCP_TOOL_PREFIX))
            .map(|tool| tool.split('(').next().unwrap_or(tool))
            .collect();
        argv.push(format!("--tools={}", built_in.join(",")));
        argv.extend(tools.iter().map(|tool| format!("--allowedTools={tool}")));
    }
    if has_mcp {
        argv.push(format!("--allowedTools={MCP_TOOL_PREFIX}{MCP_SERVER}"));
    }
}

/// Beside the servers of the agent's own settings, not in their place.
///
/// Another system user can't pass into the ledger's data directory, where the file lies. Such a run
/// is given the same text as an argument, which others may read: there is no secret in it.
fn add_mcp(plan: &mut Plan, config: &AgentConfig, run: &RunRequest<'_>) {
    let text = mcp_config(run.ledger_url);
    if config.run_as.is_some() {
        plan.argv.push(format!("--mcp-config={text}"));
        return;
    }
    plan.argv.push(format!("--mcp-config={}", run.mcp_config_path.display()));
    plan.files.push((run.mcp_config_path.to_owned(), text));
}

/// The run's token is not in the text: Claude Code puts the variable's value there itself.
fn mcp_config(ledger_url: &str) -> String {
    serde_json::json!({"mcpServers": {MCP_SERVER: {
        "type": "http",
        "url": format!("{ledger_url}/mcp"),
        "headers": {"Authorization": "Bearer ${EXECUTION_LEDGER_KEY}"},
    }}})
    .to_string()
}
