//! All agents: what each is, what it is busy with, and how it did lately.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::response::Response;
use futures::{StreamExt, stream};
use maud::{Markup, html};

use super::answers::{Agent, Agents, Bucket, Cost, Costs, Timeline};
use super::choosing::{Which, further, nothing_meant};
use super::{SUMS_DAYS, api, runtime, status, sums_from};
use crate::answers::{Execution, ExecutionList};
use crate::error_page::Instead;
use crate::executions::row_title;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::{dollars, icon, number, time};

/// Agents on one page: most.
const PAGE_ROWS: usize = 50;
/// Questions for an agent's last run that are asked at once: most.
const ASKED_AT_ONCE: usize = 8;
/// Slots that are drawn one by one: most. More are told as a number.
pub(super) const SLOTS_DRAWN: u64 = 10;

/// The page of all agents.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(which): Query<Which>,
) -> Response {
    shown(list(&interface, &visitor, &which).await)
}

/// How an agent did lately.
#[derive(Default)]
struct Lately<'a> {
    runs: Option<&'a Bucket>,
    cost: Option<&'a Cost>,
    last: Option<&'a Execution>,
}

async fn list(interface: &Interface, visitor: &Visitor, which: &Which) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let from = quoted(&sums_from());
    let runs = format!("/api/executions/timeline?bucket=agent&from={from}");
    let costs = format!("/api/costs?by=agent&from={from}");
    let (agents, runs, costs) = futures::join!(
        interface.get::<Agents>(visitor, "/api/agents"),
        interface.get::<Timeline>(visitor, &runs),
        interface.get::<Costs>(visitor, &costs),
    );
    let agents = agents.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?.agents;
    let retired = agents.iter().filter(|agent| agent.status == "retired").count();
    let mut meant: Vec<&Agent> = agents.iter().filter(|agent| which.means(agent)).collect();
    let goes_on = meant.len() > PAGE_ROWS;
    meant.truncate(PAGE_ROWS);
    let last = last_runs(interface, visitor, &meant).await;
    let runs = runs.map(|timeline| timeline.buckets).unwrap_or_default();
    let costs = costs.ok().map(|costs| costs.costs);
    let lately = |name: &str| Lately {
        runs: runs.iter().find(|one| one.bucket.as_deref() == Some(name)),
        cost: costs.iter().flatten().find(|one| one.key.as_deref() == Some(name)),
        last: last.get(name),
    };
    let body = html! {
        header .page-head {
            h1 { "Agents" }
            @if me.may("manage_agents") {
                a .button.is-main href="/register-agent" { (icon("plus")) "Register an agent" }
            }
        }
        @if which.is_offered(agents.len()) { (which.form()) }
        @if meant.is_empty() && which.chooses() { (nothing_meant()) }
        @else if meant.is_empty() { (empty(&me, retired)) }
        @else {
            div .table-wrap {
                table .agents {
                    caption .sr { "Agents, with their runs of the last " (SUMS_DAYS) " days" }
                    (head())
                    tbody { @for agent in &meant { (row(agent, &lately(&agent.name))) } }
                }
            }
        }
        (further(which, &meant, goes_on, retired))
    };
    Ok(layout::page(Some(&me), Place::Agents, "Agents", &body))
}

/// The last execution of each agent that has one.
async fn last_runs(
    interface: &Interface,
    visitor: &Visitor,
    agents: &[&Agent],
) -> HashMap<String, Execution> {
    let asked = agents.iter().map(|agent| {
        let name = agent.name.clone();
        async move {
            let address = api(&name, "/executions?limit=1");
            let list = interface.get::<ExecutionList>(visitor, &address).await.ok()?;
            Some((name, list.executions.into_iter().next()?))
        }
    });
    let asked: Vec<_> = asked.collect();
    let answers = stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    answers.filter_map(std::future::ready).collect().await
}

fn head() -> Markup {
    html! {
        thead { tr {
            th scope="col" { "Agent" }
            th scope="col" { "Status" }
            th scope="col" { "Slots" }
            th scope="col" .number { "Waiting" }
            th scope="col" .number { "Success, " (SUMS_DAYS) " d" }
            th scope="col" .number { "Cost, " (SUMS_DAYS) " d" }
            th scope="col" { "Last run" }
        } }
    }
}

fn row(agent: &Agent, lately: &Lately<'_>) -> Markup {
    html! {
        tr id={ "agent-" (agent.name) } data-status=(agent.status) {
            td .cell-name { a href=(agent.address()) { (agent.name) } (runtime(&agent.runtime)) }
            td .cell-status { (status(&agent.status)) }
            td .cell-slots { (slots(agent.running, agent.max_parallel_tasks)) }
            td .number.cell-waiting {
                @if agent.pending > 0 { b .is-waiting { (number(agent.pending)) } }
                @else { span .quiet { "–" } }
                span .on-phone.quiet { " waiting" }
            }
            td .number.cell-success { (success(lately.runs)) span .on-phone.quiet { " success" } }
            td .number.cell-cost { (cost(lately.cost)) span .on-phone.quiet { " cost" } }
            td .cell-last {
                @match lately.last {
                    Some(last) => {
                        span class={ "status is-" (last.status) } title=(last.status) {
                            span .mark {} span .sr { (last.status) }
                        }
                        a href=(last.address()) { (row_title(last)) }
                        span .quiet { (time(&last.created_at)) }
                    },
                    None => span .quiet { "never" },
                }
            }
        }
    }
}

/// How many slots are taken, drawn where they are few.
pub(super) fn slots(taken: u64, of: u64) -> Markup {
    html! {
        span .slots {
            @if of <= SLOTS_DRAWN {
                span .slot-marks aria-hidden="true" {
                    @for slot in 0..of { i .is-taken[slot < taken] {} }
                }
            }
            span .quiet { (number(taken)) span .sr { " taken" } " of " (number(of)) }
        }
    }
}

fn success(runs: Option<&Bucket>) -> Markup {
    let rate = runs.and_then(|runs| Some((runs.success()?, runs.finished())));
    html! {
        @match rate {
            Some((rate, of)) => { (rate) small { " of " (number(of)) } },
            None => span .quiet title="Nothing ended in this time" { "–" },
        }
    }
}

fn cost(cost: Option<&Cost>) -> Markup {
    html! {
        @match cost {
            Some(cost) => {
                @if cost.unknown < cost.runs { (dollars(cost.cost_usd)) }
                @if cost.unknown > 0 {
                    small title="Runs whose cost nobody knows" {
                        @if cost.unknown < cost.runs { " + " }
                        (number(cost.unknown)) " unknown"
                    }
                }
            },
            None => span .quiet title="Nothing ended in this time" { "–" },
        }
    }
}

fn empty(me: &Me, retired: usize) -> Markup {
    html! {
        section .empty {
            @if retired > 0 {
                h2 { "No agent is at work" } p { "All that there were have been retired." }
            } @else {
                h2 { "No agent yet" }
                p { "An agent is a program that is given tasks: Claude Code, Codex, Gemini CLI, opencode, or any command." }
            }
            @if me.may("manage_agents") {
                p { a .button.is-main href="/register-agent" { (icon("plus")) "Register an agent" } }
            } @else { p .quiet { "An administrator registers agents." } }
        }
    }
}
