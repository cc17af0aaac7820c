//! Chat sessions: open, list, read, post a message, close.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use execution_ledger_domain::{AgentName, ExecutionId, SessionId, StreamName};
use execution_ledger_process::tasks::{NewTask, OpenedSession, Via};
use execution_ledger_projections::{
    At, ChatSession, Continues, ExecutionRecord, SessionDetail, SessionQuery, SessionStatus,
};
use execution_ledger_store::With;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answers::{Accepted, answered};
use super::filters::{PageParams, limit};
use super::tasks::{dollars, idempotency_key};
use crate::auth::{Chat, May, ReadSessions};
use crate::extract::{FromQuery, Json, NoBody, Params, Query, SessionPath};
use crate::position::{Moment, MomentParams, WAIT_FOR_MAX, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, cause, no_session};

const STATUSES: [(&str, SessionStatus); 2] =
    [("open", SessionStatus::Open), ("closed", SessionStatus::Closed)];

impl FromQuery for SessionQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            agent: query.parsed("agent")?,
            status: query.one_of("status", &STATUSES)?,
            user: query.parsed("user")?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
        })
    }
}

/// A page of chat sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionList {
    sessions: Vec<ChatSession>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// Chat sessions that the caller may see, the newest first.
///
/// A user sees their own; admin, operator and auditor see all.
#[utoipa::path(
    get, path = "/api/sessions", operation_id = "list_sessions", tag = "sessions",
    params(
        ("agent" = Option<String>, Query, description = "With this agent"),
        ("status" = Option<String>, Query, description = "open or closed"),
        ("user" = Option<String>, Query, description = "Of this user"),
        PageParams, MomentParams,
    ),
    responses(
        (status = 200, description = "A page", body = SessionList),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn list(
    may: May<ReadSessions>,
    State(app): State<App>,
    Params((query, moment)): Params<(SessionQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().sessions(&may.caller.scope, at, &query).await?;
    let list = SessionList { sessions: seen.value.items, next_cursor: seen.value.next_cursor };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

/// A chat to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionBody {
    /// The agent that is to answer in it.
    #[schema(value_type = String)]
    agent_name: AgentName,
    /// Go on from this finished execution of the agent, in the agent's own session of it.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Uuid)]
    execution_id: Option<ExecutionId>,
}

/// A chat session that was opened or closed.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionAnswer {
    #[serde(flatten)]
    session: ChatSession,
    /// Where it was recorded: `wait_for` takes it.
    position: String,
}

/// Opens a chat session with an agent.
///
/// It belongs to the user of the key that opened it.
#[utoipa::path(
    post, path = "/api/sessions", operation_id = "open_session", tag = "sessions",
    request_body = SessionBody,
    responses(
        (status = 201, description = "Opened", body = SessionAnswer),
        (status = 403, description = "The key may not call that agent", body = ProblemSchema),
        (status = 404, description = "No such agent", body = ProblemSchema),
        (status = 409, description = "The agent was retired", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
    ),
)]
pub(super) async fn open(
    may: May<Chat>,
    State(app): State<App>,
    Params(()): Params<()>,
    Json(body): Json<SessionBody>,
) -> Result<Response, Problem> {
    let SessionBody { agent_name, execution_id } = body;
    let request = cause(&may.request);
    let opened = app.tasks().open_session(&may.caller, &agent_name, execution_id, &request).await?;
    let OpenedSession { id, opened, at, position } = opened;
    let continues = opened.continues.map(|from| Continues {
        execution_id: from.execution_id,
        agent_session_id: from.agent_session_id,
    });
    let session = ChatSession {
        session_id: id,
        agent_name: opened.agent,
        user: opened.user,
        status: SessionStatus::Open,
        title: None,
        opened_at: at,
        closed_at: None,
        continues,
    };
    let answer = SessionAnswer { session, position: app.position_text(position) };
    Ok((StatusCode::CREATED, axum::Json(answer)).into_response())
}

/// Which entries of a session.
pub(super) struct Entries {
    limit: u32,
    cursor: Option<String>,
}

impl FromQuery for Entries {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self { limit: limit(query)?, cursor: query.text("cursor") })
    }
}

/// A chat session with its turns, its injected results, and the background tasks that go on.
///
/// The newest entries are answered, in the order in which they came; `next_cursor` leads to the ones
/// before them. A turn and a result are the whole record of their execution; long texts are cut there
/// (`texts_cut`), and whole in the execution itself.
#[utoipa::path(
    get, path = "/api/sessions/{id}", operation_id = "get_session", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        PageParams, MomentParams,
    ),
    responses(
        (status = 200, description = "The session", body = SessionDetail),
        (status = 404, description = "No such session", body = ProblemSchema),
    ),
)]
pub(super) async fn detail(
    may: May<ReadSessions>,
    State(app): State<App>,
    SessionPath(id): SessionPath,
    Params((entries, moment)): Params<(Entries, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    if at == At::Now {
        await_opened(&app, id).await?;
    }
    let Entries { limit, cursor } = entries;
    let seen = app.views().session(&may.caller.scope, at, id, limit, cursor.as_deref()).await?;
    let detail = seen.value.ok_or_else(no_session)?;
    Ok(with_position(&app, seen.position, axum::Json(detail)))
}

/// Waits until the read models know of a session that the log holds: who was given its id a moment
/// ago is not told that there is none.
pub(super) async fn await_opened(app: &App, id: SessionId) -> Result<(), Problem> {
    let stream = StreamName::session(id);
    let first = app.store().read_stream(&stream, 0, 1, With::EventsOnly).await?;
    match first.first() {
        Some(opened) => app.wait_for(opened.position, WAIT_FOR_MAX).await,
        None => Err(no_session()),
    }
}

/// A message in a chat.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageBody {
    /// What is said to the agent: 1 byte to 256 KiB of UTF-8, no control characters but tab and
    /// newline.
    #[serde(default)]
    #[schema(required = true, example = "And now in one sentence?")]
    message: String,
    /// Answer at once with 202 instead of waiting for the end of the turn.
    #[serde(default)]
    async_mode: bool,
    /// The model, from the agent's list.
    #[serde(default)]
    model: Option<String>,
    /// How long the turn may take, in seconds; at most the agent's own limit.
    #[serde(default)]
    timeout_s: Option<u64>,
    /// What the turn may cost, in dollars with at most nine decimal places; at most the agent's own
    /// limit.
    #[serde(default)]
    max_cost_usd: Option<f64>,
    /// The tools that the turn may use, of the agent's.
    #[serde(default)]
    allowed_tools: Option<Vec<String>>,
    /// A system prompt, where the agent permits it.
    #[serde(default)]
    system_prompt: Option<String>,
    /// How many turns of the agent's own this turn may take; at most the agent's own limit.
    #[serde(default)]
    max_turns: Option<u32>,
}

impl MessageBody {
    fn into_task(self, idempotency_key: Option<String>) -> Result<NewTask, Problem> {
        Ok(NewTask {
            via: Via::Chat,
            waits: !self.async_mode,
            message: self.message,
            inject_result: false,
            chat_session_id: None,
            model: self.model,
            timeout_s: self.timeout_s,
            max_cost: dollars("max_cost_usd", self.max_cost_usd)?,
            allowed_tools: self.allowed_tools,
            system_prompt: self.system_prompt,
            max_turns: self.max_turns,
            resume_session_id: None,
            parent_execution_id: None,
            idempotency_key,
        })
    }
}

/// Posts a message in a chat session: a turn of its agent.
///
/// Turns of one session run one after the other, each in the agent's own session of the one before.
/// With `async_mode` the answer comes at once (202); without it, it is the finished record of the turn
/// (200), or 504 `still_running` with its id. Only the session's own user posts in it.
#[utoipa::path(
    post, path = "/api/sessions/{id}/messages", operation_id = "post_message", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters: the same key by the same caller gives the same turn"),
    ),
    request_body = MessageBody,
    responses(
        (status = 200, description = "The finished record of the turn", body = ExecutionRecord),
        (status = 202, description = "Accepted", body = Accepted),
        (status = 403, description = "The session belongs to another user", body = ProblemSchema),
        (status = 404, description = "No such session", body = ProblemSchema),
        (status = 409, description = "The session was closed or is full, or its agent was retired", body = ProblemSchema),
        (status = 422, description = "A field can't be as it is", body = ProblemSchema),
        (status = 429, description = "As many turns wait as may", body = ProblemSchema),
        (status = 504, description = "Not ended yet; it goes on", body = ProblemSchema),
    ),
)]
pub(super) async fn post(
    may: May<Chat>,
    State(app): State<App>,
    SessionPath(id): SessionPath,
    Params(()): Params<()>,
    headers: HeaderMap,
    Json(body): Json<MessageBody>,
) -> Result<Response, Problem> {
    let task = body.into_task(idempotency_key(&headers)?)?;
    // Before anything is stored: whoever can't wait here is told so first.
    let room = if task.waits { Some(app.gate().stream()?) } else { None };
    let posted = app.tasks().post_message(&may.caller, id, task, &cause(&may.request)).await;
    let (agent, submitted) = posted?;
    answered(&app, &may, &agent, &submitted, room).await
}

/// Closes a chat session.
///
/// It takes no more messages; turns that wait are cancelled, one that runs may end, and results of
/// background tasks are refused from now on. Closed already, it stays so.
#[utoipa::path(
    delete, path = "/api/sessions/{id}", operation_id = "close_session", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "Closed", body = SessionAnswer),
        (status = 404, description = "No such session", body = ProblemSchema),
    ),
)]
pub(super) async fn close(
    may: May<Chat>,
    State(app): State<App>,
    SessionPath(id): SessionPath,
    Params(()): Params<()>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let position = app.tasks().close_session(&may.caller, id, &cause(&may.request)).await?;
    app.wait_for(position, WAIT_FOR_MAX).await?;
    let seen = app.views().session(&may.caller.scope, At::Now, id, 1, None).await?;
    let session = seen.value.ok_or_else(no_session)?.session;
    let answer = SessionAnswer { session, position: app.position_text(position) };
    Ok(with_position(&app, seen.position, axum::Json(answer)))
}
