//! The transcript line by line as it was printed, and what is found in it.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::{Which, asked, at};
use crate::answers::{Line, Lines};
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::texts::visible;
use crate::words::{exact, icon, number};

/// Lines of a page.
const PAGE_LINES: u64 = 1_000;
/// Lines that are shown before one that was found.
const BEFORE_FOUND: u64 = 20;
/// A line: so much of it, in characters. The file has it whole.
const LINE_MAX_CHARS: usize = 4_000;

/// Lines as they were printed; with `q`, those in which it stands.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(which): Which,
    RawQuery(query): RawQuery,
) -> Response {
    let query = crate::executions::Filters::read(query.as_deref().unwrap_or(""));
    let after = query.value("after_seq").and_then(|after| after.parse().ok()).unwrap_or(0);
    shown(lines(&interface, &visitor, &which, after, query.value("q")).await)
}

async fn lines(
    interface: &Interface,
    visitor: &Visitor,
    which: &(String, String),
    after: u64,
    words: Option<&str>,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let contains = words.map(|words| format!("&contains={}", quoted(words))).unwrap_or_default();
    let address = format!("{}/log?after_seq={after}&limit={PAGE_LINES}{contains}", asked(which));
    let found = interface.get::<Lines>(visitor, &address).await;
    let found = found.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let own = at(which);
    let raw = format!("{own}/raw");
    let q = words.map(|words| format!("&q={}", quoted(words))).unwrap_or_default();
    let body = html! {
        nav .crumbs aria-label="Where this is" {
            a href="/" { "Executions" } span aria-hidden="true" { "/" }
            a href=(own) { "Execution " (which.1.get(..8).unwrap_or(&which.1)) }
        }
        header .page-head {
            h1 { "Raw transcript" }
            form .raw-search method="get" action=(raw) role="search" {
                label .search { span .sr { "Search in the transcript" } (icon("search"))
                    input type="search" name="q" value=[words] placeholder="Search in all lines" autocomplete="off";
                }
                @if words.is_some() { a .button.is-plain href=(raw) { "All lines" } }
                a .button href={ "/api" (own) "/log" } download data-plain { "Download" }
            }
        }
        @if found.lines.is_empty() {
            section .empty { @match words {
                Some(_) => h2 { "Not there" },
                None => h2 { "Nothing was printed" @if after > 0 { " after this" } },
            } }
        } @else {
            ol .raw tabindex="0" aria-label="Lines" { @for line in &found.lines { (item(line, &raw, words)) } }
        }
        nav .pager aria-label="Pages" {
            @if after > 0 {
                a .button href={ (raw) "?after_seq=" (after.saturating_sub(PAGE_LINES)) (q) } rel="prev" { "Earlier" }
            }
            @if let Some(next) = found.next_after_seq {
                a .button href={ (raw) "?after_seq=" (next) (q) } rel="next" { "Later " (icon("down")) }
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Executions, "Raw transcript", &body))
}

fn item(line: &Line, raw: &str, words: Option<&str>) -> Markup {
    let is_error = line.stream == "stderr";
    // Of what was found, the way to what stands around it.
    let around = line.seq.saturating_sub(BEFORE_FOUND);
    let href = match words {
        Some(_) => format!("{raw}?after_seq={around}#n{}", line.seq),
        None => format!("#n{}", line.seq),
    };
    let end = line.line.char_indices().nth(LINE_MAX_CHARS).map(|(end, _)| end);
    html! {
        li id={ "n" (line.seq) } .is-stderr[is_error] {
            a href=(href) title=(exact(&line.at)) { (number(line.seq)) }
            code {
                @if is_error { span .sr { "standard error: " } }
                (visible(&line.line[..end.unwrap_or(line.line.len())]))
                @if end.is_some() { span .quiet { "… whole in the file" } }
            }
        }
    }
}
