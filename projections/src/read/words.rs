//! A person's search text as a query of the text index.

use execution_ledger_domain::AgentName;

use crate::query::{QueryError, SEARCH_MAX_BYTES, SEARCH_WORDS_MAX};
use crate::write::agent_word;

/// The query that finds texts with all of the words, of this agent where one is given. Each word is quoted, so that nothing in it is
/// taken for an operator; a `*` at its end stands for any ending. Nothing where the text has no word
/// that an index could hold: no text has that.
pub(super) fn query_of(
    text: &str,
    agent: Option<&AgentName>,
) -> Result<Option<String>, QueryError> {
    let of_agent = |agent| format!(" AND agent : {}", agent_word(agent));
    let of_agent = agent.map(of_agent).unwrap_or_default();
    Ok(words_of(text)?.map(|words| format!("text : ({words}){of_agent}")))
}

/// The words themselves, quoted.
fn words_of(text: &str) -> Result<Option<String>, QueryError> {
    if text.len() > SEARCH_MAX_BYTES {
        return Err(QueryError::invalid("q", format!("at most {SEARCH_MAX_BYTES} bytes")));
    }
    let mut query = String::with_capacity(text.len() + 16);
    let mut words = 0;
    for word in text.split_whitespace() {
        let (stem, any_ending) = match word.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (word, false),
        };
        // A word of signs alone stands in no index; an empty phrase would match nothing.
        if !stem.chars().any(char::is_alphanumeric) {
            continue;
        }
        words += 1;
        if words > 1 {
            query.push(' ');
        }
        query.push('"');
        query.extend(stem.chars().filter(|c| !matches!(c, '"' | '\0')));
        query.push('"');
        if any_ending {
            query.push('*');
        }
    }
    match words {
        0 => Ok(None),
        1..=SEARCH_WORDS_MAX => Ok(Some(query)),
        _ => Err(QueryError::invalid("q", format!("at most {SEARCH_WORDS_MAX} words"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_and_quotes_are_words_like_others() {
        let query = |text| words_of(text).expect("a query").expect("words");
        assert_eq!(query("fix OR NEAR(a b)"), r#""fix" "OR" "NEAR(a" "b)""#);
        assert_eq!(query(r#"text:"x" -y ^z comp* -- ' "#), r#""text:x" "-y" "^z" "comp"*"#);
    }

    #[test]
    fn a_text_without_words_looks_for_nothing_and_one_with_too_many_is_refused_with_its_name() {
        for text in ["", " \t", "\"\"", "-- *", "\u{1f389}"] {
            assert_eq!(query_of(text, None).expect("a query"), None, "{text}");
        }
        for text in [&"a ".repeat(33), &"a".repeat(1_001)] {
            let refused = query_of(text, None);
            assert!(matches!(refused, Err(QueryError::Invalid { field: "q", .. })), "{text}");
        }
    }
}
