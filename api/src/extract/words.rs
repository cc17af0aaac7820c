//! What a reader of JSON says of a value that does not fit, in a person's words.

/// What an execution's id looks like.
pub(super) const EXECUTION_ID: &str =
    "an execution's id is a UUID such as 0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d";
/// What a key's id looks like.
pub(super) const KEY_ID: &str = "a key's id is a UUID such as 0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d";
/// What a chat session's id looks like.
pub(super) const SESSION_ID: &str =
    "a chat session's id is a UUID such as 0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d";
/// What a schedule's id looks like.
pub(super) const SCHEDULE_ID: &str =
    "a schedule's id is a UUID such as 0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d";
/// What a webhook's id looks like.
pub(super) const WEBHOOK_ID: &str =
    "a webhook's id is a UUID such as 0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d";
/// What the id of anything looks like.
const UUID: &str = "it must be a UUID such as 0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d";
/// What a number without a sign or a fraction is.
pub(super) const WHOLE_NUMBER: &str = "it must be a whole number from 0";

/// The reader's message without its place in the text and without the names of its types.
pub(super) fn plain(said: &str) -> String {
    let said = said.rfind(" at line ").map_or(said, |end| &said[..end]);
    // The value itself comes first and may hold anything: what was expected stands last.
    let (found, expected) = said.rsplit_once(", expected ").unwrap_or((said, ""));
    if found.starts_with("unknown field `") {
        return match quoted(expected) {
            names if names.is_empty() => "the request has no fields here".to_owned(),
            names => format!("there is no such field; there are: {names}"),
        };
    }
    if found.starts_with("unknown variant `") {
        return format!("it must be one of: {}", quoted(expected));
    }
    if found.starts_with("missing field `") {
        return "it must be given".to_owned();
    }
    if found.starts_with("duplicate field `") {
        return "it stands there twice".to_owned();
    }
    if said.contains("UUID") {
        return UUID.to_owned();
    }
    let mistaken = found.starts_with("invalid type: ")
        || found.starts_with("invalid value: ")
        || found.starts_with("invalid length ");
    if !mistaken || expected.is_empty() {
        return said.to_owned();
    }
    match expected {
        "u64" | "usize" => WHOLE_NUMBER.to_owned(),
        "u32" => format!("{WHOLE_NUMBER} to {}", u32::MAX),
        "f64" => "it must be a number".to_owned(),
        "a string" | "string" | "str" => "it must be a text".to_owned(),
        "a boolean" => "it must be true or false".to_owned(),
        "a sequence" => "it must be a list".to_owned(),
        "a map" => "it must be an object".to_owned(),
        other if other.starts_with("struct ") => "it must be an object".to_owned(),
        other => format!("it must be {other}"),
    }
}

/// The names between backticks, with commas.
fn quoted(text: &str) -> String {
    text.split('`').skip(1).step_by(2).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_is_told_in_words_that_name_no_type() {
        for (said, told) in [
            ("invalid type: string \"x\", expected u64 at line 1 column 33", WHOLE_NUMBER),
            (
                "invalid value: integer `-1`, expected u32",
                "it must be a whole number from 0 to 4294967295",
            ),
            ("invalid type: string \"1, expected u64\", expected f64", "it must be a number"),
            (
                "invalid type: integer `1`, expected a string at line 1 column 2",
                "it must be a text",
            ),
            ("invalid type: map, expected a sequence", "it must be a list"),
            ("invalid type: integer `5`, expected struct SecretFields", "it must be an object"),
            (
                "unknown variant `bash`, expected one of `command`, `demo` at line 1 column 9",
                "it must be one of: command, demo",
            ),
            (
                "unknown field `x`, expected `file` or `variable`",
                "there is no such field; there are: file, variable",
            ),
            ("unknown field `x`, there are no fields", "the request has no fields here"),
            ("missing field `message`", "it must be given"),
            ("UUID parsing failed: invalid character: found `n` at 0 at line 1 column 9", UUID),
            ("invalid length: expected length 32 for simple format, found 1, a UUID", UUID),
            ("a name has 1 to 63 characters at line 1 column 4", "a name has 1 to 63 characters"),
        ] {
            assert_eq!(plain(said), told, "{said}");
        }
    }
}
