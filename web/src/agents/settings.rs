//! How an agent is set: all of it to read, its limits to change.

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::Value;

use super::answers::Agent;
use super::limits::{Typed, changed, form};
use super::{Named, Tab, api, asked, then};
use crate::interface::{Interface, Problem, Visitor};
use crate::shown;
use crate::words::{bytes, dollars, duration, number, time};

/// The tab of settings.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
) -> Response {
    shown(settings(&interface, &visitor, &name, None).await)
}

async fn settings(
    interface: &Interface,
    visitor: &Visitor,
    name: &str,
    refusal: Option<(&Typed, &Problem)>,
) -> crate::Shown {
    let (me, agent) = asked(interface, visitor, name).await?;
    let may_change = me.may("manage_agents") && agent.takes_tasks();
    let body = html! {
        div .columns.settings {
            div .main-column {
                @if may_change { (form(&agent, refusal)) } @else { (limits(&agent)) }
                (program(&agent))
                (environment(&agent))
            }
            aside .side-column aria-label="What it may" { (allowed(&agent)) (about(&agent)) }
        }
    };
    Ok(super::whole(&me, &agent, Tab::Settings, &body))
}

fn limits(agent: &Agent) -> Markup {
    let seconds = |s: u64| duration(s.saturating_mul(1_000));
    html! {
        section .block {
            h2 { "Limits" }
            dl .facts.card {
                dt { "Slots" } dd { (number(agent.max_parallel_tasks)) }
                dt { "Queue" } dd { (number(agent.queue_limit)) }
                dt { "Timeout" } dd { (seconds(agent.timeout_s)) }
                dt { "Grace" } dd { (seconds(agent.grace_s)) }
                dt { "New attempts" } dd {
                    (agent.max_retries)
                    @if agent.max_retries > 0 { ", the first after " (seconds(agent.retry_backoff_s)) }
                }
                dt { "Cost of a run at most" } dd {
                    @match agent.max_cost_usd { Some(usd) => (dollars(usd)), None => "no limit of its own" }
                }
            }
        }
    }
}

fn program(agent: &Agent) -> Markup {
    html! {
        section .block {
            h2 { "Program" }
            dl .facts.card {
                dt { "Runtime" } dd { (super::runtime(&agent.runtime)) }
                dt { "Command" } dd {
                    @match &agent.command {
                        Some(words) if words.is_empty() => span .quiet { "the runtime’s own" },
                        Some(words) => pre { code { @for word in words { (word) "\n" } } },
                        None => (not_shown()),
                    }
                }
                @if let Some(prompt) = &agent.prompt {
                    dt { "Message" } dd {
                        @if prompt == "stdin" { "is written to its standard input" } @else { "is its last argument" }
                    }
                }
                @if agent.command.is_some() {
                    dt { "Runs in" } dd {
                        @match &agent.cwd { Some(path) => code { (path) }, None => "a work folder of its own" }
                    }
                    dt { "Runs as" } dd {
                        @match &agent.run_as {
                            Some(user) => { "the system user " code { (user) } },
                            None => "the ledger’s own user: it has the ledger’s rights",
                        }
                    }
                }
            }
        }
    }
}

fn environment(agent: &Agent) -> Markup {
    let (Some(env), Some(env_from), Some(allow)) = (&agent.env, &agent.env_from, &agent.env_allow)
    else {
        return html! { section .block { h2 { "Environment" } p .card { (not_shown()) } } };
    };
    let nothing = env.is_empty() && env_from.is_empty() && allow.is_empty();
    html! {
        section .block {
            h2 { "Environment" }
            @if nothing {
                p .card.quiet { "Nothing of its own: it gets the few variables that every run gets." }
            } @else {
                dl .facts.card {
                    @for (name, value) in env { dt { code { (name) } } dd { code { (value) } } }
                    @for (name, source) in env_from { dt { code { (name) } } dd { (secret(source)) } }
                    @for name in allow { dt { code { (name) } } dd { "as the ledger’s own environment has it" } }
                }
            }
        }
    }
}

fn secret(source: &Value) -> Markup {
    html! {
        "a secret, read at each start from "
        @if let Some(path) = source["file"].as_str() { "the file " code { (path) } }
        @else if let Some(name) = source["variable"].as_str() { "the variable " code { (name) } }
        @else { "elsewhere" }
    }
}

fn allowed(agent: &Agent) -> Markup {
    let listed = |items: &[String]| {
        html! {
            @for (at, item) in items.iter().enumerate() { @if at > 0 { ", " } code { (item) } }
        }
    };
    html! {
        section {
            h2 { "What it may" }
            dl .facts {
                dt { "Models" } dd {
                    @if agent.models.is_empty() { "the runtime’s own default" } @else { (listed(&agent.models)) }
                }
                dt { "Tools" } dd {
                    @match &agent.allowed_tools {
                        None => "the runtime’s own default",
                        Some(tools) if tools.is_empty() => "none",
                        Some(tools) => (listed(tools)),
                    }
                }
                dt { "Calls" } dd { "itself" @if !agent.may_call.is_empty() { ", " (listed(&agent.may_call)) } }
                dt { "System prompt" } dd {
                    @if agent.allow_system_prompt { "callers may give one" } @else { "callers may give none" }
                }
                dt { "Turns" } dd { @match agent.max_turns { Some(most) => { "at most " (number(most)) }, None => "no limit of its own" } }
                dt { "Memory" } dd {
                    @match agent.memory_max_bytes { Some(most) => { "at most " (bytes(most)) }, None => "no limit of its own" }
                }
            }
        }
    }
}

fn about(agent: &Agent) -> Markup {
    html! {
        section {
            h2 { "Since" }
            dl .facts {
                dt { "Registered" } dd { (time(&agent.registered_at)) }
                dt { "Changed" } dd { (time(&agent.changed_at)) }
            }
            p .quiet { "Everything else is changed by " code { "PUT /api/agents/" (agent.name) } "." }
        }
    }
}

fn not_shown() -> Markup {
    html! { span .quiet { "Shown only to those who may read the log." } }
}

/// Changes what was changed in the form.
pub(super) async fn change(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
    Form(typed): Form<Typed>,
) -> Response {
    let body = changed(&typed);
    let done = interface.put::<Value>(&visitor, &api(&name, ""), &body).await;
    let address = format!("/agents/{}/settings", crate::interface::quoted(&name));
    match done {
        Err(problem) if problem.status == 422 => {
            match settings(&interface, &visitor, &name, Some((&typed, &problem))).await {
                Ok(page) => super::again(&problem, page),
                Err(instead) => instead.into_response(),
            }
        }
        other => then(&interface, &visitor, other.map(drop), &address).await,
    }
}
