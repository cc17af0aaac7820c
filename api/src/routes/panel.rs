//! The activity panel and the sums of costs.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_projections::{
    Activity, ActivityQuery, ActivityState, ActivityType, Costs, CostsBy, CostsQuery,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters::{PageParams, limit, time};
use crate::auth::{May, Read, ReadCosts};
use crate::extract::{FromQuery, Params, Query};
use crate::position::{Moment, MomentParams, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::state::App;

impl FromQuery for ActivityQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            agent: query.parsed("agent")?,
            activity_type: query.one_of("type", &ActivityType::ALL.map(|t| (t.as_str(), t)))?,
            state: query.one_of("state", &ActivityState::ALL.map(|s| (s.as_str(), s)))?,
            limit: limit(query)?,
            cursor: query.text("cursor"),
        })
    }
}

/// A page of the activity panel.
#[derive(Serialize, ToSchema)]
pub(super) struct ActivityList {
    activities: Vec<Activity>,
    /// What to ask for the next page with; null on the last one.
    next_cursor: Option<String>,
}

/// The activity panel, the newest first.
#[utoipa::path(
    get, path = "/api/activities", operation_id = "list_activities", tag = "activities",
    params(
        ("agent" = Option<String>, Query, description = "Of this agent"),
        ("type" = Option<String>, Query, description = "self_task, task, chat, schedule, paid, agent_collaboration or cancellation"),
        ("state" = Option<String>, Query, description = "started, completed, failed or cancelled"),
        PageParams, MomentParams,
    ),
    responses(
        (status = 200, description = "A page", body = ActivityList),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn activities(
    may: May<Read>,
    State(app): State<App>,
    Params((query, moment)): Params<(ActivityQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().activities(&may.caller.scope, at, &query).await?;
    let list = ActivityList { activities: seen.value.items, next_cursor: seen.value.next_cursor };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}

const GROUPS: [(&str, CostsBy); 4] = [
    ("day", CostsBy::Day),
    ("agent", CostsBy::Agent),
    ("model", CostsBy::Model),
    ("trigger", CostsBy::Trigger),
];

impl FromQuery for CostsQuery {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self {
            by: query.one_of("by", &GROUPS)?.unwrap_or(CostsBy::Day),
            from: time(query, "from")?,
            to: time(query, "to")?,
        })
    }
}

/// What runs cost.
#[utoipa::path(
    get, path = "/api/costs", operation_id = "get_costs", tag = "costs",
    params(
        ("by" = Option<String>, Query, description = "day (default), agent, model or trigger"),
        ("from" = Option<String>, Query, description = "Recorded at this time or later"),
        ("to" = Option<String>, Query, description = "Recorded before this time"),
        MomentParams,
    ),
    responses(
        (status = 200, description = "Sums by group, and of all", body = Costs),
        (status = 422, description = "An unknown filter or value", body = ProblemSchema),
    ),
)]
pub(super) async fn costs(
    may: May<ReadCosts>,
    State(app): State<App>,
    Params((query, moment)): Params<(CostsQuery, Moment)>,
) -> Result<Response, Problem> {
    let at = moment.reach(&app).await?;
    let seen = app.views().costs(&may.caller.scope, at, &query).await?;
    Ok(with_position(&app, seen.position, axum::Json(seen.value)))
}
