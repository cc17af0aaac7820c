//! The timeline: when which agent worked on what, as bars.

mod drawing;
mod gather;
mod window;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use maud::{Markup, html};

use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::{cost, duration, icon, number, status, time, trigger};
use gather::{BARS_MAX, Bar, Column, Drawn, Gathered};
use window::{RANGES, Window, short};

/// How executions come to be: each has a colour of its own.
const TRIGGERS: [&str; 8] =
    ["manual", "self_task", "mcp", "agent", "chat", "schedule", "paid", "retry"];
/// Windows below this length are told with their seconds.
const SECONDS_BELOW: TimeDelta = TimeDelta::minutes(10);
/// Rows of the table that says the same as the picture, at most.
const TABLE_MAX: usize = 50;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new().route("/timeline", get(page))
}

/// The timeline of a window, as the page's address says it.
async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    shown(timeline(&interface, &visitor, &pairs).await)
}

async fn timeline(
    interface: &Interface,
    visitor: &Visitor,
    pairs: &[(String, String)],
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let (window, wrong) = Window::read(pairs, Utc::now());
    let gathered = gather::gather(interface, visitor, &window).await;
    let gathered = gathered.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let body = html! {
        header .page-head {
            div {
                h1 { "Timeline" }
                p #timeline-about .quiet data-follows { (about(&window, &gathered)) }
            }
            a .button href="/activity" { (icon("activity")) "Activity" }
        }
        @if let Some(wrong) = wrong { p .timeline-wrong role="alert" { (wrong) } }
        (controls(&window, pairs))
        section #timeline data-follows aria-label="Timeline" data-from=(window.from.timestamp_millis())
            data-to=(window.to.timestamp_millis()) data-now=(window.now.timestamp_millis())
            data-range=[window.range] data-agent=[window.agent.as_deref()]
        {
            (picture(&window, &gathered))
        }
        div #bar-card .bar-card hidden { strong {} span {} }
    };
    Ok(layout::page(Some(&me), Place::Timeline, "Timeline", &body))
}

/// What is shown, in words.
fn about(window: &Window, gathered: &Gathered) -> Markup {
    let exact = |at: DateTime<Utc>| {
        let is_this_year = at.year() == window.now.year();
        let day = if is_this_year { "%b %-d" } else { "%b %-d %Y" };
        let time = if window.span() < SECONDS_BELOW { "%H:%M:%S" } else { "%H:%M" };
        at.format(&format!("{day}, {time}")).to_string()
    };
    html! {
        (number(gathered.total)) @if gathered.total == 1 { " execution" } @else { " executions" }
        @match window.range.and_then(|range| RANGES.iter().find(|(own, ..)| *own == range)) {
            Some((_, words, _)) => { " in the last " (words) },
            None => { " from " (exact(window.from)) " to " (exact(window.to)) },
        }
        @if let Some(agent) = &window.agent {
            " of " (agent) " (" a href=(without_agent(window)) { "all agents" } ")"
        }
        ". Times in UTC."
    }
}

fn without_agent(window: &Window) -> String {
    let all = Window { agent: None, ..window.clone() };
    match window.range {
        Some(range) => all.with_range(range),
        None => all.with(window.from, window.to),
    }
}

fn controls(window: &Window, pairs: &[(String, String)]) -> Markup {
    let typed = |name: &str, own: DateTime<Utc>| {
        let given = pairs.iter().find(|(other, _)| other == name);
        let given = given.map(|(_, value)| value.trim_end_matches('Z').to_owned());
        given.unwrap_or_else(|| short(own).trim_end_matches('Z').to_owned())
    };
    html! {
        div #timeline-controls .timeline-controls {
            nav .timeline-segments aria-label="Range" {
                @for (range, words, _) in RANGES {
                    a href=(window.with_range(range)) aria-current=[(window.range == Some(range)).then_some("true")]
                        title={ "The last " (words) } { (range) }
                }
            }
            nav .timeline-segments aria-label="Move" {
                a #earlier href=(window.earlier()) rel="prev" { "← Earlier" }
                @if let Some(later) = window.later() { a #later href=(later) rel="next" { "Later →" } }
                @else if window.range.is_none() { a #later href=(window.with_range("6h")) { "Now" } }
            }
            nav .timeline-segments aria-label="Zoom" {
                @if let Some(closer) = window.closer() { a #closer href=(closer) aria-label="Zoom in" { "+" } }
                @if let Some(wider) = window.wider() { a #wider href=(wider) aria-label="Zoom out" { "−" } }
            }
            details .more #custom-range {
                summary .button { "Custom range" }
                form .card method="get" action="/timeline" {
                    @if let Some(agent) = &window.agent { input type="hidden" name="agent" value=(agent); }
                    label { "From, UTC"
                        input type="datetime-local" name="from" required step="1" value=(typed("from", window.from));
                    }
                    label { "To, UTC"
                        input type="datetime-local" name="to" required step="1" value=(typed("to", window.to.min(window.now)));
                    }
                    button .button.is-main { "Show" }
                }
            }
        }
    }
}

fn picture(window: &Window, gathered: &Gathered) -> Markup {
    match &gathered.drawn {
        Drawn::Bars { by_agent, .. } if by_agent.is_empty() => empty(window),
        Drawn::Bars { by_agent, left_out } => html! {
            (legend(by_agent.values().flatten()))
            @if *left_out > 0 {
                p .quiet { "Only the newest " (number(BARS_MAX)) " are drawn; " (number(*left_out)) " are not. Zoom in to see all." }
            }
            div .timeline {
                (drawing::axis(window))
                @for (agent, bars) in by_agent {
                    (block(agent, &drawing::bars(window, agent, bars), &counted(bars.len())))
                }
            }
            (table(window, by_agent.values().flatten().collect()))
        },
        Drawn::Columns { by_agent, hours } => html! {
            ul .timeline-legend {
                li { span .swatch.of-all {} "Executions" }
                li { span .swatch.of-failed {} "Failed" }
                li .quiet { "A column stands for " (hours_of(*hours)) "; open it to come closer." }
            }
            div .timeline {
                (drawing::axis(window))
                @let most = by_agent.values().flatten().map(|column| column.total).max().unwrap_or(1);
                @for (agent, columns) in by_agent {
                    @let all = columns.iter().map(|column| column.total).sum::<u64>();
                    (block(agent, &drawing::columns(window, agent, columns, *hours, most), &number(all)))
                }
            }
            @if gathered.agents_left_out > 0 {
                p .quiet { "Agents with fewer executions are not drawn: " (gathered.agents_left_out) "." }
            }
            (counts(by_agent))
        },
    }
}

fn counted(bars: usize) -> String {
    number(u64::try_from(bars).unwrap_or(u64::MAX))
}

fn hours_of(hours: i64) -> String {
    match hours {
        1 => "an hour".to_owned(),
        24 => "a day".to_owned(),
        _ if hours % 24 == 0 => format!("{} days", hours / 24),
        _ => format!("{hours} hours"),
    }
}

fn block(agent: &str, lanes: &Markup, count: &str) -> Markup {
    html! {
        div .block-of-agent id={ "block-" (agent) } {
            h2 { a href={ "/agents/" (quoted(agent)) } { (agent) } " " small { (count) } }
            (lanes)
        }
    }
}

/// What the colours mean: of those that are there.
fn legend<'a>(bars: impl Iterator<Item = &'a Bar>) -> Markup {
    let there: std::collections::BTreeSet<&str> =
        bars.map(|bar| bar.record.triggered_by.as_str()).collect();
    html! {
        ul #timeline-legend .timeline-legend aria-label="Colours: what triggered an execution" {
            @for name in TRIGGERS.iter().filter(|name| there.contains(*name)) {
                li { span class={ "swatch by-" (name) } {} (name.replace('_', " ")) }
            }
            li { span .swatch.is-failed {} "failed" }
            li { span .swatch.is-cancelled {} "cancelled" }
            li { span .swatch.is-pending {} "waiting" }
            li .by-script { kbd { "←" } kbd { "→" } " from bar to bar" }
        }
    }
}

fn empty(window: &Window) -> Markup {
    html! {
        div .empty {
            h2 { "Nothing ran in this time" }
            p { "Every execution is a bar here: from when it started to when it ended, in the colour of what triggered it." }
            p {
                @if window.range != Some("7d") { a .button href=(window.with_range("7d")) { "The last 7 days" } }
                @else { a .button href="/" { "Give an agent a task" } }
            }
        }
    }
}

fn table(window: &Window, mut bars: Vec<&Bar>) -> Markup {
    bars.sort_by_key(|bar| std::cmp::Reverse(bar.created));
    let rest = bars.len().saturating_sub(TABLE_MAX);
    html! {
        details #timeline-table .timeline-table {
            summary { "As a table" }
            div .table-wrap { table {
                thead { tr {
                    th scope="col" { "Agent" } th scope="col" { "Task" } th scope="col" { "Status" }
                    th scope="col" { "Trigger" } th scope="col" { "Started" }
                    th scope="col" .number { "Duration" } th scope="col" .number { "Cost" }
                } }
                tbody { @for bar in bars.iter().take(TABLE_MAX) { (line(bar)) } }
            } }
            @if rest > 0 {
                p { (rest) " more: " a href={ "/?from=" (short(window.from)) "&to=" (short(window.to)) } { "all in the list of executions" } }
            }
        }
    }
}

fn line(bar: &Bar) -> Markup {
    let record = &bar.record;
    html! {
        tr {
            td { (record.agent_name) }
            td { a href=(record.address()) { (drawing::title(bar)) } }
            td { (status(&record.status)) }
            td { (trigger(&record.triggered_by)) }
            td { @if let Some(at) = &record.started_at { (time(at)) } @else { span .quiet { "not yet" } } }
            td .number { @if let Some(ms) = record.duration_ms { (duration(ms)) } @else { span .quiet { "–" } } }
            td .number { (cost(record)) }
        }
    }
}

fn counts(by_agent: &std::collections::BTreeMap<String, Vec<Column>>) -> Markup {
    let sum = |columns: &[Column], of: fn(&Column) -> u64| number(columns.iter().map(of).sum());
    html! {
        details #timeline-table .timeline-table {
            summary { "As a table" }
            div .table-wrap { table {
                thead { tr {
                    th scope="col" { "Agent" } th scope="col" .number { "Executions" }
                    th scope="col" .number { "Running" } th scope="col" .number { "Failed" }
                } }
                tbody {
                    @for (agent, columns) in by_agent {
                        tr {
                            td { (agent) }
                            td .number { (sum(columns, |column| column.total)) }
                            td .number { (sum(columns, |column| column.running)) }
                            td .number { (sum(columns, |column| column.failed)) }
                        }
                    }
                }
            } }
        }
    }
}
