//! Payments: who paid for which execution, what came of the money, and what is owed back.

mod answers;
mod detail;
mod list;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::interface::Interface;
use crate::texts::visible;
use crate::words::grouped;
use answers::{Payment, Refund};

/// Of an address so many characters stand in a list, at each end.
const ADDRESS_ENDS: (usize, usize) = (6, 4);

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new()
        .route("/payments", get(list::page))
        .route("/payments/{id}", get(detail::page))
        .route("/payments/{id}/resolve", post(detail::resolve))
}

/// A status as a mark and a word.
fn status(payment: &Payment) -> Markup {
    let (class, word) = match payment.status.as_str() {
        "settled" => ("is-completed", "paid"),
        "refund_owed" => ("is-failed", "refund owed"),
        "settlement_failed" => ("is-cancelled", "not paid"),
        "settlement_unknown" => ("is-pending", "unknown"),
        "settlement_requested" => ("is-running", "asked for"),
        "verified" => ("is-running", "verified"),
        other => ("", other),
    };
    html! { span class={ "status " (class) } { span .mark {} (word) } }
}

/// An amount, in the smallest unit of its token, and the token.
fn amount(payment: &Payment) -> Markup {
    html! {
        b { (grouped(&payment.amount)) }
        small .token title={ (visible(&payment.asset)) " on " (visible(&payment.network)) } {
            "units of " code { (short(&payment.asset)) }
        }
    }
}

/// Both ends of an address.
fn short(address: &str) -> String {
    let (head, tail) = ADDRESS_ENDS;
    let all: Vec<char> = address.chars().collect();
    if all.len() <= head + tail + 1 {
        return visible(address).into_owned();
    }
    let ends: String =
        all[..head].iter().chain(['…'].iter()).chain(&all[all.len() - tail..]).collect();
    visible(&ends).into_owned()
}

/// Why it is owed back.
fn owed(refund: &Refund) -> Markup {
    let cause = match refund.cause.as_str() {
        "execution_failed" => "the execution failed",
        "execution_cancelled" => "the execution was cancelled",
        "not_accepted" => "nothing was accepted after the money had come",
        other => other,
    };
    html! {
        (grouped(&refund.amount)) " are owed back: " (cause)
        @if let Some(code) = &refund.code { " (" (code.replace('_', " ")) ")" }
    }
}

/// What a code of the facilitator or the chain says.
fn code(code: &str) -> String {
    visible(&code.replace('_', " ")).into_owned()
}
