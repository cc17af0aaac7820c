//! What a line of a run's output says to somebody who waits for its answer: text as it is written,
//! and which tools are used meanwhile.
//!
//! It is for looking at, never for deciding: the answer itself is read by [`super::read`]. A line that
//! is not understood says nothing.

use execution_ledger_domain::agent::Runtime;
use serde::Serialize;
use serde_json::Value;

use crate::transcript::{Line, OutputStream};

/// A text is shown up to here, in bytes; it is whole in the transcript.
const TEXT_MAX_BYTES: usize = 16 * 1024;
/// What a tool is given is shown up to here, in bytes.
const TOOL_MAX_BYTES: usize = 200;
/// Parts of one line that are shown: most.
const PARTS_MAX: usize = 32;

/// What kind of part of an answer that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// The next words of a text.
    Delta,
    /// A whole text; it takes the place of the words that came before it one by one.
    Text,
    /// A tool is used.
    Tool,
}

/// A part of an answer that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What kind.
    pub kind: PartKind,
    /// The text; of a tool its name and the beginning of what it is given.
    pub text: String,
}

impl Part {
    fn new(kind: PartKind, text: &str) -> Option<Self> {
        let most = if kind == PartKind::Tool { TOOL_MAX_BYTES } else { TEXT_MAX_BYTES };
        let text = &text[..text.floor_char_boundary(most)];
        (!text.is_empty()).then(|| Self { kind, text: text.to_owned() })
    }
}

/// What a line says, as far as it is anything to show.
pub fn progress(runtime: Runtime, line: &Line) -> Vec<Part> {
    if line.stream == OutputStream::Stderr {
        return Vec::new();
    }
    if runtime == Runtime::Command {
        return Part::new(PartKind::Text, &line.line).into_iter().collect();
    }
    let Ok(event) = serde_json::from_str::<Value>(&line.line) else { return Vec::new() };
    let parts: Vec<Option<Part>> = match runtime {
        Runtime::Command => Vec::new(),
        Runtime::ClaudeCode | Runtime::Demo => stream_json(&event),
        Runtime::Codex => vec![codex(&event)],
        Runtime::Gemini => vec![gemini(&event)],
        Runtime::Opencode => vec![opencode(&event)],
    };
    parts.into_iter().flatten().take(PARTS_MAX).collect()
}

fn text_at<'a>(event: &'a Value, path: &str) -> &'a str {
    event.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn tool(name: &str, input: Option<&Value>) -> Option<Part> {
    let input = match input {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => format!(" {text}"),
        Some(other) => format!(" {other}"),
    };
    Part::new(PartKind::Tool, &format!("{name}{input}"))
}

fn stream_json(event: &Value) -> Vec<Option<Part>> {
    // What an agent's own helpers say is no answer.
    if event.get("parent_tool_use_id").is_some_and(|parent| !parent.is_null()) {
        return Vec::new();
    }
    match text_at(event, "/type") {
        "stream_event" if text_at(event, "/event/delta/type") == "text_delta" => {
            vec![Part::new(PartKind::Delta, text_at(event, "/event/delta/text"))]
        }
        "assistant" => {
            let blocks = event.pointer("/message/content").and_then(Value::as_array);
            let part = |block: &Value| match text_at(block, "/type") {
                "text" => Part::new(PartKind::Text, text_at(block, "/text")),
                "tool_use" => tool(text_at(block, "/name"), block.get("input")),
                _ => None,
            };
            blocks.into_iter().flatten().map(part).collect()
        }
        _ => Vec::new(),
    }
}

fn codex(event: &Value) -> Option<Part> {
    match (text_at(event, "/type"), text_at(event, "/item/type")) {
        ("item.completed", "agent_message") => {
            Part::new(PartKind::Text, text_at(event, "/item/text"))
        }
        ("item.started", "command_execution") => tool("command", event.pointer("/item/command")),
        ("item.started", "mcp_tool_call") => {
            tool(text_at(event, "/item/tool"), event.pointer("/item/arguments"))
        }
        _ => None,
    }
}

fn gemini(event: &Value) -> Option<Part> {
    match (text_at(event, "/type"), text_at(event, "/role")) {
        ("message", "assistant") => {
            let is_delta = event.get("delta").and_then(Value::as_bool).unwrap_or(false);
            let kind = if is_delta { PartKind::Delta } else { PartKind::Text };
            Part::new(kind, text_at(event, "/content"))
        }
        ("tool_use", _) => tool(text_at(event, "/tool_name"), event.get("parameters")),
        _ => None,
    }
}

fn opencode(event: &Value) -> Option<Part> {
    match text_at(event, "/type") {
        "text" => Part::new(PartKind::Text, text_at(event, "/part/text")),
        "tool_use" => tool(text_at(event, "/part/tool"), event.pointer("/part/state/input")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use execution_ledger_domain::Timestamp;

    use super::*;

    fn said(runtime: Runtime, text: &str) -> Vec<(PartKind, String)> {
        let line = Line {
            seq: 1,
            at: Timestamp::EPOCH,
            stream: OutputStream::Stdout,
            line: text.to_owned(),
            continued: false,
            invalid_utf8: false,
        };
        progress(runtime, &line).into_iter().map(|part| (part.kind, part.text)).collect()
    }

    fn all(runtime: Runtime, recorded: &str) -> Vec<(PartKind, String)> {
        recorded.lines().flat_map(|line| said(runtime, line)).collect()
    }

    #[test]
    fn words_come_one_by_one_and_then_as_a_whole_text() {
        let delta = r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hel"}},"parent_tool_use_id":null}"#;
        let whole = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"Hello"},{"type":"tool_use","name":"Bash","input":{"command":"ls"}}]},"parent_tool_use_id":null}"#;
        assert_eq!(said(Runtime::ClaudeCode, delta), [(PartKind::Delta, "Hel".to_owned())]);
        let tool = (PartKind::Tool, r#"Bash {"command":"ls"}"#.to_owned());
        assert_eq!(said(Runtime::Demo, whole), [(PartKind::Text, "Hello".to_owned()), tool]);
        let helper = whole.replace("null", "\"toolu_1\"");
        assert_eq!(said(Runtime::ClaudeCode, &helper), []);
    }

    #[test]
    fn what_was_recorded_of_real_programs_is_understood() {
        let text = |parts: &[(PartKind, String)]| {
            parts.iter().any(|(kind, _)| *kind != PartKind::Tool)
                && parts.iter().any(|(kind, _)| *kind == PartKind::Tool)
        };
        let recorded: [(Runtime, &str); 4] = [
            (
                Runtime::ClaudeCode,
                include_str!("../../tests/fixtures/claude_code/02_tooluse.jsonl"),
            ),
            (Runtime::Codex, include_str!("../../tests/fixtures/codex/31_tool.jsonl")),
            (Runtime::Gemini, include_str!("../../tests/fixtures/gemini/41_tool.jsonl")),
            (Runtime::Opencode, include_str!("../../tests/fixtures/opencode/51_tool.jsonl")),
        ];
        for (runtime, lines) in recorded {
            let parts = all(runtime, lines);
            assert!(text(&parts), "{runtime:?}: {parts:?}");
        }
    }

    #[test]
    fn other_output_is_text_of_a_command_and_nothing_of_an_agent() {
        for text in ["plain", "{", r#"{"type":"assistant"}"#, "[1]", "null"] {
            assert_eq!(said(Runtime::Command, text), [(PartKind::Text, text.to_owned())]);
            for runtime in [Runtime::ClaudeCode, Runtime::Codex, Runtime::Gemini] {
                assert_eq!(said(runtime, text), [], "{text}");
            }
        }
        assert_eq!(said(Runtime::Command, &"ä".repeat(TEXT_MAX_BYTES))[0].1.len(), TEXT_MAX_BYTES);
    }
}
