//! Secrets that are known by their shape or by what stands right around them.

use std::ops::Range;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regex::{Captures, Regex};

/// One alternation, so that a text is read once. In each alternative the group is the secret.
///
/// No alternative reads on beyond its match for more than its own run of characters, so looking
/// for all matches takes linear time, too. After `\n` in a text of JSON there is no word border,
/// hence the alternative to it. All classes are of ASCII: tables of Unicode would be dear to build
/// in each supervisor, and its word borders are slow in text that is not ASCII.
static SHAPES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let alternatives = [
        // Private keys, up to their end or to what can't be of a key.
        concat!(
            r"(?P<key>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
            r"(?:[A-Za-z0-9+/=\x09-\x0d\x20:,]|-[A-Za-z0-9]|\\[nrt])*",
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?)",
        ),
        // Keys and tokens whose makers gave them a beginning.
        concat!(
            r"(?P<token>sk-ant-[A-Za-z0-9_-]{10,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
            r"|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}",
            r"|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}",
            r"|AIza[A-Za-z0-9_-]{30,}|npm_[A-Za-z0-9]{30,}|pypi-AgEI[A-Za-z0-9_-]{20,}",
            r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
            r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]{4,})",
        ),
        // The same, where the beginning could be a word's.
        r"(?:(?-u:\b)|\\[nrt])(?P<digits>(?:sk-|hf_|el[kr]_)[A-Za-z0-9_-]{20,})",
        r"(?:(?-u:\b)|\\[nrt])(?i-u:basic)[\x20\t]{1,4}(?P<basic>[A-Za-z0-9+/]{6,}={0,2})",
        r"(?:(?-u:\b)|\\[nrt])(?i-u:bearer)[\x20\t]{1,4}(?P<bearer>[A-Za-z0-9._~+/=-]{8,})",
        r#"://[^\x00-\x20/@:"'<>\\]*:(?P<password>[^\x00-\x20/"'<>\\]+)@"#,
        r#"://(?P<user>[^\x00-\x20/@:"'<>\\]{20,})@"#,
    ];
    Regex::new(&alternatives.join("|")).ok()
});

/// Adds the secrets of a text.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let Some(shapes) = SHAPES.as_ref() else { return };
    for captures in shapes.captures_iter(text) {
        found.extend(secret(&captures));
    }
}

fn secret(captures: &Captures<'_>) -> Option<Range<usize>> {
    for surely in ["key", "token"] {
        if let Some(secret) = captures.name(surely) {
            return Some(secret.range());
        }
    }
    let by = |name: &str, is_secret: fn(&str) -> bool| {
        captures.name(name).filter(|found| is_secret(found.as_str())).map(|found| found.range())
    };
    let any = |_: &str| true;
    by("digits", has_digit)
        .or_else(|| by("basic", is_basic))
        .or_else(|| by("bearer", is_bearer))
        .or_else(|| by("password", any))
        .or_else(|| by("user", any))
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// `user:password` in Base64, which "basic training" is not.
fn is_basic(text: &str) -> bool {
    STANDARD_NO_PAD.decode(text.trim_end_matches('=')).is_ok_and(|decoded| {
        decoded.contains(&b':') && decoded.iter().all(|&byte| byte >= b' ' && byte != 0x7f)
    })
}

/// No word, which "bearer authentication" has.
fn is_bearer(text: &str) -> bool {
    const LONGEST_WORD: usize = 20;
    let text = text.trim_end_matches(['.', '-']);
    text.len() > LONGEST_WORD
        || has_digit(text)
        || text.contains(['_', '~', '+', '='])
        || text.chars().skip(1).any(|c| c.is_ascii_uppercase())
}

/// Whether a private key begins here and does not end here.
pub(super) fn begins_a_key(text: &str) -> bool {
    const BEGIN: &str = "-----BEGIN ";
    const NAMED: &str = "PRIVATE KEY";
    text.contains(NAMED)
        && text.rfind(BEGIN).is_some_and(|at| {
            let rest = &text[at..];
            rest.contains(NAMED) && !rest.contains("-----END ")
        })
}
