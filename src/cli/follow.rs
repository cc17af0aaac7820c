//! Following a transcript live, through broken connections.

use std::time::Duration;

use serde_json::Value;

use super::Failure;
use super::task::Execution;
use crate::client::{Client, ClientError, Frame, Stream};
use crate::output::{Output, Tone, neutral_text, paint};

/// Connections in a row that bring nothing before it is given up.
const FAILURES_MAX: u32 = 10;
/// The wait after the first of them; it doubles up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// The longest wait between two connections.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// The longest text of a tool's input or result that is shown, in characters.
const TOOL_TEXT_MAX: usize = 200;

/// How lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Not at all.
    Nothing,
    /// What an agent says and does; what is no agent's own format as it is.
    Readable,
    /// As it was printed.
    Raw,
    /// Each line's JSON with number, time and stream.
    Json,
}

/// Follows an execution's transcript from behind line `after` until its end.
pub async fn follow(
    client: &Client,
    execution: &Execution,
    after: u64,
    shown: Shown,
    output: &Output,
) -> Result<(), Failure> {
    let mut last = (after > 0).then(|| after.to_string());
    let mut failures = 0;
    let mut wait = WAIT_FIRST;
    loop {
        let opened = client.stream(&execution.path(&["stream"]), last.as_deref()).await;
        let ended = match opened {
            Ok(stream) => {
                let before = last.clone();
                let ended = read(stream, &mut last, shown, output).await;
                if last != before {
                    failures = 0;
                    wait = WAIT_FIRST;
                }
                ended
            }
            Err(error) => Err(error.into()),
        };
        match ended {
            Ok(true) => return Ok(()),
            Err(error) if !is_worth_another_try(&error) || failures >= FAILURES_MAX => {
                return Err(error);
            }
            Ok(false) | Err(_) => {}
        }
        failures += 1;
        if failures > FAILURES_MAX {
            let why = "its stream ends again and again before the run does".to_owned();
            return Err(ClientError::Interrupted(why).into());
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

fn is_worth_another_try(failure: &Failure) -> bool {
    match failure {
        Failure::Client(ClientError::Unreachable { .. } | ClientError::Interrupted(_)) => true,
        Failure::Client(ClientError::Refused(problem)) => {
            problem.status == 429 || problem.status >= 500
        }
        _ => false,
    }
}

/// Reads one connection; answers whether the run has ended.
async fn read(
    mut stream: Stream,
    last: &mut Option<String>,
    shown: Shown,
    output: &Output,
) -> Result<bool, Failure> {
    while let Some(Frame { id, event, data }) = stream.next().await? {
        match event.as_str() {
            "end" => return Ok(true),
            "close" => return Ok(false),
            _ => {}
        }
        show(&data, shown, output)?;
        if id.is_some() {
            *last = id;
        }
    }
    Ok(false)
}

fn show(data: &str, shown: Shown, output: &Output) -> Result<(), Failure> {
    if shown == Shown::Nothing {
        return Ok(());
    }
    let Ok(line) = serde_json::from_str::<Value>(data) else { return Ok(()) };
    if shown == Shown::Json {
        return output.json_line(&line);
    }
    let text = line.get("line").and_then(Value::as_str).unwrap_or_default();
    if shown == Shown::Readable
        && let Some(said) = readable(text)
    {
        for (text, tone) in said {
            output.line(&paint(&neutral_text(&text), tone, output.colour()))?;
        }
        return Ok(());
    }
    let is_error = line.get("stream").and_then(Value::as_str) == Some("stderr");
    let tone = if is_error { Tone::Warn } else { Tone::Plain };
    output.line(&paint(&neutral_text(text), tone, output.colour()))
}

/// What a line of an agent's `stream-json` says; `None` where the line is none.
fn readable(text: &str) -> Option<Vec<(String, Tone)>> {
    if !text.starts_with('{') {
        return None;
    }
    let message: Value = serde_json::from_str(text).ok()?;
    let kind = message.get("type")?.as_str()?;
    let blocks = || message.pointer("/message/content").and_then(Value::as_array);
    match kind {
        "assistant" => Some(blocks()?.iter().filter_map(said).collect()),
        "user" => Some(blocks().into_iter().flatten().filter_map(returned).collect()),
        "system" | "stream_event" | "result" | "rate_limit_event" => Some(Vec::new()),
        _ => None,
    }
}

fn said(block: &Value) -> Option<(String, Tone)> {
    match block.get("type")?.as_str()? {
        "text" => Some((block.get("text")?.as_str()?.to_owned(), Tone::Plain)),
        "tool_use" => {
            let name = block.get("name").and_then(Value::as_str).unwrap_or("?");
            let input = block.get("input").map(ToString::to_string).unwrap_or_default();
            Some((format!("> {name} {}", short(&input)), Tone::Active))
        }
        _ => None,
    }
}

fn returned(block: &Value) -> Option<(String, Tone)> {
    if block.get("type")?.as_str()? != "tool_result" {
        return None;
    }
    let content = block.get("content")?;
    let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
    let failed = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
    Some((format!("< {}", short(text.trim())), if failed { Tone::Bad } else { Tone::Quiet }))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(TOOL_TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_own_format_is_shown_as_what_it_says_and_does() {
        let line = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"Hi"},
            {"type":"tool_use","name":"Bash","input":{"command":"ls"}}]}}"#;
        let said = readable(line).expect("understood");
        assert_eq!(said[0], ("Hi".to_owned(), Tone::Plain));
        assert_eq!(said[1], ("> Bash {\"command\":\"ls\"}".to_owned(), Tone::Active));
        assert_eq!(readable(r#"{"type":"stream_event"}"#), Some(Vec::new()));
    }

    #[test]
    fn other_output_is_shown_as_it_is() {
        for text in ["plain", "{", r#"{"a":1}"#, r#"{"type":"other"}"#, ""] {
            assert_eq!(readable(text), None, "{text}");
        }
    }
}
