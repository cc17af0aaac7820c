//! An agent as people read it.

use serde_json::{Map, Value};

use super::Failure;
use super::task::{moment, now, text, when};
use crate::output::{
    Align, Output, Sheet, Tone, ago, amount, duration, exact, neutral_line, paint, size,
};

/// How wide the names of the facts are, in characters.
const NAME_WIDTH: usize = 16;

/// Writes the agent's settings, its slots with their holders, and what waits.
pub fn write(agent: &Value, capacity: &Value, output: &Output) -> Result<(), Failure> {
    for (name, value, tone) in facts(agent) {
        let name = paint(&format!("{name:<NAME_WIDTH$}"), Tone::Quiet, output.colour());
        let value = paint(&neutral_line(&value), tone, output.colour());
        output.line(&format!("{name} {value}"))?;
    }
    let mut sheet = Sheet::new(&PLACES);
    for row in places(capacity) {
        sheet.row(row);
    }
    output.line("")?;
    if sheet.is_empty() { output.line("Nothing runs or waits.") } else { output.sheet(&sheet) }
}

/// What an agent is like, the most important first, without what is not.
fn facts(agent: &Value) -> Vec<(&'static str, String, Tone)> {
    let status = text(agent, "status");
    let tone = Tone::of_status(&status);
    let mut facts = vec![("Agent", text(agent, "name"), Tone::Plain), ("Status", status, tone)];
    let mut add = |name, value: Option<String>| {
        facts.extend(value.map(|value| (name, value, Tone::Plain)));
    };
    let number = |name: &str| agent.get(name).and_then(Value::as_u64);
    let seconds = |name: &str| number(name).map(|s| duration(s.saturating_mul(1_000)));
    let words = |name: &str| listed(agent, name, ", ").filter(|words| !words.is_empty());
    let field = |name: &str| Some(text(agent, name)).filter(|text| text != "-");
    let is = |name: &str, value: &str| text(agent, name) == value;

    add("Runtime", field("runtime"));
    add("Command", command(agent));
    add("Works in", Some(field("cwd").unwrap_or_else(|| "a work folder of its own".to_owned())));
    add("Runs as", Some(field("run_as").unwrap_or_else(|| "the server's own user".to_owned())));
    add("Is told by", is("prompt", "stdin").then(|| "standard input".to_owned()));
    add(
        "At once",
        number("max_parallel_tasks").map(|most| {
            let running = number("running").unwrap_or(0);
            let chats = number("chatting").filter(|chats| *chats > 0);
            let chats = chats.map(|chats| format!(", {chats} in chats")).unwrap_or_default();
            format!("{running} of {most} run{chats}")
        }),
    );
    let queue = |most| format!("{} of {most} wait", number("pending").unwrap_or(0));
    add("Queue", number("queue_limit").map(queue));
    let grace = seconds("grace_s").map(|grace| format!("; {grace} from SIGINT to SIGKILL"));
    add("Timeout", seconds("timeout_s").map(|most| most + &grace.unwrap_or_default()));
    let first = seconds("retry_backoff_s").map(|wait| format!(", the first after {wait}"));
    let again = |most| format!("up to {most} times by itself{}", first.unwrap_or_default());
    add("Tried again", number("max_retries").filter(|most| *most > 0).map(again));
    add("Costs at most", agent.get("max_cost_usd").filter(|usd| !usd.is_null()).map(amount));
    add("Turns at most", field("max_turns"));
    add("Memory at most", number("memory_max_bytes").map(size));
    add("Models", words("models"));
    add(
        "Tools",
        agent.get("allowed_tools").and_then(Value::as_array).map(|tools| {
            let named = listed(agent, "allowed_tools", ", ").filter(|_| !tools.is_empty());
            named.unwrap_or_else(|| "none".to_owned())
        }),
    );
    let may_give = is("allow_system_prompt", "true");
    add("System prompt", may_give.then(|| "callers may give one".to_owned()));
    add("May call", words("may_call").map(|others| format!("itself, {others}")));
    add("Environment", map(agent, "env").map(|env| pairs(env, |value| quoted(&plain(value)))));
    add("Secrets", map(agent, "env_from").map(|secrets| pairs(secrets, source)));
    add("Passed on", words("env_allow"));
    for (name, at) in [("Registered", "registered_at"), ("Changed", "changed_at")] {
        let shown = at == "registered_at" || text(agent, "registered_at") != text(agent, at);
        add(name, moment(agent, at).filter(|_| shown).map(|_| when(agent, at)));
    }
    facts
}

/// The command as a shell would take it.
fn command(agent: &Value) -> Option<String> {
    let words = agent.get("command")?.as_array()?;
    let words: Vec<String> = words.iter().map(|word| quoted(&plain(word))).collect();
    Some(words.join(" ")).filter(|command| !command.is_empty())
}

/// A word as a shell would take it.
fn quoted(word: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(harmless) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn listed(agent: &Value, name: &str, between: &str) -> Option<String> {
    let words = agent.get(name)?.as_array()?;
    Some(words.iter().map(plain).collect::<Vec<_>>().join(between))
}

fn map<'a>(agent: &'a Value, name: &str) -> Option<&'a Map<String, Value>> {
    agent.get(name)?.as_object().filter(|map| !map.is_empty())
}

fn pairs(map: &Map<String, Value>, shown: impl Fn(&Value) -> String) -> String {
    let pairs: Vec<_> =
        map.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
    pairs.join(" ")
}

/// Where a secret is read from, as `--env-from` takes it.
fn source(place: &Value) -> String {
    let named = place.as_object().and_then(|place| place.iter().next());
    named.map_or_else(|| plain(place), |(kind, place)| format!("{kind}:{}", plain(place)))
}

/// The columns of who holds the slots and who waits for one.
pub const PLACES: [(&str, Align); 5] = [
    ("PLACE", Align::Left),
    ("EXECUTION", Align::Left),
    ("TRIGGER", Align::Left),
    ("SINCE", Align::Left),
    ("", Align::Left),
];

/// Who holds the slots, and who waits for one: rows of [`PLACES`].
pub fn places(capacity: &Value) -> Vec<Vec<(String, Tone)>> {
    let mut rows = Vec::new();
    let now = now();
    for (part, place, tone) in [
        ("slots", "slot", Tone::Active),
        ("chats", "chat", Tone::Active),
        ("queue", "waits", Tone::Warn),
    ] {
        let entries = capacity.get(part).and_then(Value::as_array).into_iter().flatten();
        for (index, entry) in entries.enumerate() {
            let since = moment(entry, "since").map_or_else(|| "-".to_owned(), |at| ago(at, now));
            let number = entry.get("place").and_then(Value::as_u64).unwrap_or(index as u64 + 1);
            rows.push(vec![
                (format!("{place} {number}"), tone),
                (text(entry, "execution_id"), Tone::Plain),
                (text(entry, "triggered_by"), Tone::Plain),
                (since, Tone::Plain),
                (remark(entry), Tone::Quiet),
            ]);
        }
    }
    rows
}

/// Why it waits, or that it is being stopped.
fn remark(entry: &Value) -> String {
    let stopping = entry.get("cancelling").and_then(Value::as_bool).unwrap_or(false);
    let why = entry.get("reason").and_then(Value::as_str).map(|why| why.replace('_', " "));
    let why = why.map(|why| match moment(entry, "until") {
        Some(until) => format!("{why} until {}", exact(until)),
        None => why,
    });
    why.unwrap_or_else(|| if stopping { "being stopped".to_owned() } else { String::new() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_is_described_in_words_and_order() {
        let agent = json!({
            "name": "a", "status": "active", "runtime": "command",
            "command": ["/bin/sh", "-c", "echo it's"], "cwd": null, "run_as": null,
            "prompt": "stdin", "env": {"A": "b c"}, "env_from": {"T": {"file": "/t"}},
            "env_allow": [], "models": [], "allowed_tools": [], "may_call": ["b"],
            "allow_system_prompt": true, "max_parallel_tasks": 3, "running": 1, "chatting": 0,
            "queue_limit": 50, "pending": 2, "timeout_s": 900, "grace_s": 5,
            "max_cost_usd": 0.5, "max_turns": null, "memory_max_bytes": 1_048_576,
            "registered_at": "2026-01-01T00:00:00Z", "changed_at": "2026-01-01T00:00:00Z",
        });
        let told: Vec<String> =
            facts(&agent).iter().map(|(name, value, _)| format!("{name}: {value}")).collect();
        let expected = [
            "Agent: a",
            "Status: active",
            "Runtime: command",
            r"Command: /bin/sh -c 'echo it'\''s'",
            "Works in: a work folder of its own",
            "Runs as: the server's own user",
            "Is told by: standard input",
            "At once: 1 of 3 run",
            "Queue: 2 of 50 wait",
            "Timeout: 15 min 00 s; 5.0 s from SIGINT to SIGKILL",
            "Costs at most: $0.50",
            "Memory at most: 1.0 MiB",
            "Tools: none",
            "System prompt: callers may give one",
            "May call: itself, b",
            "Environment: A='b c'",
            "Secrets: T=file:/t",
        ];
        assert_eq!(told[..expected.len()], expected);
        assert_eq!(told.len(), expected.len() + 1, "the time of registration, and no more");
    }
}
