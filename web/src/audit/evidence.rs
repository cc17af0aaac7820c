//! Whether the history is what it was: checking it now, what was signed, and taking it away.

use axum::extract::{Query, State};
use axum::response::{Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::answers::Report;
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::{icon, number};

/// The page.
pub(super) async fn page(State(interface): State<Interface>, visitor: Visitor) -> Response {
    shown(whole(&interface, &visitor, None).await)
}

/// What of the history is wanted as a file.
#[derive(Deserialize)]
pub(super) struct Part {
    format: Option<String>,
    stream: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// Leads to the file. What the form leaves empty is not asked for.
pub(super) async fn exported(Query(part): Query<Part>) -> Redirect {
    let mut address = "/api/export?format=".to_owned();
    address.push_str(&quoted(part.format.as_deref().unwrap_or("ndjson")));
    let fields =
        [("stream", part.stream), ("type", part.kind), ("from", part.from), ("to", part.to)];
    for (name, value) in fields {
        if let Some(value) = value.as_deref().map(str::trim).filter(|value| !value.is_empty()) {
            address.extend(["&", name, "=", &quoted(value)]);
        }
    }
    Redirect::to(&address)
}

/// Checks the history and shows what was found, where no script does.
pub(super) async fn verify(State(interface): State<Interface>, visitor: Visitor) -> Response {
    let page = async {
        let report = interface.get::<Report>(&visitor, "/api/verify").await;
        whole(&interface, &visitor, Some(report)).await
    };
    shown(page.await)
}

async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    report: Option<Result<Report, Problem>>,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    if !me.may("read_log") {
        let problem = interface.text(visitor, "/tlog/checkpoint").await.err();
        if let Some(problem) = problem {
            return Err(Instead::of(problem, visitor, Some(&me)));
        }
    }
    let (checkpoint, nodes) = futures::join!(
        interface.text(visitor, "/tlog/checkpoint"),
        super::nodes::section(interface, visitor),
    );
    let body = html! {
        header .page-head {
            div { h1 { "Audit" }
                p .quiet { "Every event is a leaf of a Merkle tree whose root is signed. A change of the past shows, whoever makes it." }
            }
        }
        (super::parts("/audit/evidence"))
        div .columns.is-even {
            div { (checking(report.as_ref())) (export()) }
            div { (signed(&checkpoint)) (how()) }
        }
        (nodes)
    };
    Ok(layout::page(Some(&me), Place::Audit, "Verify and prove", &body))
}

fn checking(report: Option<&Result<Report, Problem>>) -> Markup {
    html! {
        section #verify .card.block {
            h2 { "Verify now" }
            p { "Reads the whole log and compares every hash, revision, text, transcript and signed checkpoint. Nothing is changed." }
            form #verify-form method="post" action="/audit/verify" data-verifies="/api/verify" {
                button .button.is-main { "Verify the history" }
                button #verify-stop .button type="button" hidden { "Stop" }
            }
            div #verify-going hidden {
                progress #verify-bar max="1" aria-label="How much is checked" {}
                p #verify-far .quiet {}
            }
            div #verify-report role="status" {
                @match report {
                    None => {},
                    Some(Ok(report)) => (found(report)),
                    Some(Err(problem)) => p .is-bad { b { (problem.title) ": " } (problem.detail) },
                }
            }
        }
    }
}

/// What was found. The script of the page makes the same of the same report.
fn found(report: &Report) -> Markup {
    let extra = |count: u64, what: &str| match count {
        0 => String::new(),
        count => format!(" ({} {what})", number(count)),
    };
    let counts = [
        ("Events", format!("{} in {} streams", number(report.events), number(report.streams))),
        (
            "Texts",
            format!("{}{}", number(report.contents), extra(report.contents_erased, "erased")),
        ),
        ("Tiles", format!("{}{}", number(report.tiles), extra(report.tiles_missing, "missing"))),
        (
            "Checkpoints",
            format!(
                "{}, the last of {} events",
                number(report.checkpoints),
                number(report.signed_events)
            ),
        ),
        (
            "Transcripts",
            format!(
                "{}{}{}",
                number(report.transcripts),
                extra(report.transcripts_absent, "not here"),
                extra(report.transcripts_erased, "erased"),
            ),
        ),
        ("Tree", report.root.clone()),
        (
            "Key",
            format!(
                "{}{}",
                report.key.as_deref().unwrap_or("none"),
                extra(report.keys_before.len() as u64, "before it")
            ),
        ),
    ];
    html! {
        @if report.sound { p .verdict.is-sound { "Nothing is wrong" } }
        @else { p .verdict.is-wrong { "Something is wrong" } }
        @if !report.problems.is_empty() {
            ul .findings {
                @for finding in &report.problems {
                    li { b { (finding.check.replace('_', " ")) } " " code { (finding.place) } div { (finding.problem) } }
                }
            }
        }
        @if report.problems_untold > 0 { p { "and " (number(report.problems_untold)) " more" } }
        dl .facts {
            @for (name, value) in counts { dt { (name) } dd { (value) } }
            @if report.cosignatures > 0 {
                dt { "Witnesses" }
                dd { (number(report.cosignatures)) " signatures, the last checkpoint with enough of them of " (number(report.witnessed_events)) " events" }
            }
            @if report.clocks_apart > 0 {
                dt { "Clocks" }
                dd { "of " (number(report.clocks_apart)) " events a little behind another node's, by " (number(report.clocks_apart_ms)) " ms at most" }
            }
        }
        p .quiet { "Read models are compared by " code { "execution-ledger verify" } " where no server runs." }
    }
}

fn signed(checkpoint: &Result<String, Problem>) -> Markup {
    html! {
        section #checkpoint .card.block data-follows {
            h2 { "The checkpoint of now" }
            @match checkpoint {
                Err(problem) => p .is-bad { b { (problem.title) ": " } (problem.detail) },
                Ok(note) => {
                    @let mut lines = note.lines();
                    @let (name, size, root) = (lines.next(), lines.next(), lines.next());
                    dl .facts {
                        dt { "Ledger" } dd { code { (name.unwrap_or_default()) } }
                        dt { "Events" } dd { (size.and_then(|size| size.parse().ok()).map_or_else(String::new, number)) }
                        dt { "Root" } dd { code { (root.unwrap_or_default()) } }
                        dt { "Signed" } dd { @for line in note.lines().filter(|line| line.starts_with('—')) { code { (line) } " " } }
                    }
                    p .actions {
                        a .button href="/tlog/checkpoint" download="checkpoint.txt" { (icon("down")) "Download it" }
                        a .button.is-plain href="/tlog/tile/entries/000.p/1" download="entries" { "Tiles: /tlog/tile/…" }
                    }
                }
            }
        }
    }
}

fn how() -> Markup {
    html! {
        section .card.block {
            h2 { "How to verify without trusting anybody here" }
            ol .how {
                li { "Keep a checkpoint, and once the public key (" code { "notary/verifier" } "), where the operator can't reach them." }
                li { "On a copy of the data: " code { "execution-ledger verify --checkpoint checkpoint.txt --key …" } }
                li { "For one execution: download its proof, then " code { "execution-ledger verify --proof proof.json --key …" } " needs no ledger at all." }
            }
        }
    }
}

fn export() -> Markup {
    html! {
        section #export .card.block {
            h2 { "Export" }
            p { "The history as a file. NDJSON without a filter is whole: " code { "execution-ledger import" } " takes it." }
            form .export-form method="get" action="/audit/export" {
                label { "Format"
                    select name="format" {
                        option value="ndjson" { "NDJSON, one event a line" } option value="csv" { "CSV, for spreadsheets" }
                    }
                }
                details .more-fields {
                    summary { "Only a part of it" }
                    div .fields {
                        label { "Streams that begin with" input name="stream" placeholder="execution-" autocomplete="off"; }
                        label { "Events of the type" input name="type" placeholder="execution.completed" autocomplete="off"; }
                        label { "Recorded from" input name="from" placeholder="2026-01-01T00:00:00Z" autocomplete="off"; }
                        label { "Recorded before" input name="to" placeholder="2026-02-01T00:00:00Z" autocomplete="off"; }
                    }
                }
                p { button .button { (icon("down")) "Export" } }
            }
            p .quiet { "Who took an export is recorded. Texts are in it, but for those that were erased." }
        }
    }
}
