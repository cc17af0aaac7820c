//! What nodes ask each other for on their own behalf: what a run prints, of the node that it runs on.
//!
//! Whom it is for was looked at by the node that asks. It shows a token that follows from the secret that
//! all nodes share, and that is good for one execution.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use execution_ledger_domain::execution::{ExecutionEvent, FailureCode};
use execution_ledger_domain::{Digest, Event, ExecutionId, NodeId, StreamName};
use execution_ledger_process::transcript::{Entry, LINE_MAX_BYTES};
use execution_ledger_store::{StoreError, With};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use reqwest::StatusCode;

use crate::auth::{bearer_of, turned_away};
use crate::gate::RequestInfo;
use crate::mcp::{Log, tail};
use crate::problem::{Code, Problem};
use crate::sse::KEEP_ALIVE;
use crate::state::App;

/// Events of an execution's stream among which its start and its end stand: moves in its queue come before
/// these.
const WITHIN_EVENTS: usize = 256;
/// Rest before a node is asked again that did not answer, or whose answer ended.
const REST: Duration = Duration::from_secs(1);
/// Longest line of another node that is read, in bytes: a control character is written as six.
const JSON_LINE_MAX_BYTES: usize = 8 * LINE_MAX_BYTES;
/// Largest answer that is read whole, in bytes.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;
/// How long such an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What other nodes ask of this one.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/nodes/runs/{id}/lines/{after}", get(answer_lines))
        .route("/api/nodes/runs/{id}/end", get(answer_end))
}

/// Lets pass what shows the token of this execution.
fn check(app: &App, head: &Parts, id: ExecutionId) -> Result<(), Problem> {
    let info = head.extensions.get::<RequestInfo>();
    let info = info.ok_or_else(|| Problem::internal(&"a request came past the gate"))?;
    let shown = bearer_of(&head.headers).unwrap_or_default();
    if app.secret().is_node_token(shown, id) { Ok(()) } else { Err(turned_away(app, info)) }
}

fn named<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    path.map(|Path(named)| named)
        .map_err(|error| Problem::invalid_parameter("id", error.body_text()))
}

/// The lines of a run as it prints them, each as it is stored, to its end or until this node stops. An
/// empty line says that it goes on.
async fn answer_lines(
    State(app): State<App>,
    path: Result<Path<(ExecutionId, u64)>, PathRejection>,
    head: Parts,
) -> Result<Response, Problem> {
    let (id, after) = named(path)?;
    check(&app, &head, id)?;
    let permit = app.gate().stream()?;
    let live = !app.has_ended(id).await?;
    let follower = app.hub().follow(id, after, live).map_err(|error| Problem::internal(&error))?;
    let stopping = app.gate().stopping().clone();
    let open = (Box::pin(follower.into_stream()), stopping, permit);
    let lines = stream::unfold(open, |mut open| async move {
        let (lines, stopping, _) = &mut open;
        let bytes = tokio::select! {
            biased;
            () = stopping.cancelled() => return None,
            batch = lines.next() => ndjson(&batch?.ok()?),
            () = tokio::time::sleep(KEEP_ALIVE) => Bytes::from_static(b"\n"),
        };
        Some((bytes, open))
    });
    // Sent at once, so that the other node knows that it is connected.
    let begun = stream::iter([Bytes::from_static(b"\n")]);
    let lines = begun.chain(lines).map(Ok::<_, std::convert::Infallible>);
    Ok(Body::from_stream(lines).into_response())
}

/// The last lines that a run printed, as MCP answers them.
async fn answer_end(
    State(app): State<App>,
    path: Result<Path<ExecutionId>, PathRejection>,
    head: Parts,
) -> Result<Response, Problem> {
    let id = named(path)?;
    check(&app, &head, id)?;
    Ok(axum::Json(tail(app.transcripts(), id).await?).into_response())
}

fn ndjson(entries: &[Entry]) -> Bytes {
    let mut text = String::with_capacity(entries.iter().map(|entry| entry.json.len() + 1).sum());
    for entry in entries {
        text.push_str(&entry.json);
        text.push('\n');
    }
    text.into()
}

/// Where an execution runs or ran, and what the log tells of its transcript's erasure by.
pub(crate) struct Ran {
    execution: ExecutionId,
    /// The node; nothing where it has not started, or where the ledger was alone.
    pub node: Option<NodeId>,
    /// The transcript's digest, as the ending has it. Of a run that was lost with its node nobody else knows
    /// it: then that of the text that says so, which is erased with all of the execution.
    erased_by: Option<Digest>,
}

impl Ran {
    /// From the execution's own events.
    pub async fn of(app: &App, execution: ExecutionId) -> Result<Self, StoreError> {
        let stream = StreamName::execution(execution);
        let events = app.store().read_stream(&stream, 0, WITHIN_EVENTS, With::EventsOnly).await?;
        let mut ran = Self { execution, node: None, erased_by: None };
        for recorded in &events {
            let Ok(Event::Execution(event)) = recorded.event() else { continue };
            let kept = event.report().and_then(|report| report.transcript);
            match &event {
                ExecutionEvent::Running(running) => ran.node = running.node,
                ExecutionEvent::Failed(failed) if failed.code == FailureCode::NodeLost => {
                    ran.erased_by = failed.message.map(|message| message.sha256);
                }
                _ => ran.erased_by = kept.map(|kept| kept.sha256).or(ran.erased_by),
            }
        }
        Ok(ran)
    }

    /// Whether the log tells that its transcript was erased.
    pub async fn is_erased(&self, app: &App) -> Result<bool, StoreError> {
        match self.erased_by {
            Some(digest) => app.eraser().is_transcript_erased(self.execution, digest).await,
            None => Ok(false),
        }
    }
}

/// The other node on which something lies that `node` has.
pub(crate) fn other(app: &App, node: Option<NodeId>) -> Option<NodeId> {
    let me = app.station()?.me();
    node.filter(|node| *node != me)
}

/// The lines of a run of another node as it prints them, from the first on. Where that node does not
/// answer it is asked again, so this has no end: whoever listens knows when the run has.
pub(crate) fn lines(
    app: &App,
    node: NodeId,
    execution: ExecutionId,
) -> BoxStream<'static, Arc<[Entry]>> {
    let asking = Asking { app: app.clone(), node, execution, after: 0, answer: None };
    let batches = stream::unfold(asking, |mut asking| async move {
        let batch = asking.next().await;
        Some((batch, asking))
    });
    batches.boxed()
}

/// The last lines of a run of another node; nothing where there are none.
///
/// # Errors
/// That node can't be asked.
pub(crate) async fn end(
    app: &App,
    node: NodeId,
    execution: ExecutionId,
) -> Result<Option<Log>, Problem> {
    let gone = || {
        let detail = format!("the transcript lies on the node {node}, which does not answer");
        Problem::new(Code::NodeUnreachable, detail)
    };
    let read = async {
        let answer = ask(app, node, execution, "end").await?;
        let mut body = answer.bytes_stream();
        let mut read = Vec::new();
        while let Some(part) = body.next().await {
            read.extend_from_slice(&part.ok()?);
            if read.len() > ANSWER_MAX_BYTES {
                return None;
            }
        }
        serde_json::from_slice(&read).ok()
    };
    tokio::time::timeout(ANSWER_WAIT, read).await.ok().flatten().ok_or_else(gone)
}

/// Asks a node that lives for something of a run; nothing where it does not answer well.
async fn ask(
    app: &App,
    node: NodeId,
    execution: ExecutionId,
    what: &str,
) -> Option<reqwest::Response> {
    let url = app.station()?.node(node)?.url;
    let url = format!("{}/api/nodes/runs/{execution}/{what}", url.trim_end_matches('/'));
    let token = app.secret().node_token(execution);
    let asked = app.node_client()?.get(url).bearer_auth(token).send().await;
    match asked {
        Ok(answer) if answer.status() == StatusCode::OK => Some(answer),
        Ok(answer) => {
            tracing::warn!(%node, status = %answer.status(), "another node refused a run's lines");
            None
        }
        Err(error) => {
            tracing::debug!(%node, %error, "another node can't be asked for a run's lines");
            None
        }
    }
}

/// Somebody who listens to a run of another node.
struct Asking {
    app: App,
    node: NodeId,
    execution: ExecutionId,
    /// The last line that was given.
    after: u64,
    answer: Option<Answer>,
}

impl Asking {
    async fn next(&mut self) -> Arc<[Entry]> {
        loop {
            let batch = match &mut self.answer {
                Some(answer) => answer.next().await,
                None => None,
            };
            if let Some(mut batch) = batch {
                batch.retain(|entry| entry.seq > self.after);
                if let Some(last) = batch.back() {
                    self.after = last.seq;
                    return batch.into_iter().collect();
                }
                continue;
            }
            if self.answer.take().is_some() {
                tokio::time::sleep(REST).await;
            }
            let what = format!("lines/{}", self.after);
            match ask(&self.app, self.node, self.execution, &what).await {
                Some(answer) => self.answer = Some(Answer::of(answer)),
                None => tokio::time::sleep(REST).await,
            }
        }
    }
}

/// Lines that another node sends.
struct Answer {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    /// What was read and not given: at most a line that has not ended.
    rest: Vec<u8>,
}

impl Answer {
    fn of(answer: reqwest::Response) -> Self {
        Self { body: answer.bytes_stream().boxed(), rest: Vec::new() }
    }

    /// The next lines; nothing where the answer ends, is cut off, or is none of a ledger's.
    async fn next(&mut self) -> Option<VecDeque<Entry>> {
        loop {
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                let lines = self.rest[..end].split(|byte| *byte == b'\n');
                let lines = lines.filter(|line| !line.is_empty());
                let read: Result<VecDeque<_>, _> = lines.map(Entry::from_json).collect();
                self.rest.drain(..=end);
                return read.ok();
            }
            if self.rest.len() > JSON_LINE_MAX_BYTES {
                return None;
            }
            let part = self.body.next().await?.ok()?;
            self.rest.extend_from_slice(&part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(parts: &[&'static str]) -> Answer {
        let parts: Vec<_> =
            parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        Answer { body: stream::iter(parts).boxed(), rest: Vec::new() }
    }

    async fn read(mut answer: Answer) -> Vec<u64> {
        let mut found = Vec::new();
        while let Some(batch) = answer.next().await {
            found.extend(batch.iter().map(|entry| entry.seq));
        }
        found
    }

    #[tokio::test]
    async fn lines_are_read_however_they_are_cut_and_empty_ones_say_nothing() {
        let cut = [
            "\n",
            "{\"seq\":1,\"line",
            "\":\"a\"}\n{\"seq\":2,",
            "\"line\":\"b\"}\n\n",
            "\n{\"seq\":3",
        ];
        assert_eq!(read(answer(&cut)).await, [1, 2], "what has no end is not read");
        assert_eq!(read(answer(&["{\"seq\":1}\nno line\n{\"seq\":2}\n"])).await, [0_u64; 0]);
    }
}
