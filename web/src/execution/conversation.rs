//! What an agent printed, read as a conversation: messages, tool calls, their results.
//!
//! This reads for the eye alone. What a run cost and how it ended is read elsewhere, by stricter rules.

use serde_json::Value;

use crate::answers::Line;

/// A part of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What the agent said.
    Said(String),
    /// What it was told, beside its task.
    Told(String),
    /// What it thought.
    Thought(String),
    /// A tool that it called.
    Call {
        /// The tool.
        name: String,
        /// In one line: what matters of its input.
        about: String,
        /// Its input.
        input: String,
    },
    /// What a tool answered.
    Result {
        /// The answer.
        text: String,
        /// Whether the tool failed.
        failed: bool,
    },
    /// A step of the run that is worth a line.
    Note(String),
    /// Something that went wrong.
    Wrong(String),
    /// A line of plain text.
    Plain {
        /// Whether it came on standard error.
        is_error: bool,
        /// The line.
        text: String,
    },
}

/// What a line says; nothing, where it is of no use to a reader (it stands in the raw view).
pub(super) fn parts(line: &Line) -> Vec<Part> {
    let is_error = line.stream == "stderr";
    let plain = || vec![Part::Plain { is_error, text: line.line.clone() }];
    if is_error || !line.line.starts_with('{') {
        return plain();
    }
    let Ok(value) = serde_json::from_str::<Value>(&line.line) else { return plain() };
    read(&value).unwrap_or_else(plain)
}

/// What a line of an agent's protocol says; `None` where it is of none that is known.
fn read(value: &Value) -> Option<Vec<Part>> {
    let kind = value["type"].as_str()?;
    Some(match kind {
        "assistant" | "user" if value["message"].is_object() => message(&value["message"], kind),
        "system" | "init" | "thread.started" => begun(value),
        "result" => ended(value),
        "stream_event" | "step_start" | "step_finish" | "turn.started" | "turn.completed"
        | "item.started" | "item.updated" | "rate_limit_event" => vec![],
        "item.completed" => item(&value["item"]),
        "message" => match value["role"].as_str() {
            Some("assistant") => said(&value["content"]),
            _ => vec![Part::Told(text(&value["content"]))],
        },
        "tool_use" if value["part"].is_object() => tool_part(&value["part"]),
        "tool_use" => vec![call(text(&value["tool_name"]), &value["parameters"])],
        "tool_result" => {
            let failed = value["status"].as_str() != Some("success");
            vec![Part::Result { text: text(&value["output"]), failed }]
        }
        "text" => said(&value["part"]["text"]),
        "error" | "turn.failed" => {
            let words = [&value["message"], &value["error"]["message"], &value["error"]];
            let words = words.into_iter().find(|words| words.is_string());
            vec![Part::Wrong(words.map_or_else(|| pretty(value), text))]
        }
        _ => return None,
    })
}

fn message(message: &Value, kind: &str) -> Vec<Part> {
    if let Some(text) = message["content"].as_str() {
        let text = text.to_owned();
        return vec![if kind == "user" { Part::Told(text) } else { Part::Said(text) }];
    }
    let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    blocks.iter().filter_map(|block| block_of(block, kind)).collect()
}

fn block_of(block: &Value, kind: &str) -> Option<Part> {
    Some(match block["type"].as_str()? {
        "text" if kind == "user" => Part::Told(text(&block["text"])),
        "text" => Part::Said(text(&block["text"])),
        "thinking" => Part::Thought(text(&block["thinking"])),
        "tool_use" => call(text(&block["name"]), &block["input"]),
        "tool_result" => Part::Result {
            text: contents(&block["content"]),
            failed: block["is_error"].as_bool().unwrap_or(false),
        },
        _ => return None,
    })
}

fn begun(value: &Value) -> Vec<Part> {
    if value["subtype"].as_str().is_some_and(|subtype| subtype != "init") {
        return vec![];
    }
    let model = value["model"].as_str().map(|model| format!(" with {model}"));
    vec![Part::Note(format!("Session started{}", model.unwrap_or_default()))]
}

fn ended(value: &Value) -> Vec<Part> {
    let failed = value["is_error"].as_bool() == Some(true) || value["status"] == "error";
    if failed {
        let words = value["result"].as_str().or(value["error"]["message"].as_str());
        return vec![Part::Wrong(words.unwrap_or("The agent reported a failure").to_owned())];
    }
    let turns = value["num_turns"].as_u64().map(|turns| format!(" after {turns} turns"));
    vec![Part::Note(format!("The agent reported success{}", turns.unwrap_or_default()))]
}

/// An item of codex.
fn item(item: &Value) -> Vec<Part> {
    match item["type"].as_str() {
        Some("agent_message") => said(&item["text"]),
        Some("reasoning") => vec![Part::Thought(text(&item["text"]))],
        Some("command_execution") => {
            let failed = item["exit_code"].as_i64().is_some_and(|code| code != 0);
            let command = text(&item["command"]);
            vec![
                Part::Call { name: "shell".to_owned(), about: command.clone(), input: command },
                Part::Result { text: text(&item["aggregated_output"]), failed },
            ]
        }
        Some("error") => vec![Part::Wrong(text(&item["message"]))],
        Some(other) => vec![call(other.to_owned(), item)],
        None => vec![],
    }
}

/// A tool of opencode, with its answer.
fn tool_part(part: &Value) -> Vec<Part> {
    let state = &part["state"];
    let failed = state["status"].as_str() == Some("error");
    let answer = if failed { &state["error"] } else { &state["output"] };
    vec![call(text(&part["tool"]), &state["input"]), Part::Result { text: text(answer), failed }]
}

fn said(words: &Value) -> Vec<Part> {
    let words = text(words);
    if words.is_empty() { vec![] } else { vec![Part::Said(words)] }
}

fn call(name: String, input: &Value) -> Part {
    const TELLING: [&str; 9] = [
        "command",
        "file_path",
        "path",
        "pattern",
        "query",
        "url",
        "description",
        "prompt",
        "message",
    ];
    let about = TELLING.iter().find_map(|key| input[*key].as_str()).unwrap_or_default();
    Part::Call { name, about: about.to_owned(), input: pretty(input) }
}

fn contents(content: &Value) -> String {
    match content {
        Value::Array(blocks) => {
            let texts = blocks.iter().map(|block| match block["text"].as_str() {
                Some(text) => text.to_owned(),
                None => format!("[{}]", text(&block["type"])),
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        other => text(other),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => pretty(other),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: &str, line: &str) -> Line {
        Line { seq: 1, at: String::new(), stream: stream.to_owned(), line: line.to_owned() }
    }

    fn of(json: &str) -> Vec<Part> {
        parts(&line("stdout", json))
    }

    fn call(name: &str, about: &str, input: &str) -> Part {
        Part::Call { name: name.to_owned(), about: about.to_owned(), input: input.to_owned() }
    }

    fn answer(text: &str, failed: bool) -> Part {
        Part::Result { text: text.to_owned(), failed }
    }

    #[test]
    fn claude_code_is_read() {
        let said = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"I look."},
            {"type":"tool_use","name":"Bash","input":{"command":"ls"}}]}}"#;
        let input = "{\n  \"command\": \"ls\"\n}";
        assert_eq!(of(said), [Part::Said("I look.".to_owned()), call("Bash", "ls", input)]);
        let result = r#"{"type":"user","message":{"content":[{"type":"tool_result",
            "content":[{"type":"text","text":"a"},{"type":"image"}],"is_error":true}]}}"#;
        assert_eq!(of(result), [answer("a\n[image]", true)]);
        let began = r#"{"type":"system","subtype":"init","model":"m"}"#;
        assert_eq!(of(began), [Part::Note("Session started with m".to_owned())]);
        assert_eq!(of(r#"{"type":"stream_event","event":{}}"#), []);
    }

    #[test]
    fn codex_gemini_and_opencode_are_read() {
        let codex = r#"{"type":"item.completed","item":{"type":"command_execution",
            "command":"echo hi","aggregated_output":"hi\n","exit_code":0}}"#;
        assert_eq!(of(codex), [call("shell", "echo hi", "echo hi"), answer("hi\n", false)]);
        let gemini = r#"{"type":"message","role":"assistant","content":"Hello"}"#;
        assert_eq!(of(gemini), [Part::Said("Hello".to_owned())]);
        let opencode = r#"{"type":"text","part":{"type":"text","text":"Hello"}}"#;
        assert_eq!(of(opencode), [Part::Said("Hello".to_owned())]);
    }

    #[test]
    fn what_is_of_no_protocol_is_shown_as_it_is() {
        for text in ["plain", "{not json", "{\"type\":\"else\"}", "{}"] {
            let plain = Part::Plain { is_error: false, text: text.to_owned() };
            assert_eq!(of(text), [plain], "{text}");
        }
        let on_error = parts(&line("stderr", r#"{"type":"result"}"#));
        assert!(matches!(on_error[..], [Part::Plain { is_error: true, .. }]));
    }
}
