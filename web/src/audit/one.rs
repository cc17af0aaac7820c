//! One execution as it was, event by event.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use maud::{Markup, html};

use super::moment::{Log, Wanted, parts};
use crate::answers::{Detail, Event, Execution};
use crate::error_page::Instead;
use crate::executions::row_title;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::{cost, duration, first_line, icon, status, time};

/// A text in the comparison: so much of it, in characters.
const TEXT_MAX_CHARS: usize = 400;

/// The page.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path((agent, id)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Response {
    shown(whole(&interface, &visitor, (&agent, &id), &wanted).await)
}

async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    (agent, id): (&str, &str),
    wanted: &Wanted,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let (agent, id) = (quoted(agent), quoted(id));
    let address = format!("/api/agents/{agent}/executions/{id}");
    let (now, log) =
        futures::join!(interface.get::<Detail>(visitor, &address), Log::now(interface, visitor));
    let (now, log) = (now.map_err(fail)?, log.map_err(fail)?);
    let moment = log.wanted(wanted).unwrap_or_else(|| log.position(log.head));
    let asked = format!("{address}?as_of={}", quoted(&moment));
    let (then, at) = match interface.seen::<Detail>(visitor, &asked).await {
        Ok((then, seen)) => (Some(then), parts(&seen).1),
        // It was not there yet.
        Err(Problem { status: 404, .. }) => (None, parts(&moment).1),
        Err(problem) => return Err(fail(problem)),
    };
    let here = format!("/audit/executions/{agent}/{id}");
    let body = html! {
        nav .crumbs aria-label="Where this is" {
            a href={ "/audit?at=" (at) } { "Audit" } span aria-hidden="true" { "/" }
            a href=(now.record.address()) { "The execution now" }
        }
        header .page-head {
            div {
                h1 .task-title { (row_title(&now.record)) }
                p #state .state {
                    @match &then {
                        Some(then) => { (status(&then.record.status)) },
                        None => span .quiet { "It was not there yet" },
                    }
                }
            }
            a .button href={ "/api/agents/" (agent) "/executions/" (id) "/proof" } data-plain download {
                (icon("down")) "Download the proof"
            }
        }
        div .columns {
            div .main-column {
                (stepper(&here, &now.events, at))
                (comparison(then.as_ref().map(|then| &then.record), &now.record))
            }
            aside .side-column aria-label="Events" {
                h2 { "Its events" }
                (steps(&here, &now.events, at))
            }
        }
    };
    let title = format!(
        "{} as it was",
        first_line(now.record.message.as_deref().unwrap_or("An execution"), 40)
    );
    Ok(layout::page(Some(&me), Place::Audit, &title, &body))
}

fn is_past(event: &Event, at: u64) -> bool {
    parts(&event.position).1 <= at
}

fn stepper(here: &str, events: &[Event], at: u64) -> Markup {
    let past = events.iter().filter(|event| is_past(event, at)).count();
    let to = |index: Option<usize>| {
        index.and_then(|index| events.get(index)).map(|event| parts(&event.position).1)
    };
    let (earlier, later) = (to(past.checked_sub(2)), to(Some(past)));
    html! {
        div .steps.stepper {
            @match earlier {
                Some(at) => a .button rel="prev" href={ (here) "?at=" (at) } { "Event before" },
                None => span .button.is-off aria-disabled="true" { "Event before" },
            }
            span .quiet { "after " b { (past) } " of its " (events.len()) " events" }
            @match later {
                Some(at) => a .button rel="next" href={ (here) "?at=" (at) } { "Next event" },
                None => span .button.is-off aria-disabled="true" { "Next event" },
            }
        }
    }
}

fn steps(here: &str, events: &[Event], at: u64) -> Markup {
    let current = events.iter().rposition(|event| is_past(event, at));
    html! {
        ol .events {
            @for (index, event) in events.iter().enumerate() {
                @let fact = event.kind.split_once('.').map_or(event.kind.as_str(), |(_, fact)| fact);
                li .event .{ "of-" (fact) } .is-future[!is_past(event, at)] {
                    a href={ (here) "?at=" (parts(&event.position).1) }
                        aria-current=[(current == Some(index)).then_some("step")] { (fact.replace('_', " ")) }
                    span .quiet.event-meta { (time(&event.recorded_at)) " · event " (parts(&event.position).1) }
                }
            }
        }
    }
}

/// A value that can be compared, and how it is shown.
type Field = (&'static str, fn(&Execution) -> Option<Markup>);

const FIELDS: [Field; 10] = [
    ("Status", |of| Some(status(&of.status))),
    ("Started", |of| of.started_at.as_deref().map(time)),
    ("Ended", |of| of.completed_at.as_deref().map(time)),
    ("Ran", |of| of.duration_ms.map(|ms| html! { (duration(ms)) })),
    ("Cost", |of| (!of.is_open()).then(|| cost(of))),
    ("Model", |of| of.model_used.as_ref().map(|model| html! { (model) })),
    ("Stop asked for", |of| of.cancellation_requested_at.as_deref().map(time)),
    ("Task", |of| Some(text(of, "message", of.message.as_deref()))),
    ("Response", |of| {
        of.response
            .as_deref()
            .map(|words| text(of, "response", Some(words)))
            .or_else(|| erased(of, "response"))
    }),
    ("Error", |of| {
        of.error.as_ref().map(|error| html! { code { (error.code) } " " @if let Some(words) = &error.message { (first_line(words, TEXT_MAX_CHARS)) } })
    }),
];

fn text(of: &Execution, part: &str, words: Option<&str>) -> Markup {
    match words {
        Some(words) => html! { (first_line(words, TEXT_MAX_CHARS)) },
        None => erased(of, part).unwrap_or_else(|| html! { em .quiet { "erased" } }),
    }
}

fn erased(of: &Execution, part: &str) -> Option<Markup> {
    of.erased.iter().any(|own| own == part).then(|| html! { em .quiet { "erased" } })
}

fn comparison(then: Option<&Execution>, now: &Execution) -> Markup {
    let rows = FIELDS.iter().filter_map(|(name, show)| {
        let (then, now) = (then.and_then(show), show(now));
        let differs = then.as_ref().map(|markup| &markup.0) != now.as_ref().map(|markup| &markup.0);
        (then.is_some() || now.is_some()).then_some((*name, then, now, differs))
    });
    let value = |value: Option<Markup>| value.unwrap_or_else(|| html! { span .quiet { "–" } });
    html! {
        div .table-wrap {
            table .compared {
                caption .sr { "Then and now" }
                thead { tr { th scope="col" { "Fact" } th scope="col" { "Then" } th scope="col" { "Now" } } }
                tbody {
                    @for (name, then, now, differs) in rows {
                        tr .has-changed[differs] {
                            th scope="row" { (name) @if differs { span .sr { ", changed since" } } }
                            td { (value(then)) }
                            td { @if differs { (value(now)) } @else { span .quiet { "the same" } } }
                        }
                    }
                }
            }
        }
    }
}
