//! Which executions are meant, and which page of them.

use execution_ledger_domain::execution::Trigger;
use execution_ledger_domain::{NanoUsd, Timestamp};
use execution_ledger_projections::{
    ExecutionFilters, ExecutionQuery, PAGE_DEFAULT, PAGE_MAX, Sort, Status,
};
use utoipa::IntoParams;

use crate::extract::{FromQuery, Query};
use crate::problem::Problem;
use crate::state::App;

/// Which executions are meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes what is read by name")]
pub(super) struct FilterParams {
    /// Run by this agent.
    agent: Option<String>,
    /// pending, running, completed, failed or cancelled.
    status: Option<String>,
    /// self_task, mcp, agent, chat, schedule, paid, retry or manual.
    triggered_by: Option<String>,
    /// Accepted at this time (RFC 3339) or later.
    from: Option<String>,
    /// Accepted before this time.
    to: Option<String>,
    /// Words of the message or the response; `word*` stands for all words that begin so.
    q: Option<String>,
    /// Known to have cost at least so many dollars.
    min_cost: Option<f64>,
    /// The model that answered, or was asked for.
    model: Option<String>,
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes what is read by name")]
pub(super) struct PageParams {
    /// Rows, 1 to 200; 50 by default.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl FromQuery for ExecutionFilters {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            agent: query.parsed("agent")?,
            status: query.one_of("status", &Status::ALL.map(|status| (status.as_str(), status)))?,
            triggered_by: query
                .one_of("triggered_by", &Trigger::ALL.map(|trigger| (trigger.as_str(), trigger)))?,
            from: time(query, "from")?,
            to: time(query, "to")?,
            // An empty search box is no search.
            q: query.text("q").filter(|words| !words.trim().is_empty()),
            min_cost: min_cost(query)?,
            model: query.text("model"),
        })
    }
}

/// A time in a query, where a `+` of its offset may have become a space.
pub(super) fn time(query: &mut Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.text(name) else { return Ok(None) };
    text.replace(' ', "+").parse().map(Some).map_err(|_| {
        Problem::invalid_parameter(name, "it must be an RFC 3339 time, as 2026-11-21T09:30:00Z")
    })
}

fn min_cost(query: &mut Query) -> Result<Option<NanoUsd>, Problem> {
    let Some(text) = query.text("min_cost") else { return Ok(None) };
    let usd = text.parse().ok().filter(|usd: &f64| usd.is_finite() && *usd >= 0.0);
    let usd = usd.ok_or_else(|| {
        Problem::invalid_parameter("min_cost", "it must be a number of dollars from 0, as 0.25")
    })?;
    let amount = NanoUsd::from_usd(usd);
    amount.map(Some).map_err(|error| Problem::invalid_parameter("min_cost", error.to_string()))
}

/// How many rows a page has.
pub(super) fn limit(query: &mut Query) -> Result<u32, Problem> {
    let number = query.number("limit", (1, PAGE_MAX.into()), PAGE_DEFAULT.into())?;
    Ok(u32::try_from(number).unwrap_or(PAGE_MAX))
}

const SORTS: [(&str, Sort); 3] = [
    ("-created_at", Sort::NewestFirst),
    ("created_at", Sort::OldestFirst),
    ("-cost", Sort::DearestFirst),
];

impl FromQuery for ExecutionQuery {
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem> {
        Ok(Self {
            filters: ExecutionFilters::from_query(query, app)?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
            sort: query.one_of("sort", &SORTS)?.unwrap_or_default(),
            texts: true,
        })
    }
}
