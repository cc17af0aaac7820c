//! Who looked, who was turned away, which keys came and went, what was erased: from the log itself.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::answers::{EventList, Logged};
use super::moment::{Log, parts};
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::{icon, time};

/// Events of a page of the log that are asked for at a time.
const PAGE_EVENTS: u32 = 200;
/// Pages that are read for one page of the list: filters that few events pass give short ones.
const PAGES_MAX: usize = 20;

/// What can be looked at: how it is called, the streams, the type.
const KINDS: [(&str, &str, &str, &str); 5] = [
    ("read", "Transcripts and exports that were read", "access-", "access.read"),
    ("refused", "Callers that were turned away", "access-", "access.refused"),
    ("left", "Browsers that signed out", "access-", "access.signed_out"),
    ("keys", "Keys that were issued and revoked", "key-", ""),
    ("erased", "Texts that were erased", "content-", "content.erased"),
];

/// What the page's address asks for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    of: Option<String>,
    after: Option<String>,
}

/// The page.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Response {
    shown(whole(&interface, &visitor, &wanted).await)
}

async fn whole(interface: &Interface, visitor: &Visitor, wanted: &Wanted) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let of = wanted.of.as_deref().unwrap_or("read");
    let kind = KINDS.iter().find(|kind| kind.0 == of).unwrap_or(&KINDS[0]);
    let log = Log::now(interface, visitor).await.map_err(fail)?;
    let (events, next) =
        read(interface, visitor, kind, wanted.after.as_deref()).await.map_err(fail)?;
    let body = html! {
        header .page-head {
            div { h1 { "Audit" } p .quiet { "What the log tells of access, keys and erasure. The oldest first." } }
        }
        (super::parts("/audit/facts"))
        nav .kinds aria-label="Which facts" {
            @for (name, title, ..) in KINDS {
                a href={ "/audit/facts?of=" (name) } aria-current=[(name == kind.0).then_some("true")] { (title) }
            }
        }
        div #facts-of data-follows {
            @if events.is_empty() {
                section .empty { h2 { "Nothing" } p { (nothing(kind.0)) }
                    @if next.is_some() { p { "in this part of the log." } }
                }
            } @else { (table(&events)) }
            nav .pager aria-label="Pages" {
                @if wanted.after.is_some() { a .button href={ "/audit/facts?of=" (kind.0) } { "From the beginning" } }
                @if let Some(next) = next.filter(|next| parts(next).1 < log.head) {
                    a .button rel="next" href={ "/audit/facts?of=" (kind.0) "&after=" (quoted(&next)) } { "Later ones " (icon("down")) }
                }
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Audit, kind.1, &body))
}

/// A page's worth of such events, and where the next one begins.
async fn read(
    interface: &Interface,
    visitor: &Visitor,
    (_, _, stream, type_name): &(&str, &str, &str, &str),
    after: Option<&str>,
) -> Result<(Vec<Logged>, Option<String>), Problem> {
    let mut cursor = after.map(str::to_owned);
    let mut events = Vec::new();
    for _ in 0..PAGES_MAX {
        let mut address = format!("/api/events?limit={PAGE_EVENTS}&stream={stream}");
        for (name, value) in [("type", Some(*type_name)), ("cursor", cursor.as_deref())] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                address.extend(["&", name, "=", &quoted(value)]);
            }
        }
        let page = interface.get::<EventList>(visitor, &address).await?;
        events.extend(page.events);
        cursor = page.next_cursor;
        if cursor.is_none() || !events.is_empty() {
            break;
        }
    }
    Ok((events, cursor))
}

fn nothing(kind: &str) -> &'static str {
    match kind {
        "read" => "Nobody has read a transcript or taken an export yet.",
        "refused" => "Nobody was turned away.",
        "left" => "No browser has signed out yet.",
        "keys" => "No key was issued or revoked yet.",
        _ => "No text was erased.",
    }
}

fn table(events: &[Logged]) -> Markup {
    html! {
        div .table-wrap {
            table .cards {
                caption .sr { "Facts" }
                thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Event" } } }
                tbody {
                    @for event in events {
                        tr id={ "f-" (event.position) } {
                            td .cell-time.quiet data-name="When" { (time(&event.recorded_at)) }
                            td data-name="Who" { (who(event)) }
                            td data-name="What" { (what(event)) }
                            td data-name="Event" { a href={ "/audit?at=" (parts(&event.position).1) } { (parts(&event.position).1) } }
                        }
                    }
                }
            }
        }
    }
}

fn who(event: &Logged) -> Markup {
    html! {
        @if event.actor.kind == "system" { span .quiet { "the ledger" } }
        @else { (event.actor.user) span .quiet { " (" (event.actor.kind) " " (event.actor.id.get(..8).unwrap_or(&event.actor.id)) ")" } }
    }
}

fn what(event: &Logged) -> Markup {
    let data = &event.data;
    let text = |name: &str| data[name].as_str().unwrap_or("unknown").to_owned();
    html! {
        @match event.kind.as_str() {
            "access.read" => {
                (text("kind"))
                @if let Some(id) = data["execution_id"].as_str() { " of " code { (id) } }
            },
            "access.refused" => {
                (data["count"].as_u64().unwrap_or(1)) " × " (text("code"))
                " from " @match data["source"].as_str() { Some(source) => code { (source) }, None => "all other addresses" }
            },
            "access.signed_out" => {
                "a browser signed in with "
                @match data["key_id"].as_str() {
                    Some(key) => { "the key " code { (key) } },
                    None => "the administrator's key",
                }
            },
            "key.issued" => { "issued “" (text("name")) "”, role " (text("role")) },
            "key.revoked" => { "revoked " code { (event.stream.trim_start_matches("key-")) } },
            "content.erased" => {
                "a text at " (data["beside"].as_array().map_or(0, Vec::len)) " places "
                code .quiet { (event.stream.trim_start_matches("content-").get(..16).unwrap_or("")) "…" }
            },
            other => code { (other) },
        }
    }
}
