//! Giving an agent a task.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::execution::{Execution, Outcome};
use execution_ledger_domain::{AgentName, ExecutionId, NanoUsd, Scope, SessionId};
use execution_ledger_process::tasks::{NewTask, Submitted, Via, Waited};
use execution_ledger_projections::ExecutionRecord;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::auth::{May, Operate};
use crate::extract::{AgentPath, Json, Params};
use crate::position::{WAIT_FOR_MAX, with_position};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause};

/// Longest `Idempotency-Key`, in characters.
const IDEMPOTENCY_KEY_MAX: usize = 255;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A task for an agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskBody {
    /// What the agent is to do: 1 byte to 256 KiB of UTF-8, no control characters but tab and
    /// newline.
    #[serde(default)]
    #[schema(required = true, example = "Summarise README.md")]
    message: String,
    /// Answer at once with 202 instead of waiting for the end.
    #[serde(default)]
    async_mode: bool,
    /// Put the result into the chat session once it is there.
    #[serde(default)]
    inject_result: bool,
    /// The chat session that it belongs to.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Uuid)]
    chat_session_id: Option<SessionId>,
    /// The model, from the agent's list.
    #[serde(default)]
    model: Option<String>,
    /// How long the run may take, in seconds; at most the agent's own limit.
    #[serde(default)]
    timeout_s: Option<u64>,
    /// What the run may cost, in dollars with at most nine decimal places; at most the agent's own
    /// limit.
    #[serde(default)]
    max_cost_usd: Option<f64>,
    /// The tools that the run may use, of the agent's.
    #[serde(default)]
    allowed_tools: Option<Vec<String>>,
    /// A system prompt, where the agent permits it.
    #[serde(default)]
    system_prompt: Option<String>,
    /// How many turns the run may take; at most the agent's own limit.
    #[serde(default)]
    max_turns: Option<u32>,
    /// The agent's own session that the run continues, as `agent_session_id` answered it.
    #[serde(default)]
    resume_session_id: Option<String>,
    /// The execution that it belongs under.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Uuid)]
    parent_execution_id: Option<ExecutionId>,
}

impl TaskBody {
    fn into_task(self, idempotency_key: Option<String>) -> Result<NewTask, Problem> {
        Ok(NewTask {
            via: Via::Rest,
            waits: !self.async_mode,
            message: self.message,
            inject_result: self.inject_result,
            chat_session_id: self.chat_session_id,
            model: self.model,
            timeout_s: self.timeout_s,
            max_cost: dollars("max_cost_usd", self.max_cost_usd)?,
            allowed_tools: self.allowed_tools,
            system_prompt: self.system_prompt,
            max_turns: self.max_turns,
            resume_session_id: self.resume_session_id,
            parent_execution_id: self.parent_execution_id,
            idempotency_key,
        })
    }
}

/// A caller's number of dollars as an exact amount.
pub(super) fn dollars(field: &str, usd: Option<f64>) -> Result<Option<NanoUsd>, Problem> {
    usd.map(NanoUsd::from_usd)
        .transpose()
        .map_err(|error| Problem::invalid_field(field, error.to_string()))
}

/// Where to look after an execution.
#[derive(Debug, Serialize, ToSchema)]
pub struct Links {
    /// The record with its events.
    #[serde(rename = "self")]
    own: String,
    /// The transcript.
    log: String,
    /// The transcript as it grows (SSE).
    stream: String,
    /// Stops it (POST).
    terminate: String,
}

impl Links {
    pub(super) fn of(agent: &AgentName, id: ExecutionId) -> Self {
        let own = format!("/api/agents/{agent}/executions/{id}");
        Self {
            log: format!("{own}/log"),
            stream: format!("{own}/stream"),
            terminate: format!("{own}/terminate"),
            own,
        }
    }
}

/// An accepted task.
#[derive(Debug, Serialize, ToSchema)]
pub struct Accepted {
    /// Its execution.
    #[schema(value_type = String, format = Uuid)]
    execution_id: ExecutionId,
    /// `pending`; where an idempotency key was sent again, what has become of the execution since:
    /// pending, running, completed, failed or cancelled.
    status: &'static str,
    /// Where it was recorded: `wait_for` takes it.
    position: String,
    /// How many secrets were redacted in the message.
    redactions: u32,
    /// Where to look after it.
    links: Links,
}

/// Gives an agent a task.
///
/// With `async_mode` the answer comes at once (202). Without it the answer is the finished record
/// (200), or 504 `still_running` with the execution's id once the wait is over: the execution goes on.
#[utoipa::path(
    post, path = "/api/agents/{name}/task", operation_id = "submit_task", tag = "tasks",
    params(
        ("name" = String, Path, description = "The agent"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters: the same key by the same caller gives the same execution"),
    ),
    request_body = TaskBody,
    responses(
        (status = 200, description = "The finished record", body = ExecutionRecord),
        (status = 202, description = "Accepted", body = Accepted),
        (status = 404, description = "No such agent", body = ProblemSchema),
        (status = 409, description = "The agent was retired, or the call would wait for itself", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
        (status = 429, description = "The queue is full", body = ProblemSchema),
        (status = 504, description = "Not ended yet; it goes on", body = ProblemSchema),
    ),
)]
pub(super) async fn submit(
    may: May<Operate>,
    State(app): State<App>,
    AgentPath(agent): AgentPath,
    Params(()): Params<()>,
    headers: HeaderMap,
    Json(body): Json<TaskBody>,
) -> Result<Response, Problem> {
    let task = body.into_task(idempotency_key(&headers)?)?;
    // Before anything is stored: whoever can't wait here is told so first.
    let room = if task.waits { Some(app.gate().stream()?) } else { None };
    let submitted = app.tasks().submit(&may.caller, &agent, task, &cause(&may.request)).await?;
    let mut response = match room {
        Some(_) => finished(&app, &may, &agent, &submitted).await.into_response(),
        None => accepted(&app, &agent, &submitted).await?,
    };
    if submitted.replayed {
        response.headers_mut().insert(&IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(super) async fn accepted(
    app: &App,
    agent: &AgentName,
    submitted: &Submitted,
) -> Result<Response, Problem> {
    let status = if submitted.replayed {
        status_now(&app.execution_now(&Scope::All, agent, submitted.execution_id).await?)
    } else {
        "pending"
    };
    let body = Accepted {
        execution_id: submitted.execution_id,
        status,
        position: app.position_text(submitted.position),
        redactions: submitted.redactions,
        links: Links::of(agent, submitted.execution_id),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
}

fn status_now(state: &Execution) -> &'static str {
    match state {
        Execution::Absent | Execution::Pending(_) => "pending",
        Execution::Running { .. } => "running",
        Execution::Ended { outcome: Outcome::Completed, .. } => "completed",
        Execution::Ended { outcome: Outcome::Failed, .. } => "failed",
        Execution::Ended { outcome: Outcome::Cancelled, .. } => "cancelled",
    }
}

pub(super) async fn finished<R>(
    app: &App,
    may: &May<R>,
    agent: &AgentName,
    submitted: &Submitted,
) -> Result<Response, Problem> {
    let id = submitted.execution_id;
    let still = |code, detail: String| {
        Problem::new(code, detail)
            .member("execution_id", json!(id))
            .member("position", Value::from(app.position_text(submitted.position)))
            .member("links", json!(Links::of(agent, id)))
    };
    let most = app.gate().options.sync_wait;
    let stopping = app.gate().stopping().clone();
    let lent = app.gate().lend_place();
    let waited = tokio::select! {
        waited = app.tasks().wait_for_end(id, most) => waited?,
        () = stopping.cancelled() => {
            let detail = "the server is being stopped; the execution goes on";
            return Err(still(Code::ShuttingDown, detail.to_owned()));
        }
        over = may.until.over() => {
            let detail = format!("{}; the execution goes on", over.detail());
            return Err(still(Code::Unauthorized, detail));
        }
    };
    drop(lent);
    let ended = match waited {
        Waited::Ended(position) => position,
        Waited::StillOpen => {
            let detail = format!("it goes on after {} s of waiting", most.as_secs());
            return Err(still(Code::StillRunning, detail).hint("follow links.stream"));
        }
        Waited::TooManyWait => {
            let detail = "too many callers wait already; the execution was accepted and goes on";
            return Err(still(Code::Overloaded, detail.to_owned()));
        }
    };
    // The record is made from the log while the read models follow: who lists right after this answer
    // finds the ending there.
    let (followed, record) = tokio::join!(
        app.wait_for(ended, WAIT_FOR_MAX),
        app.views().execution_by_log(&may.caller.scope, ended, id),
    );
    followed?;
    let record = record?
        .ok_or_else(|| Problem::internal(&format!("the ended execution {id} is not in the log")))?;
    Ok(with_position(app, ended, axum::Json(record)))
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
    let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&value.len());
    if let (Ok(key), true, None) = (value.to_str(), visible && fits, values.next()) {
        return Ok(Some(key.to_owned()));
    }
    let detail = format!("one key of 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters");
    Err(Problem::new(Code::InvalidHeader, detail)
        .field("Idempotency-Key")
        .limit(IDEMPOTENCY_KEY_MAX as u64))
}
