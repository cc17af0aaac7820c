//! Texts of people and agents as they may be shown: what can't be seen, or would move what stands
//! around it, is made visible.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A text with its invisible characters shown: control characters by their pictures, characters that
/// turn the direction of what follows or take no room by their numbers. Sequences that only colour a
/// terminal are left out.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = after_colour(rest) {
            rest = after;
            continue;
        }
        rest = &rest[next.len_utf8()..];
        if next == '\r' && rest.starts_with('\n') {
            continue;
        }
        if is_hidden(next) { push_picture(&mut shown, next) } else { shown.push(next) }
    }
    Cow::Owned(shown)
}

/// What follows a sequence that colours (`ESC [ numbers m`), where the text begins with one.
fn after_colour(text: &str) -> Option<&str> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let after = numbers.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':');
    after.strip_prefix('m')
}

/// Joiners (U+200C, U+200D) are not: scripts and emoji are written with them.
fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        _ => c.is_control(),
    }
}

fn push_picture(shown: &mut String, c: char) {
    let picture = match u32::from(c) {
        control @ 0..=0x1f => char::from_u32(0x2400 + control),
        0x7f => Some('\u{2421}'),
        _ => None,
    };
    if let Some(picture) = picture {
        shown.push(picture);
    } else {
        // A string takes whatever is written.
        let written = write!(shown, "‹U+{:04X}›", u32::from(c));
        debug_assert!(written.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_seen_is_shown_and_what_can_is_left_alone() {
        let cases = [
            ("plain\n\ttext äöü 日本 👩\u{200d}💻", "plain\n\ttext äöü 日本 👩\u{200d}💻"),
            ("pay\u{202e}txt.exe", "pay‹U+202E›txt.exe"),
            ("a\u{200b}b", "a‹U+200B›b"),
            ("bell\u{7} \u{1b}]0;title", "bell␇ ␛]0;title"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("one\r\ntwo\rthree", "one\ntwo␍three"),
            ("\u{85}", "‹U+0085›"),
        ];
        for (text, shown) in cases {
            assert_eq!(visible(text), shown);
        }
    }
}
