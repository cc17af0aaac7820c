//! An agent's slots and queue.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::policy::Blocker;
use execution_ledger_domain::{AgentName, Timestamp};
use execution_ledger_process::tasks::Tasks;
use execution_ledger_projections::{Capacity, Slot, Waiting};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{May, Read};
use crate::extract::{AgentPath, Params};
use crate::position::{Moment, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, no_agent};

/// An execution that waits, and why.
#[derive(Serialize, ToSchema)]
pub(super) struct Queued {
    #[serde(flatten)]
    waiting: Waiting,
    /// What keeps it: starting, agent_paused, agent_retired, slots_taken, max_parallel_total_reached,
    /// session_busy, disk_nearly_full, server_stopping, behind_others or retry_backoff; null where it
    /// is not the caller's to see, or was started a moment ago.
    reason: Option<&'static str>,
    /// Until when, where that is known: with retry_backoff.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// An agent's slots and queue.
#[derive(Serialize, ToSchema)]
pub(super) struct CapacityAnswer {
    #[schema(value_type = String)]
    agent: AgentName,
    /// active, paused or retired.
    status: &'static str,
    /// Executions that it runs at once, at most.
    max_parallel_tasks: u32,
    /// Executions that may wait, at most.
    queue_limit: u32,
    /// The slots that are taken, and by whom.
    slots: Vec<Slot>,
    /// Chat turns that run; they take no slot.
    chats: Vec<Slot>,
    /// Executions that wait.
    pending: u64,
    /// The first of them, in the order in which they will start.
    queue: Vec<Queued>,
}

impl CapacityAnswer {
    fn of(tasks: &Tasks, capacity: Capacity) -> Self {
        let ids: Vec<_> = capacity.queue.iter().map(|waiting| waiting.id).collect();
        let why = tasks.why_each_waits(&ids);
        let queued = |mut waiting: Waiting| {
            let (blocker, place) = why.get(&waiting.id).copied().unzip();
            // The process manager knows best: who waits for their time stands behind the others.
            waiting.place = place.map_or(waiting.place, u64::from);
            let blocker = blocker.filter(|_| waiting.execution_id.is_some());
            let until = blocker.and_then(Blocker::until);
            Queued { waiting, reason: blocker.map(Blocker::as_str), until }
        };
        let mut queue: Vec<_> = capacity.queue.into_iter().map(queued).collect();
        queue.sort_by_key(|queued| queued.waiting.place);
        Self {
            agent: capacity.agent,
            status: capacity.status.as_str(),
            max_parallel_tasks: capacity.max_parallel_tasks,
            queue_limit: capacity.queue_limit,
            slots: capacity.slots,
            chats: capacity.chats,
            pending: capacity.pending,
            queue,
        }
    }
}

/// An agent's slots with their holders, and its queue with what each waits for.
#[utoipa::path(
    get, path = "/api/agents/{name}/capacity", operation_id = "get_agent_capacity", tag = "agents",
    params(
        ("name" = String, Path, description = "The agent"),
        ("wait_for" = Option<String>, Query, description = "Answer only once this position has been seen"),
    ),
    responses(
        (status = 200, description = "Slots and queue", body = CapacityAnswer),
        (status = 404, description = "No such agent", body = ProblemSchema),
    ),
)]
pub(super) async fn capacity(
    may: May<Read>,
    State(app): State<App>,
    AgentPath(name): AgentPath,
    Params(moment): Params<Moment>,
) -> Result<Response, Problem> {
    // Why each execution waits is known of now alone.
    moment.reach_now(&app, "slots and queue are answered as they are now").await?;
    let seen = app.views().capacity(&may.caller.scope, &name).await?;
    let seen_by_caller = may.caller.sees_agent(&name);
    let capacity = seen.value.filter(|_| seen_by_caller).ok_or_else(|| no_agent(&name))?;
    app.desk_follows(seen.position).await;
    let body = CapacityAnswer::of(app.tasks(), capacity);
    Ok(with_position(&app, seen.position, axum::Json(body)))
}
