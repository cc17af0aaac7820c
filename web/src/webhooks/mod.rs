//! Webhooks: who else is told what happens, whether they took it, and what was given up.

mod answers;
mod deliveries;
mod detail;
mod doing;
mod form;
mod list;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::interface::{Interface, Problem};
use crate::words::icon;
use answers::Secret;

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    let to_list = || async { Redirect::to("/webhooks") };
    Router::new()
        .route("/webhooks", get(list::page))
        // What is shown once has an address of its own: whoever comes to it again is led away.
        .route("/webhooks/registered", get(to_list).post(doing::register))
        .route("/webhooks/{id}", get(detail::page))
        .route("/webhooks/{id}/secret", get(detail::back).post(doing::rotate))
        .route("/webhooks/{id}/test", get(detail::back).post(doing::test))
        .route("/webhooks/{id}/change", get(detail::back).post(doing::change))
        .route("/webhooks/{id}/enable", post(doing::enable))
        .route("/webhooks/{id}/disable", post(doing::disable))
        .route("/webhooks/{id}/redrive", get(detail::back).post(doing::redrive))
        .route("/webhooks/{id}/delete", post(doing::delete))
}

/// A problem's status, as the page's.
fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// A secret, this once.
fn once(secret: &Secret) -> Markup {
    html! {
        section #shown-once .card.once role="status" {
            h2 { "The secret of “" (crate::texts::visible(&secret.name)) "”" }
            p { "It is shown this once and kept nowhere: copy it now. The receiver verifies with it that messages come from here." }
            div .secret-line {
                code #secret .secret tabindex="0" { (secret.secret) }
                button .button.by-script type="button" data-copies="secret" { (icon("copy")) "Copy" }
            }
            p .quiet { "Messages follow Standard Webhooks, whose libraries take it as it stands here." }
            p { a .button href={ "/webhooks/" (secret.webhook_id) } { "I have it" } }
        }
    }
}

/// Why a message was not taken, in words.
fn fault(reason: &str) -> &str {
    match reason {
        "status" => "another answer than 200 to 299",
        "redirect" => "it led elsewhere; redirects are not followed",
        "gone" => "the receiver is gone for good",
        "timeout" => "no answer in time",
        "connect_failed" => "no connection",
        "address_refused" => "its name leads to an address that may not be spoken to",
        "url_refused" => "the address can't be used as the settings are now",
        "broken" => "the connection broke",
        "unreadable" => "the event can't be told",
        other => other,
    }
}
