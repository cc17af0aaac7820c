//! A chat session as it goes on: what happens in it, and answers while they are made.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{ExecutionEvent, Trigger};
use execution_ledger_domain::session::SessionEvent;
use execution_ledger_domain::{Event, ExecutionId, NodeId, Scope, SessionId, StreamName};
use execution_ledger_process::runtimes::progress;
use execution_ledger_process::transcript::Entry;
use execution_ledger_projections::{At, ExecutionRecord, SESSION_TEXT_MAX_CHARS, SessionStatus};
use execution_ledger_store::{Position, Recorded, Subscription, With};
use futures::Stream;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio_stream::{StreamExt, StreamMap};

use super::sessions::await_opened;
use crate::auth::{Access, May, ReadSessions};
use crate::extract::{Params, SessionPath};
use crate::peers;
use crate::position::{Moment, WAIT_FOR_MAX, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::sse::{self, Frames, Step, closing_text, last_event_id};
use crate::state::{App, no_session};

/// Runs of a session whose output is followed at once: most. Of others only what happens is told.
const FOLLOWED_MAX: usize = 64;
/// Events of an execution that are read for what it runs as.
const EVENTS_MAX: usize = 16;

/// Why a session's stream has no past but its positions.
const NO_PAST: &str = "the stream begins now, or after the position in Last-Event-ID";

/// A chat session as it goes on (SSE).
///
/// What happens has the `id` of its position, by which `Last-Event-ID` resumes: `event: accepted`,
/// `started`, `stopping`, `ended`, `injected`, `injection_refused` with `{part, execution}`, where
/// `part` is `turn` or `background` and `execution` its record as of then, and `event: closed`. Between
/// them `event: output` tells what runs say: `{execution_id, part, seq, kind, text}` with the kinds
/// `delta` (the next words), `text` (a whole text, in the place of its deltas) and `tool`; it has no
/// `id`, so after a resume it comes again from the first line of what still runs: `seq` tells what was
/// there before. After the end of all that goes on in a closed session comes `event: end`.
#[utoipa::path(
    get, path = "/api/sessions/{id}/stream", operation_id = "follow_session", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("wait_for" = Option<String>, Query, description = "Begin only once this position has been seen"),
        ("Last-Event-ID" = Option<String>, Header, description = "Begin after this position"),
    ),
    responses(
        (status = 200, description = "Events", content((String = "text/event-stream"))),
        (status = 404, description = "No such session", body = ProblemSchema),
        (status = 409, description = "The position is of another log", body = ProblemSchema),
    ),
)]
pub(super) async fn stream(
    may: May<ReadSessions>,
    State(app): State<App>,
    SessionPath(id): SessionPath,
    Params(moment): Params<Moment>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let resumed = match last_event_id(&headers)? {
        Some(text) => {
            let position = app.parse_position("Last-Event-ID", text)?;
            Some(app.within_log("Last-Event-ID", position).await?)
        }
        None => None,
    };
    moment.reach_now(&app, NO_PAST).await?;
    await_opened(&app, id).await?;
    if let Some(position) = resumed {
        app.wait_for(position, WAIT_FOR_MAX).await?;
    }
    let at = resumed.map_or(At::Now, At::Position);
    // Whose it is does not change: asked as of now, because a resume may lie before its opening.
    let now = app.views().session(&may.caller.scope, At::Now, id, 1, None).await?;
    let user = now.value.ok_or_else(no_session)?.session.user;
    let seen = app.views().session(&may.caller.scope, at, id, 1, None).await?;
    let closed = seen.value.is_some_and(|detail| detail.session.status == SessionStatus::Closed);
    let tasks = app.views().session_tasks(at, id).await?;
    let from = tasks.position;
    let log = app.store().subscribe(from).await?;
    let access = may.into_access();
    let mut follow = Follow {
        session: id,
        stranger: (access.caller.actor.user != user).then(|| access.clone()),
        log,
        tasks: HashMap::new(),
        outputs: StreamMap::new(),
        closed: closed && seen.position <= from,
        ready: VecDeque::new(),
        app: app.clone(),
    };
    for task in tasks.value {
        follow.take_up(task.execution, task.is_turn).await?;
    }
    let gate = Arc::clone(app.gate());
    let response = sse::respond(&gate, access.until, follow.into_steps())?;
    Ok(with_position(&app, from, response))
}

/// A turn or background task that is not over.
#[derive(Clone, Copy)]
struct Task {
    execution: ExecutionId,
    is_turn: bool,
    injects: bool,
}

impl Task {
    fn part(self) -> &'static str {
        if self.is_turn { "turn" } else { "background" }
    }
}

/// Lines of one run, with the program that printed them.
type Output = BoxStream<'static, (Runtime, Arc<[Entry]>)>;

struct Follow {
    app: App,
    session: SessionId,
    /// Who listens, where that is not the session's own user: what they read of runs is recorded.
    stranger: Option<Access>,
    log: Subscription,
    tasks: HashMap<StreamName, Task>,
    outputs: StreamMap<ExecutionId, Output>,
    closed: bool,
    /// What is to be sent next.
    ready: VecDeque<Frames>,
}

impl Follow {
    /// A task that was there when the stream began.
    async fn take_up(&mut self, execution: ExecutionId, is_turn: bool) -> Result<(), Problem> {
        let stream = StreamName::execution(execution);
        let with = With::EventsOnly;
        let events = self.app.store().read_stream(&stream, 0, EVENTS_MAX, with).await?;
        let mut injects = false;
        let mut started = None;
        for recorded in &events {
            match recorded.event() {
                Ok(Event::Execution(ExecutionEvent::Pending(pending))) => {
                    injects = pending.inject_result;
                }
                Ok(Event::Execution(ExecutionEvent::Running(running))) => {
                    started = Some((running.runtime, running.node));
                }
                Ok(Event::Execution(event)) if event.outcome().is_some() => started = None,
                Ok(_) => {}
                Err(error) => return Err(Problem::internal(&error)),
            }
        }
        let task = Task { execution, is_turn, injects };
        self.tasks.insert(stream, task);
        if let Some((runtime, node)) = started {
            self.follow(execution, runtime, node).await?;
        }
        Ok(())
    }

    /// Begins to listen to a run, on whichever node it is.
    async fn follow(
        &mut self,
        execution: ExecutionId,
        runtime: Runtime,
        node: Option<NodeId>,
    ) -> Result<(), Problem> {
        if self.outputs.len() >= FOLLOWED_MAX {
            return Ok(());
        }
        if let Some(stranger) = &self.stranger {
            self.app.access_log().transcript_read(stranger, execution).await?;
        }
        if let Some(node) = peers::other(&self.app, node) {
            let lines = peers::lines(&self.app, node, execution).map(move |batch| (runtime, batch));
            self.outputs.insert(execution, Box::pin(lines));
            return Ok(());
        }
        match self.app.hub().follow(execution, 0, true) {
            Ok(follower) => {
                let lines = follower.into_stream();
                // What can't be read is not told; the ending has the whole answer.
                let lines = lines.take_while(Result::is_ok).filter_map(Result::ok);
                let lines = lines.map(move |batch| (runtime, batch));
                self.outputs.insert(execution, Box::pin(lines));
            }
            Err(error) => tracing::warn!(%error, %execution, "a run can't be followed"),
        }
        Ok(())
    }

    fn into_steps(self) -> impl Stream<Item = Step> + Send {
        futures::stream::unfold(Some(self), |follow| async move {
            let mut follow = follow?;
            match follow.next().await {
                Ok(Some(frames)) => Some((Step::Frames(frames), Some(follow))),
                Ok(None) => Some((Step::Last(ending()), None)),
                Err(()) => Some((Step::Last(failing()), None)),
            }
        })
    }

    /// The next frames; nothing once all is over.
    async fn next(&mut self) -> Result<Option<Frames>, ()> {
        loop {
            if let Some(frames) = self.ready.pop_front() {
                return Ok(Some(frames));
            }
            if self.closed && self.tasks.is_empty() {
                return Ok(None);
            }
            tokio::select! {
                Some((execution, (runtime, batch))) = self.outputs.next(), if !self.outputs.is_empty() => {
                    self.say(execution, runtime, &batch);
                }
                batch = self.log.next() => match batch {
                    Some(Ok(batch)) => {
                        for recorded in batch.iter() {
                            self.happened(recorded).await.map_err(|problem| {
                                tracing::warn!(?problem, "a session's stream can't go on");
                            })?;
                        }
                    }
                    Some(Err(error)) => {
                        tracing::warn!(%error, "a session's stream can't follow the log");
                        return Err(());
                    }
                    None => return Err(()),
                },
            }
        }
    }

    fn say(&mut self, execution: ExecutionId, runtime: Runtime, batch: &[Entry]) {
        let part = self.tasks.get(&StreamName::execution(execution)).map_or("turn", |t| t.part());
        let mut frames = Frames::new();
        for entry in batch {
            // Lines are written by our own supervisor; one that is none is left out.
            let Ok(line) = entry.parse() else { continue };
            for said in progress(runtime, &line) {
                let data = json!({"execution_id": execution, "part": part, "seq": entry.seq,
                    "kind": said.kind, "text": said.text});
                frames.event(None, Some("output"), &data.to_string());
            }
        }
        if !frames.is_empty() {
            self.ready.push_back(frames);
        }
    }

    async fn happened(&mut self, recorded: &Recorded) -> Result<(), Problem> {
        let unreadable = |error| Problem::internal(&error);
        if recorded.stream.session_id() == Some(self.session) {
            let event = recorded.event().map_err(unreadable)?;
            if let Event::Session(SessionEvent::Closed(_)) = event {
                self.closed = true;
                self.tell(recorded.position, "closed", &json!({"session_id": self.session}));
            }
            return Ok(());
        }
        let known = self.tasks.get(&recorded.stream).copied();
        // Most events are of others: looked at no closer than needed.
        let may_be_new = known.is_none() && recorded.revision == 0;
        if !(known.is_some() || (may_be_new && recorded.stream.execution_id().is_some())) {
            return Ok(());
        }
        let Event::Execution(event) = recorded.event().map_err(unreadable)? else { return Ok(()) };
        let task = match (known, &event) {
            (Some(task), _) => task,
            (None, ExecutionEvent::Pending(pending)) => {
                let Some(execution) = recorded.stream.execution_id() else { return Ok(()) };
                if pending.chat_session_id != Some(self.session) {
                    return Ok(());
                }
                let is_turn = pending.triggered_by == Trigger::Chat;
                let task = Task { execution, is_turn, injects: pending.inject_result };
                self.tasks.insert(recorded.stream.clone(), task);
                task
            }
            (None, _) => return Ok(()),
        };
        self.task_happened(recorded, task, &event).await
    }

    async fn task_happened(
        &mut self,
        recorded: &Recorded,
        task: Task,
        event: &ExecutionEvent,
    ) -> Result<(), Problem> {
        use ExecutionEvent as E;
        let (kind, is_over) = match event {
            E::Pending(_) => ("accepted", false),
            E::Running(running) => {
                self.follow(task.execution, running.runtime, running.node).await?;
                ("started", false)
            }
            E::CancellationRequested(_) => ("stopping", false),
            E::Completed(_) | E::Failed(_) | E::Cancelled(_) => {
                self.outputs.remove(&task.execution);
                ("ended", !task.injects)
            }
            E::ResultInjected(_) => ("injected", true),
            E::InjectionRefused(_) => ("injection_refused", true),
            E::QueueMoved(_) | E::SignalSent(_) | E::CostCorrected(_) => return Ok(()),
        };
        if is_over {
            self.tasks.remove(&recorded.stream);
        }
        let record = record(&self.app, task.execution, recorded.position).await?;
        self.tell(recorded.position, kind, &json!({"part": task.part(), "execution": record}));
        Ok(())
    }

    fn tell(&mut self, position: Position, kind: &str, data: &Value) {
        let id = self.app.position_text(position);
        let mut frames = Frames::new();
        frames.event(Some(&id), Some(kind), &data.to_string());
        self.ready.push_back(frames);
    }
}

/// The record of an execution as of an event.
async fn record(
    app: &App,
    execution: ExecutionId,
    until: Position,
) -> Result<Option<ExecutionRecord>, Problem> {
    let record = app.views().execution_by_log(&Scope::All, until, execution).await?;
    Ok(record.map(|mut record| {
        record.cut_texts(SESSION_TEXT_MAX_CHARS);
        record
    }))
}

fn ending() -> Frames {
    let mut frames = Frames::new();
    frames.event(None, Some("end"), "{}");
    frames
}

fn failing() -> Frames {
    let mut frames = Frames::new();
    let detail = "the log can't be followed; come again with Last-Event-ID";
    frames.event(None, Some("close"), &closing_text("interrupted", detail));
    frames
}
