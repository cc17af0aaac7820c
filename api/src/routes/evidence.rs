//! Evidence for those who don't trust the operator: checking the history now, and proofs to take away.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::ExecutionId;
use execution_ledger_domain::execution::TranscriptRef;
use execution_ledger_process::transcript::Transcripts;
use execution_ledger_replay::proof::{ProveError, prove};
use execution_ledger_replay::verify::{
    Checked, Inputs, Report, TranscriptState, VerifyError, verify,
};
use futures::Stream;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::auth::{May, ReadLog};
use crate::extract::{ExecutionPath, Params};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::sse::{self, Frames, Step, closing_text};
use crate::state::App;

/// How often a check says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(150);
/// When it is worth asking again while another check goes on, in seconds.
const BUSY_RETRY_S: u64 = 5;
/// When it is worth asking again for what is not signed yet, in seconds.
const UNSIGNED_RETRY_S: u64 = 10;

/// Checks the whole history now: is it what it was?
///
/// The same as `execution-ledger verify`, but for the read models, which move while the server runs. With
/// `Accept: text/event-stream` events `progress` say how far it is (`events`, `position`, `head`: counts
/// and numbers of positions), and `event: report` is the report; otherwise the answer is the report, once
/// it is there. One check at a time; whoever goes away ends theirs.
#[utoipa::path(
    get, path = "/api/verify", operation_id = "verify_history", tag = "notary",
    responses(
        (status = 200, description = "The report: `sound`, counts, and `problems` of `{check, place, problem}`", content(
            (Value = "application/json"), (String = "text/event-stream"))),
        (status = 403, description = "The key does not allow it", body = ProblemSchema),
        (status = 404, description = "The ledger has no notary", body = ProblemSchema),
        (status = 503, description = "Another check goes on", body = ProblemSchema),
    ),
)]
pub(super) async fn check(
    may: May<ReadLog>,
    State(app): State<App>,
    Params(()): Params<()>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let going = Going::begin(&app)?;
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/event-stream") {
        return sse::respond(app.gate(), may.until, frames(going));
    }
    let _stream = app.gate().stream()?;
    let _lent = app.gate().lend_place();
    let report = tokio::select! {
        biased;
        () = app.gate().stopping().cancelled() => {
            return Err(Problem::new(Code::ShuttingDown, "the server is being stopped"));
        }
        over = may.until.over() => return Err(Problem::new(Code::Unauthorized, over.detail())),
        report = going.report => report.map_err(|error| Problem::internal(&error))?,
    };
    Ok(axum::Json(told(&report)).into_response())
}

/// A check that goes on. Dropped, it ends.
struct Going {
    report: BoxFuture<'static, Result<Report, VerifyError>>,
    progress: watch::Receiver<Option<Checked>>,
    _only: OwnedSemaphorePermit,
}

impl Going {
    fn begin(app: &App) -> Result<Self, Problem> {
        let notary = app.notary().ok_or_else(no_notary)?;
        let only = Arc::clone(app.verifying()).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Overloaded, "another check of the history goes on")
                .retry_after(BUSY_RETRY_S)
        })?;
        let (store, transcripts) = (Arc::clone(app.store()), app.transcripts().clone());
        let inputs = Inputs {
            notary: notary.folder().to_owned(),
            key: None,
            kept: Vec::new(),
            witnesses: (Vec::new(), 0),
            transcripts: Box::new(move |id, expected| transcript_state(&transcripts, id, expected)),
        };
        let (tell, progress) = watch::channel(None);
        let report = Box::pin(async move {
            verify(&store, inputs, move |checked| {
                tell.send_replace(Some(checked));
            })
            .await
        });
        Ok(Self { report, progress, _only: only })
    }

    async fn next(&mut self) -> Step {
        let mut frames = Frames::new();
        tokio::select! {
            biased;
            report = &mut self.report => {
                match report {
                    Ok(report) => frames.event(None, Some("report"), &told(&report).to_string()),
                    Err(error) => {
                        tracing::error!(%error, "the history can't be checked");
                        let why = closing_text("verify_failed", "the history can't be checked; the server's log says why");
                        frames.event(None, Some("close"), &why);
                    }
                }
                Step::Last(frames)
            }
            () = tokio::time::sleep(PROGRESS_EVERY) => {
                let checked = *self.progress.borrow_and_update();
                let (events, position, head) =
                    checked.map_or((0, 0, None), |far| (far.events, far.position, Some(far.head)));
                let far = json!({"events": events, "position": position, "head": head});
                frames.event(None, Some("progress"), &far.to_string());
                Step::Frames(frames)
            }
        }
    }
}

fn frames(going: Going) -> impl Stream<Item = Step> + Send {
    futures::stream::unfold(Some(going), |going| async move {
        let mut going = going?;
        let step = going.next().await;
        let more = matches!(step, Step::Frames(_)).then_some(going);
        Some((step, more))
    })
}

fn told(report: &Report) -> Value {
    let mut value = json!(report);
    value["sound"] = json!(report.is_sound());
    value
}

/// Whether a stored transcript is what the ending of its run recorded.
pub fn transcript_state(
    transcripts: &Transcripts,
    execution: ExecutionId,
    expected: &TranscriptRef,
) -> TranscriptState {
    let changed = |why: &dyn std::fmt::Display| {
        TranscriptState::Changed(format!("its transcript can't be read to its end: {why}"))
    };
    match transcripts.open(execution) {
        Ok(None) if expected.bytes > 0 => TranscriptState::Absent,
        Ok(_) => match transcripts.verify(execution, expected) {
            Ok(true) => TranscriptState::Same,
            Ok(false) => TranscriptState::Changed(
                "its transcript is not what its ending recorded".to_owned(),
            ),
            Err(error) => changed(&error),
        },
        Err(error) => changed(&error),
    }
}

/// An execution's events with their places in the signed tree, for whoever checks them elsewhere: what
/// `execution-ledger prove` makes, and `execution-ledger verify --proof` checks.
///
/// It holds what was asked and answered. Events are covered by a checkpoint within some ten seconds.
#[utoipa::path(
    get, path = "/api/agents/{name}/executions/{id}/proof", operation_id = "prove_execution", tag = "notary",
    params(
        ("name" = String, Path, description = "The agent"),
        ("id" = String, Path, description = "The execution"),
    ),
    responses(
        (status = 200, description = "The proof, as docs/AUDIT.md describes it", body = Value),
        (status = 403, description = "The key does not allow it", body = ProblemSchema),
        (status = 404, description = "No such execution, or the ledger has no notary", body = ProblemSchema),
        (status = 503, description = "Its last events are not signed yet, or the log is not what was signed", body = ProblemSchema),
    ),
)]
pub(super) async fn proof(
    may: May<ReadLog>,
    State(app): State<App>,
    path: ExecutionPath,
    Params(()): Params<()>,
) -> Result<Response, Problem> {
    let folder = app.notary().ok_or_else(no_notary)?.folder().to_owned();
    app.execution_now(&may.caller.scope, &path.agent, path.id).await?;
    // Held while it is made: it reads what no tile covers yet.
    let _stream = app.gate().stream()?;
    let proof = prove(app.store(), &folder, path.id).await.map_err(|error| unproven(&error))?;
    let mut response = axum::Json(proof).into_response();
    let name = format!("attachment; filename=\"proof-{}.json\"", path.id);
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn unproven(error: &ProveError) -> Problem {
    let not_ready = || Problem::new(Code::NotReady, error.to_string());
    match error {
        ProveError::NoExecution(_) => crate::state::no_execution(),
        ProveError::Unsigned | ProveError::NotCovered { .. } => {
            not_ready().retry_after(UNSIGNED_RETRY_S)
        }
        ProveError::Disagreement => not_ready(),
        _ => Problem::internal(error),
    }
}

fn no_notary() -> Problem {
    Problem::new(Code::NotFound, "this ledger has no notary")
}
