//! When an agent is given tasks by the clock.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::answers::{Schedule, Schedules};
use super::{Named, Tab, asked};
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::schedules::{LISTED_MAX, order_note, turn};
use crate::shown;
use crate::words::{icon, time};

/// The tab of schedules.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(name): Named,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="));
    shown(schedules(&interface, &visitor, &name, cursor).await)
}

async fn schedules(
    interface: &Interface,
    visitor: &Visitor,
    name: &str,
    cursor: Option<&str>,
) -> crate::Shown {
    let (me, agent) = asked(interface, visitor, name).await?;
    let from = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    let list = format!("/api/schedules?agent={}&limit={LISTED_MAX}{from}", quoted(name));
    let list = interface.get::<Schedules>(visitor, &list).await;
    let mut list = list.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    list.schedules.sort_by_key(|own| turn(own.enabled, own.next.as_ref().map(|next| &*next.at)));
    let may_make = me.may("manage_schedules") && agent.takes_tasks();
    let new = format!("/schedules/new?agent={}", quoted(&agent.name));
    let body = html! {
        div #agent-schedules data-follows {
            @if list.schedules.is_empty() {
                section .empty {
                    h2 { "Nothing is scheduled" }
                    p { "A schedule gives " (agent.name) " a task by the clock, every weekday at half past two for example." }
                    @if may_make { p { a .button.is-main href=(new) { (icon("plus")) "New schedule" } } }
                }
            } @else {
                @if may_make { p .above { a .button href=(new) { (icon("plus")) "New schedule" } } }
                div .table-wrap {
                    table .agent-schedules {
                        caption .sr { "Schedules of " (agent.name) }
                        thead { tr {
                            th scope="col" { "Schedule" } th scope="col" { "When" }
                            th scope="col" { "Next" } th scope="col" { "Last" }
                        } }
                        tbody { @for schedule in &list.schedules { (row(&agent.address(), schedule)) } }
                    }
                }
            }
            (order_note(cursor.is_some() || list.next_cursor.is_some()))
            nav .pager aria-label="Pages" {
                @if cursor.is_some() { a .button href=(Tab::Schedules.address(&agent)) rel="first" { "First page" } }
                @if let Some(next) = &list.next_cursor {
                    a .button href={ (Tab::Schedules.address(&agent)) "?cursor=" (quoted(next)) } rel="next" {
                        "Next page " (icon("down"))
                    }
                }
            }
        }
    };
    Ok(super::whole(&me, &agent, Tab::Schedules, &body))
}

fn row(agent: &str, schedule: &Schedule) -> Markup {
    html! {
        tr id={ "schedule-" (schedule.schedule_id) } {
            td .cell-name { a href={ "/schedules/" (quoted(&schedule.schedule_id)) } { (schedule.name) } }
            td {
                (schedule.description) " "
                small { code { (schedule.cron) } }
            }
            td .cell-time {
                span .on-phone.quiet { "Next " }
                @match &schedule.next {
                    Some(next) => (time(&next.at)),
                    None if schedule.enabled => span .quiet { "–" },
                    None => span .quiet { "disabled" },
                }
            }
            td .cell-time {
                span .on-phone.quiet { "Last " }
                @match &schedule.last {
                    Some(last) => {
                        @match &last.execution_id {
                            Some(id) => a href={ (agent) "/executions/" (quoted(id)) } { (last.decision) },
                            None => { (last.decision) ": " (last.reason.replace('_', " ")) },
                        }
                        " " span .quiet { (time(&last.decided_at)) }
                    },
                    None => span .quiet { "never" },
                }
            }
        }
    }
}
