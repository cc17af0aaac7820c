//! Audit: the ledger as it was, whether it still is what it was, and who looked at what.

mod answers;
mod evidence;
mod facts;
mod moment;
mod nodes;
mod one;
mod past;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::answers::Detail;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::Me;
use crate::words::{icon, number};

/// The addresses of this part.
pub(crate) fn routes() -> Router<Interface> {
    Router::new()
        .route("/audit", get(past::page))
        .route("/audit/executions/{agent}/{id}", get(one::page))
        .route("/audit/evidence", get(evidence::page))
        .route("/audit/verify", post(evidence::verify).get(evidence::page))
        .route("/audit/export", get(evidence::exported))
        .route("/audit/facts", get(facts::page))
}

/// The parts of the audit.
fn parts(current: &str) -> Markup {
    let parts = [
        ("/audit", "Move through time"),
        ("/audit/evidence", "Verify and prove"),
        ("/audit/facts", "Access, keys, erased"),
    ];
    html! {
        nav .part-tabs aria-label="Parts of the audit" {
            @for (address, name) in parts {
                a href=(address) aria-current=[(address == current).then_some("page")] { (name) }
            }
        }
    }
}

/// Whether an execution's events are covered by what was signed, with the way to its proof.
pub(crate) async fn proof_mark(
    interface: &Interface,
    visitor: &Visitor,
    me: &Me,
    detail: &Detail,
) -> Markup {
    if !me.may("read_log") {
        return html! {};
    }
    let note = interface.text(visitor, "/tlog/checkpoint").await.ok();
    let signed: Option<u64> =
        note.and_then(|note| note.lines().nth(1).and_then(|size| size.parse().ok()));
    let last = detail.events.last().map(|event| moment::parts(&event.position).1);
    // A position is never less than the number of events up to it: what is said holds also where numbers
    // were left out.
    let covered = signed.filter(|signed| last.is_some_and(|last| last <= *signed));
    let record = &detail.record;
    let (agent, id) = (quoted(&record.agent_name), quoted(&record.execution_id));
    html! {
        p .proof-mark.is-covered[covered.is_some()] data-polls[signed.is_some() && covered.is_none()] {
            @match covered {
                Some(signed) => {
                    (icon("audit")) a href="/audit/evidence" { "Covered by checkpoint " (number(signed)) }
                    " · " a href={ "/api/agents/" (agent) "/executions/" (id) "/proof" } data-plain download { "proof" }
                },
                None => span .quiet { "Not known to be covered by a checkpoint yet: one is signed within seconds" },
            }
            " · " a href={ "/audit/executions/" (agent) "/" (id) } { "as it was" }
        }
    }
}
