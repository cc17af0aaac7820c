//! Lines of output back into text, in bounded memory.

use execution_ledger_domain::limits::{ERROR_TEXT_MAX_BYTES, RESPONSE_MAX_BYTES};

use super::reading::JOINED_LINE_MAX_BYTES;
use crate::transcript::Line;

/// The last bytes of one stream of output: what is longer loses its beginning.
pub(super) struct Tail {
    max_bytes: usize,
    text: String,
    cut: bool,
    /// Whether the next line begins with a newline: there was one, and it was not continued.
    newline: bool,
}

impl Tail {
    /// The last `max_bytes` bytes.
    pub(super) fn of(max_bytes: usize) -> Self {
        Self { max_bytes, text: String::new(), cut: false, newline: false }
    }

    /// One more line of the stream.
    pub(super) fn push(&mut self, line: &Line) {
        if self.newline {
            self.text.push('\n');
        }
        self.text.push_str(&line.line);
        self.newline = !line.continued;
        // Only now and then, so that each byte is moved once at most on average.
        if self.text.len() > self.max_bytes.saturating_mul(2) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.text.len() > self.max_bytes {
            let start = self.text.ceil_char_boundary(self.text.len() - self.max_bytes);
            self.text.drain(..start);
            self.cut = true;
        }
    }

    /// The text, and whether its beginning was cut off.
    pub(super) fn finish(mut self) -> (String, bool) {
        self.shrink();
        (self.text, self.cut)
    }

    /// The text without the space around it, as the words of a failure.
    pub(super) fn into_message(self) -> Option<String> {
        let (text, _) = self.finish();
        let words = text.trim();
        (!words.is_empty()).then(|| words.to_owned())
    }
}

/// Puts lines together that were split because they were long.
#[derive(Default)]
pub(super) struct Joiner {
    parts: String,
    too_long: bool,
}

impl Joiner {
    /// The whole line that ends with `line`; `None` while it goes on, or where it was longer than
    /// [`JOINED_LINE_MAX_BYTES`].
    pub(super) fn push(&mut self, line: Line) -> Option<String> {
        if self.parts.is_empty() && !self.too_long && !line.continued {
            return Some(line.line);
        }
        if self.parts.len() + line.line.len() > JOINED_LINE_MAX_BYTES {
            self.too_long = true;
            self.parts = String::new();
        }
        if !self.too_long {
            self.parts.push_str(&line.line);
        }
        if line.continued {
            return None;
        }
        let whole = std::mem::take(&mut self.parts);
        let too_long = std::mem::take(&mut self.too_long);
        (!too_long).then_some(whole)
    }
}

/// The answer of an agent that says it in pieces: what it said last, at most
/// [`RESPONSE_MAX_BYTES`] of it.
#[derive(Default)]
pub(super) struct Answer {
    text: String,
    cut: bool,
    /// Whether the next piece begins an answer that takes the place of the one so far.
    over: bool,
}

impl Answer {
    /// The agent goes on to something else: what it says next takes the place of what it said.
    pub(super) fn is_over(&mut self) {
        self.over = true;
    }

    /// One more piece of it.
    pub(super) fn push(&mut self, piece: &str) {
        if std::mem::take(&mut self.over) {
            *self = Self::default();
        }
        if !self.cut {
            let room = RESPONSE_MAX_BYTES - self.text.len();
            self.cut = piece.len() > room;
            self.text.push_str(&piece[..piece.floor_char_boundary(room)]);
        }
    }

    /// One more paragraph of it.
    pub(super) fn push_paragraph(&mut self, text: &str) {
        if !self.over && !self.text.is_empty() {
            self.push("\n");
        }
        self.push(text);
    }

    /// The text, if there was any, and whether its end was cut off.
    pub(super) fn finish(self) -> (Option<String>, bool) {
        ((!self.text.is_empty()).then_some(self.text), self.cut)
    }
}

/// The beginning of a text, at most `max_bytes` of it, and whether it was longer.
pub(super) fn beginning(mut text: String, max_bytes: usize) -> (String, bool) {
    if text.len() <= max_bytes {
        return (text, false);
    }
    text.truncate(text.floor_char_boundary(max_bytes));
    (text, true)
}

/// The words of a failure, at most [`ERROR_TEXT_MAX_BYTES`] of them.
pub(super) fn error_text(text: String) -> Option<String> {
    let (text, _) = beginning(text, ERROR_TEXT_MAX_BYTES);
    (!text.trim().is_empty()).then_some(text)
}
