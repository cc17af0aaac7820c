//! One webhook: how it stands, its messages, and what can be done with it.

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::answers::{Delivery, DeliveryList, Redriven, Secret, Tested, Webhook};
use super::form::{self, Draft};
use super::{deliveries, fault, list, once};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::texts::visible;
use crate::words::{duration, icon, number, time};

/// Messages of a page.
const DELIVERIES_SHOWN: u32 = 25;

/// Which of its messages are shown.
#[derive(Default, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    pub state: String,
    cursor: Option<String>,
}

/// What stands above everything else.
#[derive(Default)]
pub(super) struct News {
    /// As somebody wanted to change it, and why that was refused.
    pub refused: Option<(Draft, Problem)>,
    pub secret: Option<Secret>,
    pub tested: Option<Tested>,
    pub redriven: Option<Redriven>,
}

/// The page of a webhook.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    shown(whole(&interface, &visitor, &id, &which, News::default()).await)
}

/// From what was shown once, or done, back to the webhook.
pub(super) async fn back(Path(id): Path<String>) -> Redirect {
    Redirect::to(&format!("/webhooks/{}", quoted(&id)))
}

/// The whole page.
pub(super) async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    which: &Which,
    news: News,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let address = format!("/api/webhooks/{}", quoted(id));
    let mut messages = format!("{address}/deliveries?limit={DELIVERIES_SHOWN}");
    let seen = news.redriven.as_ref().map(|redriven| &redriven.position);
    let asked =
        [("state", Some(&which.state)), ("cursor", which.cursor.as_ref()), ("wait_for", seen)];
    for (name, value) in asked {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            messages.extend(["&", name, "=", &quoted(value)]);
        }
    }
    let (webhook, messages) = futures::join!(
        interface.get::<Webhook>(visitor, &address),
        interface.get::<DeliveryList>(visitor, &messages),
    );
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let (webhook, messages) = (webhook.map_err(fail)?, messages.map_err(fail)?);
    let taken = list::last_taken(interface, visitor, &webhook).await;
    let may_manage = me.may("manage_webhooks");
    let body = html! {
        nav .crumbs aria-label="Where this is" { a href="/webhooks" { "Webhooks" } }
        header .page-head {
            div {
                h1 .task-title { (visible(&webhook.name)) }
                p #webhook-state .state data-follows data-polls { (list::state(&webhook)) }
            }
            @if may_manage && news.secret.is_none() { (actions(&webhook, &news)) }
        }
        (above(&news))
        div .columns {
            div .main-column {
                (deliveries::part(&webhook, &messages, &which.state, which.cursor.as_deref(), may_manage))
            }
            aside #webhook-facts .side-column aria-label="Facts" data-follows data-polls {
                (facts(&webhook, taken.as_ref()))
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Webhooks, &webhook.name, &body))
}

/// What was just done, where nothing else can be shown.
pub(super) fn alone(news: &News) -> Markup {
    layout::page(None, Place::Webhooks, "Webhooks", &above(news))
}

fn above(news: &News) -> Markup {
    html! {
        @if let Some(secret) = &news.secret { (once(secret)) }
        @if let Some(Redriven { redriven, .. }) = &news.redriven {
            p #redriven .card.outcome role="status" {
                @if *redriven == 1 { "1 message is tried again." } @else { (number(*redriven)) " messages are tried again." }
            }
        }
        @if let Some(tested) = &news.tested { (tested_part(tested)) }
    }
}

fn tested_part(tested: &Tested) -> Markup {
    html! {
        section #tested .card.outcome.is-bad[!tested.taken] role="status" {
            b { @if tested.taken { "The test message was taken" } @else { "The test message was not taken" } }
            ": "
            @match tested.status { Some(status) => { "it answered " (status) }, None => "no answer came" }
            @if let Some(reason) = &tested.reason { " (" (fault(reason)) ")" }
            ", after " (duration(tested.duration_ms)) ". Nothing of it is recorded."
        }
    }
}

fn actions(webhook: &Webhook, news: &News) -> Markup {
    let address = webhook.address();
    html! {
        div .actions.webhook-actions {
            form method="post" action={ (address) "/test" } { button .button { (icon("play")) "Send a test" } }
            div #toggle data-follows {
                @if webhook.enabled {
                    form method="post" action={ (address) "/disable" } { button .button { (icon("pause")) "Disable" } }
                } @else {
                    form method="post" action={ (address) "/enable" } { button .button { (icon("play")) "Enable" } }
                }
            }
            @match &news.refused {
                Some((wanted, problem)) => (form::change(webhook, wanted, Some(problem))),
                None => (form::change(webhook, &Draft::of(webhook), None)),
            }
            details #new-secret .more {
                summary .button { "New secret" }
                form .card method="post" action={ (address) "/secret" } {
                    p { "For a day messages are signed with the secret before too." }
                    button .button.is-main { "Make a new secret" }
                }
            }
            details #delete-webhook .more {
                summary .button.is-danger { "Delete" }
                form .card method="post" action={ (address) "/delete" } {
                    p { "It is told nothing any more, also of what waits. Its history stays in the log." }
                    button .button.is-danger { "Delete this webhook" }
                }
            }
        }
    }
}

fn facts(webhook: &Webhook, taken: Option<&Delivery>) -> Markup {
    let quiet = |text: &'static str| html! { span .quiet { (text) } };
    html! {
        h2 { "Facts" }
        dl .facts {
            dt { "Address" } dd { code { (visible(&webhook.url)) } }
            dt { "Messages" } dd { (list::kinds(webhook)) }
            dt { "Last taken" } dd { @match taken { Some(taken) => (time(&taken.since)), None => (quiet("none yet")) } }
            @if let Some(health) = &webhook.health {
                dt { "Last attempt" }
                dd {
                    @match &health.last_attempt_at {
                        Some(at) => {
                            (time(at))
                            @if let Some(status) = health.last_status { ": " (status) }
                            @if let Some(reason) = &health.last_reason { small { (fault(reason)) } }
                        },
                        None => (quiet("none since the ledger was started")),
                    }
                }
                @if let Some(since) = &health.failing_since {
                    dt { "Failing since" } dd { (time(since)) small { (health.failures) @if health.failures == 1 { " attempt" } @else { " attempts in a row" } } }
                }
                @if let Some(next) = &health.next_attempt_at { dt { "Next attempt" } dd { (time(next)) } }
                dt { "Waiting" }
                dd {
                    (number(health.pending))
                    @if let Some(oldest) = &health.oldest_pending_at { small { "the oldest since " (time(oldest)) } }
                }
                dt { "Given up" } dd { (number(health.dead)) }
            }
            dt { "Secret" }
            dd {
                "no. " (webhook.secret_generation)
                @if let Some(until) = &webhook.previous_secret_until { small { "the one before signs too until " (time(until)) } }
            }
            dt { "Registered" } dd { (time(&webhook.created_at)) }
            dt { "Changed" } dd { (time(&webhook.changed_at)) }
            dt { "Webhook" } dd { code { (webhook.webhook_id) } }
        }
    }
}
