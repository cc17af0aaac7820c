//! Reading requests strictly: what is unknown, missing or of another type is refused by name.

use std::str::FromStr;

use axum::extract::{FromRef, FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use execution_ledger_domain::{AgentName, ExecutionId};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

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
        let app = App::from_ref(state);
        let typed = declared_json(request.headers());
        let body = read_body(request, &app).await?;
        if body.is_empty() {
            return parse(b"{}").map(Self);
        }
        if !typed {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "send the body as `Content-Type: application/json`",
            )
            .field("Content-Type"));
        }
        parse(&body).map(Self)
    }
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

async fn read_body(request: Request, app: &App) -> Result<Bytes, Problem> {
    let options = &app.gate().options;
    let most = options.body_max_bytes;
    let too_large = || {
        Problem::new(Code::BodyTooLarge, format!("at most {most} bytes")).limit(most as u64)
    };
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
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
            Err(unfit(&path, error.inner()))
        }
        Ok(_) => Err(Problem::new(Code::MalformedJson, "something stands after the JSON object")),
    }
}

fn unfit(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Code::MalformedJson, error.to_string());
    }
    let said = error.to_string();
    let quoted = |begin: &str| {
        said.strip_prefix(begin).and_then(|rest| rest.split_once('`')).map(|(name, _)| name)
    };
    if let Some(name) = quoted("unknown field `") {
        return Problem::new(Code::UnknownField, said.clone()).field(beside(path, name));
    }
    if let Some(name) = quoted("missing field `") {
        return Problem::new(Code::MissingField, said.clone()).field(beside(path, name));
    }
    if let Some(name) = quoted("duplicate field `") {
        return Problem::invalid_field(beside(path, name), said.clone());
    }
    Problem::invalid_field(path, said)
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

/// The parameters of a query, taken one by one by name; what is left over is refused.
pub struct Query {
    left: Vec<(String, String)>,
}

/// Parameters of a query: most.
const PARAMETERS_MAX: usize = 32;

impl Query {
    /// From the request's address.
    pub fn of(parts: &Parts) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or_default();
        if text.is_empty() {
            return Ok(Self { left: Vec::new() });
        }
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::new(Code::MalformedRequest, error.to_string()))?
            .0;
        if pairs.len() > PARAMETERS_MAX {
            let detail = format!("at most {PARAMETERS_MAX} parameters");
            return Err(
                Problem::new(Code::MalformedRequest, detail).limit(PARAMETERS_MAX as u64)
            );
        }
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::invalid_parameter(name, "it stands in the query twice"));
            }
        }
        Ok(Self { left: pairs })
    }

    /// The parameter's text, if it is there.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let index = self.left.iter().position(|(given, _)| given == name)?;
        Some(self.left.swap_remove(index).1)
    }

    /// The parameter as something that is written as text.
    pub fn parsed<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        let parsed = text.parse();
        parsed.map(Some).map_err(|error: T::Err| Problem::invalid_parameter(name, error.to_string()))
    }

    /// The parameter as one of a few words.
    pub fn one_of<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.map(Some).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Problem::invalid_parameter(name, format!("it must be one of: {}", known.join(", ")))
        })
    }

    /// The parameter as a number from `least` to `most`, or `default` where it is not there.
    pub fn number(
        &mut self,
        name: &str,
        (least, most): (u64, u64),
        default: u64,
    ) -> Result<u64, Problem> {
        let Some(text) = self.text(name) else { return Ok(default) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => {
                let detail = format!("it must be a whole number from {least} to {most}");
                Err(Problem::invalid_parameter(name, detail).limit(most))
            }
        }
    }

    /// Refuses what nobody asked for.
    pub fn finish(self) -> Result<(), Problem> {
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let detail = format!("{name:?} is no parameter of this request");
                Err(Problem::new(Code::UnknownParameter, detail).field(name))
            }
        }
    }
}

/// What a request's query means to a route.
pub trait FromQuery: Sized {
    /// Takes what it knows from the query.
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem>;
}

impl FromQuery for () {
    fn from_query(_: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(())
    }
}

impl<A: FromQuery, B: FromQuery> FromQuery for (A, B) {
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem> {
        Ok((A::from_query(query, app)?, B::from_query(query, app)?))
    }
}

/// A request's query, read as `T`; nothing else may stand in it.
pub struct Params<T>(pub T);

impl<S, T> FromRequestParts<S> for Params<T>
where
    S: Send + Sync,
    App: FromRef<S>,
    T: FromQuery,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut query = Query::of(parts)?;
        let value = T::from_query(&mut query, &App::from_ref(state))?;
        query.finish()?;
        Ok(Self(value))
    }
}

async fn path_part<T: FromStr, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    wanted: &str,
) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    let unreadable = |error: &dyn std::fmt::Display| {
        Problem::invalid_parameter(wanted, error.to_string())
    };
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|error| unreadable(&error.body_text()))?;
    let text = params.iter().find(|(name, _)| *name == wanted).map_or("", |(_, text)| text);
    text.parse().map_err(|error: T::Err| unreadable(&error))
}

/// The agent that the path names.
pub struct AgentPath(pub AgentName);

impl<S: Send + Sync> FromRequestParts<S> for AgentPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_part(parts, state, "name").await.map(Self)
    }
}

/// The execution, and its agent, that the path names.
pub struct ExecutionPath {
    /// The agent.
    pub agent: AgentName,
    /// The execution.
    pub id: ExecutionId,
}

impl<S: Send + Sync> FromRequestParts<S> for ExecutionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self {
            agent: path_part(parts, state, "name").await?,
            id: path_part(parts, state, "id").await?,
        })
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
            (r#"{"message":"x","inner":{"seconds":-1}}"#, Code::InvalidField, Some("inner.seconds")),
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
