//! What a timeline is made of: single executions, or where they are too many, how many there were.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::window::{Window, short};
use crate::answers::{Execution, ExecutionList};
use crate::interface::{Interface, Problem, Visitor, quoted};

/// Executions that are drawn one by one, at most: two pages of the interface.
pub(super) const BARS_MAX: u64 = 400;
/// Executions of a page of the interface.
const PAGE: u64 = 200;
/// Agents that are shown, at most: those with the most executions.
pub(super) const AGENTS_MAX: usize = 12;
/// Columns of an agent where executions are counted, at most.
const COLUMNS_MAX: i64 = 60;
/// What a column can stand for, in hours.
const COLUMN_HOURS: [i64; 10] = [1, 2, 3, 4, 6, 12, 24, 48, 168, 336];
/// Windows up to this length are drawn one by one whatever there is in them: hours would say nothing.
const COUNTED_FROM: TimeDelta = TimeDelta::hours(3);
/// Beyond this length days are asked for, not hours.
const DAYS_FROM: TimeDelta = TimeDelta::days(31);
/// Accepted so long before the window, an execution that has ended may still reach into it. Those that
/// go on are found however old they are.
const LOOKS_BACK: TimeDelta = TimeDelta::hours(1);

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    #[serde(rename = "bucket")]
    key: Option<String>,
    total: u64,
    running: u64,
    failed: u64,
}

/// What there is to draw.
pub(super) enum Drawn {
    /// Executions by agent, those that started first before the others.
    Bars {
        /// The executions.
        by_agent: BTreeMap<String, Vec<Bar>>,
        /// How many of the window are not among them.
        left_out: u64,
    },
    /// Counts by agent.
    Columns {
        /// How many by agent and time.
        by_agent: BTreeMap<String, Vec<Column>>,
        /// How many hours a column stands for.
        hours: i64,
    },
}

/// What a window holds.
pub(super) struct Gathered {
    /// What to draw.
    pub drawn: Drawn,
    /// Executions that were accepted in it.
    pub total: u64,
    /// Agents that are not shown.
    pub agents_left_out: usize,
}

/// An execution with its times.
pub(super) struct Bar {
    /// The execution.
    pub record: Execution,
    /// When it was accepted.
    pub created: DateTime<Utc>,
    /// When it started; of one that waits: when it was accepted.
    pub start: DateTime<Utc>,
    /// When it ended; nothing where it goes on.
    pub end: Option<DateTime<Utc>>,
}

/// Executions of a part of the window.
pub(super) struct Column {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How many were accepted.
    pub total: u64,
    /// How many of them run.
    pub running: u64,
    /// How many of them failed.
    pub failed: u64,
}

/// Asks for what a window holds.
pub(super) async fn gather(
    interface: &Interface,
    visitor: &Visitor,
    window: &Window,
) -> Result<Gathered, Problem> {
    let agent = window.agent.as_deref();
    let address = format!("/api/executions/timeline?bucket=agent{}", within(window, agent));
    let mut agents = interface.get::<Buckets>(visitor, &address).await?.buckets;
    agents.retain(|agent| agent.total > 0);
    let total = agents.iter().map(|agent| agent.total).sum();
    if total <= BARS_MAX || window.span() < COUNTED_FROM {
        return bars(interface, visitor, window, total).await;
    }
    agents.sort_by_key(|agent| std::cmp::Reverse(agent.total));
    let agents_left_out = agents.len().saturating_sub(AGENTS_MAX);
    let names: Vec<_> = agents.into_iter().filter_map(|agent| agent.key).take(AGENTS_MAX).collect();
    let hours = column_hours(window);
    let all = names.iter().map(|name| columns(interface, visitor, window, name, hours));
    let all = futures::future::try_join_all(all).await?;
    let by_agent = names.into_iter().zip(all).collect();
    Ok(Gathered { drawn: Drawn::Columns { by_agent, hours }, total, agents_left_out })
}

fn within(window: &Window, agent: Option<&str>) -> String {
    let agent = agent.map(|agent| format!("&agent={}", quoted(agent))).unwrap_or_default();
    format!("&from={}&to={}{agent}", short(window.from), short(window.to))
}

async fn bars(
    interface: &Interface,
    visitor: &Visitor,
    window: &Window,
    total: u64,
) -> Result<Gathered, Problem> {
    let agent = window.agent.as_deref();
    let of_agent = agent.map(|agent| format!("&agent={}", quoted(agent))).unwrap_or_default();
    let back = short(window.from - LOOKS_BACK);
    let to = short(window.to);
    let mut found = Vec::new();
    for state in ["running", "pending"] {
        let address = format!("/api/executions?limit={PAGE}&status={state}&to={back}{of_agent}");
        found.extend(interface.get::<ExecutionList>(visitor, &address).await?.executions);
    }
    let base = format!("/api/executions?limit={PAGE}&from={back}&to={to}{of_agent}");
    let mut address = base.clone();
    for _ in 0..BARS_MAX.div_ceil(PAGE) {
        let page: ExecutionList = interface.get(visitor, &address).await?;
        found.extend(page.executions);
        let Some(cursor) = page.next_cursor else { break };
        address = format!("{base}&cursor={}", quoted(&cursor));
    }
    let in_window = found.iter().filter_map(|record| at(&record.created_at));
    let shown = in_window.filter(|created| *created >= window.from).count() as u64;
    let mut by_agent: BTreeMap<String, Vec<Bar>> = BTreeMap::new();
    for bar in found.into_iter().filter_map(|record| bar(record, window)) {
        by_agent.entry(bar.record.agent_name.clone()).or_default().push(bar);
    }
    for bars in by_agent.values_mut() {
        bars.sort_by_key(|bar| bar.start);
    }
    let left_out = total.saturating_sub(shown);
    Ok(Gathered { drawn: Drawn::Bars { by_agent, left_out }, total, agents_left_out: 0 })
}

/// An execution as a bar, where any of it is in the window.
fn bar(record: Execution, window: &Window) -> Option<Bar> {
    let created = at(&record.created_at)?;
    let start = record.started_at.as_deref().and_then(at).unwrap_or(created);
    let end = record.completed_at.as_deref().and_then(at);
    let reaches_in = created < window.to && end.is_none_or(|end| end >= window.from);
    reaches_in.then_some(Bar { record, created, start, end })
}

fn at(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

fn column_hours(window: &Window) -> i64 {
    let fits = |hours: &i64| window.span().num_hours() / hours < COLUMNS_MAX;
    let least = if window.span() > DAYS_FROM { 24 } else { 1 };
    let mut possible = COLUMN_HOURS.into_iter().filter(|hours| *hours >= least);
    possible.find(fits).unwrap_or(336)
}

async fn columns(
    interface: &Interface,
    visitor: &Visitor,
    window: &Window,
    agent: &str,
    hours: i64,
) -> Result<Vec<Column>, Problem> {
    let size = if window.span() > DAYS_FROM { "day" } else { "hour" };
    let within = within(window, Some(agent));
    let address = format!("/api/executions/timeline?bucket={size}{within}");
    let found: Buckets = interface.get(visitor, &address).await?;
    let step = hours * 3_600;
    let mut columns: BTreeMap<i64, Column> = BTreeMap::new();
    for bucket in found.buckets.iter().filter(|bucket| bucket.total > 0) {
        let Some(begun) = bucket.key.as_deref().and_then(at) else { continue };
        let number = begun.timestamp().div_euclid(step);
        let Some(from) = DateTime::from_timestamp(number * step, 0) else { continue };
        let empty = Column { from, total: 0, running: 0, failed: 0 };
        let column = columns.entry(number).or_insert(empty);
        column.total += bucket.total;
        column.running += bucket.running;
        column.failed += bucket.failed;
    }
    Ok(columns.into_values().collect())
}
