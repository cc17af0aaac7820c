//! Transcripts: whole, by pages, and as they grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use execution_ledger_domain::execution::{Execution, Outcome};
use execution_ledger_domain::{AgentName, ExecutionId, Scope};
use execution_ledger_process::tasks::Waited;
use execution_ledger_process::transcript::{Entry, Follower};
use execution_ledger_projections::At;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::auth::{May, Read, Until};
use crate::extract::{ExecutionPath, FromQuery, Params, Query};
use crate::peers::Ran;
use crate::position::{Moment, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::sse::{self, Frames, Step, closing_text, last_event_id};
use crate::state::App;

/// Lines of a page: most.
const LIMIT_MAX: u64 = 1_000;
/// Lines of a page where nobody asks for a number.
const LIMIT_DEFAULT: u64 = 200;
/// A page of lines: about at most so large, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Frames of one write to a follower: about at most so large, in bytes.
const WRITE_BYTES: usize = 256 * 1024;

/// Why a transcript has no past.
const NO_PAST: &str =
    "a transcript is answered as it is now; after_seq and limit choose lines of it";

/// How long an ending is waited for: longer than an execution can wait and run together.
const FOLLOWED_MAX: Duration = Duration::from_hours(9 * 24);

/// Words that are looked for in lines: longest, in bytes.
const CONTAINS_MAX_BYTES: usize = 1_000;

/// Which lines are meant; nothing: all of them.
pub(super) struct Lines {
    after_seq: Option<u64>,
    limit: Option<usize>,
    contains: Option<String>,
}

impl FromQuery for Lines {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        let after_seq = query.whole("after_seq")?;
        // Zero stands for "nobody asked": it is no limit that can be asked for.
        let limit = match query.number("limit", (1, LIMIT_MAX), 0)? {
            0 => None,
            limit => Some(usize::try_from(limit).unwrap_or(1)),
        };
        let contains = query.text("contains");
        if contains.as_ref().is_some_and(|words| words.len() > CONTAINS_MAX_BYTES) {
            let detail = format!("at most {CONTAINS_MAX_BYTES} bytes");
            return Err(Problem::invalid_parameter("contains", detail));
        }
        Ok(Self { after_seq, limit, contains })
    }
}

/// Lines of a transcript.
#[derive(Serialize, ToSchema)]
pub(super) struct LineList {
    /// `{seq, at, stream, line}` each.
    #[schema(value_type = Vec<Object>)]
    lines: Vec<Box<RawValue>>,
    /// `after_seq` of the next page; null where nothing more is there yet.
    next_after_seq: Option<u64>,
}

/// What a run printed.
///
/// Without a query the whole transcript as NDJSON, one `{seq, at, stream, line}` each; with
/// `after_seq`, `limit` or `contains` a page of it as JSON. Of a run that goes on, what is there so far.
#[utoipa::path(
    get, path = "/api/agents/{name}/executions/{id}/log", operation_id = "get_transcript", tag = "executions",
    params(
        ("name" = String, Path, description = "The agent"),
        ("id" = String, Path, description = "The execution"),
        ("after_seq" = Option<u64>, Query, description = "Lines after this one"),
        ("limit" = Option<u32>, Query, description = "Lines of a page, 1 to 1000; 200 by default"),
        ("contains" = Option<String>, Query, description = "Lines alone in which this stands, whatever its case"),
        ("wait_for" = Option<String>, Query, description = "Answer only once this position has been seen"),
    ),
    responses(
        (status = 200, description = "Lines", content(
            (String = "application/x-ndjson"), (LineList = "application/json"))),
        (status = 404, description = "No such execution", body = ProblemSchema),
        (status = 410, description = "The transcript was removed", body = ProblemSchema),
    ),
)]
pub(super) async fn log(
    may: May<Read>,
    State(app): State<App>,
    path: ExecutionPath,
    Params((lines, moment)): Params<(Lines, Moment)>,
) -> Result<Response, Problem> {
    moment.reach_now(&app, NO_PAST).await?;
    // Before the execution is looked at: all up to here has been seen.
    let seen = app.store().head().await?;
    let state = app.execution_now(&may.caller.scope, &path.agent, path.id).await?;
    check_kept(&app, &path, &state).await?;
    let access = may.into_access();
    app.access_log().transcript_read(&access, path.id).await?;
    if lines.after_seq.is_none() && lines.limit.is_none() && lines.contains.is_none() {
        return whole(&app, access.until, path.id).map(|whole| with_position(&app, seen, whole));
    }
    let after = lines.after_seq.unwrap_or(0);
    let limit = lines.limit.unwrap_or(usize::try_from(LIMIT_DEFAULT).unwrap_or(1));
    let transcripts = app.transcripts().clone();
    let read = move || match &lines.contains {
        Some(words) => transcripts.find(path.id, after, words, limit, PAGE_BYTES),
        None => transcripts.page(path.id, after, limit, PAGE_BYTES),
    };
    let page =
        tokio::task::spawn_blocking(read).await.map_err(|error| Problem::internal(&error))?;
    let page = page.map_err(|error| Problem::internal(&error))?;
    let next_after_seq = page.entries.last().map(|entry| entry.seq).filter(|_| page.full);
    let raw = |entry: &Entry| RawValue::from_string(entry.json.as_ref().to_owned());
    let lines = page.entries.iter().map(raw).collect::<Result<_, _>>();
    let lines = lines.map_err(|error| Problem::internal(&error))?;
    Ok(with_position(&app, seen, axum::Json(LineList { lines, next_after_seq })))
}

/// Refuses a transcript that was removed: what ended with lines must have them.
async fn check_kept(app: &App, path: &ExecutionPath, state: &Execution) -> Result<(), Problem> {
    if !matches!(state, Execution::Ended { .. }) {
        return Ok(());
    }
    // Of several nodes another one may have erased it, while the file waits here to be removed.
    let several = app.station().is_some();
    if several && Ran::of(app, path.id).await?.is_erased(app).await? {
        return Err(erased());
    }
    if is_there(app, path.id).await? {
        return Ok(());
    }
    let view = app.views().execution(&Scope::All, At::Now, path.id).await?;
    let kept = view.value.and_then(|record| record.transcript).filter(|kept| kept.lines > 0);
    if let Some(kept) = &kept
        && app.eraser().is_transcript_erased(path.id, kept.sha256).await?
    {
        return Err(erased());
    }
    let Some(lines) = kept.map(|kept| kept.lines) else { return Ok(()) };
    let detail = format!("its {lines} lines were removed, as the settings for transcripts say");
    Err(Problem::new(Code::TranscriptExpired, detail))
}

fn erased() -> Problem {
    Problem::new(Code::ContentErased, "the transcript was erased")
}

async fn is_there(app: &App, id: ExecutionId) -> Result<bool, Problem> {
    let transcripts = app.transcripts().clone();
    let open = move || transcripts.open(id).map(|lines| lines.is_some());
    let there =
        tokio::task::spawn_blocking(open).await.map_err(|error| Problem::internal(&error))?;
    there.map_err(|error| Problem::internal(&error))
}

fn whole(app: &App, until: Until, id: ExecutionId) -> Result<Response, Problem> {
    let follower = app.hub().follow(id, 0, false).map_err(|error| Problem::internal(&error))?;
    let permit = app.gate().stream()?;
    let cut = Arc::new(AtomicBool::new(false));
    let cut_off = Arc::clone(&cut);
    let over = async move {
        until.over().await;
        cut_off.store(true, Ordering::Relaxed);
    };
    let lines = follower.into_stream().map(move |batch| {
        // Held until the whole transcript is sent.
        let _held = &permit;
        batch.map(|entries| ndjson(&entries))
    });
    // What is cut off must not look whole.
    let end = futures::stream::once(async move { cut.load(Ordering::Relaxed) })
        .filter_map(|cut| async move { cut.then(|| Err(std::io::Error::other("cut off"))) });
    let mut response = Body::from_stream(lines.take_until(over).chain(end)).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn ndjson(entries: &[Entry]) -> Bytes {
    let mut text = String::with_capacity(entries.iter().map(|entry| entry.json.len() + 1).sum());
    for entry in entries {
        text.push_str(&entry.json);
        text.push('\n');
    }
    text.into()
}

/// A transcript as it grows (SSE).
///
/// `id` is the line's `seq`, `data` the line as JSON; `Last-Event-ID` (or `after_seq`) resumes after a
/// line. After the last line of an ended run comes `event: end` with the status. `event: close` says
/// why the stream ends although there may be more: come again with `Last-Event-ID`.
#[utoipa::path(
    get, path = "/api/agents/{name}/executions/{id}/stream", operation_id = "follow_transcript", tag = "executions",
    params(
        ("name" = String, Path, description = "The agent"),
        ("id" = String, Path, description = "The execution"),
        ("after_seq" = Option<u64>, Query, description = "Begin after this line"),
        ("wait_for" = Option<String>, Query, description = "Begin only once this position has been seen"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Begin after this line; goes before after_seq"),
    ),
    responses(
        (status = 200, description = "Lines", content((String = "text/event-stream"))),
        (status = 404, description = "No such execution", body = ProblemSchema),
        (status = 410, description = "The transcript was removed", body = ProblemSchema),
    ),
)]
pub(super) async fn stream(
    may: May<Read>,
    State(app): State<App>,
    path: ExecutionPath,
    Params(begin): Params<(AfterSeq, Moment)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (AfterSeq(after), moment) = begin;
    let resumed = last_event_id(&headers)?.map(|text| {
        text.parse::<u64>().map_err(|_| {
            let detail = "it must be the seq of a line, as the stream's ids are";
            Problem::new(Code::InvalidHeader, detail).field("Last-Event-ID")
        })
    });
    let after = resumed.transpose()?.or(after).unwrap_or(0);
    moment.reach_now(&app, NO_PAST).await?;
    let seen = app.store().head().await?;
    let state = app.execution_now(&may.caller.scope, &path.agent, path.id).await?;
    check_kept(&app, &path, &state).await?;
    let access = may.into_access();
    app.access_log().transcript_read(&access, path.id).await?;
    let live = !matches!(state, Execution::Ended { .. });
    let follower = app.hub().follow(path.id, after, live);
    let follower = follower.map_err(|error| Problem::internal(&error))?;
    let gate = Arc::clone(app.gate());
    let end = EndOf { app: app.clone(), agent: path.agent, id: path.id };
    let following = sse::respond(&gate, access.until, frames(follower, live, end))?;
    Ok(with_position(&app, seen, following))
}

pub(super) struct AfterSeq(Option<u64>);

impl FromQuery for AfterSeq {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        query.whole("after_seq").map(Self)
    }
}

/// The execution whose end is told.
struct EndOf {
    app: App,
    agent: AgentName,
    id: ExecutionId,
}

fn frames(follower: Follower, live: bool, end: EndOf) -> impl Stream<Item = Step> + Send {
    let lines = follower.into_stream().flat_map(|batch| {
        let steps: Vec<Result<Step, std::io::Error>> = match batch {
            Ok(entries) => in_frames(&entries).into_iter().map(|f| Ok(Step::Frames(f))).collect(),
            Err(error) => vec![Err(error)],
        };
        futures::stream::iter(steps)
    });
    let told = live.then(|| end.tell_hub());
    let open = Some((Box::pin(lines), end, told));
    futures::stream::unfold(open, |open| async move {
        let (mut lines, end, mut told) = open?;
        let next = loop {
            match &mut told {
                None => break lines.next().await,
                Some(telling) => tokio::select! {
                    biased;
                    next = lines.next() => break next,
                    () = telling => told = None,
                },
            }
        };
        match next {
            Some(Ok(step)) => Some((step, Some((lines, end, told)))),
            Some(Err(error)) => {
                tracing::warn!(%error, execution = %end.id, "a transcript can't be read");
                Some((Step::Last(close("transcript_unreadable", "it can't be read")), None))
            }
            None => Some((Step::Last(end.frame().await), None)),
        }
    })
}

/// Lines as frames, in parts that are not too large.
fn in_frames(entries: &[Entry]) -> Vec<Frames> {
    let mut parts = Vec::with_capacity(1);
    let mut frames = Frames::new();
    for entry in entries {
        frames.event(Some(&entry.seq), None, &entry.json);
        if frames.len() >= WRITE_BYTES {
            parts.push(std::mem::take(&mut frames));
        }
    }
    if !frames.is_empty() {
        parts.push(frames);
    }
    parts
}

fn close(reason: &str, detail: &str) -> Frames {
    let mut frames = Frames::new();
    frames.event(None, Some("close"), &closing_text(reason, detail));
    frames
}

impl EndOf {
    /// Tells the followers of an execution that its ending is in the log, whatever brought it
    /// there: what it printed is all stored then.
    fn tell_hub(&self) -> BoxFuture<'static, ()> {
        let (app, id) = (self.app.clone(), self.id);
        async move {
            match app.tasks().wait_for_end(id, FOLLOWED_MAX).await {
                Ok(Waited::Ended(_)) => app.hub().ended(id),
                Ok(Waited::StillOpen | Waited::TooManyWait) => {}
                Err(error) => tracing::warn!(%error, "the end of an execution can't be told"),
            }
        }
        .boxed()
    }

    async fn frame(&self) -> Frames {
        let state = self.app.execution_now(&Scope::All, &self.agent, self.id).await;
        let Ok(Execution::Ended { outcome, .. }) = state else {
            return close("interrupted", "the execution goes on; come again with Last-Event-ID");
        };
        let status = match outcome {
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        };
        let mut frames = Frames::new();
        let data = json!({"status": status, "execution_id": self.id}).to_string();
        frames.event(None, Some("end"), &data);
        frames
    }
}
