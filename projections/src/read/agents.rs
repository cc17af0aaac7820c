//! Agents, their slots and queues, and what is open.

use std::cmp::Reverse;
use std::collections::HashMap;

use execution_ledger_domain::{AgentName, Scope};
use execution_ledger_store::Position;
use rusqlite::{Connection, params};

use super::versions::{VersionRow, Which, versions};
use crate::columns;
use crate::model::{AgentRow, Capacity, OpenExecution, Slot, Status, Waiting, trigger_code};
use crate::query::{At, QUEUE_SHOWN_MAX, QueryError, Seen};
use crate::views::Views;
use crate::write::{AgentVersion, Agents};

/// Agents of an answer: most.
const AGENTS_SHOWN_MAX: usize = 10_000;
/// Slots and chat turns that a capacity answer names: most. Above what an agent may have.
const SLOTS_SHOWN_MAX: u32 = 2_000;

impl Views {
    /// All agents, by name. An agent's scope covers itself alone; a user's all of them, because
    /// nobody owns one.
    pub async fn agents(&self, scope: &Scope, at: At) -> Result<Seen<Vec<AgentRow>>, QueryError> {
        let scope = scope.clone();
        self.ask(at, move |connection, at| {
            let mut agents = agents(connection, at)?;
            agents.retain(|agent| covers(&scope, &agent.name));
            Ok(agents)
        })
        .await
    }

    /// One agent; nothing where there is none that the scope covers.
    pub async fn agent(
        &self,
        scope: &Scope,
        at: At,
        name: &AgentName,
    ) -> Result<Seen<Option<AgentRow>>, QueryError> {
        let agents = self.agents(scope, at).await?;
        Ok(agents.map(|agents| agents.into_iter().find(|agent| agent.name == *name)))
    }

    /// An agent's slots and queue, now. Executions beyond the scope are counted and shown, but not
    /// named; the queue is shown up to [`QUEUE_SHOWN_MAX`].
    pub async fn capacity(
        &self,
        scope: &Scope,
        name: &AgentName,
    ) -> Result<Seen<Option<Capacity>>, QueryError> {
        let (scope, name) = (scope.clone(), name.clone());
        self.ask(At::Now, move |connection, _| {
            let agent = agents(connection, None)?.into_iter().find(|agent| agent.name == name);
            agent.map(|agent| capacity(connection, &scope, &agent)).transpose()
        })
        .await
    }

    /// All executions that have not ended, the oldest first, and all agents: one consistent read,
    /// for the process manager. As many as there are open.
    pub async fn open_work(
        &self,
    ) -> Result<(Position, Vec<OpenExecution>, Vec<AgentRow>), QueryError> {
        let seen = self
            .ask(At::Now, |connection, _| {
                let mut select = connection.prepare_cached("SELECT data FROM open ORDER BY no")?;
                let open = select.query_map([], |row| columns::from_json(row, 0))?;
                Ok((open.collect::<rusqlite::Result<_>>()?, agents(connection, None)?))
            })
            .await?;
        let (open, agents) = seen.value;
        Ok((seen.position, open, agents))
    }
}

fn covers(scope: &Scope, name: &AgentName) -> bool {
    match scope {
        Scope::All | Scope::User(_) => true,
        Scope::Agent(own) | Scope::AgentFor { agent: own, .. } => own == name,
    }
}

/// Executions of an agent: running in slots, chatting, waiting.
type Counts = HashMap<String, (u64, u64, u64)>;

fn agents(connection: &Connection, at: Option<Position>) -> Result<Vec<AgentRow>, QueryError> {
    let counts = match at {
        None => counts_now(connection)?,
        Some(at) => counts_then(connection, at)?,
    };
    let rows = versions::<Agents>(connection, at, &Which::default(), AGENTS_SHOWN_MAX)?;
    let rows = rows.into_iter().map(|row| agent_row(row, &counts));
    let mut agents = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    agents.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(agents)
}

fn agent_row(row: VersionRow<AgentVersion>, counts: &Counts) -> rusqlite::Result<AgentRow> {
    let name = AgentName::new(&row.id).map_err(|_| columns::Bad::at(0))?;
    let (running, chatting, pending) = counts.get(name.as_str()).copied().unwrap_or_default();
    Ok(AgentRow {
        name,
        status: row.state.status,
        config: row.state.config,
        registered_at: row.state.registered_at,
        changed_at: row.state.changed_at,
        position: row.since,
        running,
        chatting,
        pending,
    })
}

fn counts_now(connection: &Connection) -> Result<Counts, QueryError> {
    count_with(
        connection,
        "SELECT agent, sum(running AND NOT chat), sum(running AND chat), sum(NOT running)
         FROM open GROUP BY agent LIMIT ?1",
        i64::MAX,
    )
}

fn counts_then(connection: &Connection, at: Position) -> Result<Counts, QueryError> {
    use execution_ledger_domain::execution::Trigger;
    let chat = trigger_code(Trigger::Chat);
    let (pending, running) = (Status::Pending.code(), Status::Running.code());
    count_with(
        connection,
        &format!(
            "SELECT agent, sum(s = {running} AND triggered_by <> {chat}),
               sum(s = {running} AND triggered_by = {chat}), sum(s = {pending})
             FROM (SELECT agent, triggered_by,
                     CASE WHEN started_position <= ?1 THEN {running} ELSE {pending} END AS s
                   FROM executions WHERE no <= ?1
                     AND (ended_position IS NULL OR ended_position > ?1))
             GROUP BY agent"
        ),
        columns::number(at.number()),
    )
}

fn count_with(connection: &Connection, sql: &str, parameter: i64) -> Result<Counts, QueryError> {
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map([parameter], |row| {
        let counts =
            (columns::unsigned(row, 1)?, columns::unsigned(row, 2)?, columns::unsigned(row, 3)?);
        Ok((row.get(0)?, counts))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn capacity(
    connection: &Connection,
    scope: &Scope,
    agent: &AgentRow,
) -> Result<Capacity, QueryError> {
    let named = |open: &OpenExecution| scope.covers(&open.ownership()).then_some(open.id);
    let slot = |open: OpenExecution| Slot {
        execution_id: named(&open),
        triggered_by: open.triggered_by,
        since: open.started_at.unwrap_or(open.created_at),
        slot_until: open.slot_until.unwrap_or(open.expires_at),
        cancelling: open.cancellation_requested_at.is_some(),
    };
    let running = |chat| open(connection, &agent.name, true, chat, SLOTS_SHOWN_MAX);
    let waiting = |(open, place): (OpenExecution, u64)| Waiting {
        id: open.id,
        execution_id: named(&open),
        place,
        triggered_by: open.triggered_by,
        since: open.created_at,
        expires_at: open.expires_at,
        not_before: open.not_before,
    };
    // Chat turns stand in the same order; they only take no slot.
    let mut queue = open(connection, &agent.name, false, false, QUEUE_SHOWN_MAX)?;
    queue.extend(open(connection, &agent.name, false, true, QUEUE_SHOWN_MAX)?);
    queue.sort_by_key(|open| (Reverse(open.rank), open.no));
    queue.truncate(QUEUE_SHOWN_MAX as usize);
    Ok(Capacity {
        agent: agent.name.clone(),
        status: agent.status,
        max_parallel_tasks: agent.config.max_parallel_tasks,
        queue_limit: agent.config.queue_limit,
        slots: running(false)?.into_iter().map(slot).collect(),
        chats: running(true)?.into_iter().map(slot).collect(),
        pending: agent.pending,
        queue: queue.into_iter().zip(1..).map(waiting).collect(),
    })
}

/// Open executions of an agent in the order in which they start.
fn open(
    connection: &Connection,
    agent: &AgentName,
    running: bool,
    chat: bool,
    limit: u32,
) -> Result<Vec<OpenExecution>, QueryError> {
    let mut select = connection.prepare_cached(
        "SELECT data FROM open INDEXED BY open_queue WHERE agent = ? AND running = ? AND chat = ?
         ORDER BY rank DESC, no LIMIT ?",
    )?;
    let rows = select.query_map(params![agent.as_str(), running, chat, limit], |row| {
        columns::from_json(row, 0)
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
