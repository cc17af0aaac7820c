//! Foreign text on a terminal: without characters that move the cursor, change colours, rename
//! the window, hide text or turn its direction.

use std::borrow::Cow;

/// Whether a character does something to a terminal instead of standing on it.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn neutral(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    let stays = |c: char| !acts(c) || keeps(c);
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if stays(c) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    Cow::Owned(out)
}

/// Text for one line: also newlines and tabs are shown as what they are.
pub fn neutral_line(text: &str) -> Cow<'_, str> {
    neutral(text, |_| false)
}

/// Text of several lines: newlines and tabs stay.
pub fn neutral_text(text: &str) -> Cow<'_, str> {
    neutral(text, |c| matches!(c, '\n' | '\t'))
}

/// JSON text: characters that act are escaped as JSON does, so its meaning is the same.
pub fn neutral_json(json: &str) -> Cow<'_, str> {
    let stays = |c: char| !acts(c) || matches!(c, '\n' | '\t');
    if json.chars().all(stays) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if stays(c) {
            out.push(c);
            continue;
        }
        // Such a character can only be inside a string, so an escape is allowed there.
        for unit in &*c.encode_utf16(&mut [0; 2]) {
            out.push_str("\\u");
            out.extend(
                [12, 8, 4, 0].map(|shift| {
                    char::from_digit(u32::from(*unit >> shift & 0xf), 16).unwrap_or('0')
                }),
            );
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_is_left() {
        let hostile =
            "a\u{1b}[31mred\u{1b}]0;title\u{7}\r\u{8}\u{7f}\u{9b}2J\u{202e}evil\u{2066}\u{200b}";
        for neutral in [neutral_line(hostile), neutral_text(hostile)] {
            assert!(!neutral.chars().any(acts), "{neutral:?}");
            assert!(neutral.contains("\\u{1b}[31mred"), "{neutral}");
        }
    }

    #[test]
    fn ordinary_text_of_any_language_is_unchanged() {
        for text in ["plain", "Grüße, 日本語, עברית, العربية", "emoji 🎉 und ½"]
        {
            assert!(matches!(neutral_line(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(neutral_text("a\n\tb"), "a\n\tb");
        assert_eq!(neutral_line("a\nb"), "a\\u{a}b");
    }

    #[test]
    fn neutral_json_means_the_same() {
        let value = serde_json::json!({"x": "\u{1b}[0m\u{9b}\u{7f}\u{202e}\u{e0041}ok"});
        let text = serde_json::to_string(&value).expect("serialises");
        let neutral = neutral_json(&text);
        assert!(!neutral.chars().any(acts), "{neutral}");
        let back: serde_json::Value = serde_json::from_str(&neutral).expect("still JSON");
        assert_eq!(back, value);
    }
}
