//! One payment: its story, and the decision of a person where nobody else knows what came of it.

use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::DateTime;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Events, Payment};
use super::{code, owed, status};
use crate::error_page::{Instead, told};
use crate::execution::events::events;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::texts::visible;
use crate::words::{grouped, time};

/// Events of a payment that are shown: most. It has about five.
const EVENTS_SHOWN: u32 = 100;

/// What a person has found out.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    outcome: String,
    transaction: String,
    reason: String,
}

/// The page of a payment.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    shown(whole(&interface, &visitor, &id, None).await)
}

/// Decides a payment of which nobody knows.
pub(super) async fn resolve(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(found): Form<Found>,
) -> Response {
    let mut body =
        json!({"outcome": found.outcome, "reason": found.reason.trim().replace("\r\n", "\n")});
    if !found.transaction.trim().is_empty() {
        body["transaction"] = found.transaction.trim().into();
    }
    let address = format!("/api/payments/{}/resolve", quoted(&id));
    match interface.post::<Value>(&visitor, &address, &body).await {
        Ok(_) => Redirect::to(&format!("/payments/{}", quoted(&id))).into_response(),
        Err(problem) => {
            let status = axum::http::StatusCode::from_u16(problem.status)
                .unwrap_or(axum::http::StatusCode::BAD_GATEWAY);
            match whole(&interface, &visitor, &id, Some((&problem, &found))).await {
                Ok(page) => (status, page).into_response(),
                Err(instead) => instead.into_response(),
            }
        }
    }
}

async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    refused: Option<(&Problem, &Found)>,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let address = format!("/api/payments/{}", quoted(id));
    let payment = interface.get::<Payment>(visitor, &address).await;
    let payment = payment.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let story = if me.may("read_log") {
        let stream = format!("payment-{}", payment.payment_id);
        let address = format!("/api/events?stream={}&limit={EVENTS_SHOWN}", quoted(&stream));
        Some(interface.get::<Events>(visitor, &address).await)
    } else {
        None
    };
    let is_unknown = payment.status == "settlement_unknown";
    let body = html! {
        nav .crumbs aria-label="Where this is" { a href="/payments" { "Payments" } }
        header .page-head {
            div {
                h1 { (grouped(&payment.amount)) " " span .quiet { "units" } }
                p #payment-state .state data-follows data-polls {
                    (status(&payment))
                    @if let Some(reason) = &payment.reason { span { (code(reason)) } }
                }
            }
        }
        @if let Some((problem, _)) = refused { (told(problem)) }
        @if let Some(refund) = &payment.refund {
            p .card.is-bad.refund { b { "Refund owed. " } (owed(refund)) ". It is paid back outside the ledger, to " code { (visible(&payment.payer)) } "." }
        }
        @if is_unknown && me.may("manage_payments") { (decision(&payment, refused.map(|(_, found)| found))) }
        div .columns {
            section #payment-story .main-column data-follows data-polls {
                h2 { "What happened" }
                @match &story {
                    Some(Ok(story)) => (events(&story.events)),
                    Some(Err(problem)) => p .quiet { (problem.detail) },
                    None => p .quiet { "The log is not yours to read." },
                }
            }
            aside #payment-facts .side-column aria-label="Facts" data-follows { (facts(&payment)) }
        }
    };
    Ok(layout::page(Some(&me), Place::Payments, "A payment", &body))
}

fn decision(payment: &Payment, found: Option<&Found>) -> Markup {
    let none = Found::default();
    let found = found.unwrap_or(&none);
    html! {
        details #resolve .set-budget open[!found.outcome.is_empty()] {
            summary .button { "Say what came of it" }
            form .card.form-page method="post" action={ (payment.address()) "/resolve" } {
                p { "Nobody knows whether the money came. Look at the chain first: what is said here is checked by nobody, and stays on record." }
                label { "What came of it"
                    select name="outcome" {
                        option value="settled" selected[found.outcome == "settled"] { "The money came: what was paid for runs" }
                        option value="failed" selected[found.outcome == "failed"] { "It did not and will not: nothing runs" }
                    }
                }
                label { "Transaction, where it came and is known"
                    input name="transaction" value=(found.transaction) autocomplete="off" spellcheck="false" placeholder="0x…";
                }
                label { "How it is known"
                    textarea name="reason" required rows="2" maxlength="1000" { (found.reason) }
                }
                div .row-end { button .button.is-main { "Record it" } }
            }
        }
    }
}

fn facts(payment: &Payment) -> Markup {
    let text = |text: &str| html! { code { (visible(text)) } };
    html! {
        h2 { "Facts" }
        dl .facts {
            dt { "Agent" } dd { a href={ "/agents/" (quoted(&payment.agent_name)) } { (payment.agent_name) } }
            dt { "Execution" }
            dd {
                @match payment.execution() {
                    Some(address) => a href=(address) { (payment.execution_id) },
                    None => span .quiet { "none: it begins once the money has come" },
                }
            }
            dt { "Payer" }
            dd { a href={ "/payments?payer=" (quoted(&payment.payer)) } title="All payments of this payer" { (text(&payment.payer)) } }
            dt { "Paid to" } dd { (text(&payment.pay_to)) }
            dt { "Amount" } dd { (grouped(&payment.amount)) small { "in the smallest unit of the token" } }
            dt { "Token" } dd { (text(&payment.asset)) }
            dt { "Chain" } dd { (text(&payment.network)) }
            dt { "Scheme" } dd { (visible(&payment.scheme)) }
            @if let Some(transaction) = &payment.transaction { dt { "Transaction" } dd { (text(transaction)) } }
            @if let Some(evidence) = &payment.evidence { dt { "Known by" } dd { (known_by(evidence)) } }
            @if let Some(note) = &payment.note { dt { "Said" } dd .prose dir="auto" { (visible(note)) } }
            dt { "Verified" } dd { (time(&payment.verified_at)) }
            @if let Some(at) = &payment.settled_at { dt { "Settled" } dd { (time(at)) } }
            dt { "Changed" } dd { (time(&payment.changed_at)) }
            dt { "Asked for" } dd { (payment.settlement_requests) @if payment.settlement_requests == 1 { " time" } @else { " times" } }
            dt { "Signature" } dd { "valid from " (moment(payment.valid_after_s)) " until " (moment(payment.valid_before_s)) }
            dt { "Facilitator" } dd { (text(&payment.facilitator)) }
            dt { "Asked of" } dd { (text(&payment.resource)) }
            @if let Some(own) = &payment.payment_identifier { dt { "Payer’s id" } dd { (text(own)) } }
            dt { "Nonce" } dd { (text(&payment.nonce)) }
            dt { "Payment" } dd { (text(&payment.payment_id)) }
        }
    }
}

fn known_by(evidence: &str) -> &str {
    match evidence {
        "facilitator" => "the facilitator said so",
        "chain" => "the chain says so",
        "person" => "a person decided it",
        "not_requested" => "nobody was asked for the money",
        other => other,
    }
}

/// A moment in seconds since 1970.
fn moment(seconds: i64) -> Markup {
    let at = DateTime::from_timestamp(seconds, 0);
    let at = at.map(|at| time(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)));
    at.unwrap_or_else(|| html! { (seconds) " s after 1970" })
}
