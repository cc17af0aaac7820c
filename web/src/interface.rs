//! The interface, asked in the same process as a browser's holder of a key.

mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tower::ServiceExt;

pub(crate) use visitor::{Visitor, arrived};

/// An answer of the interface that a page is made of: largest, in bytes. A page of a transcript is about
/// 4 MiB at most.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What has something done once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Why the interface did not do what it was asked: its own words.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Problem {
    /// The status of HTTP.
    pub status: u16,
    /// A stable code.
    pub code: Box<str>,
    /// What kind of problem.
    pub title: Box<str>,
    /// What is wrong.
    pub detail: String,
    /// Which field or parameter.
    pub field: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// Something that the interface does not say but by its answer.
    pub fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            code: "unexpected_answer".into(),
            title: status.canonical_reason().unwrap_or("It did not work").into(),
            detail: detail.into(),
            field: None,
            hint: None,
        }
    }
}

/// The interface.
#[derive(Clone)]
pub(crate) struct Interface(Arc<Router>);

impl Interface {
    /// Over its routes.
    pub fn new(router: Router) -> Self {
        Self(Arc::new(router))
    }

    /// Has a request answered as it is.
    pub async fn pass(&self, request: Request) -> Response {
        match self.0.as_ref().clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Asks for something.
    pub async fn get<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        address: &str,
    ) -> Result<T, Problem> {
        self.ask(visitor, Method::GET, address, Body::empty()).await
    }

    /// Asks for something, and which position the answer has seen.
    pub async fn seen<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        address: &str,
    ) -> Result<(T, String), Problem> {
        let response = self.raw(visitor, Method::GET, address, Body::empty()).await?;
        let position = response.headers().get("ledger-position");
        let position =
            position.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok((read(response).await?, position))
    }

    /// Asks for a plain text.
    pub async fn text(&self, visitor: &Visitor, address: &str) -> Result<String, Problem> {
        let response = self.raw(visitor, Method::GET, address, Body::empty()).await?;
        if !response.status().is_success() {
            let status = response.status();
            let told = read::<serde_json::Value>(response).await.err();
            return Err(told.unwrap_or_else(|| Problem::of(status, "no reason was given")));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
        let body = body.ok().map(|body| body.to_bytes().to_vec());
        body.and_then(|body| String::from_utf8(body).ok())
            .ok_or_else(|| Problem::of(StatusCode::BAD_GATEWAY, "the answer is no text"))
    }

    /// Has something done.
    pub async fn post<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        address: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        self.ask(visitor, Method::POST, address, as_json(body)).await
    }

    /// Has something done once, however often the form with this mark is sent.
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        address: &str,
        body: &impl Serialize,
        mark: &str,
    ) -> Result<T, Problem> {
        let body = to_json(body);
        let key = crate::once::key(mark, address, &body);
        let mut visitor = visitor.clone();
        visitor.headers.extend(key.map(|key| (IDEMPOTENCY_KEY, key)));
        self.ask(&visitor, Method::POST, address, Body::from(body)).await
    }

    /// Has something changed.
    pub async fn put<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        address: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        self.ask(visitor, Method::PUT, address, as_json(body)).await
    }

    /// Has something ended, as its address says.
    pub async fn delete<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        address: &str,
    ) -> Result<T, Problem> {
        self.ask(visitor, Method::DELETE, address, Body::empty()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        visitor: &Visitor,
        method: Method,
        address: &str,
        body: Body,
    ) -> Result<T, Problem> {
        read(self.raw(visitor, method, address, body).await?).await
    }

    async fn raw(
        &self,
        visitor: &Visitor,
        method: Method,
        address: &str,
        body: Body,
    ) -> Result<Response, Problem> {
        let mut request = Request::new(body);
        *request.uri_mut() = address.parse().map_err(|_| {
            Problem::of(StatusCode::NOT_FOUND, "nothing has an address that can't be read")
        })?;
        if method == Method::POST || method == Method::PUT {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        *request.method_mut() = method;
        request.headers_mut().extend(visitor.headers.clone());
        *request.extensions_mut() = visitor.extensions.clone();
        Ok(self.pass(request).await)
    }
}

fn as_json(body: &impl Serialize) -> Body {
    Body::from(to_json(body))
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_else(|error| {
        unreachable!("what pages ask for is plain structs and strings: {error}")
    })
}

/// What the interface answered.
pub(crate) async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Problem> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
    let body = body.map_err(|error| {
        tracing::warn!(%error, "an answer for a page could not be read");
        Problem::of(StatusCode::BAD_GATEWAY, "the answer could not be read; try again")
    })?;
    let body = body.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| {
            tracing::error!(%error, "an answer of the interface does not fit its page");
            Problem::of(StatusCode::BAD_GATEWAY, "the answer does not fit this page")
        });
    }
    let problem = serde_json::from_slice(&body);
    Err(problem.unwrap_or_else(|_| Problem::of(status, "no reason was given")))
}

/// A text as part of an address.
pub(crate) fn quoted(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut quoted, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            quoted.push(char::from(byte));
        } else {
            // A string takes whatever is written.
            let written = write!(quoted, "%{byte:02X}");
            debug_assert!(written.is_ok());
        }
        quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_an_address_can_not_leave_its_place() {
        assert_eq!(quoted("a b&c=d/é?#"), "a%20b%26c%3Dd%2F%C3%A9%3F%23");
        assert_eq!(quoted("demo-1_x.y~z"), "demo-1_x.y~z");
    }
}
