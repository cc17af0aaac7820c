//! Registering an agent: by a form that has the settings that most need.

use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::refused;
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;

const RUNTIMES: [(&str, &str); 6] = [
    ("command", "Command: any program"),
    ("claude_code", "Claude Code"),
    ("codex", "Codex"),
    ("gemini", "Gemini CLI"),
    ("opencode", "opencode"),
    ("demo", "Simulated: no model, no cost"),
];

/// What the form holds.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct NewAgent {
    name: String,
    runtime: String,
    command: String,
    prompt: String,
    cwd: String,
    models: String,
    max_parallel_tasks: String,
    timeout_s: String,
    queue_limit: String,
    max_cost_usd: String,
}

impl NewAgent {
    /// As the interface takes it: what is empty is left out. What is no number is passed on as it is,
    /// and the interface says so.
    fn body(&self) -> Map<String, Value> {
        let texts = [("name", &self.name), ("runtime", &self.runtime), ("cwd", &self.cwd)];
        let numbers = [
            ("max_parallel_tasks", &self.max_parallel_tasks),
            ("timeout_s", &self.timeout_s),
            ("queue_limit", &self.queue_limit),
            ("max_cost_usd", &self.max_cost_usd),
        ];
        let lists = [("command", &self.command), ("models", &self.models)];
        let is_command = self.runtime == "command";
        let texts = texts.into_iter().map(|(field, text)| (field, Value::from(text.trim())));
        let prompt = is_command.then(|| ("prompt", Value::from(self.prompt.as_str())));
        let numbers = numbers.into_iter().map(|(field, text)| {
            let number = text.trim().parse::<serde_json::Number>();
            (field, number.map_or_else(|_| Value::from(text.trim()), Value::Number))
        });
        let lists = lists.into_iter().map(|(field, text)| (field, lines(text)));
        let given = texts.chain(prompt).chain(numbers).chain(lists);
        let given = given.filter(|(_, value)| {
            *value != "" && value.as_array().is_none_or(|list| !list.is_empty())
        });
        given.map(|(field, value)| (field.to_owned(), value)).collect()
    }
}

/// Lines as a list: an argument may hold spaces, and quotes mean nothing here.
fn lines(text: &str) -> Value {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
}

/// An agent's name that is proposed.
#[derive(Deserialize)]
pub(super) struct Proposed {
    name: Option<String>,
}

/// The form.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(proposed): Query<Proposed>,
) -> Response {
    let typed = NewAgent { name: proposed.name.unwrap_or_default(), ..NewAgent::default() };
    shown(form(&interface, &visitor, &typed, None).await)
}

async fn form(
    interface: &Interface,
    visitor: &Visitor,
    typed: &NewAgent,
    problem: Option<&Problem>,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let body = html! {
        nav .crumbs aria-label="Where this is" {
            a href="/agents" { "Agents" } span aria-hidden="true" { "/" } span { "Register an agent" }
        }
        header .page-head { h1 { "Register an agent" } }
        @if me.may("manage_agents") { (fields(typed, problem)) }
        @else { p .card { "Whoever registers an agent can run any command on the machine: only administrators may." } }
    };
    Ok(layout::page(Some(&me), Place::Agents, "Register an agent", &body))
}

fn fields(typed: &NewAgent, problem: Option<&Problem>) -> Markup {
    let invalid = |field: &str| {
        problem.is_some_and(|problem| problem.field.as_deref() == Some(field)).then_some("true")
    };
    let number = |field: &'static str,
                  name: &str,
                  value: &str,
                  default: &str,
                  most: Option<&str>| {
        html! {
            div .field {
                label for=(field) { (name) }
                input id=(field) type="number" name=(field) value=(value) placeholder=(default) min="0" max=[most]
                    step=(if most.is_some() { "1" } else { "any" }) aria-invalid=[invalid(field)];
            }
        }
    };
    html! {
        form #register .card.agent-form.is-narrow method="post" action="/register-agent" {
            @if let Some(problem) = problem { (refused(problem)) }
            div .agent-form-pair {
                div .field {
                    label for="name" { "Name" }
                    input id="name" name="name" value=(typed.name) required maxlength="63"
                        pattern="[a-z0-9][a-z0-9_\\-]*" autocomplete="off" spellcheck="false"
                        aria-describedby="about-name" aria-invalid=[invalid("name")];
                    small id="about-name" { "Small letters, digits, - and _. It is kept for ever." }
                }
                div .field {
                    label for="runtime" { "Runtime" }
                    select id="runtime" name="runtime" aria-invalid=[invalid("runtime")] {
                        @for (value, name) in RUNTIMES { option value=(value) selected[value == typed.runtime] { (name) } }
                    }
                }
            }
            div .field {
                label for="command" { "Program and arguments, one on each line" }
                textarea id="command" name="command" rows="4" spellcheck="false" .mono placeholder="/usr/local/bin/report\n--brief"
                    aria-describedby="about-command" aria-invalid=[invalid("command")] { (typed.command) }
                small id="about-command" {
                    "A command needs it; the other runtimes have their own. No shell reads it: quotes and $ mean nothing. "
                    "Secrets do not belong here: give them by " code { "env_from" } " over the interface."
                }
            }
            div .agent-form-pair {
                div .field {
                    label for="prompt" { "A command’s message" }
                    select id="prompt" name="prompt" {
                        option value="argument" { "is its last argument" }
                        option value="stdin" selected[typed.prompt == "stdin"] { "is written to its standard input" }
                    }
                }
                div .field {
                    label for="cwd" { "Runs in" }
                    input id="cwd" name="cwd" value=(typed.cwd) placeholder="a work folder of its own" spellcheck="false"
                        aria-invalid=[invalid("cwd")];
                }
            }
            div .field {
                label for="models" { "Models to choose from, one on each line" }
                textarea id="models" name="models" rows="2" spellcheck="false" .mono placeholder="the runtime’s own default"
                    aria-describedby="about-models" aria-invalid=[invalid("models")] { (typed.models) }
                small id="about-models" { "The first is the default." }
            }
            div .agent-form-grid {
                (number("max_parallel_tasks", "Slots", &typed.max_parallel_tasks, "3", Some("1000")))
                (number("queue_limit", "Queue", &typed.queue_limit, "50", Some("1000000")))
                (number("timeout_s", "Timeout, s", &typed.timeout_s, "900", Some("604800")))
                (number("max_cost_usd", "Cost of a run at most, $", &typed.max_cost_usd, "no limit", None))
            }
            div .row-end {
                a .button.is-plain href="/agents" { "Cancel" }
                button .button.is-main { "Register" }
            }
        }
    }
}

/// Registers the agent and goes to its tasks.
pub(super) async fn register(
    State(interface): State<Interface>,
    visitor: Visitor,
    Form(typed): Form<NewAgent>,
) -> Response {
    match interface.post::<Value>(&visitor, "/api/agents", &typed.body()).await {
        Ok(_) => {
            Redirect::to(&format!("/agents/{}/tasks", quoted(typed.name.trim()))).into_response()
        }
        Err(problem) if problem.status == 401 => {
            Instead::of(problem, &visitor, None).into_response()
        }
        Err(problem) => match form(&interface, &visitor, &typed, Some(&problem)).await {
            Ok(page) => super::again(&problem, page),
            Err(instead) => instead.into_response(),
        },
    }
}

#[cfg(test)]
mod unit {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_is_taken_word_by_word_and_what_is_empty_is_left_to_its_default() {
        let typed = NewAgent {
            name: " greeter ".to_owned(),
            runtime: "command".to_owned(),
            command: "/bin/echo\r\nhello  world\r\n\r\n$HOME\n".to_owned(),
            prompt: "argument".to_owned(),
            timeout_s: "60".to_owned(),
            ..NewAgent::default()
        };
        let expected = json!({
            "name": "greeter", "runtime": "command", "prompt": "argument",
            "command": ["/bin/echo", "hello  world", "$HOME"], "timeout_s": 60,
        });
        assert_eq!(Value::Object(typed.body()), expected);
    }
}
