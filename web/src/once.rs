//! A form that is sent twice does once what it says: by a double click, or as its page is loaded again.

use std::fmt::Write as _;

use axum::http::HeaderValue;
use maud::{Markup, html};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Random bytes of a form's mark.
const MARK_BYTES: usize = 16;

/// What of a form says which showing of it this was.
#[derive(Default, Deserialize)]
pub(crate) struct Once {
    /// The mark; without one, what is sent is done each time.
    #[serde(default)]
    pub once: String,
}

/// A form's mark: another one each time that the form is shown.
pub(crate) fn mark() -> Markup {
    let mut bytes = [0; MARK_BYTES];
    // Without random bytes there is no mark, and the form is as good as it can be.
    let drawn = getrandom::fill(&mut bytes).is_ok();
    html! { @if drawn { input type="hidden" name="once" value=(hex(&bytes)); } }
}

/// The key under which the interface does something once: of the mark and of what is to be done, so that
/// a form that a browser shows again from its memory, filled in otherwise, is another one.
pub(crate) fn key(mark: &str, address: &str, body: &[u8]) -> Option<HeaderValue> {
    let is_one = mark.len() == 2 * MARK_BYTES && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_one {
        return None;
    }
    let mut digest = Sha256::new();
    digest.update(address.as_bytes());
    digest.update([0]);
    digest.update(body);
    HeaderValue::try_from(format!("form-{mark}-{}", hex(&digest.finalize()[..MARK_BYTES]))).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // A string takes whatever is written.
        let written = write!(hex, "{byte:02x}");
        debug_assert!(written.is_ok());
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_form_is_the_same_and_another_text_or_place_is_not() {
        let mark = "0123456789abcdef0123456789abcdef";
        let first = key(mark, "/api/a", b"one");
        assert!(first.is_some());
        assert_eq!(key(mark, "/api/a", b"one"), first);
        assert_ne!(key(mark, "/api/a", b"two"), first);
        assert_ne!(key(mark, "/api/b", b"one"), first);
        for none in ["", "0", "0123456789abcdef0123456789abcde\n", "x".repeat(32).as_str()] {
            assert_eq!(key(none, "/api/a", b"one"), None);
        }
        assert_ne!(mark_of(), mark_of());
    }

    fn mark_of() -> String {
        super::mark().into_string()
    }
}
