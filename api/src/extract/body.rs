//! Bodies: strict JSON, of a limited size, in a limited time.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{FromRef, FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::words::plain;
use crate::problem::{Code, Problem};
use crate::state::App;

/// A request's body: one JSON object that fits `T` exactly. An empty body is `{}`.
pub struct Json<T>(pub T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    App: FromRef<S>,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = json_body(request, &App::from_ref(state)).await?;
        parse(&body).map(Self)
    }
}

/// A body as [`Json`] takes it, and which fields stand in it: what is not given stays as it was.
pub struct Partial<T> {
    /// What the body says, with defaults where it says nothing.
    pub body: T,
    /// The names of the fields that it says something of.
    pub given: BTreeSet<String>,
}

impl<S, T> FromRequest<S> for Partial<T>
where
    S: Send + Sync,
    App: FromRef<S>,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = json_body(request, &App::from_ref(state)).await?;
        let body = parse(&json)?;
        let fields: BTreeMap<String, IgnoredAny> = parse(&json)?;
        Ok(Self { body, given: fields.into_keys().collect() })
    }
}

/// A body that declares itself as JSON; where there is none, an empty object.
async fn json_body(request: Request, app: &App) -> Result<Bytes, Problem> {
    let typed = declared_json(request.headers());
    let body = read_body(request, app).await?;
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if typed {
        return Ok(body);
    }
    let detail = "send the body as `Content-Type: application/json`";
    Err(Problem::new(Code::UnsupportedMediaType, detail).field("Content-Type"))
}

/// No body, or an empty object: there is nothing that could be said.
pub struct NoBody;

impl<S> FromRequest<S> for NoBody
where
    S: Send + Sync,
    App: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let Json(Nothing {}) = Json::<Nothing>::from_request(request, state).await?;
        Ok(Self)
    }
}

fn declared_json(headers: &HeaderMap) -> bool {
    let Some(Ok(text)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// A whole body, of a limited size, in a limited time.
pub(crate) async fn read_body(request: Request, app: &App) -> Result<Bytes, Problem> {
    let options = &app.gate().options;
    let most = options.body_max_bytes;
    let too_large =
        || Problem::new(Code::BodyTooLarge, format!("at most {most} bytes")).limit(most as u64);
    let declared =
        request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: u64| bytes > most as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), most).collect();
    match tokio::time::timeout(options.body_timeout, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(Problem::new(Code::MalformedRequest, format!("the body ended early: {error}")))
        }
        Err(_) => {
            let seconds = options.body_timeout.as_secs();
            Err(Problem::new(Code::RequestTimeout, format!("it did not come within {seconds} s"))
                .limit(seconds))
        }
    }
}

/// JSON that fits `T`, or the problem that names the field that does not fit.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    // First of all: a structure can also be read from an array, which nobody means here.
    if json.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::new(Code::MalformedJson, "the body must be a JSON object"));
    }
    // The fast way first: where a field does not fit, the slow way finds out which.
    if let Ok(value) = serde_json::from_slice(json) {
        return Ok(value);
    }
    let deserializer = &mut serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, T>(deserializer) {
        Err(error) => {
            let path = error.path().to_string();
            Err(unfit(json, &path, error.inner()))
        }
        Ok(_) => Err(Problem::new(Code::MalformedJson, "something stands after the JSON object")),
    }
}

fn unfit(json: &[u8], path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        // A reader that meets another kind of value than it can choose from calls that a fault of
        // the text, though the text may be well-formed.
        if serde_json::from_slice::<serde_json::Value>(json).is_ok() {
            return Problem::invalid_field(path, "its value is of another kind than it must be");
        }
        return Problem::new(Code::MalformedJson, error.to_string());
    }
    let said = error.to_string();
    let quoted = |begin: &str| {
        said.strip_prefix(begin).and_then(|rest| rest.split_once('`')).map(|(name, _)| name)
    };
    if let Some(name) = quoted("unknown field `") {
        return Problem::new(Code::UnknownField, plain(&said)).field(beside(path, name));
    }
    if let Some(name) = quoted("missing field `") {
        return Problem::new(Code::MissingField, plain(&said)).field(beside(path, name));
    }
    if let Some(name) = quoted("duplicate field `") {
        return Problem::invalid_field(beside(path, name), plain(&said));
    }
    Problem::invalid_field(path, plain(&said))
}

/// The path of a field beside or below the place where the reader stood.
fn beside(path: &str, name: &str) -> String {
    let own = path.rsplit('.').next() == Some(name);
    match path {
        "." | "" | "?" => name.to_owned(),
        _ if own => path.to_owned(),
        _ => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read from JSON")]
    struct Outer {
        message: String,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        tools: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read from JSON")]
    struct Inner {
        seconds: u64,
    }

    #[test]
    fn what_does_not_fit_is_refused_by_the_name_of_its_field() {
        for (json, code, field) in [
            (r#"{"message":1}"#, Code::InvalidField, Some("message")),
            (r#"{"message":"x","wrong":1}"#, Code::UnknownField, Some("wrong")),
            (r#"{"tools":[]}"#, Code::MissingField, Some("message")),
            (r#"{"message":"x","message":"y"}"#, Code::InvalidField, Some("message")),
            (r#"{"message":"x","tools":["a",2]}"#, Code::InvalidField, Some("tools[1]")),
            (
                r#"{"message":"x","inner":{"seconds":-1}}"#,
                Code::InvalidField,
                Some("inner.seconds"),
            ),
            (r#"{"message":"x","inner":{}}"#, Code::MissingField, Some("inner.seconds")),
            (
                r#"{"message":"x","inner":{"seconds":1,"more":1}}"#,
                Code::UnknownField,
                Some("inner.more"),
            ),
            (r#"{"message":"x""#, Code::MalformedJson, None),
            (r#"{"message":"x"} x"#, Code::MalformedJson, None),
            (r#"["message"]"#, Code::MalformedJson, None),
            ("7", Code::MalformedJson, None),
            (r#"{"message":"\ud800"}"#, Code::MalformedJson, None),
        ] {
            let problem = parse::<Outer>(json.as_bytes()).expect_err(json);
            assert_eq!(problem.code(), code, "{json}: {problem:?}");
            assert_eq!(problem.named_field(), field, "{json}: {problem:?}");
        }
    }

    #[test]
    fn deeply_nested_json_is_refused_without_deep_recursion() {
        let json = format!(r#"{{"message":{}"#, "[".repeat(100_000));
        assert!(parse::<Outer>(json.as_bytes()).is_err());
    }
}
