//! When a schedule comes.

use axum::extract::State;
use axum::response::Response;
use execution_ledger_domain::Timestamp;
use execution_ledger_projections::At;
use serde::Serialize;
use utoipa::ToSchema;

use super::filters::{limit, time};
use super::schedule_body::Moment as Tick;
use crate::auth::{May, ReadSchedules};
use crate::extract::{FromQuery, Params, Query, SchedulePath};
use crate::position::{Moment, with_position};
use crate::problem::{Problem, ProblemSchema};
use crate::state::{App, no_schedule};

/// The times at which a schedule comes.
#[derive(Serialize, ToSchema)]
pub(super) struct UpcomingList {
    /// Its next times; none while it is disabled. Where there are as many as `limit`, more follow:
    /// `after` the last of them.
    upcoming: Vec<Tick>,
}

/// Which times are asked for.
pub(super) struct Wanted {
    after: Option<Timestamp>,
    limit: u32,
}

impl FromQuery for Wanted {
    fn from_query(query: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(Self { after: time(query, "after")?, limit: limit(query)? })
    }
}

/// The times at which a schedule comes, from now or a later moment on.
#[utoipa::path(
    get, path = "/api/schedules/{id}/upcoming", operation_id = "list_schedule_times", tag = "schedules",
    params(
        ("id" = String, Path, description = "The schedule"),
        ("after" = Option<String>, Query, description = "After this time; now where it is left out or over"),
        ("limit" = Option<u32>, Query, description = "Times of the answer, 1 to 200; 50 by default"),
        ("wait_for" = Option<String>, Query, description = "Answer only once this position has been seen"),
    ),
    responses(
        (status = 200, description = "Its times", body = UpcomingList),
        (status = 404, description = "No such schedule", body = ProblemSchema),
        (status = 422, description = "A value that can't be", body = ProblemSchema),
    ),
)]
pub(super) async fn upcoming(
    may: May<ReadSchedules>,
    State(app): State<App>,
    SchedulePath(id): SchedulePath,
    Params((wanted, moment)): Params<(Wanted, Moment)>,
) -> Result<Response, Problem> {
    moment.reach_now(&app, "what comes is only known as of now").await?;
    let seen = app.views().schedule(&may.caller.scope, At::Now, id).await?;
    let row = seen.value.ok_or_else(no_schedule)?;
    let after = wanted.after.unwrap_or(Timestamp::EPOCH).max(app.schedules().now());
    let cron = row.settings.cron().filter(|_| row.enabled);
    let upcoming = cron.map(|cron| {
        let ticks = cron.upcoming(after, wanted.limit as usize);
        ticks.into_iter().map(|tick| Tick::of(&cron, tick)).collect()
    });
    let list = UpcomingList { upcoming: upcoming.unwrap_or_default() };
    Ok(with_position(&app, seen.position, axum::Json(list)))
}
