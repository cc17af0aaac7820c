//! Erasing texts for ever: one, or all of an execution, a chat session or a user.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::erasure::TextPart;
use execution_ledger_domain::limits::erasure::REASON_MAX_BYTES;
use execution_ledger_domain::{Digest, EventId, ExecutionId, SessionId, UserName};
use execution_ledger_process::erasing::{EraseError, STEP_STREAMS_MAX, Step, Target, Text, Wish};
use execution_ledger_store::{Context, Position};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Erase, May};
use crate::extract::{Json, Params};
use crate::position::with_position;
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, no_execution, no_session};

/// How long the last answer waits until nothing is left of the texts in the read models' file either.
const OVERWRITTEN_WAIT: Duration = Duration::from_secs(10);

/// What to erase, and why. Exactly one of `content`, `execution_id`, `session_id` and `user`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseBody {
    /// One text, by the SHA-256 that its event holds; or one transcript by that of its run's ending.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    content: Option<Digest>,
    /// All texts of an execution, with its transcript, and what other attempts and its payment hold of
    /// the same task.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Uuid)]
    execution_id: Option<ExecutionId>,
    /// All texts of a chat session, with the transcripts.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Uuid)]
    session_id: Option<SessionId>,
    /// All texts of a user: executions with their transcripts, schedules, payments.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    user: Option<UserName>,
    /// Why, in words: 1 to 1000 bytes. It is kept beside the event that tells of the erasure.
    reason: Option<String>,
    /// Change nothing, and say what would be erased.
    #[serde(default)]
    dry_run: bool,
    /// `next_cursor` of the answer before: go on there.
    #[serde(default)]
    cursor: Option<String>,
    /// Executions, schedules and payments of one answer: 1 to 1000, which is the default.
    #[serde(default)]
    limit: Option<u32>,
}

impl EraseBody {
    fn wish(self, app: &App) -> Result<Wish, Problem> {
        let targets = [
            self.content.map(Target::Content),
            self.execution_id.map(Target::Execution),
            self.session_id.map(Target::Session),
            self.user.map(Target::User),
        ];
        let mut targets = targets.into_iter().flatten();
        let (Some(target), None) = (targets.next(), targets.next()) else {
            let detail = "give exactly one of content, execution_id, session_id and user";
            return Err(Problem::invalid_field("content", detail));
        };
        let reason = self.reason.ok_or_else(|| {
            Problem::new(Code::MissingField, "say why the text is erased").field("reason")
        })?;
        let after = match &self.cursor {
            None => Position::START,
            Some(cursor) => app.parse_position("cursor", cursor)?,
        };
        let most = self.limit.map_or(STEP_STREAMS_MAX, |limit| limit as usize);
        if !(1..=STEP_STREAMS_MAX).contains(&most) {
            let detail = format!("it must be a whole number from 1 to {STEP_STREAMS_MAX}");
            return Err(Problem::invalid_field("limit", detail).limit(STEP_STREAMS_MAX as u64));
        }
        Ok(Wish { target, reason, dry_run: self.dry_run, after, most })
    }
}

/// A place at which a text is erased, or would be.
#[derive(Debug, Serialize, ToSchema)]
struct Place {
    /// The stream of the event that it lies beside.
    stream: String,
    #[schema(value_type = String, format = Uuid)]
    event_id: EventId,
    /// message, system_prompt, response, error, reason or transcript.
    #[schema(value_type = String)]
    part: TextPart,
    /// The digest that the event holds, which stays.
    #[schema(value_type = String)]
    sha256: Digest,
    bytes: u64,
}

impl From<Text> for Place {
    fn from(Text { place, content }: Text) -> Self {
        Self {
            stream: place.stream,
            event_id: place.event_id,
            part: place.part,
            sha256: content.sha256,
            bytes: content.bytes,
        }
    }
}

/// What was erased, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Erasing {
    /// Whether nothing was changed.
    dry_run: bool,
    /// Places at which texts were erased.
    texts: u64,
    /// Transcripts that were erased.
    transcripts: u64,
    /// Of these, how many lie on other nodes: nobody is answered them any more, and these nodes remove
    /// the files as soon as they read of it.
    transcripts_elsewhere: u64,
    /// Bytes of both.
    bytes: u64,
    /// Places at which they were erased before.
    erased_before: u64,
    /// The first of the places, at most 200.
    places: Vec<Place>,
    /// Executions that have not ended: their texts are needed and were left.
    open: u64,
    /// The first of them, at most 100.
    #[schema(value_type = Vec<String>)]
    open_executions: Vec<ExecutionId>,
    /// Whether nothing is left of the texts in the files of the log and of this node's read models; null
    /// where that is not known before the last answer. False: the ledger goes on with it by itself.
    overwritten: Option<bool>,
    /// Where to go on: ask again with it; null where all was looked at.
    next_cursor: Option<String>,
    /// The position up to which it is looked.
    head: String,
    /// Position of the last event that tells of this.
    position: String,
}

impl Erasing {
    fn of(app: &App, step: Step, dry_run: bool, position: Position) -> Self {
        Self {
            dry_run,
            texts: step.texts,
            transcripts: step.transcripts,
            transcripts_elsewhere: step.elsewhere,
            bytes: step.bytes,
            erased_before: step.erased_before,
            places: step.named.into_iter().map(Place::from).collect(),
            open: step.open_count,
            open_executions: step.open,
            overwritten: None,
            next_cursor: step.next.map(|next| app.position_text(next)),
            head: app.position_text(step.head),
            position: app.position_text(position),
        }
    }
}

/// Erases texts for ever.
///
/// The texts and their salts go, and `content.erased` says who did it and why; digests and lengths stay,
/// so all proofs stand. Erasing again changes nothing. What can't be done at once comes in parts: ask
/// again with `next_cursor` while there is one. Nothing brings a text back; `dry_run` says what would
/// be erased.
#[utoipa::path(
    post, path = "/api/erase", operation_id = "erase_texts", tag = "erasures",
    request_body = EraseBody,
    responses(
        (status = 200, description = "What was erased, or would be", body = Erasing),
        (status = 404, description = "There is nothing of that in the log", body = ProblemSchema),
        (status = 409, description = "An execution that has not ended needs the text", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn erase(
    may: May<Erase>,
    State(app): State<App>,
    Params(()): Params<()>,
    Json(body): Json<EraseBody>,
) -> Result<Response, Problem> {
    let wish = body.wish(&app)?;
    let context = Context {
        actor: may.caller.actor.clone(),
        correlation_id: Some(may.request.id.to_string()),
        causation_id: Some(may.request.id.to_string()),
        traceparent: may.request.traceparent.clone(),
    };
    let (eraser, asked) = (app.eraser().clone(), wish.clone());
    // In a task of its own: a caller that goes away leaves no step half done.
    let step = tokio::spawn(async move { eraser.step(&asked, &context).await });
    let step = step.await.map_err(|panic| Problem::internal(&panic))?;
    let step = step.map_err(|error| refused(&wish.target, error))?;
    let position = step.position.max(app.views().position());
    let last = step.next.is_none() && !wish.dry_run;
    let mut answer = Erasing::of(&app, step, wish.dry_run, position);
    if last {
        let of_log = app.eraser().scrub().await?;
        let of_views = app.views().forgotten(position, OVERWRITTEN_WAIT).await;
        answer.overwritten = Some(of_log && of_views);
    }
    Ok(with_position(&app, position, axum::Json(answer)))
}

fn refused(target: &Target, error: EraseError) -> Problem {
    let text = error.to_string();
    match error {
        EraseError::NotFound => match target {
            Target::Execution(_) => no_execution().field("execution_id"),
            Target::Session(_) => no_session().field("session_id"),
            Target::Content(_) => Problem::new(Code::NothingToErase, text).field("content"),
            Target::User(_) => Problem::new(Code::NothingToErase, text).field("user"),
        },
        EraseError::Open(execution) => Problem::new(Code::NotEnded, text)
            .member("execution_id", serde_json::Value::from(execution.to_string()))
            .hint("stop it first, or wait for its end"),
        EraseError::Reason(problem) => {
            Problem::invalid_field("reason", problem).limit(REASON_MAX_BYTES as u64)
        }
        EraseError::Write(error) => crate::faults::not_noted(error),
        EraseError::Store(fault) => fault.into(),
        EraseError::Unreadable(_) | EraseError::File { .. } => Problem::internal(&text),
    }
}
