//! Server-sent events: frames, keep-alive, and an end with a reason.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::StreamExt as _;

use crate::auth::{Over, Until};
use crate::gate::Gate;
use crate::problem::{Code, Problem};

/// A silent stream says that it lives after this time: below the idle limits of usual proxies.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client is told to wait before it comes again, in milliseconds.
const RETRY_MS: u32 = 1_000;

/// Frames of a stream that are sent together.
#[derive(Default)]
pub struct Frames(String);

impl Frames {
    /// No frame yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One event; `id` is where a client resumes after it.
    pub fn event(&mut self, id: Option<&dyn fmt::Display>, kind: Option<&str>, data: &str) {
        if let Some(id) = id {
            self.line("id", &id.to_string());
        }
        if let Some(kind) = kind {
            self.line("event", kind);
        }
        for line in data.split(['\n', '\r']) {
            self.line("data", line);
        }
        self.0.push('\n');
    }

    fn line(&mut self, field: &str, text: &str) {
        self.0.push_str(field);
        self.0.push_str(": ");
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// How large they are so far, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no frame yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The frames as they are sent.
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

/// What a stream's source has to say.
pub enum Step {
    /// Frames to be sent.
    Frames(Frames),
    /// The last frames: the stream is over.
    Last(Frames),
}

struct Open<S> {
    source: Pin<Box<S>>,
    gate: Arc<Gate>,
    until: Pin<Box<dyn Future<Output = Over> + Send>>,
    over: bool,
    begun: bool,
    _permit: OwnedSemaphorePermit,
}

/// The answer that sends what `source` says until it is over, the server stops or the caller may not
/// listen any more. It is asked for more only as fast as the client reads, so nothing piles up here.
pub(crate) fn respond<S>(gate: &Arc<Gate>, until: Until, source: S) -> Result<Response, Problem>
where
    S: Stream<Item = Step> + Send + 'static,
{
    let permit = gate.stream()?;
    let open = Open {
        source: Box::pin(source),
        gate: Arc::clone(gate),
        until: Box::pin(async move { until.over().await }),
        over: false,
        begun: false,
        _permit: permit,
    };
    let body = futures::stream::unfold(open, |mut open| async move {
        let bytes = open.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), open))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Asks proxies that would collect the answer to pass it on at once.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl<S: Stream<Item = Step>> Open<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if !self.begun {
            // Sent at once, so that the client knows that it is connected.
            self.begun = true;
            return Some(Bytes::from(format!("retry: {RETRY_MS}\n\n")));
        }
        let stopping = self.gate.stopping().clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {
                self.over = true;
                Some(closing("server_stopping", "the server is being stopped; come again with Last-Event-ID"))
            }
            over = &mut self.until => {
                self.over = true;
                Some(closing(over.reason(), over.detail()))
            }
            step = self.source.next() => Some(match step {
                Some(Step::Frames(frames)) => frames.into_bytes(),
                Some(Step::Last(frames)) => {
                    self.over = true;
                    frames.into_bytes()
                }
                None => {
                    self.over = true;
                    return None;
                }
            }),
            () = tokio::time::sleep(KEEP_ALIVE) => Some(Bytes::from_static(b": keep-alive\n\n")),
        }
    }
}

fn closing(reason: &str, detail: &str) -> Bytes {
    let mut frames = Frames::new();
    frames.event(None, Some("close"), &closing_text(reason, detail));
    frames.into_bytes()
}

/// The data of a `close` event: why a stream ends although there may be more to say.
pub(crate) fn closing_text(reason: &str, detail: &str) -> String {
    serde_json::json!({"reason": reason, "detail": detail}).to_string()
}

/// The `Last-Event-ID` that a client resumes after.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| {
        Problem::new(Code::InvalidHeader, "it is no id that this stream gave out")
            .field("Last-Event-ID")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_lets_its_data_break_out_of_it() {
        let mut frames = Frames::new();
        frames.event(Some(&7), None, "{\"line\":1}");
        frames.event(None, Some("end"), "a\nid: 9\r\n\nevent: forged");
        let text = frames.0;
        let expected = "id: 7\ndata: {\"line\":1}\n\n\
                        event: end\ndata: a\ndata: id: 9\ndata: \ndata: \ndata: event: forged\n\n";
        assert_eq!(text, expected);
    }
}
