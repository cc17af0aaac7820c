//! What schedules decided, in words.

use maud::{Markup, html};

use super::answers::Tick;
use crate::interface::quoted;
use crate::words::{number, time};

/// Why a tick fired or was skipped.
pub(super) fn reason(reason: &str) -> String {
    let words = match reason {
        "on_time" => "on time",
        "catch_up" => "caught up, after it was missed",
        "triggered" => "triggered by hand",
        "overlap" => "an earlier run was still open",
        "missed" => "missed: nothing ran at that time",
        "queue_full" => "the agent's queue was full",
        "agent_unknown" => "there is no such agent",
        "agent_retired" => "the agent was retired",
        "refused" => "the agent's settings do not allow the task",
        "message_erased" => "the task's text was erased",
        "changed" => "the schedule was changed first",
        "disabled" => "the schedule was disabled first",
        "deleted" => "the schedule was deleted first",
        other => return other.replace('_', " "),
    };
    words.to_owned()
}

/// Whether it fired, as a mark and a word.
pub(super) fn decision(tick: &Tick) -> Markup {
    let class = if tick.decision == "fired" { "is-completed" } else { "is-cancelled" };
    html! { span class={ "status " (class) } { span .mark {} (tick.decision) } }
}

/// The decisions as a table, the latest first.
pub(super) fn table(ticks: &[Tick], agent: &str) -> Markup {
    html! {
        div .table-wrap {
            table .ticks {
                caption .sr { "What it decided, the latest first" }
                thead { tr {
                    th scope="col" { "Time" }
                    th scope="col" { "Decision" }
                    th scope="col" { "Reason" }
                    th scope="col" { "Execution" }
                } }
                tbody { @for tick in ticks { (row(tick, agent)) } }
            }
        }
    }
}

fn row(tick: &Tick, agent: &str) -> Markup {
    html! {
        tr {
            td .cell-time {
                (time(&tick.tick))
                @if let Some(until) = &tick.until { " to " (time(until)) }
            }
            td {
                (decision(tick))
                @if tick.count > 1 { small { " " (number(tick.count)) " times" } }
            }
            td .cell-reason {
                (reason(&tick.reason))
                @if let Some(code) = &tick.code { " " code .error-code { (code) } }
            }
            td {
                @match &tick.execution_id {
                    Some(id) => a href={ "/agents/" (quoted(agent)) "/executions/" (quoted(id)) } {
                        code { (id.get(id.len().saturating_sub(8)..).unwrap_or(id)) }
                    },
                    None => span .quiet { "–" },
                }
            }
        }
    }
}
