//! The rules of a task's fields: callers only narrow what the agent may do.

use execution_ledger_domain::NanoUsd;
use execution_ledger_domain::agent::{AgentConfig, PromptBy, Runtime};
use execution_ledger_domain::limits;

use super::{NewTask, SubmitError};

/// Longest id of an agent's own session, in bytes.
const AGENT_SESSION_ID_MAX_BYTES: usize = 200;

/// What a task may do, after the agent's settings and the caller's wishes.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrowed {
    /// The model that was asked for.
    pub model: Option<String>,
    /// How long the run may take, in seconds.
    pub timeout_s: u64,
    /// What the run may cost.
    pub max_cost: Option<NanoUsd>,
    /// The tools that the run may use, where the caller narrowed them.
    pub allowed_tools: Option<Vec<String>>,
    /// How many turns the run may take.
    pub max_turns: Option<u32>,
}

/// Refuses a field.
pub(super) fn invalid<T>(
    field: &'static str,
    code: &'static str,
    problem: impl Into<String>,
) -> Result<T, SubmitError> {
    Err(SubmitError::Invalid { field, code, problem: problem.into() })
}

/// Checks a message: 1 byte to 256 KiB, no control characters but tab and newline.
pub(super) fn message(config: &AgentConfig, text: &str) -> Result<(), SubmitError> {
    let most = limits::MESSAGE_MAX_BYTES;
    if text.is_empty() {
        return invalid("message", "message_required", "say what the agent is to do");
    }
    if text.len() > most {
        let problem = format!("{} bytes are more than {most}", text.len());
        return invalid("message", "message_too_long", problem);
    }
    plain_text("message", text)?;
    fits_argument(config, text)
}

/// Checks that a message fits where the agent is given it: redaction may have made it longer.
pub(super) fn fits_argument(config: &AgentConfig, text: &str) -> Result<(), SubmitError> {
    let by_argument = match config.runtime {
        Runtime::Command => config.prompt == PromptBy::Argument,
        Runtime::ClaudeCode
        | Runtime::Codex
        | Runtime::Gemini
        | Runtime::Opencode
        | Runtime::Demo => false,
    };
    let most = limits::MESSAGE_AS_ARGUMENT_MAX_BYTES;
    if by_argument && text.len() > most {
        let problem = format!(
            "this agent is given its message as an argument, which holds at most {most} bytes, not {}; register it with prompt \"stdin\" for more",
            text.len()
        );
        return invalid("message", "message_too_long_for_argument", problem);
    }
    Ok(())
}

/// Checks a system prompt of the caller's.
pub(super) fn system_prompt(config: &AgentConfig, text: &str) -> Result<(), SubmitError> {
    if !config.runtime.takes_system_prompt() {
        let problem = without_means(config, "add to its system prompt");
        return invalid("system_prompt", "system_prompt_not_permitted", problem);
    }
    if !config.allow_system_prompt {
        let problem = "this agent permits no system prompt (allow_system_prompt)";
        return invalid("system_prompt", "system_prompt_not_permitted", problem);
    }
    let most = limits::SYSTEM_PROMPT_MAX_BYTES;
    if text.is_empty() || text.len() > most {
        return invalid("system_prompt", "invalid_field", format!("1 to {most} bytes"));
    }
    not_an_option("system_prompt", text)?;
    plain_text("system_prompt", text)
}

/// Checks the shape of an id of the agent's own session.
pub(super) fn resume_session_id(id: &str) -> Result<(), SubmitError> {
    not_an_option("resume_session_id", id)?;
    let fits = (1..=AGENT_SESSION_ID_MAX_BYTES).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits {
        return Ok(());
    }
    let problem = format!(
        "1 to {AGENT_SESSION_ID_MAX_BYTES} letters, digits, '-', '_' or '.', as agent_session_id answers it"
    );
    invalid("resume_session_id", "invalid_field", problem)
}

/// What the task may do: the agent's settings, narrowed by the caller.
pub(super) fn narrow(config: &AgentConfig, task: &NewTask) -> Result<Narrowed, SubmitError> {
    let resumes_with_prompt = task.system_prompt.is_some() && task.resume_session_id.is_some();
    if resumes_with_prompt && !config.runtime.takes_system_prompt_on_resume() {
        let problem = without_means(config, "give a session another system prompt");
        return invalid("system_prompt", "system_prompt_not_permitted", problem);
    }
    Ok(Narrowed {
        model: model(config, task.model.as_deref())?,
        timeout_s: timeout(config, task.timeout_s)?,
        max_cost: max_cost(config, task.max_cost)?,
        allowed_tools: allowed_tools(config, task.allowed_tools.as_deref())?,
        max_turns: max_turns(config, task.max_turns)?,
    })
}

/// What a task may do that was accepted under earlier settings and is to run anyway: the agent's
/// settings of today, each narrowed by what was wished. The agent's first model takes the place of one
/// that is not listed any more.
pub(super) fn hold(config: &AgentConfig, task: &NewTask) -> Narrowed {
    let wanted = task.model.as_ref().filter(|model| config.models.contains(model));
    let allowed_tools = match (&task.allowed_tools, &config.allowed_tools) {
        (Some(wanted), Some(own)) => {
            Some(own.iter().filter(|tool| wanted.contains(tool)).cloned().collect())
        }
        (wanted, _) => wanted.clone(),
    };
    Narrowed {
        model: wanted.or(config.models.first()).cloned(),
        timeout_s: task.timeout_s.map_or(config.timeout_s, |s| s.min(config.timeout_s)),
        max_cost: least(task.max_cost, config.max_cost_nano_usd),
        allowed_tools,
        max_turns: least(task.max_turns, config.max_turns),
    }
}

/// The lesser of two limits, where there are two.
pub(super) fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn model(config: &AgentConfig, wanted: Option<&str>) -> Result<Option<String>, SubmitError> {
    let Some(wanted) = wanted else { return Ok(config.models.first().cloned()) };
    not_an_option("model", wanted)?;
    if config.models.iter().any(|model| model == wanted) {
        return Ok(Some(wanted.to_owned()));
    }
    let problem = if config.models.is_empty() {
        "this agent lists no models to choose from (models)".to_owned()
    } else {
        format!("choose one of: {}", config.models.join(", "))
    };
    invalid("model", "model_not_listed", problem)
}

fn timeout(config: &AgentConfig, wanted: Option<u64>) -> Result<u64, SubmitError> {
    let most = config.timeout_s;
    match wanted {
        None => Ok(most),
        Some(wanted) if (1..=most).contains(&wanted) => Ok(wanted),
        Some(wanted) => invalid(
            "timeout_s",
            "above_agent_limit",
            format!("{wanted} is not between 1 and {most}, the agent's own"),
        ),
    }
}

fn max_cost(config: &AgentConfig, wanted: Option<NanoUsd>) -> Result<Option<NanoUsd>, SubmitError> {
    let Some(wanted) = wanted else { return Ok(config.max_cost_nano_usd) };
    if wanted <= NanoUsd::ZERO {
        return invalid("max_cost_usd", "invalid_field", "must be more than 0");
    }
    match config.max_cost_nano_usd {
        Some(most) if wanted > most => {
            let problem = format!("{wanted} is more than {most}, the agent's own");
            invalid("max_cost_usd", "above_agent_limit", problem)
        }
        _ => Ok(Some(wanted)),
    }
}

fn allowed_tools(
    config: &AgentConfig,
    wanted: Option<&[String]>,
) -> Result<Option<Vec<String>>, SubmitError> {
    let Some(wanted) = wanted else { return Ok(None) };
    if !config.runtime.narrows_tools() {
        let problem = without_means(config, "keep a run to a list of tools");
        return invalid("allowed_tools", "tools_not_listed", problem);
    }
    let (entries, bytes) = (limits::agent::LIST_MAX, limits::agent::WORD_MAX_BYTES);
    if wanted.len() > entries {
        return invalid("allowed_tools", "invalid_field", format!("at most {entries} entries"));
    }
    for tool in wanted {
        not_an_option("allowed_tools", tool)?;
        if tool.is_empty() || tool.len() > bytes || tool.chars().any(char::is_control) {
            let problem = format!("1 to {bytes} bytes each, no control characters");
            return invalid("allowed_tools", "invalid_field", problem);
        }
    }
    let Some(own) = &config.allowed_tools else {
        let problem = "this agent lists no tools that could be narrowed (allowed_tools)";
        return invalid("allowed_tools", "tools_not_listed", problem);
    };
    Ok(Some(own.iter().filter(|tool| wanted.contains(tool)).cloned().collect()))
}

fn max_turns(config: &AgentConfig, wanted: Option<u32>) -> Result<Option<u32>, SubmitError> {
    let most = config.max_turns.unwrap_or(limits::agent::TURNS_MAX);
    match wanted {
        None => Ok(config.max_turns),
        Some(_) if !config.runtime.limits_turns() => {
            let problem = without_means(config, "limit the turns of one run");
            invalid("max_turns", "invalid_field", problem)
        }
        Some(wanted) if (1..=most).contains(&wanted) => Ok(Some(wanted)),
        Some(wanted) => invalid(
            "max_turns",
            "above_agent_limit",
            format!("{wanted} is not between 1 and {most}"),
        ),
    }
}

/// Why a wish can't be kept that would otherwise be believed to hold.
fn without_means(config: &AgentConfig, to: &str) -> String {
    format!("this agent's runtime, {}, has no means to {to}", config.runtime.as_str())
}

fn not_an_option(field: &'static str, text: &str) -> Result<(), SubmitError> {
    if text.starts_with('-') {
        return invalid(field, "looks_like_option", "must not begin with '-'");
    }
    Ok(())
}

fn plain_text(field: &'static str, text: &str) -> Result<(), SubmitError> {
    let bad = |c: &char| *c < ' ' && *c != '\t' && *c != '\n';
    match text.chars().find(bad) {
        None => Ok(()),
        Some(found) => {
            let problem = format!(
                "the control character U+{:04X} is not allowed; only tab and newline are",
                u32::from(found)
            );
            invalid(field, "control_character", problem)
        }
    }
}
