//! Every answer that is a refusal or a fault: RFC 9457 problem details with a stable code.
//!
//! The status of a code is chosen in `code.rs` and nowhere else.

mod code;

use std::borrow::Cow;
use std::fmt;

use axum::http::HeaderValue;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

pub use code::Code;

/// Longest `detail`, in bytes: what is longer is cut.
const DETAIL_MAX_BYTES: usize = 600;
/// What a problem's `type` begins with; its code follows.
const TYPE_PREFIX: &str = "urn:execution-ledger:problem:";

/// A refusal or a fault, as it is answered.
#[derive(Debug)]
pub struct Problem(Box<Body>);

#[derive(Debug)]
struct Body {
    code: Code,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
    cause: Option<String>,
}

/// The cause of a fault, on its way to the log.
#[derive(Clone, Debug)]
pub(crate) struct Fault(pub String);

impl Problem {
    /// A problem of that code; `detail` says for people what is the matter this time.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = cut(detail.into());
        Self(Box::new(Body {
            code,
            detail,
            members: Map::new(),
            retry_after_s: None,
            allow: None,
            cause: None,
        }))
    }

    /// A value of the body's field that can't be.
    pub fn invalid_field(field: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidField, detail).field(field)
    }

    /// A value of a part of the path or the query that can't be.
    pub fn invalid_parameter(
        name: impl Into<String>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(Code::InvalidParameter, detail).field(name)
    }

    /// A fault of ours. The answer says nothing of its cause: that is logged, under the request's
    /// id, where the answer passes the gate.
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        let detail = "the cause is in the ledger's own log, under the id of this request";
        let mut problem = Self::new(Code::Internal, detail);
        problem.0.cause = Some(cause.to_string());
        problem
    }

    /// Which field, parameter or header is meant.
    #[must_use]
    pub fn field(self, field: impl Into<String>) -> Self {
        self.member("field", Value::String(field.into()))
    }

    /// The limit that was broken.
    #[must_use]
    pub fn limit(self, limit: u64) -> Self {
        self.member("limit", Value::from(limit))
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(self, hint: &str) -> Self {
        self.member("hint", Value::from(hint))
    }

    /// One more member of the answer.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// When it is worth trying again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds.max(1));
        self
    }

    /// The methods that the path knows.
    #[must_use]
    pub fn allow(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The field, parameter or header that is meant, where one is.
    pub fn named_field(&self) -> Option<&str> {
        self.0.members.get("field").and_then(Value::as_str)
    }

    /// What is the matter, in words.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The cause of a fault of ours: for the log alone.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Everything that is answered of it.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let Body { code, detail, members, .. } = &*self.0;
        let mut members = members.clone();
        members.insert("type".to_owned(), Value::from(format!("{TYPE_PREFIX}{}", code.as_str())));
        members.insert("title".to_owned(), Value::from(code.title()));
        members.insert("status".to_owned(), Value::from(code.status().as_u16()));
        members.insert("code".to_owned(), Value::from(code.as_str()));
        members.insert("detail".to_owned(), Value::from(detail.as_ref()));
        members
    }
}

fn cut(detail: Cow<'static, str>) -> Cow<'static, str> {
    if detail.len() <= DETAIL_MAX_BYTES {
        return detail;
    }
    let end = detail.floor_char_boundary(DETAIL_MAX_BYTES);
    Cow::Owned(format!("{}…", &detail[..end]))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let members = self.members();
        let Body { code, retry_after_s, allow, cause, .. } = *self.0;
        let mut response = (code.status(), Value::Object(members).to_string()).into_response();
        if let Some(cause) = cause {
            response.extensions_mut().insert(Fault(cause));
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = allow.and_then(|methods| HeaderValue::try_from(methods).ok()) {
            headers.insert(ALLOW, methods);
        }
        if matches!(code, Code::BodyTooLarge | Code::RequestTimeout) {
            // The rest of the body is not read, so nothing can follow it.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A problem as the interface's description shows it (RFC 9457).
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "only describes what is answered")]
pub struct ProblemSchema {
    /// `urn:execution-ledger:problem:` and the code.
    pub r#type: String,
    /// What the code means, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for programs: stable.
    pub code: String,
    /// What is the matter this time, for people.
    pub detail: String,
    /// The field, parameter or header that is meant.
    pub field: Option<String>,
    /// The limit that was broken.
    pub limit: Option<u64>,
    /// What to do about it.
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_written_once_in_snake_case() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} stands twice", code.as_str());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let problem = Problem::new(Code::InvalidField, "ä".repeat(1_000));
        assert!(problem.detail().len() <= DETAIL_MAX_BYTES + '…'.len_utf8());
        assert!(problem.detail().ends_with('…'));
    }

    #[test]
    fn the_guide_lists_every_code_with_its_status_and_nothing_else() {
        let guide = include_str!("../../../docs/API.md");
        let listed: HashSet<(String, u16)> = guide
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|row| row.split_once("` | "))
            .filter_map(|(code, rest)| {
                let status = rest.split(' ').next()?.parse().ok()?;
                Some((code.to_owned(), status))
            })
            .collect();
        let known = Code::ALL.iter().map(|c| (c.as_str().to_owned(), c.status().as_u16()));
        assert_eq!(listed, known.collect());
    }
}
