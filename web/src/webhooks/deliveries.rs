//! What became of a webhook's messages.

use maud::{Markup, html};

use super::answers::{Delivery, DeliveryList, Webhook};
use super::fault;
use crate::interface::quoted;
use crate::words::{icon, number, time};

/// What messages are told apart by: as the address has it, and in words.
const STATES: [(&str, &str); 4] =
    [("", "All"), ("pending", "Waiting"), ("delivered", "Taken"), ("dead", "Given up")];

/// The messages of a page.
pub(super) fn part(
    webhook: &Webhook,
    list: &DeliveryList,
    state: &str,
    cursor: Option<&str>,
    may_manage: bool,
) -> Markup {
    let dead = webhook.health.as_ref().map_or(0, |health| health.dead);
    html! {
        section #deliveries .block data-follows data-polls {
            div .section-head {
                h2 { "Messages" }
                @if may_manage && dead > 0 { (all_again(webhook, dead)) }
            }
            nav .part-tabs aria-label="Which messages" {
                @for (value, label) in STATES {
                    a href=(at(webhook, value, None)) aria-current=[(value == state).then_some("true")] {
                        (label) @if value == "dead" && dead > 0 { " " span .quiet { (number(dead)) } }
                    }
                }
            }
            @if list.deliveries.is_empty() { p .quiet.card { (none(state)) } }
            @else { (table(webhook, &list.deliveries, may_manage)) }
            nav .pager aria-label="Pages" {
                @if cursor.is_some() { a .button href=(at(webhook, state, None)) rel="first" { "Latest" } }
                @if let Some(next) = &list.next_cursor {
                    a .button href=(at(webhook, state, Some(next))) rel="next" { "Earlier " (icon("down")) }
                }
            }
        }
    }
}

fn at(webhook: &Webhook, state: &str, cursor: Option<&str>) -> String {
    let pairs = [("state", state), ("cursor", cursor.unwrap_or_default())];
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    let given: Vec<_> = given.map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    if given.is_empty() {
        return webhook.address();
    }
    format!("{}?{}", webhook.address(), given.join("&"))
}

fn none(state: &str) -> &'static str {
    match state {
        "pending" => "Nothing waits: it was told of everything.",
        "delivered" => "It has taken nothing yet.",
        "dead" => {
            "Nothing was given up. A message that is not taken is tried ten times in about three days."
        }
        _ => "There was nothing to tell yet.",
    }
}

fn all_again(webhook: &Webhook, dead: u64) -> Markup {
    html! {
        form method="post" action={ (webhook.address()) "/redrive" } {
            button .button { (icon("again")) "Try all " (number(dead)) " again" }
        }
    }
}

fn table(webhook: &Webhook, deliveries: &[Delivery], may_manage: bool) -> Markup {
    html! {
        div .table-wrap {
            table .cards.deliveries {
                caption .sr { "Messages" }
                thead { tr {
                    th scope="col" { "State" } th scope="col" { "Tells" } th scope="col" { "Since" }
                    th scope="col" .number { "Attempts" } th scope="col" { "Answer" }
                    @if may_manage { th scope="col" { span .sr { "Do" } } }
                } }
                tbody #rows { @for delivery in deliveries { (row(webhook, delivery, may_manage)) } }
            }
        }
    }
}

fn row(webhook: &Webhook, delivery: &Delivery, may_manage: bool) -> Markup {
    let (class, word) = match delivery.state.as_str() {
        "delivered" => ("is-completed", "taken"),
        "dead" => ("is-failed", "given up"),
        _ => ("is-pending", "waiting"),
    };
    html! {
        tr id={ "d-" (delivery.message_id) } {
            td { span class={ "status " (class) } { span .mark {} (word) } }
            td { code { (delivery.kind) } (told_of(delivery)) }
            td .quiet data-name="Since" { (time(&delivery.since)) }
            td .number data-name="Attempts" {
                @match delivery.attempts { Some(attempts) => (attempts), None => span .quiet { "–" } }
            }
            td data-name="Answer" { (answer(delivery)) }
            @if may_manage {
                td .cell-do { @if delivery.state == "dead" { (again(webhook, delivery)) } }
            }
        }
    }
}

/// The event that a message tells of, with the way to the moment at which it was recorded.
fn told_of(delivery: &Delivery) -> Markup {
    let number = delivery.position.rsplit('-').next().unwrap_or_default();
    html! {
        small title=(delivery.message_id) {
            a href={ "/audit?at=" (quoted(number)) } { "event " (number) }
        }
    }
}

fn answer(delivery: &Delivery) -> Markup {
    html! {
        @match (delivery.status, delivery.reason.as_deref()) {
            (Some(status), Some(reason)) => { (status) " " small { (fault(reason)) } },
            (Some(status), None) => (status),
            (None, Some(reason)) => (fault(reason)),
            (None, None) => span .quiet { "–" },
        }
    }
}

fn again(webhook: &Webhook, delivery: &Delivery) -> Markup {
    html! {
        form method="post" action={ (webhook.address()) "/redrive" } {
            input type="hidden" name="event_id" value=(delivery.event_id);
            input type="hidden" name="kind" value=(delivery.kind);
            button .button { "Try again" span .sr { " " (delivery.kind) " of event " (delivery.position) } }
        }
    }
}
