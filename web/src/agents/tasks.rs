//! Where an agent is given tasks, and what became of those before.

use axum::extract::{Form, Path, RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Accepted, Agent};
use super::{Named, Tab, api, asked, history, refused};
use crate::answers::ExecutionList;
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::Me;
use crate::once::{self, Once};
use crate::words::{dollars, icon};
use crate::{execution, shown};

/// Tasks on one page.
const PAGE_ROWS: u32 = 25;

/// The tab of tasks.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
    shown(tasks(&interface, &visitor, &name, cursor, &NewTask::default(), None).await)
}

/// What the form holds.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct NewTask {
    message: String,
    model: String,
    timeout_s: String,
    max_cost_usd: String,
    once: String,
}

impl NewTask {
    /// As the interface takes it. What is no number is passed on as it is: the interface says so.
    fn body(&self) -> Value {
        // Browsers send line ends as CR LF; a message has no control characters but tab and newline.
        let message = self.message.replace("\r\n", "\n");
        let mut body = json!({"message": message, "async_mode": true});
        let number = |text: &str| {
            text.parse::<serde_json::Number>().map_or_else(|_| text.into(), Value::Number)
        };
        if !self.model.is_empty() {
            body["model"] = self.model.as_str().into();
        }
        for (field, text) in [("timeout_s", &self.timeout_s), ("max_cost_usd", &self.max_cost_usd)]
        {
            if !text.trim().is_empty() {
                body[field] = number(text.trim());
            }
        }
        body
    }
}

async fn tasks(
    interface: &Interface,
    visitor: &Visitor,
    name: &str,
    cursor: Option<&str>,
    typed: &NewTask,
    problem: Option<&Problem>,
) -> crate::Shown {
    let (me, agent) = asked(interface, visitor, name).await?;
    let from = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    let list = api(name, &format!("/executions?limit={PAGE_ROWS}{from}"));
    let list = interface.get::<ExecutionList>(visitor, &list).await;
    let list = list.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let body = html! {
        @if me.may("operate") { (form(&agent, typed, problem)) }
        section #history data-follows aria-label="Tasks before" {
            div #news .news hidden { button .button type="button" {} }
            @if list.executions.is_empty() { (empty(&me, &agent)) }
            (history::long(&me, &agent, &list.executions))
            nav .pager aria-label="Pages" {
                @if cursor.is_some() { a .button href=(Tab::Tasks.address(&agent)) rel="first" { "Newest" } }
                a .button.is-plain href={ "/?agent=" (quoted(&agent.name)) } { "Filter and search these" }
                @if let Some(next) = &list.next_cursor {
                    a .button href={ (Tab::Tasks.address(&agent)) "?cursor=" (quoted(next)) } rel="next" {
                        "Older " (icon("down"))
                    }
                }
            }
        }
    };
    Ok(super::whole(&me, &agent, Tab::Tasks, &body))
}

fn form(agent: &Agent, typed: &NewTask, problem: Option<&Problem>) -> Markup {
    if !agent.takes_tasks() {
        return html! { p .card.quiet { "This agent was retired: it takes no more tasks." } };
    }
    html! {
        form #new-task .composer.card method="post" action=(Tab::Tasks.address(agent)) {
            (once::mark())
            @if let Some(problem) = problem { (refused(problem)) }
            label .sr for="task-message" { "What is " (agent.name) " to do?" }
            textarea #task-message name="message" required rows="3" maxlength="262144"
                placeholder={ "What is " (agent.name) " to do?" } { (typed.message) }
            div .composer-foot {
                @if !agent.models.is_empty() {
                    label { span { "Model" }
                        select name="model" {
                            @for (at, model) in agent.models.iter().enumerate() {
                                option value=(model) selected[*model == typed.model] {
                                    (model) @if at == 0 { " (default)" }
                                }
                            }
                        }
                    }
                }
                details .task-limits open[!typed.timeout_s.is_empty() || !typed.max_cost_usd.is_empty()] {
                    summary .button.is-plain { "Limits" }
                    div .task-limits-fields {
                        label { "Timeout, s"
                            input type="number" name="timeout_s" min="1" max=(agent.timeout_s)
                                placeholder=(agent.timeout_s) value=(typed.timeout_s);
                        }
                        label { "Cost at most, $"
                            input type="number" name="max_cost_usd" min="0" step="any" max=[agent.max_cost_usd]
                                placeholder=(agent.max_cost_usd.map_or_else(|| "no limit".to_owned(), dollars))
                                value=(typed.max_cost_usd);
                        }
                    }
                }
                span .spacer {}
                span .quiet.by-script { kbd { "Ctrl" } " " kbd { "Enter" } }
                button .button.is-main { "Send" }
            }
            @if agent.status == "paused" {
                p .quiet { "The agent is paused: tasks are taken, and wait until it is resumed." }
            }
        }
    }
}

fn empty(me: &Me, agent: &Agent) -> Markup {
    html! {
        section .empty {
            h2 { "No tasks yet" }
            @if me.may("operate") && agent.takes_tasks() {
                p { "Say above what " (agent.name) " is to do. What comes of it appears here, live." }
            } @else { p { "What " (agent.name) " is given to do appears here." } }
        }
    }
}

/// Gives the agent the task, and shows it below.
pub(super) async fn submit(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
    Form(task): Form<NewTask>,
) -> Response {
    let address = api(&name, "/task");
    match interface.post_once::<Accepted>(&visitor, &address, &task.body(), &task.once).await {
        Ok(accepted) => seen(&interface, &visitor, &name, &accepted).await,
        Err(problem) => {
            match tasks(&interface, &visitor, &name, None, &task, Some(&problem)).await {
                Ok(page) => super::again(&problem, page),
                Err(instead) => instead.into_response(),
            }
        }
    }
}

/// Runs a task again.
pub(super) async fn again(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path((name, id)): Path<(String, String)>,
    Form(form): Form<Once>,
) -> Response {
    let which = (name.clone(), id);
    match execution::once_more::<Accepted>(&interface, &visitor, &which, &form).await {
        Ok(accepted) => seen(&interface, &visitor, &name, &accepted).await,
        Err(problem) => {
            let me = Me::of(&interface, &visitor).await.ok();
            Instead::of(problem, &visitor, me.as_ref()).into_response()
        }
    }
}

/// Goes to the agent's tasks once the new one is among them.
async fn seen(
    interface: &Interface,
    visitor: &Visitor,
    name: &str,
    accepted: &Accepted,
) -> Response {
    let list = format!("/executions?limit=1&wait_for={}", quoted(&accepted.position));
    // Where this takes too long the task is there all the same, and the page shows it when it can.
    let waited = interface.get::<Value>(visitor, &api(name, &list)).await;
    if let Err(problem) = waited {
        tracing::debug!(code = problem.code, "the list does not show a new task yet");
    }
    Redirect::to(&format!("/agents/{}/tasks", quoted(name))).into_response()
}
