//! Which executions are meant: those that were chosen by hand, or all that the filters find.

use axum::http::StatusCode;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ASKED_AT_ONCE, AT_ONCE_MAX, Deed, One};
use crate::answers::{Detail, ExecutionList};
use crate::executions::filters::Filters;
use crate::interface::{Interface, Problem, Visitor, quoted};

/// One execution, as a checkbox says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Which {
    pub agent: String,
    pub id: String,
}

impl Which {
    fn read(text: &str) -> Option<Self> {
        let (agent, id) = text.split_once('/')?;
        Some(Self { agent: agent.to_owned(), id: id.to_owned() })
    }

    /// As a checkbox says it.
    pub fn text(&self) -> String {
        format!("{}/{}", self.agent, self.id)
    }

    /// Where the interface has it.
    pub fn address(&self) -> String {
        format!("/api/agents/{}/executions/{}", quoted(&self.agent), quoted(&self.id))
    }
}

/// What was found.
pub(super) struct Found {
    /// Each of them, [`AT_ONCE_MAX`] at most.
    pub all: Vec<One>,
    /// Whether the filters find more.
    pub more: bool,
}

/// Executions of an answer of the interface, by name alone.
#[derive(Deserialize)]
struct Stoppable {
    executions: Vec<Named>,
    truncated: bool,
}

#[derive(Deserialize)]
struct Named {
    execution_id: String,
    agent_name: String,
}

/// What can't be asked.
pub(super) fn refused(detail: &str) -> Problem {
    Problem::of(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// Those that were named; or what is wrong with how they were.
pub(super) fn named(form: &Filters) -> Result<Vec<Which>, &'static str> {
    let all: Option<Vec<_>> = form.values("id").map(Which::read).collect();
    let all = all.ok_or("an “id” is agent/id")?;
    match all.len() {
        0 => Err("no execution was chosen: go back and choose some"),
        1..=AT_ONCE_MAX => Ok(all),
        _ => Err("at most 200 executions at once: choose fewer"),
    }
}

/// Those that are meant, with their records.
pub(super) async fn found(
    interface: &Interface,
    visitor: &Visitor,
    deed: Deed,
    query: &Filters,
) -> Result<Found, Problem> {
    if query.value("matching").is_none() {
        let all = records(interface, visitor, named(query).map_err(refused)?).await?;
        return Ok(Found { all, more: false });
    }
    match deed {
        Deed::Stop => stoppable(interface, visitor, query).await,
        Deed::Retry => failed(interface, visitor, query).await,
    }
}

/// All that wait or run, by the interface's own rehearsal.
async fn stoppable(
    interface: &Interface,
    visitor: &Visitor,
    query: &Filters,
) -> Result<Found, Problem> {
    let mut body: Map<String, Value> =
        query.narrowing().map(|(name, value)| (name, Value::String(value))).collect();
    if let Some(cost) = body.get("min_cost").and_then(Value::as_str).map(str::parse::<f64>) {
        let cost = cost.map_err(|_| refused("“min_cost” must be a number of dollars"))?;
        body.insert("min_cost".to_owned(), json!(cost));
    }
    match query.value("status") {
        None | Some("pending" | "running") => {}
        Some(_) => return Ok(Found { all: Vec::new(), more: false }),
    }
    if body.is_empty() {
        body.insert("all".to_owned(), true.into());
    }
    body.insert("dry_run".to_owned(), true.into());
    body.insert("limit".to_owned(), AT_ONCE_MAX.into());
    let answer: Stoppable =
        interface.post(visitor, "/api/executions/terminate", &Value::Object(body)).await?;
    let which = answer.executions.into_iter();
    let which = which.map(|one| Which { agent: one.agent_name, id: one.execution_id });
    let all = records(interface, visitor, which.collect()).await?;
    Ok(Found { all, more: answer.truncated })
}

/// All that failed; or were cancelled, where that is what the filters ask for.
async fn failed(
    interface: &Interface,
    visitor: &Visitor,
    query: &Filters,
) -> Result<Found, Problem> {
    let status = match query.value("status") {
        None => "&status=failed",
        Some("failed" | "cancelled") => "",
        Some(_) => return Ok(Found { all: Vec::new(), more: false }),
    };
    let narrowing = query.narrowing();
    let address = format!("/api/executions?limit={AT_ONCE_MAX}{status}");
    let address = narrowing
        .fold(address, |address, (name, value)| address + "&" + &name + "=" + &quoted(&value));
    let list: ExecutionList = interface.get(visitor, &address).await?;
    let one = |execution| One { execution, problem: None };
    let all = list.executions.into_iter().map(one).collect();
    Ok(Found { all, more: list.next_cursor.is_some() })
}

async fn records(
    interface: &Interface,
    visitor: &Visitor,
    which: Vec<Which>,
) -> Result<Vec<One>, Problem> {
    stream::iter(which)
        .map(|which| async move {
            let detail: Detail = interface.get(visitor, &which.address()).await?;
            Ok(One { execution: detail.record, problem: None })
        })
        .buffered(ASKED_AT_ONCE)
        .try_collect()
        .await
}
