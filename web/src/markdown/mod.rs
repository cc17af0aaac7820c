//! What agents write: most of them write Markdown, and it is shown as that, or letter by letter.

mod choice;
mod writer;

use maud::{Markup, html};

use crate::answers::Execution;
use crate::texts::visible;
pub(crate) use choice::{Choice, kept};

/// How a text is shown, and the way to have it shown otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// As its marks say.
    is_formatted: bool,
    /// What is to be chosen to have it otherwise.
    other: Choice,
}

impl Look {
    /// Of what an agent with a model says: Markdown, until somebody wants it otherwise.
    pub fn said(choice: Choice) -> Self {
        match choice {
            Choice::Plain => Self { is_formatted: false, other: Choice::Usual },
            Choice::Usual | Choice::Formatted => Self { is_formatted: true, other: Choice::Plain },
        }
    }

    /// Of an execution's response. A program without a model prints what it likes, in lines and columns
    /// that Markdown would take apart: it is shown letter by letter, until somebody wants it otherwise.
    pub fn response(choice: Choice, record: &Execution) -> Self {
        let has_model = record.agent_session_id.is_some() || record.model_used.is_some();
        match choice {
            _ if has_model => Self::said(choice),
            Choice::Formatted => Self { is_formatted: true, other: Choice::Usual },
            Choice::Usual | Choice::Plain => Self { is_formatted: false, other: Choice::Formatted },
        }
    }
}

/// A text of an agent. Headings in it begin at this level of the page's.
pub(crate) fn text(words: &str, look: Look, headings_from: u8) -> Markup {
    let formatted = if look.is_formatted { writer::formatted(words, headings_from) } else { None };
    html! {
        @match formatted {
            Some(formatted) => div .markdown { (formatted) },
            None => div .prose dir="auto" { (visible(words)) },
        }
    }
}

/// Whether a text looks different once it is formatted.
pub(crate) fn has_form(words: &str) -> bool {
    writer::formatted(words, 1).is_some()
}

/// The way to have texts shown otherwise; `place` is the part of the page that one comes back to.
pub(crate) fn switch(look: Look, place: &str) -> Markup {
    let (words, about) = if look.is_formatted {
        ("Plain text", "Show what agents write letter by letter")
    } else {
        ("Formatted", "Show what agents write as Markdown")
    };
    html! {
        a .button.is-plain.is-small href={ "?texts=" (look.other.word()) "#" (place) } data-plain title=(about) { (words) }
    }
}
