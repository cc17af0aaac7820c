//! The list of webhooks, and the form for another.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::answers::{Delivery, DeliveryList, Health, Secret, Webhook, WebhookList};
use super::form::{self, Draft};
use super::{fault, once};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::texts::visible;
use crate::words::{icon, number, time};

/// Webhooks of a page.
const PAGE_ROWS: u32 = 50;

/// Which webhooks are shown.
#[derive(Default, Deserialize)]
pub(super) struct Shown {
    cursor: Option<String>,
    /// A position that the list must have seen.
    seen: Option<String>,
}

/// What stands above the list: nothing, a secret, or why there is none.
#[derive(Default)]
pub(super) struct News {
    pub draft: Draft,
    pub secret: Option<Secret>,
    pub problem: Option<Problem>,
}

/// The list.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(which): Query<Shown>,
) -> Response {
    shown(whole(&interface, &visitor, &which, &News::default()).await)
}

/// The whole page.
pub(super) async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    which: &Shown,
    news: &News,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let mut address = format!("/api/webhooks?limit={PAGE_ROWS}");
    for (name, value) in [("cursor", &which.cursor), ("wait_for", &which.seen)] {
        if let Some(value) = value {
            address.extend(["&", name, "=", &quoted(value)]);
        }
    }
    let list = interface.get::<WebhookList>(visitor, &address).await;
    let list = list.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let taken = list.webhooks.iter().map(|webhook| last_taken(interface, visitor, webhook));
    let taken = futures::future::join_all(taken).await;
    let body = html! {
        header .page-head {
            div {
                h1 { "Webhooks" }
                p .quiet { "Addresses that the ledger tells of costs, payments, budgets and endings: ids and facts, never texts." }
            }
            @if me.may("manage_webhooks") && news.secret.is_none() { (form::new(&news.draft, news.problem.as_ref())) }
        }
        (above(news))
        div #webhook-list data-follows data-polls {
            @if list.webhooks.is_empty() { (empty()) } @else { (table(&list.webhooks, &taken)) }
            nav .pager aria-label="Pages" {
                @if which.cursor.is_some() { a .button href="/webhooks" rel="first" { "First page" } }
                @if let Some(next) = &list.next_cursor {
                    a .button href={ "/webhooks?cursor=" (quoted(next)) } rel="next" { "Next page " (icon("down")) }
                }
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Webhooks, "Webhooks", &body))
}

/// The message that was taken last, if any was.
pub(super) async fn last_taken(
    interface: &Interface,
    visitor: &Visitor,
    webhook: &Webhook,
) -> Option<Delivery> {
    let id = quoted(&webhook.webhook_id);
    let address = format!("/api/webhooks/{id}/deliveries?state=delivered&limit=1");
    interface.get::<DeliveryList>(visitor, &address).await.ok()?.deliveries.into_iter().next()
}

/// A secret that was just made, where nothing else can be shown.
pub(super) fn alone(news: &News) -> Markup {
    layout::page(None, Place::Webhooks, "Webhooks", &above(news))
}

fn above(news: &News) -> Markup {
    html! { @if let Some(secret) = &news.secret { (once(secret)) } }
}

fn table(webhooks: &[Webhook], taken: &[Option<Delivery>]) -> Markup {
    html! {
        div .table-wrap {
            table .cards.webhooks {
                caption .sr { "Webhooks" }
                thead { tr {
                    th scope="col" { "State" } th scope="col" { "Webhook" } th scope="col" { "Messages" }
                    th scope="col" { "Last taken" } th scope="col" .number { "Waiting" } th scope="col" .number { "Given up" }
                } }
                tbody #rows { @for (webhook, taken) in webhooks.iter().zip(taken) { (row(webhook, taken.as_ref())) } }
            }
        }
    }
}

fn row(webhook: &Webhook, taken: Option<&Delivery>) -> Markup {
    let health = webhook.health.as_ref();
    let address = webhook.address();
    let of_health = |count: fn(&Health) -> u64| health.map_or(0, count);
    let (pending, dead) = (of_health(|health| health.pending), of_health(|health| health.dead));
    html! {
        tr id={ "w-" (webhook.webhook_id) } {
            td { (state(webhook)) }
            td .webhook-name {
                a href=(address) { (visible(&webhook.name)) }
                small .webhook-url { (visible(&webhook.url)) }
            }
            td data-name="Messages" { (kinds(webhook)) }
            td .quiet data-name="Last taken" {
                @match taken { Some(taken) => (time(&taken.since)), None => "none yet" }
            }
            td .number data-name="Waiting" { (number(pending)) }
            td .number data-name="Given up" {
                @if dead > 0 { a .is-bad-text href={ (address) "?state=dead" } { (number(dead)) } } @else { "0" }
            }
        }
    }
}

/// Which messages it gets: all, or their kinds.
pub(super) fn kinds(webhook: &Webhook) -> Markup {
    html! {
        @if webhook.kinds.len() == form::KINDS.len() { "all" }
        @else { span .kind-list { @for kind in &webhook.kinds { code { (kind) } " " } } }
    }
}

/// How it stands, as a mark and a word, with the reason where it fails.
pub(super) fn state(webhook: &Webhook) -> Markup {
    let health = webhook.health.as_ref();
    let failing = health.filter(|health| webhook.enabled && health.failures > 0);
    let (class, word) = match failing {
        Some(_) => ("is-failed", "failing"),
        None if webhook.enabled => ("is-completed", "enabled"),
        None => ("is-cancelled", "disabled"),
    };
    html! {
        span class={ "status " (class) } { span .mark {} (word) }
        @if let Some(health) = failing {
            small .webhook-why {
                @if let Some(since) = &health.failing_since { "since " (time(since)) ": " }
                @match health.last_status { Some(status) => { (status) ", " }, None => {} }
                (fault(health.last_reason.as_deref().unwrap_or("no answer")))
            }
        }
    }
}

fn empty() -> Markup {
    html! {
        section .empty {
            h2 { "Nobody is told yet" }
            p { "A webhook gets a signed message for each fact of the kinds that you choose, again and again until it takes it." }
            p .quiet { "Who must miss nothing reads the feed instead: " code { "GET /api/costs/feed" } "." }
        }
    }
}
