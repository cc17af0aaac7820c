//! Secrets are taken out of every text before it is stored: messages, output, errors.
//!
//! It takes time linear in the text. What is known is the formats of keys and tokens, the places
//! where secrets stand (after `Authorization:`, in URLs, after names such as `password`), and the
//! secrets that a run was given. A secret that looks like an ordinary word in an ordinary place
//! is not found by anything.

mod named;
mod shapes;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// What stands in the place of a secret.
pub const MARK: &str = "[redacted]";
/// Why a name is refused in which a secret was found: names are stored in events, which are never
/// changed, and shown to others.
pub const SECRET_IN_NAME: &str = "it holds what looks like a key or a password; give another name";
/// A shorter value is no secret that could be told from ordinary text, in bytes.
const SECRET_MIN_BYTES: usize = 6;
/// A secret is known as it stands in JSON that is itself a string of JSON, and no deeper.
const JSON_DEPTH_MAX: usize = 2;
/// What was hidden behind one secret may turn out to be another when that is gone. A text in which that
/// goes on for more passes is made for it: it is cut off there, and after as many more there is nothing
/// left of it.
const PASSES_MAX: usize = 8;
/// The pass after which nothing is left.
const LAST_PASS: usize = 2 * PASSES_MAX;
/// A private key printed over several lines has no more of them.
const KEY_LINES_MAX: u32 = 256;
/// Characters of Base64 in a row that make a line a part of a private key.
const KEY_RUN_MIN: usize = 16;

/// Finds secrets.
#[derive(Debug, Default)]
pub struct Redactor {
    /// Values that are secret wherever they stand.
    known: Vec<String>,
}

/// What one line of a stream says about the next.
#[derive(Debug, Default)]
pub struct LineState {
    /// Lines of a private key that may still come; 0 outside of one.
    key_lines: u32,
    /// The line was split within a secret, which goes on in the next part.
    inside: bool,
}

impl LineState {
    /// The next part begins within a secret.
    pub fn set_inside(&mut self, inside: bool) {
        self.inside = inside;
    }
}

/// Where a long line is to be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The length of the first part, in bytes; always a border of characters.
    pub at: usize,
    /// The next part begins within a secret: see [`LineState::set_inside`].
    pub inside: bool,
}

impl Redactor {
    /// The one that knows no particular secret.
    pub fn global() -> &'static Self {
        static GLOBAL: LazyLock<Redactor> = LazyLock::new(Redactor::default);
        &GLOBAL
    }

    /// One that also knows these values, each line of them by itself, also as they stand in JSON
    /// and in JSON within JSON: what an agent prints is lines of that.
    pub fn with_secrets(secrets: &[String]) -> Self {
        let known = secrets
            .iter()
            .flat_map(|secret| secret.lines())
            .map(str::trim)
            .filter(|secret| secret.len() >= SECRET_MIN_BYTES && !MARK.contains(secret))
            .flat_map(as_written)
            .collect();
        Self { known }
    }

    /// The text without its secrets, and how many there were. To do it again changes nothing.
    pub fn redact<'t>(&self, text: &'t str) -> (Cow<'t, str>, u32) {
        let mut clean = Cow::Borrowed(text);
        let mut count = 0;
        for pass in 0..=LAST_PASS {
            let found = self.secrets(&clean);
            let Some(first) = found.first() else { break };
            count += found.len();
            clean = Cow::Owned(match pass {
                ..PASSES_MAX => without(&clean, &found),
                PASSES_MAX..LAST_PASS => format!("{}{MARK}", &clean[..first.start]),
                _ => MARK.to_owned(),
            });
        }
        (clean, u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Whether [`Self::redact`] would change the text.
    pub fn finds_secret(&self, text: &str) -> bool {
        !self.secrets(text).is_empty()
    }

    /// As [`Self::redact`], for one line (or part of a line) after another of one stream: a
    /// private key is printed over many lines.
    pub fn redact_line<'t>(&self, state: &mut LineState, text: &'t str) -> (Cow<'t, str>, u32) {
        if state.inside {
            let rest = text.trim_start_matches(is_token_character);
            state.inside = rest.is_empty() && !text.is_empty();
            let (rest, found) = self.redact(rest);
            return (Cow::Owned(format!("{MARK}{rest}")), found);
        }
        if state.key_lines > 0 {
            if text.contains("-----END") {
                state.key_lines = 0;
                return (Cow::Borrowed(MARK), 0);
            }
            state.key_lines -= 1;
            if is_of_a_key(text) {
                return (Cow::Borrowed(MARK), 0);
            }
            if !text.trim().is_empty() {
                state.key_lines = 0;
            }
        }
        if shapes::begins_a_key(text) {
            state.key_lines = KEY_LINES_MAX;
        }
        self.redact(text)
    }

    /// The place near `at` where a line can be split so that each secret is found in one of its
    /// parts. `at` is a border of characters.
    pub fn split_near(&self, text: &str, at: usize) -> Split {
        let across = self.secrets(text).into_iter().find(|secret| secret.contains(&at));
        match across {
            None => Split { at, inside: false },
            Some(secret) if secret.start == at => Split { at, inside: false },
            Some(secret) if secret.end < text.len() => Split { at: secret.end, inside: false },
            // It may go on beyond what there is: the next part has it whole, if parts are long
            // enough for it.
            Some(secret) if secret.start > at / 2 => Split { at: secret.start, inside: false },
            Some(_) => Split { at: text.len(), inside: true },
        }
    }

    /// Where secrets are, in order, none touching another. What stands on either side of a mark
    /// has nothing to do with each other.
    fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut from = 0;
        for (mark, _) in text.match_indices(MARK) {
            self.find(&text[from..mark], from, &mut found);
            from = mark + MARK.len();
        }
        self.find(&text[from..], from, &mut found);
        found
    }

    /// Adds the secrets of a part of a text that begins at `offset`.
    fn find(&self, part: &str, offset: usize, found: &mut Vec<Range<usize>>) {
        let mut here = Vec::new();
        for known in &self.known {
            here.extend(part.match_indices(known).map(|(at, _)| at..at + known.len()));
        }
        shapes::find(part, &mut here);
        named::find(part, &mut here);
        if here.len() > 1 {
            merge(&mut here);
        }
        found.extend(here.into_iter().map(|secret| secret.start + offset..secret.end + offset));
    }
}

/// A secret in all the ways in which it is printed.
fn as_written(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    for _ in 0..JSON_DEPTH_MAX {
        match forms.last().and_then(|form| escaped(form)) {
            Some(form) => forms.push(form),
            None => break,
        }
    }
    forms
}

/// As it stands in a string of JSON; `None` where that is no different.
fn escaped(text: &str) -> Option<String> {
    let quoted = serde_json::to_string(text).ok()?;
    let escaped = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (escaped != text).then(|| escaped.to_owned())
}

fn without(text: &str, secrets: &[Range<usize>]) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    for secret in secrets {
        clean.push_str(&text[from..secret.start]);
        clean.push_str(MARK);
        from = secret.end;
    }
    clean.push_str(&text[from..]);
    clean
}

fn merge(found: &mut Vec<Range<usize>>) {
    found.sort_unstable_by_key(|secret| (secret.start, secret.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for secret in found.drain(..) {
        match merged.last_mut() {
            Some(last) if secret.start <= last.end => last.end = last.end.max(secret.end),
            _ => merged.push(secret),
        }
    }
    *found = merged;
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '=' | '~')
}

/// Whether a line after the beginning of a private key belongs to it: Base64, perhaps with a line
/// number before it, or a header such as `DEK-Info:`.
fn is_of_a_key(line: &str) -> bool {
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let line = line.trim();
    !line.is_empty()
        && (line.chars().all(base64)
            || line.split(|c| !base64(c)).any(|run| run.len() >= KEY_RUN_MIN)
            || line.starts_with("Proc-Type:")
            || line.starts_with("DEK-Info:"))
}
