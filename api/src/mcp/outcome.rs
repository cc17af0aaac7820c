//! What a tool comes back with: an answer, or a refusal that the caller's model can act on.

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, MetaObject};
use serde::Serialize;
use serde_json::Value;

use crate::problem::{Code, Problem};

/// Under this name a refusal carries its problem, for programs.
const PROBLEM: &str = "execution-ledger/problem";
/// Fields of the other interfaces, and what the tools call them.
const NAMES: [(&str, &str); 4] =
    [("name", "agent_name"), ("id", "execution_id"), ("async_mode", "async"), ("from", "hours")];

/// An answer as a result, as structure and as text.
pub(super) fn answered(answer: &impl Serialize) -> Result<CallToolResult, Problem> {
    let value = serde_json::to_value(answer).map_err(|error| Problem::internal(&error))?;
    Ok(CallToolResult::structured(value))
}

/// The same, marked as an error: the tool did its work, and what it reports is a failure.
pub(super) fn answered_failure(answer: &impl Serialize) -> Result<CallToolResult, Problem> {
    let value = serde_json::to_value(answer).map_err(|error| Problem::internal(&error))?;
    Ok(CallToolResult::structured_error(value))
}

/// A refusal as a result: its code, what is the matter, and what to do about it.
///
/// The structure of the tool's answers does not fit a refusal, so there is none: the text is for
/// the model, the problem beside it for programs.
pub(super) fn refused(problem: &Problem) -> CallToolResult {
    if let Some(cause) = problem.cause() {
        tracing::error!(cause, "a tool failed by a fault of the ledger");
    }
    let mut members = problem.members();
    let field = members.get("field").and_then(Value::as_str).map(in_tools);
    let mut text = format!("{}: {}", problem.code().as_str(), problem.detail());
    if let Some(field) = field {
        text = format!("{text} (argument {field})");
        members.insert("field".to_owned(), Value::from(field));
    }
    if let Some(advice) = advice(problem.code()) {
        text.push_str(". What to do: ");
        text.push_str(advice);
        members.insert("hint".to_owned(), Value::from(advice));
    }
    let mut meta = JsonObject::new();
    meta.insert(PROBLEM.to_owned(), Value::Object(members));
    CallToolResult::error(vec![ContentBlock::text(text)]).with_meta(Some(MetaObject(meta)))
}

fn in_tools(field: &str) -> String {
    let own = NAMES.iter().find(|(other, _)| *other == field).map(|(_, own)| *own);
    own.unwrap_or(field).to_owned()
}

/// What the caller can do about it, in the words of the tools.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::AgentNotCallable => {
            "call only your own agent, or ask the operator to add that agent to your may_call"
        }
        Code::AgentNotFound => "check the agent's name; list_recent_executions shows names in use",
        Code::ExecutionNotFound => {
            "use an execution_id that chat_with_agent or list_recent_executions answered"
        }
        Code::Forbidden => "this key can't do that; tell the user instead of trying again",
        Code::QueueFull => {
            "wait some seconds and call again with the same arguments; nothing was started"
        }
        Code::WouldDeadlock => {
            "call again with async: true, then read the result with get_execution_result after \
             your own work is done"
        }
        Code::CallDepthExceeded => "do the work yourself instead of calling a further agent",
        Code::SessionRequired => "give chat_session_id, or leave inject_result out",
        Code::SessionNotFound | Code::SessionNotOwned => {
            "give a chat session of your own user, or leave chat_session_id and inject_result out"
        }
        Code::ModelNotListed => "leave model out to use the agent's own",
        Code::AboveAgentLimit => "give a smaller value, or leave it out",
        Code::RateLimited | Code::Overloaded | Code::NotReady | Code::Contended => {
            "wait some seconds and call again with the same arguments; nothing is started twice"
        }
        Code::ShuttingDown => {
            "call again with the same arguments in half a minute; nothing is started twice"
        }
        Code::ProjectionBehind => "call again in some seconds",
        Code::Internal => "call again once; if it fails again, tell the user",
        Code::UnknownField | Code::MissingField | Code::InvalidField | Code::InvalidParameter => {
            "correct the argument as the tool's schema says and call again"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_its_code_the_argument_and_what_to_do() {
        let problem = Problem::new(Code::AgentNotFound, "there is no agent x").field("name");
        let result = serde_json::to_value(refused(&problem)).expect("JSON");
        assert_eq!(result["isError"], true);
        assert_eq!(result.get("structuredContent"), None);
        let text = result["content"][0]["text"].as_str().expect("a text");
        assert!(text.starts_with("agent_not_found: there is no agent x (argument agent_name)"));
        assert!(text.contains("What to do: check"), "{text}");
        let problem = &result["_meta"][PROBLEM];
        assert_eq!(problem["code"], "agent_not_found");
        assert_eq!(problem["field"], "agent_name");
    }

    #[test]
    fn a_fault_of_ours_does_not_tell_its_cause() {
        let result = refused(&Problem::internal(&"the inside of it"));
        let text = serde_json::to_string(&result).expect("JSON");
        assert!(text.contains("internal") && !text.contains("inside of it"), "{text}");
    }
}
