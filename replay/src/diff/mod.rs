//! What differs: between two executions, or between two moments of the list of executions.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use execution_ledger_domain::{AgentName, ExecutionId};
use execution_ledger_projections::{ExecutionRecord, Status};
use execution_ledger_store::{EventStore, LogPosition, Position, With};
use serde::Serialize;
use serde_json::{Value, json};

use crate::history::{
    Change, Counts, HistoryError, READ_AT_ONCE, Replay, Subject, changes, list_at, records,
};

/// Executions that differ between two moments and are named: most.
pub const DIFF_MAX: usize = 10_000;
/// Fields that differ between any two executions and say nothing of either.
const OWN: [&str; 4] = ["execution_id", "created_at", "started_at", "completed_at"];

/// Two executions side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutionDiff {
    /// The first one's record.
    pub a: Value,
    /// The second one's record.
    pub b: Value,
    /// The fields that differ, `before` being the first one's: of the record, and as `settings.…` of
    /// what was accepted. Ids and times of their own are left out.
    pub differences: Vec<Change>,
}

/// Two executions as they were at a position; the one that was not there by then, where one was not.
///
/// # Errors
/// [`HistoryError`].
pub async fn diff_executions(
    store: &Arc<dyn EventStore>,
    a: ExecutionId,
    b: ExecutionId,
    until: Position,
) -> Result<Result<ExecutionDiff, ExecutionId>, HistoryError> {
    let Some(a_facts) = facts(store, a, until).await? else { return Ok(Err(a)) };
    let Some(b_facts) = facts(store, b, until).await? else { return Ok(Err(b)) };
    let differences = changes(&a_facts, &b_facts)
        .into_iter()
        .filter(|change| !OWN.contains(&change.field.as_str()))
        .collect();
    let record = |mut facts: Value| {
        facts.as_object_mut().and_then(|fields| fields.remove("settings"));
        facts
    };
    Ok(Ok(ExecutionDiff { a: record(a_facts), b: record(b_facts), differences }))
}

/// The record of an execution, with what was accepted as `settings`.
async fn facts(
    store: &Arc<dyn EventStore>,
    id: ExecutionId,
    until: Position,
) -> Result<Option<Value>, HistoryError> {
    let replay = Replay::read(store, &Subject::Execution(id), until).await?;
    let mut state = replay.state(replay.len());
    let (Some(fields), Some(first)) = (state.as_object_mut(), replay.data(0)) else {
        return Ok(None);
    };
    let mut settings = first;
    if let Some(settings) = settings.as_object_mut() {
        // The record says these in its own words; a digest differs with its salt alone.
        settings.retain(|name, value| {
            !fields.contains_key(name) && value.get("sha256").is_none() && name != "agent"
        });
    }
    fields.insert("settings".to_owned(), settings);
    Ok(Some(state))
}

/// An execution that differs between two moments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// Which one.
    pub execution_id: ExecutionId,
    /// Its agent.
    pub agent_name: AgentName,
    /// Its status at the first moment; nothing where it was not there yet.
    pub before: Option<Status>,
    /// Its status at the second moment.
    pub after: Status,
    /// The fields that differ.
    pub changes: Vec<Change>,
}

/// The list of executions at two moments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListDiff {
    /// The first moment.
    pub from: String,
    /// The second one.
    pub to: String,
    /// What there was at the first.
    pub before: Counts,
    /// What there was at the second.
    pub after: Counts,
    /// The executions that differ, in the order in which they first did.
    pub executions: Vec<Moved>,
    /// Whether more differ than are named.
    pub truncated: bool,
}

/// What happened to the list of executions of one agent or of all between two positions.
///
/// # Errors
/// [`HistoryError`].
pub async fn diff_lists(
    store: &Arc<dyn EventStore>,
    from: Position,
    to: Position,
    agent: Option<&AgentName>,
) -> Result<ListDiff, HistoryError> {
    let before = list_at(store, from, agent, 0, |_| {}).await?;
    let after = list_at(store, to, agent, 0, |_| {}).await?;
    let (touched, truncated) = touched(store, from, to).await?;
    let was: HashMap<_, _> = records(store, &touched, from)
        .await?
        .into_iter()
        .map(|record| (record.execution_id, record))
        .collect();
    let is = records(store, &touched, to).await?;
    let of_agent = |record: &ExecutionRecord| agent.is_none_or(|name| record.agent_name == *name);
    let executions = is.into_iter().filter(of_agent).map(|is| {
        let was = was.get(&is.execution_id);
        Moved {
            execution_id: is.execution_id,
            agent_name: is.agent_name.clone(),
            before: was.map(|was| was.status),
            after: is.status,
            changes: was.map_or_else(Vec::new, |was| changes(&json!(was), &json!(is))),
        }
    });
    let named = |position| LogPosition { log: store.log_id().clone(), position }.to_string();
    Ok(ListDiff {
        from: named(from),
        to: named(to),
        before: before.counts,
        after: after.counts,
        executions: executions.collect(),
        truncated,
    })
}

/// The executions that events between two positions are about, and whether there are more.
async fn touched(
    store: &Arc<dyn EventStore>,
    from: Position,
    to: Position,
) -> Result<(Vec<ExecutionId>, bool), HistoryError> {
    let (mut seen, mut order, mut at) = (HashSet::new(), Vec::new(), from);
    while at < to {
        let page = store.read_all(at, READ_AT_ONCE, With::EventsOnly).await?;
        if page.is_empty() {
            break;
        }
        for recorded in page {
            at = recorded.position;
            let Some(id) = recorded.stream.execution_id().filter(|_| at <= to) else { continue };
            if seen.contains(&id) {
                continue;
            }
            if order.len() >= DIFF_MAX {
                return Ok((order, true));
            }
            seen.insert(id);
            order.push(id);
        }
    }
    Ok((order, false))
}
