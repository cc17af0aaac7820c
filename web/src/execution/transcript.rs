//! The transcript, as people read it.

use maud::{Markup, html};

use super::HEADINGS_FROM;
use super::conversation::{Part, parts};
use crate::answers::{Line, Lines};
use crate::markdown::{self, Look};
use crate::texts::visible;
use crate::words::icon;

/// Lines of a part of a transcript.
pub(super) const PART_LINES: u32 = 400;
/// A text of one part of the conversation: so much of it, in characters. The raw view has it whole.
const SHOWN_MAX_CHARS: usize = 20_000;
/// A call's or a result's text in its head: so much of it, in characters.
const HEAD_MAX_CHARS: usize = 100;

/// A part of a transcript as a list of what was said and done, marked with the last line that is in it.
pub(super) fn part(lines: &Lines, look: Look) -> Markup {
    let first = lines.lines.first().map(|line| line.seq);
    let last = lines.lines.last().map(|line| line.seq);
    html! {
        div .part data-first=[first] data-last=[last] data-more[lines.next_after_seq.is_some()] {
            @for said in joined(&lines.lines) { (item(&said, look)) }
        }
    }
}

/// One thing to show: where it stands in the transcript, and what it is.
struct Item {
    seq: u64,
    at: String,
    part: Part,
}

/// What the lines say, plain lines that follow each other as one.
fn joined(lines: &[Line]) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for line in lines {
        for part in parts(line) {
            if let Part::Plain { is_error, text } = &part
                && let Some(Item { part: Part::Plain { is_error: before, text: block }, .. }) =
                    items.last_mut()
                && before == is_error
            {
                block.push('\n');
                block.push_str(text);
                continue;
            }
            items.push(Item { seq: line.seq, at: line.at.clone(), part });
        }
    }
    items
}

fn item(item: &Item, look: Look) -> Markup {
    let about = html! { a .seq href={ "#line-" (item.seq) } title=(crate::words::exact(&item.at)) { (item.seq) } };
    let id = format!("line-{}", item.seq);
    match &item.part {
        Part::Said(text) => html! {
            article .turn.is-said id=(id) { (about) (said(text, look)) }
        },
        Part::Told(text) => html! {
            article .turn.is-told id=(id) { (about) div .prose dir="auto" { (cut(text)) } }
        },
        Part::Thought(text) => html! {
            details .turn.is-thought id=(id) { summary { "Thought" } (said(text, look)) }
        },
        Part::Call { name, about: what, input } => html! {
            details .turn.is-call id=(id) {
                summary { (icon("tool")) b { (name) } " " code { (head(what)) } }
                pre { code { (cut(input)) } }
            }
        },
        Part::Result { text, failed } => html! {
            details .turn.is-result.is-bad[*failed] id=(id) open[*failed] {
                summary {
                    @if *failed { b { "Failed" } " " }
                    @if text.trim().is_empty() { span .quiet { "no output" } }
                    @else { code { (head(text)) } }
                }
                pre { code { (cut(text)) } }
            }
        },
        Part::Note(text) => html! { p .turn.is-note id=(id) { (text) } },
        Part::Wrong(text) => html! {
            article .turn.is-wrong id=(id) { (about) div .prose dir="auto" { (cut(text)) } }
        },
        Part::Plain { is_error, text } => html! {
            pre .turn.is-plain.is-stderr[*is_error] id=(id) { code { (cut(text)) } }
        },
    }
}

fn head(text: &str) -> String {
    visible(&crate::words::first_line(text, HEAD_MAX_CHARS)).into_owned()
}

/// Whether any of what was said looks different once it is formatted.
pub(super) fn has_form(lines: &Lines) -> bool {
    let mut said = lines.lines.iter().flat_map(parts);
    said.any(|part| matches!(part, Part::Said(text) if markdown::has_form(&text)))
}

fn said(text: &str, look: Look) -> Markup {
    match text.char_indices().nth(SHOWN_MAX_CHARS) {
        None => markdown::text(text, look, HEADINGS_FROM),
        Some((end, _)) => html! {
            (markdown::text(&text[..end], look, HEADINGS_FROM))
            p .quiet { "… cut here; whole in the raw transcript" }
        },
    }
}

fn cut(text: &str) -> Markup {
    match text.char_indices().nth(SHOWN_MAX_CHARS) {
        None => html! { (visible(text)) },
        Some((end, _)) => html! {
            (visible(&text[..end])) "…" span .quiet { " cut here; whole in the raw transcript" }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markdown::Choice;

    #[test]
    fn what_an_agent_prints_is_text_and_never_markup() {
        let line = |seq, line: &str| Line {
            seq,
            at: "2026-11-21T09:30:00Z".to_owned(),
            stream: "stdout".to_owned(),
            line: line.to_owned(),
        };
        let lines = vec![
            line(1, "<script>alert(1)</script>"),
            line(
                2,
                r#"{"type":"assistant","message":{"content":[{"type":"text","text":"<img src=x>"}]}}"#,
            ),
        ];
        let shown = part(&Lines { lines, next_after_seq: Some(2) }, Look::said(Choice::Usual))
            .into_string();
        assert!(shown.contains("&lt;script&gt;") && shown.contains("&lt;img"), "{shown}");
        assert!(!shown.contains("<script") && !shown.contains("<img"), "{shown}");
        assert!(shown.contains("data-first=\"1\" data-last=\"2\" data-more"), "{shown}");
    }
}
