//! Asking others over HTTP: bounded answers, no redirects, nobody waited for without end.

use std::time::Duration;

use reqwest::{Client, Url};
use serde_json::Value;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
const ANSWER_MAX_BYTES: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// No connection was made: the request was never sent.
    #[error("no connection could be made")]
    NotSent,
    /// It did not come in time.
    #[error("no answer came in time")]
    TimedOut,
    /// The connection ended before it.
    #[error("the connection was cut")]
    Cut,
    /// It is larger than it may be.
    #[error("the answer is too large")]
    TooLarge,
}

/// An answer: its status, and its body where that is JSON.
pub(super) struct Answer {
    pub status: u16,
    pub json: Option<Value>,
}

/// A client for that address.
pub(super) fn client(url: &Url) -> Result<Client, reqwest::Error> {
    // A proxy of the environment has no business with what is on this machine.
    let local = url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        let ip: Result<std::net::IpAddr, _> = host.parse();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    });
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("execution-ledger/", env!("CARGO_PKG_VERSION")));
    if local { builder.no_proxy() } else { builder }.build()
}

/// Sends a request and reads all of its answer within `most`.
pub(super) async fn ask(
    request: reqwest::RequestBuilder,
    most: Duration,
) -> Result<Answer, NoAnswer> {
    match tokio::time::timeout(most, read(request)).await {
        Ok(answered) => answered,
        Err(_) => Err(NoAnswer::TimedOut),
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Answer, NoAnswer> {
    let unsent = |error: reqwest::Error| {
        if error.is_connect() || error.is_builder() { NoAnswer::NotSent } else { NoAnswer::Cut }
    };
    let mut response = request.send().await.map_err(unsent)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| NoAnswer::Cut)? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(NoAnswer::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status().as_u16(), json: serde_json::from_slice(&body).ok() })
}
