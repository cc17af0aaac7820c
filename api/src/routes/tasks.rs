//! Giving an agent a task.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use execution_ledger_domain::{ExecutionId, NanoUsd, SessionId};
use execution_ledger_process::tasks::{NewTask, Via};
use execution_ledger_projections::ExecutionRecord;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answers::{Accepted, answered};
use crate::auth::{May, Operate};
use crate::extract::{AgentPath, Json, Params};
use crate::problem::{Code, Problem, ProblemSchema};
use crate::state::{App, cause};

/// Longest `Idempotency-Key`, in characters.
const IDEMPOTENCY_KEY_MAX: usize = 255;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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
    answered(&app, &may, &agent, &submitted, room).await
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
