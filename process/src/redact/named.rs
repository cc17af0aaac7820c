//! Secrets that are known by the name before them: `API_KEY=...`, `"password": "..."`,
//! `--token ...`, `Authorization: ...`.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The last part of a name whose value is secret.
const NAMES: &str = "passw(?:or)?d|passphrase|secret|token|credentials?\
    |(?:api|access|secret|private|signing|encryption|auth)[_-]?key";
/// A longer word without a digit is no word.
const LONGEST_WORD: usize = 20;
/// A name reaches back from its last part no further than this, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// A name, perhaps in quotes, a sign between, a value, perhaps in quotes; all of it perhaps within
/// a text of JSON, where quotes have a backslash.
///
/// A value runs to the quote or the space after it (in the query of a URL to the `&`), and the next match
/// begins there, so looking for all matches takes linear time.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let value = concat!(
        r#"(?:\\"(?P<escaped>(?:[^"\\]|\\[^"])+)|"(?P<double>(?:[^"\\]|\\.)+)"#,
        r#"|'(?P<single>[^'\n]+)|(?P<bare>[^\x00-\x20"'\\(]+))"#,
    );
    Regex::new(&format!(
        r#"(?x:
            (?P<header> (?i-u:authorization) ) [\\"']{{0,4}} [\x20\t]{{0,4}} [:=] [\x20\t]{{0,4}} [\\"']{{0,4}}
                (?: (?i-u:bearer|basic|token|digest|negotiate|apikey) [\x20\t]{{1,4}} )?
                (?P<credentials> [^\x00-\x20"'\\]+ )
            | --[A-Za-z0-9_-]{{0,40}}? (?P<flag> (?i-u:{NAMES}) )
                (?: [\x20\t]{{1,4}} | \\?["'] ,? [\x20\t]{{0,4}} ) (?: \\?["'] )?
                (?P<argument> [^\x00-\x20"'\\]+ )
            | [?&] [A-Za-z0-9_-]{{0,64}}? (?P<asked> (?i-u:{NAMES}) ) (?P<is> [\x20\t]{{0,4}} = [\x20\t]{{0,4}} )
                (?P<query> [^\x00-\x20"'\\(&]+ )
            | (?P<name> (?i-u:{NAMES}) ) (?P<between> [\\"']{{0,4}} [\x09-\x0d\x20]{{0,4}} (?: := | => | [:=] ) [\x09-\x0d\x20]{{0,4}} )
                (?-x:{value})
        )"#
    ))
    .ok()
});

/// Adds the secrets of a text.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let Some(named) = NAMED.as_ref() else { return };
    for captures in named.captures_iter(text) {
        found.extend(secret(text, &captures));
    }
}

fn secret(text: &str, captures: &Captures<'_>) -> Option<Range<usize>> {
    if let Some(value) = captures.name("credentials") {
        let word = value.as_str();
        let scheme = SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        return (!scheme && is_value(word)).then(|| value.range());
    }
    if let Some(value) = captures.name("argument") {
        let word = value.as_str();
        let said = word.starts_with('-') || PROSE.contains(&word.to_ascii_lowercase().as_str());
        return (!said && is_value(word)).then(|| value.range());
    }
    if let Some(value) = captures.name("query") {
        let (name, between) = (captures.name("asked")?, captures.name("is")?);
        return bare(text, name.range(), between.as_str(), value.range());
    }
    for quoted in ["escaped", "double", "single"] {
        if let Some(value) = captures.name(quoted) {
            return is_value(value.as_str()).then(|| value.range());
        }
    }
    let (name, between, value) =
        (captures.name("name")?, captures.name("between")?, captures.name("bare")?);
    bare(text, name.range(), between.as_str(), value.range())
}

/// A value without quotes may be a word of a sentence or a piece of a program, too.
fn bare(
    text: &str,
    name: Range<usize>,
    between: &str,
    value: Range<usize>,
) -> Option<Range<usize>> {
    let whole_name = whole_name(text, &name);
    let mut value = value;
    let call = text[value.end..].starts_with('(');
    let in_query = text[..name.end - whole_name.len()].ends_with(['?', '&']);
    if in_query && let Some(next) = text[value.clone()].find('&') {
        value.end = value.start + next;
    }
    let word = text[value.clone()].trim_end_matches([',', ';', ')', '}', ']', '.']);
    value.end = value.start + word.len();
    if !is_value(&text[value.clone()]) {
        return None;
    }
    let shouted = !whole_name.bytes().any(|byte| byte.is_ascii_lowercase());
    let assigned = between == "=";
    let path = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    if path && !shouted && (call || ends_in_a_name(word)) {
        // `token = next_token()`, `password=self.password`
        return None;
    }
    let letters = word.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.' | b'-'));
    let password = text[name].to_ascii_lowercase().starts_with(['p', 's']);
    // No further than the next word: the line may be long, and hold many values.
    let rest = text[value.end..].trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
    let last = rest.is_empty() || rest.starts_with(['\n', '\\', '"']);
    let secret = shouted
        || assigned
        || !letters
        || word.len() > LONGEST_WORD
        || (password && (last || between.contains('=')));
    secret.then_some(value)
}

/// The name with what stands before its last part, as in `AWS_SECRET_ACCESS_KEY`.
fn whole_name<'t>(text: &'t str, last_part: &Range<usize>) -> &'t str {
    let bytes = text.as_bytes();
    let mut start = last_part.start;
    while start > 0
        && last_part.start - start < NAME_MAX_BYTES
        && (bytes[start - 1].is_ascii_alphanumeric() || matches!(bytes[start - 1], b'_' | b'-'))
    {
        start -= 1;
    }
    &text[start..last_part.end]
}

/// Whether the last segment of a path is itself such a name: then it is a variable, not a value.
fn ends_in_a_name(path: &str) -> bool {
    const ENDS: [&str; 7] =
        ["password", "passwd", "passphrase", "secret", "token", "key", "credentials"];
    let path = path.to_ascii_lowercase();
    ENDS.iter().any(|end| path.ends_with(end))
}

/// What stands between `Authorization:` and the credentials, and is none itself.
const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "digest", "negotiate", "apikey"];

/// Words that follow the name of a flag in a sentence.
const PROSE: [&str; 32] = [
    "is", "are", "was", "to", "for", "and", "or", "the", "a", "an", "of", "in", "on", "with", "if",
    "as", "at", "by", "from", "not", "no", "flag", "option", "argument", "must", "can", "may",
    "should", "will", "when", "where", "instead",
];

/// Types, constants and other words that stand where a value could.
const NO_VALUES: [&str; 34] = [
    "string",
    "str",
    "&str",
    "string,",
    "number",
    "int",
    "integer",
    "bool",
    "boolean",
    "bytes",
    "any",
    "none",
    "null",
    "nil",
    "undefined",
    "unknown",
    "true",
    "false",
    "optional",
    "required",
    "option",
    "object",
    "text",
    "yes",
    "no",
    "not",
    "missing",
    "invalid",
    "empty",
    "unset",
    "expired",
    "await",
    "new",
    "self",
];

/// Whether it can be a secret at all: no number, no constant, no reference to a value elsewhere.
fn is_value(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let number = value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'_'));
    let hidden = value.chars().all(|c| matches!(c, '*' | '•' | '.' | '_' | '-'))
        || (value.len() > 2 && value.bytes().all(|b| matches!(b, b'x' | b'X')));
    let reference = value.strip_prefix('$').is_some_and(|rest| {
        rest.starts_with(['{', '('])
            || rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    });
    let opens = value.starts_with(['<', '{', '[', '&', '|', '%', ':', '=', '`']) && value.len() < 3
        || value.starts_with("{{")
        || (value.starts_with('<') && value.ends_with('>'))
        || (value.starts_with('{') && value.ends_with('}'));
    !(value.is_empty()
        || hidden
        || reference
        || opens
        || NO_VALUES.contains(&lower.as_str())
        || (number && value.len() < LONGEST_NUMBER))
}

/// A shorter row of digits is a count. Passwords of digits alone are longer, or not found.
const LONGEST_NUMBER: usize = 8;
