//! What an agent is doing: its slots, its queue, how it did lately.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};

use super::answers::{Agent, Capacity, Queued, Slot, Timeline};
use super::{Named, SUMS_DAYS, Tab, api, asked, history, sums_from, waiting};
use crate::answers::{Execution, ExecutionList, Stats};
use crate::error_page::Instead;
use crate::executions::row_title;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::Me;
use crate::shown;
use crate::words::{dollars, duration, icon, number, time, trigger};

/// Executions of which the newest are shown here; the tab of tasks has all.
const RECENT_ROWS: u32 = 5;
/// Open executions whose tasks are looked up by one question: most that the interface answers at once.
const OPEN_ROWS: u32 = 200;
/// Places in the queue that are shown: most.
const QUEUE_ROWS: usize = 50;
/// Free slots that are drawn: most.
const FREE_DRAWN: u64 = 5;

/// The page of an agent.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
) -> Response {
    shown(overview(&interface, &visitor, &name).await)
}

async fn overview(interface: &Interface, visitor: &Visitor, name: &str) -> crate::Shown {
    let (me, agent) = asked(interface, visitor, name).await?;
    let agent_name = quoted(&agent.name);
    let from = quoted(&sums_from());
    let capacity = api(name, "/capacity");
    let running = api(name, &format!("/executions?status=running&limit={OPEN_ROWS}"));
    let pending =
        api(name, &format!("/executions?status=pending&sort=created_at&limit={OPEN_ROWS}"));
    let recent = api(name, &format!("/executions?limit={RECENT_ROWS}"));
    let sums = format!("/api/executions/stats?agent={agent_name}&from={from}");
    let days = format!("/api/executions/timeline?bucket=day&agent={agent_name}&from={from}");
    let (capacity, running, pending, recent, sums, days) = futures::join!(
        interface.get::<Capacity>(visitor, &capacity),
        interface.get::<ExecutionList>(visitor, &running),
        interface.get::<ExecutionList>(visitor, &pending),
        interface.get::<ExecutionList>(visitor, &recent),
        interface.get::<Stats>(visitor, &sums),
        interface.get::<Timeline>(visitor, &days),
    );
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let (capacity, recent) = (capacity.map_err(fail)?, recent.map_err(fail)?);
    let sums = sums.map_err(fail)?;
    let open = [running, pending].into_iter().flatten().flat_map(|list| list.executions);
    let open: HashMap<String, Execution> =
        open.map(|execution| (execution.execution_id.clone(), execution)).collect();
    let work = Work { me: &me, agent: &agent, open: &open };
    let body = html! {
        div #overview data-follows {
            (totals(&sums))
            div .columns {
                div .main-column {
                    (work.slots(&capacity))
                    (work.queue(&capacity))
                }
                aside .side-column aria-label="Lately" {
                    @if let Ok(days) = &days { (runs_by_day(days)) }
                    section {
                        h2 { "Recent runs" }
                        (history::short(&agent, &recent.executions))
                    }
                }
            }
        }
    };
    Ok(super::whole(&me, &agent, Tab::Overview, &body))
}

fn totals(sums: &Stats) -> Markup {
    let rate =
        sums.success_rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
    let took = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), duration);
    let open = sums.pending.saturating_add(sums.running);
    let ended = sums.total.saturating_sub(open);
    html! {
        section #agent-totals aria-label={ "Totals of the last " (SUMS_DAYS) " days" } {
            dl .totals {
                div { dt { "Runs, last " (SUMS_DAYS) " days" } dd { (number(sums.total)) } }
                div { dt { "Success rate" } dd { (rate) } }
                div { dt { "Cost" } dd {
                    @if ended == 0 { "–" }
                    @else if sums.cost_unknown < ended { (dollars(sums.cost_usd)) }
                    @else { "unknown" }
                    @if sums.cost_unknown > 0 && sums.cost_unknown < ended {
                        small title="Runs whose cost nobody knows" { "+ " (number(sums.cost_unknown)) " unknown" }
                    }
                } }
                div { dt { "Half took at most" } dd { (took(sums.duration_ms_p50)) } }
                div { dt { "95 of 100 took at most" } dd { (took(sums.duration_ms_p95)) } }
            }
        }
    }
}

/// The runs of each day as bars: drawn for the eye, said in words for all others.
fn runs_by_day(days: &Timeline) -> Markup {
    let most = days.buckets.iter().map(|day| day.total).max().unwrap_or(0);
    // A bar's height in the drawing, whose bars are 60 high; what is there at all can be seen.
    let height = |runs: u64| if runs == 0 { 0 } else { (runs * 60 / most.max(1)).max(2) };
    let day_of = |bucket: &Option<String>| {
        bucket.as_deref().and_then(|at| at.get(5..10)).unwrap_or("").to_owned()
    };
    let count = days.buckets.len();
    html! {
        section {
            h2 { "Runs by day" }
            @if most == 0 { p .quiet { "None in the last " (SUMS_DAYS) " days." } } @else {
                svg .run-days viewBox={ "0 0 " (count * 36) " 84" } role="img"
                    aria-label={ "Runs by day: " (days.buckets.iter().map(|day| format!("{} {} runs, {} failed", day_of(&day.bucket), day.total, day.failed)).collect::<Vec<_>>().join("; ")) } {
                    @for (at, day) in days.buckets.iter().enumerate() {
                        @let (all, ended, bad) = (height(day.total), height(day.completed + day.failed), height(day.failed));
                        g {
                            title { (day_of(&day.bucket)) ": " (day.total) " runs, " (day.failed) " failed" }
                            rect .ground x=(at * 36 + 6) y="4" width="24" height="62" rx="3" {}
                            rect .other x=(at * 36 + 6) y=(66 - all) width="24" height=(all) rx="2" {}
                            rect .good x=(at * 36 + 6) y=(66 - ended) width="24" height=(ended) rx="2" {}
                            rect .bad x=(at * 36 + 6) y=(66 - bad) width="24" height=(bad) rx="2" {}
                            text x=(at * 36 + 18) y="80" text-anchor="middle" { (day_of(&day.bucket)) }
                        }
                    }
                }
            }
        }
    }
}

/// What the agent is busy with, as whoever looks may see and change it.
struct Work<'a> {
    me: &'a Me,
    agent: &'a Agent,
    open: &'a HashMap<String, Execution>,
}

impl Work<'_> {
    /// An open execution by its task, as far as it may be seen.
    fn title(&self, id: Option<&String>) -> Markup {
        let Some(id) = id else {
            return html! { span .quiet { "Somebody else’s task" } };
        };
        let address = format!("{}/executions/{id}", self.agent.address());
        html! {
            a href=(address) {
                @match self.open.get(id) {
                    Some(execution) => (row_title(execution)),
                    None => code { (id) },
                }
            }
        }
    }

    fn slots(&self, capacity: &Capacity) -> Markup {
        let taken = u64::try_from(capacity.slots.len()).unwrap_or(u64::MAX);
        let free = capacity.max_parallel_tasks.saturating_sub(taken);
        html! {
            section #slots .block {
                header .section-head {
                    h2 { "Slots" }
                    (super::list::slots(taken, capacity.max_parallel_tasks))
                }
                ul .work {
                    @for slot in &capacity.slots { (self.holder(slot, "slot")) }
                    @for slot in &capacity.chats { (self.holder(slot, "chat")) }
                    @for _ in 0..free.min(FREE_DRAWN) { li .is-free { "Free" } }
                    @if free > FREE_DRAWN { li .is-free { (number(free - FREE_DRAWN)) " more are free" } }
                }
            }
        }
    }

    fn holder(&self, slot: &Slot, kind: &str) -> Markup {
        let id = slot.execution_id.as_ref();
        html! {
            li .is-held id=[id.map(|id| format!("slot-{id}"))] {
                span .status.is-running { span .mark {} span .sr { "running" } }
                div .work-what {
                    p { (self.title(id)) }
                    p .quiet {
                        (trigger(&slot.triggered_by))
                        @if kind == "chat" { span title="A chat turn takes no slot" { "outside the slots" } }
                        span title={ "Since " (crate::words::exact(&slot.since)) } {
                            "for " span data-since=(slot.since) { (time(&slot.since)) }
                        }
                        @if slot.cancelling { b { "being stopped" } }
                        @else if kind == "slot" {
                            span title="Ended at the latest then: its timeout, and five minutes" {
                                "slot lapses " (time(&slot.slot_until))
                            }
                        }
                    }
                }
                @if let Some(id) = id.filter(|_| self.me.may("operate") && !slot.cancelling) {
                    (super::button(&format!("{}/queue/{id}/stop", self.agent.address()), "stop", "Stop", "is-danger", ""))
                }
            }
        }
    }

    fn queue(&self, capacity: &Capacity) -> Markup {
        let shown = capacity.queue.len().min(QUEUE_ROWS);
        let more = capacity.pending.saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
        html! {
            section #queue .block {
                header .section-head {
                    h2 { "Queue" }
                    span .quiet { (number(capacity.pending)) " of " (number(self.agent.queue_limit)) " places taken" }
                }
                @if capacity.pending == 0 {
                    p .nothing { "Nothing waits: a new task starts at once" @if self.agent.status == "paused" { ", once the agent is resumed" } "." }
                } @else {
                    ol .work {
                        @for queued in capacity.queue.iter().take(QUEUE_ROWS) { (self.queued(queued)) }
                    }
                    @if more > 0 {
                        p .quiet { a href={ "/?status=pending&agent=" (quoted(&self.agent.name)) } { (number(more)) " more wait" } }
                    }
                }
            }
        }
    }

    fn queued(&self, queued: &Queued) -> Markup {
        let id = queued.execution_id.as_ref();
        let address = id.map(|id| format!("{}/queue/{id}", self.agent.address()));
        html! {
            li .is-queued id=[id.map(|id| format!("queued-{id}"))] {
                span .place title="Place in the queue" { span .sr { "Place " } (queued.place) }
                div .work-what {
                    p { (self.title(id)) }
                    p .quiet {
                        (trigger(&queued.triggered_by))
                        span .why { (waiting::why(queued)) }
                        span title={ "Since " (crate::words::exact(&queued.since)) } {
                            "waits for " span data-since=(queued.since) { (time(&queued.since)) }
                        }
                    }
                }
                @if let Some(address) = address {
                    div .work-do {
                        @if self.me.may("manage_queues") && queued.place > 1 {
                            form method="post" action={ (address) "/front" } {
                                button .button title="The next that starts" { (icon("up")) "To the front" }
                            }
                        }
                        @if self.me.may("operate") {
                            form method="post" action={ (address) "/stop" } {
                                button .button.is-danger { "Cancel" }
                            }
                        }
                    }
                }
            }
        }
    }
}
